"""A home for one client, with nothing in it but what the client needs, and nothing outside of it but loopback."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

NOWHERE = "http://127.0.0.1:9"
"""A proxy that answers nothing: what is not on this machine is not reached, also where the network cannot be cut."""
CUT = "CLIENTS_WITHOUT_NETWORK"


def without_network() -> None:
    """Begin again in a network of its own with loopback alone, where the system allows that (Linux)."""
    if CUT in os.environ or sys.platform != "linux" or shutil.which("unshare") is None or shutil.which("ip") is None:
        return
    cut = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*cut, "true"], capture_output=True, check=False).returncode == 0:
        again = 'ip link set lo up && exec "$@"'
        os.environ[CUT] = "1"
        command = [*cut, "sh", "-c", again, "sh", sys.executable, "-m", "tests.clients", *sys.argv[1:]]
        os.execvp(cut[0], command)  # noqa: S606


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for ``condition``; AssertionError if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


class World:
    """The folders and processes of one client."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        self.variables = {
            "PATH": f"{Path(node).parent}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "HOME": str(self.home),
            "USER": "person",
            "LOGNAME": "person",
            "SHELL": "/bin/sh",
            "CI": "1",
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local/share"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_STATE_HOME": str(self.home / ".local/state"),
            "TMPDIR": str(folder / "tmp"),
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost,::1"),
        }
        (folder / "tmp").mkdir()

    @property
    def pictures(self) -> Path:
        return self.home / "pictures"

    def start(self, command: list[str], variables: dict[str, str]) -> tuple["subprocess.Popen[bytes]", Path]:
        """Start a client in the project; returns it and the file with what it says."""
        said = self.folder / f"said-{len(list(self.folder.glob('said-*')))}"
        with said.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self.project,
                env=self.variables | variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return process, said

    def recorded(self, program: str) -> str:
        """``program`` with what the client says to it kept for :meth:`said_to_server`."""
        script = self.folder / "recorded"
        script.write_text(f"#!/bin/sh\ntee -a '{self.folder / 'spoken'}' | '{program}'\n")
        script.chmod(0o700)
        return str(script)

    def said_to_server(self) -> list[dict[str, Any]]:
        """The client's messages."""
        return [json.loads(line) for line in (self.folder / "spoken").read_text().splitlines()]

    def processes(self) -> Iterator[psutil.Process]:
        """All that runs with this home."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def servers(self) -> list[psutil.Process]:
        """Those of ours."""
        found: list[psutil.Process] = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if any(Path(word).name == "cdp-image-mcp" for word in process.cmdline()[:2]):
                    found.append(process)
        return found

    def kill_client(self) -> None:
        """The client and all that it started, but our server: as the system does it when memory runs out."""
        ours = {process.pid for process in self.servers()}
        for process in self.processes():
            if process.pid not in ours:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def empty(self) -> None:
        """End by id what is left."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


@contextmanager
def opened(folder: Path, node: str) -> Generator[World]:
    """A world, and nothing of it afterwards."""
    world = World(folder, node)
    try:
        yield world
    finally:
        world.empty()
        until(lambda: not any(world.processes()), 10, "the processes of the client are gone")
        shutil.rmtree(folder, ignore_errors=True)
