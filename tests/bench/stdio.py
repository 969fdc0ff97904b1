"""An MCP client over pipes that does nothing but stamp the time at which each answer had arrived."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import psutil

from cdp_image_mcp.cdp.launching.holder import clear_dead
from cdp_image_mcp.cdp.launching.profile import SOCKET_LINK
from tests.bench.figures import NotMeasured

__all__ = ["Answer", "McpProcess", "memory", "running"]

CLOSING_SECONDS = 15.0
HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


class Answer(msgspec.Struct, frozen=True):
    """``at`` is ``time.monotonic()`` when the last byte of the line had been read; decoding came after."""

    result: dict[str, Any]
    at: float
    characters: int

    def data(self) -> dict[str, Any]:
        """The JSON of the first text block of a tool's result."""
        text = next(block["text"] for block in self.result["content"] if block["type"] == "text")
        try:
            found: Any = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return {"text": text}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {"text": text}


class McpProcess:
    """A server process and its one client. Made by ``running``."""

    def __init__(self, process: "subprocess.Popen[bytes]", who: str, log: Path, started_at: float) -> None:
        self.started_at = started_at
        """``time.monotonic()`` just before the process was made."""
        self.pid = process.pid
        self._process = process
        self._who = who
        self._log = log
        self._number = 0

    def initialize(self) -> Answer:
        """The handshake. ``at`` is of the answer to ``initialize``."""
        answer = self.call("initialize", HELLO)
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def tools(self) -> Answer:
        return self.call("tools/list", {})

    def tool(self, name: str, arguments: Mapping[str, Any], *, limit: float = 120.0) -> Answer:
        return self.call("tools/call", {"name": name, "arguments": dict(arguments)}, limit=limit)

    def call(self, method: str, params: Mapping[str, Any], *, limit: float = 60.0) -> Answer:
        """One request and its answer. Raises NotMeasured for an error, an end, or no answer within ``limit`` s."""
        self._number += 1
        watchdog = threading.Timer(limit, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            self._write({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
            return self._read(method, limit)
        finally:
            watchdog.cancel()

    def _write(self, message: Mapping[str, Any]) -> None:
        pipe = cast("IO[bytes]", self._process.stdin)
        try:
            pipe.write(msgspec.json.encode(message) + b"\n")
            pipe.flush()
        except OSError:
            raise NotMeasured(f"{self._who} ended by itself: {self.last_line()}") from None

    def _read(self, method: str, limit: float) -> Answer:
        pipe = cast("IO[bytes]", self._process.stdout)
        while True:
            line = pipe.readline()
            at = time.monotonic()
            if not line.endswith(b"\n"):
                raise NotMeasured(f"{method}: no answer within {limit:g} s, or an end: {self.last_line()}")
            message = msgspec.json.decode(line, type=dict[str, Any])
            if message.get("id") != self._number:
                continue
            if "error" in message:
                raise NotMeasured(f"{method} failed: {str(message['error'].get('message'))[:300]}")
            return Answer(message["result"], at, len(line))

    def last_line(self) -> str:
        """The last thing it said on standard error."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    @property
    def own(self) -> list[psutil.Process]:
        """The process that was started and, where it is only a front, the server behind it."""
        front = psutil.Process(self.pid)
        return [front, *(child for child in front.children() if child.name() == front.name())]

    @property
    def browser(self) -> list[psutil.Process]:
        """What else runs below it."""
        own = self.own
        return [child for child in own[0].children(recursive=True) if child not in own]

    def close(self) -> None:
        """End of input, as a client leaves; what is still there after a while is killed, children too."""
        try:
            family = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        with contextlib.suppress(OSError):
            cast("IO[bytes]", self._process.stdin).close()
        try:
            self._process.wait(CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        cast("IO[bytes]", self._process.stdout).close()
        _, left = psutil.wait_procs(family, timeout=5)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)


def memory(processes: Iterable[psutil.Process]) -> float:
    """Bytes, with what several processes share shared out; where the system does not tell that, the resident size."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            try:
                full = process.memory_full_info()
            except psutil.AccessDenied:
                full = process.memory_info()
            total += int(getattr(full, "pss", full.rss))
    return float(total)


@contextmanager
def running(who: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Generator[McpProcess]:
    """A server process for the length of the block; its standard error goes to a file in ``folder``. What a killed
    browser on a profile in there left in the temporary folder goes too."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "stderr"
    with log.open("ab") as errors:
        started_at = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                cwd=folder,
                bufsize=1 << 20,
            )
        except OSError as error:
            raise NotMeasured(f"it cannot be started: {error.strerror}") from None
    server = McpProcess(process, who, log, started_at)
    try:
        yield server
    finally:
        server.close()
        for link in folder.rglob(SOCKET_LINK):
            clear_dead(link.parent)
