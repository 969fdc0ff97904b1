"""A server's standard error, written by a thread of its own: a client may keep the pipe and never read it. Such a pipe
takes 64 KB and then holds whoever writes to it for ever, and from the event loop that would be the whole server."""

import errno
import logging
import os
import sys
import threading
import time
from queue import SimpleQueue

from cdp_image_mcp.config import APP_NAME
from cdp_image_mcp.system.telling import silence

MOST_WAITING = 1_000_000
"""Characters that may wait for somebody to read; what is said beyond that is left out, and that is said."""
FLUSHING_SECONDS = 1.0
"""How long the end of the process waits for what was said last: where somebody reads, it is out at once."""
STANDARD_ERROR = 2
NOBODY_READS = (errno.EPIPE, errno.EBADF, errno.EINVAL)
"""A pipe without a reader (the last on Windows), or no file at all."""


class LogPipe(logging.Handler):
    """Nobody waits for what is logged or told here. The file itself is written, since the interpreter's own stream has
    a lock that a thread would still hold when the interpreter ends."""

    def __init__(self) -> None:
        super().__init__()
        # Unlike other queues it may be written to by what the garbage collector calls in the middle of that.
        self._waiting: SimpleQueue[str | threading.Event] = SimpleQueue()
        self._said = self._written = self._left_out = 0
        threading.Thread(target=self._write, name="standard error", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``."""
        try:
            self.tell(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)

    def tell(self, text: str) -> None:
        """Say ``text`` as it is."""
        if self._said - self._written > MOST_WAITING:
            self._left_out += 1
            return
        if self._left_out:
            text, self._left_out = f"{APP_NAME}: nobody read; {self._left_out} messages are left out\n{text}", 0
        self._said += len(text)
        self._waiting.put(text)

    def flush(self) -> None:
        """Called by ``logging.shutdown``, at the end of the process."""
        out = threading.Event()
        self._waiting.put(out)
        out.wait(FLUSHING_SECONDS)

    def _write(self) -> None:
        """The thread's whole life."""
        while True:
            said = self._waiting.get()
            if isinstance(said, threading.Event):
                said.set()
                continue
            _write_out(said.replace("\n", os.linesep).encode(sys.stderr.encoding, "backslashreplace"))
            self._written += len(said)


def _write_out(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(STANDARD_ERROR, rest) :]
        except BlockingIOError:
            time.sleep(0.05)  # the client's end made the pipe one that does not wait
        except OSError as error:
            if error.errno in NOBODY_READS:  # nor will what is said later be read
                return silence((STANDARD_ERROR,))
            break  # of a file on a full disk, say: what comes next may have room again
    return None
