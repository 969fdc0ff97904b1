"""Server-sent events, read byte by byte as they arrive, with lines of any length."""

import re
from typing import Literal

import msgspec

__all__ = ["EventEnd", "EventReader"]

KEPT = 256
"""Bytes of a field name or of an ``event`` value that are looked at; those in use are shorter."""

LINE_END = re.compile(rb"[\r\n]")
MARK = b"\xef\xbb\xbf"


class EventEnd(msgspec.Struct, frozen=True):
    """The blank line after an event; the bytes handed out since the last one are its data."""

    name: str = ""


class EventReader:
    """Turns bytes, cut anywhere, into pieces of data and the ends of events.

    A picture's line is many megabytes long, so data is handed out as it arrives instead of line by line. Lines end
    with CR, LF or CRLF; several ``data`` lines are joined by LF; a byte order mark at the beginning is skipped. Data
    that begins with a colon is a comment that a relay has wrapped (``data: : PROCESSING``, llm-gateway#2053, 2026).
    """

    def __init__(self) -> None:
        self._start: bytes | None = b""
        """What may be a byte order mark; None once that is decided."""
        self._place: Literal["field", "colon", "start", "value", "comment"] = "field"
        self._field = b""
        self._value = b""
        self._name = ""
        self._has_data = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes | EventEnd]:
        """Pieces of data and ends of events in ``chunk``, in order."""
        out: list[bytes | EventEnd] = []
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(MARK) and MARK.startswith(chunk):
                self._start = chunk
                return out
            chunk, self._start = chunk.removeprefix(MARK), None
        at = 0
        if self._after_cr and chunk:
            self._after_cr = False
            at = int(chunk[0] == 0x0A)
        carriage_returns = b"\r" in chunk
        while at < len(chunk):
            end = _line_end(chunk, at, carriage_returns=carriage_returns)
            if end != at:
                self._take(chunk[at:end], out)
            if end == len(chunk):
                break
            self._end_line(out)
            at = end + 1
            if chunk[end] == 0x0D:
                if at == len(chunk):
                    self._after_cr = True
                elif chunk[at] == 0x0A:
                    at += 1
        return out

    def close(self) -> list[bytes | EventEnd]:
        """What is left when the stream ends. An event whose blank line is missing counts: it may hold a paid picture,
        and whether it is whole shows in its data."""
        out: list[bytes | EventEnd] = []
        if self._start:
            start, self._start = self._start, None
            self._take(start, out)
        if self._place != "field" or self._field:
            self._end_line(out)
        self._end_event(out)
        return out

    def _take(self, part: bytes, out: list[bytes | EventEnd]) -> None:
        """A piece of one line, without its end."""
        if self._place == "field":
            name, colon, part = part.partition(b":")
            self._field += name[: KEPT - len(self._field)]
            if not colon:
                return
            self._place = "colon"
        if self._place == "colon" and part:
            self._place = "start"
            part = part.removeprefix(b" ")
        if self._place == "start" and part:
            if self._field == b"data" and part.startswith(b":"):
                self._place = "comment"
            else:
                self._begin_value(out)
        if not part or self._place == "comment":
            return
        if self._field == b"data":
            out.append(part)
        elif self._field == b"event":
            self._value += part[: KEPT - len(self._value)]

    def _begin_value(self, out: list[bytes | EventEnd]) -> None:
        self._place = "value"
        if self._field == b"data":
            if self._has_data:
                out.append(b"\n")
            self._has_data = True

    def _end_line(self, out: list[bytes | EventEnd]) -> None:
        if self._place == "field" and not self._field:
            self._end_event(out)
            return
        if self._place not in {"value", "comment"}:
            self._begin_value(out)
        if self._field == b"event":
            self._name = self._value.decode("utf-8", "replace")
        self._place = "field"
        self._field = self._value = b""

    def _end_event(self, out: list[bytes | EventEnd]) -> None:
        if self._has_data:
            out.append(EventEnd(self._name))
        self._name, self._has_data = "", False


def _line_end(chunk: bytes, at: int, *, carriage_returns: bool) -> int:
    """Where the line ends, or the end of ``chunk``. Plain LF is found twenty times faster than either of two."""
    if carriage_returns:
        found = LINE_END.search(chunk, at)
        return found.start() if found else len(chunk)
    end = chunk.find(b"\n", at)
    return len(chunk) if end < 0 else end
