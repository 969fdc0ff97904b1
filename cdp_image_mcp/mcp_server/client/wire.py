"""Standard input and output, read from the first moment on: what a client asks in order to find out whom it talks to
is answered before the SDK is loaded.

The SDK (2.3.0) takes the era of a connection from its first request, also when that is ``server/discover``, and then
refuses the handshake. Clients ask, lose patience after 0.6 s (Copilot CLI 1.0.86, 2026-09-17) and send ``initialize``
on the same pipe, which the specification of 2026-07-28 allows. So the probe is answered here, as often as it comes,
and only what follows reaches the SDK and decides the era.
"""

import io
import json
import logging
import os
import re
import select
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec

from cdp_image_mcp.mcp_server.client.greeting import DISCOVER, PROTOCOL_VERSION, discovered, meta_of
from cdp_image_mcp.system.plaintext import sound
from cdp_image_mcp.system.telling import silence

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.shared.message import SessionMessage
    from mcp_types import JSONRPCError, JSONRPCMessage

    Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]

logger = logging.getLogger(__name__)

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HALF_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
ERA_WORDS = (DISCOVER.encode(), PROTOCOL_VERSION.encode())
"""Only lines with one of these can matter here once the era is known."""


class Wire:
    """Both standard streams of this process. While it is open, file descriptor 0 is empty and 1 is standard error:
    a stray ``print`` or a child's output never gets between the messages."""

    def __init__(self) -> None:
        """Take the streams and begin to read."""
        self._in, self._out = _taken(0), _taken(1)
        self.when_out: Callable[[JSONRPCMessage], Coroutine[Any, Any, None]] | None = None
        """Called, in a task of its own, with each message of the server that is out."""
        self._writing = threading.Lock()
        self._era: Literal["modern", "legacy"] | None = None
        self._deliver: Future[Callable[[bytes], None]] = Future()
        # A daemon: it is blocked in reading for as long as the client keeps its end open, and nobody can wake it.
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    @asynccontextmanager
    async def streams(self, client_gone: Callable[[], None]) -> "AsyncGenerator[Streams]":
        """The messages as the SDK's server wants them. ``client_gone`` is called when nobody takes answers any more."""
        from mcp.shared.message import SessionMessage

        to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception]()
        outgoing, from_server = anyio.create_memory_object_stream[SessionMessage]()
        # Its own: all of the loop's threads may hang on a disk that does not answer, which is to be told all the same.
        own_thread = anyio.CapacityLimiter(1)

        async def hand_over(line: bytes) -> None:
            if not line:
                await to_server.aclose()
            elif isinstance(message := _message(line), SessionMessage):
                await to_server.send(message)
            elif message is not None:
                with suppress(OSError):  # the client has gone: the end of input follows
                    await anyio.to_thread.run_sync(self._write, _line(message), limiter=own_thread)

        async def write() -> None:
            with from_server:
                async for each in from_server:
                    try:
                        await anyio.to_thread.run_sync(self._write, _line(each.message), limiter=own_thread)
                    except OSError as error:
                        logger.warning("the client has gone (%s)", error.strerror)
                        client_gone()
                        return
                    if self.when_out is not None:
                        group.start_soon(self.when_out, each.message)

        async with anyio.create_task_group() as group, anyio.from_thread.BlockingPortal() as portal:
            group.start_soon(write)
            self._deliver.set_result(lambda line: portal.call(hand_over, line))
            try:
                yield incoming, outgoing
            finally:
                # The writer ends when it has written what it was given.
                for stream in (to_server, incoming, outgoing):
                    stream.close()
                await portal.stop(cancel_remaining=True)

    def leave(self) -> None:
        """Write nothing more, so that the client sees the end of it although this process goes on. A write that it does
        not take is left as it is: that stream cannot be closed."""
        if self._writing.acquire(blocking=False):
            silence((self._out,))
            self._writing.release()

    def _read(self) -> None:
        """The thread's whole life: every line but the probes to the server, and at last an empty one."""
        # The server has left and takes nothing any more.
        with suppress(CancelledError, RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            try:
                for line in _lines(self._in):
                    if (passed := self._passed_on(line)) is not None:
                        self._deliver.result()(passed)
            finally:
                self._deliver.result()(b"")

    def _passed_on(self, line: bytes) -> bytes | None:
        """What the server gets to read of a line; None for a probe, which is answered."""
        if self._era is not None and not any(word in line for word in ERA_WORDS):
            return line
        try:
            message: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return line
        if "method" not in message or "id" not in message:
            return line
        if message["method"] == DISCOVER:
            answer = {"jsonrpc": "2.0", "id": message["id"], **discovered(message.get("params"))}
            with suppress(OSError):  # the client has gone: the end of input follows
                self._write(msgspec.json.encode(answer) + b"\n")
            return None
        enveloped = PROTOCOL_VERSION in meta_of(message.get("params"))
        if self._era is None:
            self._era = "modern" if enveloped and message["method"] != "initialize" else "legacy"
        if enveloped and self._era == "legacy":
            # Whoever shook hands after a probe and speaks the new way all the same is answered as it shook hands.
            del message["params"]["_meta"][PROTOCOL_VERSION]
            return msgspec.json.encode(message)
        return line

    def _write(self, line: bytes) -> None:
        with self._writing:
            rest = memoryview(line)
            while rest:
                try:
                    rest = rest[os.write(self._out, rest) :]
                except BlockingIOError:
                    select.select((), (self._out,), ())


def _taken(number: int) -> int:
    """The standard stream under a number of its own; in its place nothing (0) or standard error (1)."""
    own = os.dup(number) if sys.platform == "win32" else fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    try:
        other = os.dup(2) if number else os.open(os.devnull, os.O_RDONLY)
    except OSError:  # the client has closed standard error
        other = os.open(os.devnull, os.O_WRONLY)
    os.dup2(other, number)
    os.close(other)
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        # Children inherit the handle of this slot, which dup2 does not change: STD_INPUT_HANDLE is -10, the next -11.
        ctypes.windll.kernel32.SetStdHandle(-10 - number, msvcrt.get_osfhandle(number))
    return own


class _Input(io.FileIO):
    """Standard input, waited for also where somebody who shares the pipe has it set not to wait: what comes late would
    pass for the end. The same goes for what :meth:`Wire._write` does not get out at once."""

    def readinto(self, buffer: Any) -> int:
        while (count := super().readinto(buffer)) is None:
            select.select((self,), (), ())
        return count


def _lines(number: int) -> Iterator[bytes]:
    """Each message, those of a batch (MCP of 2025-03-26 has them) one by one."""
    with io.BufferedReader(_Input(number, "rb", closefd=False)) as stream:
        for count, line in enumerate(stream):
            line = line if count else line.removeprefix(BYTE_ORDER_MARK)  # noqa: PLW2901
            batch: list[msgspec.Raw] = []
            if line.lstrip().startswith(b"["):
                with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    batch = msgspec.json.decode(line, type=list[msgspec.Raw])
            yield from map(bytes, batch or (line,))


def _line(message: "JSONRPCMessage") -> bytes:
    """The message as it is written. Half a character in it, as names of files have that are no UTF-8, is replaced: it
    costs that letter, and not the server."""
    try:
        text = message.model_dump_json(by_alias=True, exclude_unset=True)
    except ValueError:
        text = sound(json.dumps(message.model_dump(by_alias=True, exclude_unset=True), ensure_ascii=False))
    return text.encode() + b"\n"


def _message(line: bytes) -> "SessionMessage | JSONRPCError | None":
    """What the client says; of what is no message of JSON-RPC the answer, None where it waits for none."""
    import mcp_types as types
    from mcp.shared.message import SessionMessage

    # Bad UTF-8 is replaced, as by the SDK's own transport, and so is half a character that was written as an escape:
    # whole lines are not lost for one letter.
    text = line.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        if HALF_ESCAPED.search(text):
            halves = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-16", "surrogatepass")
            text = halves.decode("utf-16", "replace")
    with suppress(ValueError):
        message = types.jsonrpc_message_adapter.validate_json(text, by_name=False)
        # A request whose id is none (null, 1.5) would pass for a notification.
        if not isinstance(message, types.JSONRPCNotification) or "id" not in json.loads(text):
            return SessionMessage(message)
    return _unread(text)


def _unread(text: str) -> "JSONRPCError | None":
    import mcp_types as types

    identity, code, said = None, types.PARSE_ERROR, "This is no JSON. One message of JSON-RPC 2.0 stands on each line."
    with suppress(ValueError, RecursionError):
        read = json.loads(text)
        code, said = types.INVALID_REQUEST, "This is no request of JSON-RPC 2.0, whose id is a text or a whole number."
        if isinstance(read, dict):
            given: dict[str, Any] = read  # type: ignore[reportUnknownVariableType]
            if "id" not in given or "result" in given or "error" in given:
                return None
            identity = given["id"] if type(given["id"]) in {str, int} else None
    if not text.strip():
        return None
    return types.JSONRPCError(jsonrpc="2.0", id=identity, error=types.ErrorData(code=code, message=said))
