"""The stand-in site in a process of its own, also under the real site's name by TLS with a throw-away certificate.

Its log's times become moments of ``time.monotonic()``, which all processes of one machine share.
"""

import asyncio
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import httpx
import msgspec
import uvicorn

from fixtures.site import Switches, serve
from fixtures.site.log import Any_, PictureMade, Press, Prompt, from_json
from fixtures.site.server import application
from tests.bench.certificate import Certificate, make_certificate
from tests.bench.figures import NotMeasured
from tests.bench.sides import ROOT

__all__ = ["HOST", "StandIn", "Turn", "running_standin"]

HOST = "chatgpt.com"
"""The seed's address is fixed to this one; the browser is told that it lies here."""


class Hello(msgspec.Struct):
    """First line of the process. ``began`` is the zero of the log on the monotonic clock."""

    url: str
    tls_port: int
    began: float


class Turn(msgspec.Struct, frozen=True):
    """One prompt and what came of it, moments on the monotonic clock."""

    asked_at: float
    """The prompt had arrived."""
    final_at: float | None
    """The finished picture was there; None: not yet."""
    sha256: str


class StandIn:
    """The running site, seen from outside. Made by ``running_standin``."""

    def __init__(self, hello: Hello, certificate: Certificate, process: "subprocess.Popen[bytes]") -> None:
        self._hello = hello
        self.certificate = certificate
        self._process = process
        self._client = httpx.Client(base_url=hello.url, timeout=30, trust_env=False)

    @property
    def url(self) -> str:
        """The plain address."""
        return self._hello.url

    @property
    def tls_port(self) -> int:
        return self._hello.tls_port

    def set(self, **switches: Any) -> None:
        """Change switches; raises ValueError for unknown ones."""
        answer = self._client.post("/__site/switches", json=switches)
        if answer.status_code != 200:
            raise ValueError(answer.text)

    def forget(self) -> None:
        """Drop the pictures and the log so far: hundreds of big ones would fill the memory."""
        pipe = cast("IO[bytes]", self._process.stdin)
        pipe.write(b"forget\n")
        pipe.flush()
        line = cast("IO[bytes]", self._process.stdout).readline()
        self._hello = msgspec.json.decode(line, type=Hello)

    def log(self) -> list[Any_]:
        try:
            return from_json(self._client.get("/__site/log").content)
        except httpx.HTTPError as error:
            raise NotMeasured(f"the stand-in site went away: {error}") from None

    def turn(self, prompt: str) -> Turn:
        """The turn of the prompt that begins with these words. Raises NotMeasured when none arrived."""
        entries = self.log()
        found = next((entry for entry in entries if isinstance(entry, Prompt) and entry.text.startswith(prompt)), None)
        if found is None:
            raise NotMeasured("the prompt never reached the site")
        made = (entry for entry in entries if isinstance(entry, PictureMade) and entry.turn == found.turn)
        final = next((entry for entry in made if entry.kind == "final"), None)
        began = self._hello.began
        return Turn(
            began + found.at, None if final is None else began + final.at, "" if final is None else final.sha256
        )

    def close(self) -> None:
        self._client.close()
        cast("IO[bytes]", self._process.stdin).close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        cast("IO[bytes]", self._process.stdout).close()


@contextmanager
def running_standin(switches: Switches | None = None) -> Generator[StandIn]:
    """The site for the length of the block. Raises NotMeasured when it does not start."""
    with tempfile.TemporaryDirectory(prefix="bench-site-") as folder:
        certificate = make_certificate(Path(folder), HOST)
        command = [
            *(sys.executable, "-m", "tests.bench.standin"),
            *(msgspec.json.encode(switches or Switches()).decode(), str(certificate.chain), str(certificate.key)),
        ]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        line = cast("IO[bytes]", process.stdout).readline()
        if not line:
            raise NotMeasured(f"the stand-in site did not start (exit code {process.wait()})")
        standin = StandIn(msgspec.json.decode(line, type=Hello), certificate, process)
        try:
            yield standin
        finally:
            standin.close()


# What follows runs in the process itself.


async def _serve(switches: Switches, chain: str, key: str) -> None:
    loop = asyncio.get_running_loop()
    commands: asyncio.Queue[bytes] = asyncio.Queue()

    def read_commands() -> None:
        while line := sys.stdin.buffer.readline():
            loop.call_soon_threadsafe(commands.put_nowait, line)
        loop.call_soon_threadsafe(commands.put_nowait, b"")

    threading.Thread(target=read_commands, daemon=True).start()
    async with serve(switches) as site:
        plain, site.url = site.url, f"https://{HOST}"
        # Titles of old chats that fool whoever reads the whole page; the seed then never gets as far as a prompt.
        site.state.conversations.clear()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(
                application(site),
                log_level="critical",
                access_log=False,
                lifespan="off",
                ws="websockets-sansio",
                http="h11",
                h11_max_incomplete_event_size=256 * 1024,
                timeout_graceful_shutdown=1,
                ws_max_size=64 * 1024 * 1024,
                ssl_certfile=chain,
                ssl_keyfile=key,
                ssl_version=ssl.PROTOCOL_TLS_SERVER,
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            port = int(listener.getsockname()[1])

            def hello() -> None:
                mark = Press(button="the bench's mark", wrong=False)
                site.log.add(mark)
                told = Hello(plain, port, time.monotonic() - mark.at)
                sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
                sys.stdout.buffer.flush()

            hello()
            while await commands.get():
                for file in site.state.files.all():
                    if file.kind in {"final", "preview"}:
                        file.content = b""
                site.log.clear()
                hello()
            server.should_exit = True
            await serving


def main() -> None:
    switches = msgspec.json.decode(sys.argv[1], type=Switches)
    asyncio.run(_serve(switches, sys.argv[2], sys.argv[3]))


if __name__ == "__main__":
    main()
