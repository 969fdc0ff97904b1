"""A client that can be as rude as real ones: it talks JSON-RPC over pipes and may stop, vanish or be cut off."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import msgspec
import psutil

from tests.faults.figures import Side

ROOT = Path(__file__).parents[2]

LONGEST = 120.0
"""Seconds in which every call has its answer, or hears that its server is gone. None asks for more than half of it; the
rest is for a machine that has too much to do, and costs nothing where all are answered."""


class Gone(Exception):  # noqa: N818 - it says what happened
    """The server process ended, or its pipe did."""


class Peer:
    """One server process and the calls that wait on it. Used inside a task group that runs :meth:`read`."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self.process = process
        self._next = 1
        self._waiting: dict[int, tuple[anyio.Event, list[dict[str, Any]]]] = {}
        self._gone = anyio.Event()

    @staticmethod
    async def start(folder: Path, variables: Mapping[str, str]) -> "Peer":
        """With ``FAULTS_CLOCK`` or ``FAULTS_NO_LOCKS`` among the variables it runs on an odd system."""
        odd = {"FAULTS_CLOCK", "FAULTS_NO_LOCKS"} & variables.keys()
        module = "tests.faults.odd" if odd else "cdp_image_mcp"
        with (folder / "stderr").open("ab") as log:
            process = await anyio.open_process(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**({"PYTHONPATH": str(ROOT)} if odd else {}), **variables},
                cwd=folder,
                start_new_session=True,
            )
        return Peer(process)

    @property
    def server(self) -> psutil.Process | None:
        """The server proper, behind the process that was started."""
        try:
            return next(iter(psutil.Process(self.process.pid).children()), None)
        except psutil.NoSuchProcess:
            return None

    def kill_group(self) -> None:
        """What some clients do to servers that do not end at once. Raises ProcessLookupError."""
        if sys.platform != "win32":
            os.killpg(self.process.pid, signal.SIGKILL)

    def crash(self) -> bool:
        """What a crash is: both processes, at once."""
        server = self.server
        try:
            if server is not None:
                server.kill()
            self.process.kill()
        except (psutil.NoSuchProcess, ProcessLookupError):
            return False
        return server is not None

    async def read(self) -> None:
        """Hand answers to whoever waits, until the pipe ends."""
        buffer = b""
        try:
            async for chunk in self.process.stdout or ():  # type: ignore[union-attr]
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in filter(None, lines):
                    message = msgspec.json.decode(line)
                    waiter = self._waiting.pop(message.get("id"), None)
                    if waiter is not None and "method" not in message:
                        waiter[1].append(message)
                        waiter[0].set()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self._gone.set()
            for event, _ in self._waiting.values():
                event.set()

    async def send(self, message: Mapping[str, Any]) -> None:
        try:
            await self.process.stdin.send(msgspec.json.encode(message) + b"\n")  # type: ignore[union-attr]
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Gone from error

    async def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Raises Gone when the server went away before it answered, TimeoutError when it is there and does not."""
        number, self._next = self._next, self._next + 1
        answered: tuple[anyio.Event, list[dict[str, Any]]] = (anyio.Event(), [])
        self._waiting[number] = answered
        if self._gone.is_set():
            raise Gone
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        with anyio.fail_after(LONGEST):
            await answered[0].wait()
        if not answered[1]:
            raise Gone
        return answered[1][0]

    async def open(self) -> None:
        await self.request(
            "initialize",
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "rude", "version": "1"},
            },
        )
        await self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The JSON of a tool's answer."""
        answer = await self.request("tools/call", {"name": tool, "arguments": arguments})
        if "error" in answer:
            # A server that ends answers what is in flight with "Connection closed".
            raise Gone(answer["error"]["message"])
        return msgspec.json.decode(answer["result"]["content"][0]["text"])

    async def vanish(self) -> None:
        """Close both pipes without a word, as a client that was killed does."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                await stream.aclose()

    async def end(self) -> None:
        """The orderly end: close the input and wait; a server that stays is a fault."""
        if self.process.stdin is not None:
            await self.process.stdin.aclose()
        with anyio.fail_after(30):
            await self.process.wait()


@asynccontextmanager
async def served(folder: Path, variables: Mapping[str, str], figures: Side, context: str) -> AsyncGenerator[Peer]:
    """A server of one's own, ended in order. Who gets no answer from it, or cannot end it, asks no more: that is noted
    with ``context``."""
    peer = await Peer.start(folder, variables)
    async with anyio.create_task_group() as group:
        group.start_soon(peer.read)
        try:
            await peer.open()
            yield peer
            await peer.end()
        except (Gone, TimeoutError):
            figures.unanswered.append(f"{context}: no answer, or no end, at the next start")
            peer.crash()
        group.cancel_scope.cancel()
    await peer.process.aclose()
