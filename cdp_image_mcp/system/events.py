"""Server-sent events and lines of JSON, read byte by byte as they arrive, with lines of any length."""

import re

KEPT = 256
"""Bytes that are looked at of a line that is no data; those in use are shorter."""
MARK = b"\xef\xbb\xbf"
DATA = re.compile(rb"data:(?: (?=[^:])|(?=[^ :]))|(?=[ \t{}\[\]\"])")
"""How a line of data begins, up to the first byte of the data. JSON is data with no name before it, too."""
BETWEEN = re.compile(rb"(?<=[}\]])[ \t]*+[\r\n]\s*+(?=[{\[])")
"""In one JSON no line that ends with a closing bracket stands before one that begins with an opening bracket, for a
comma is between them."""


class EventReader:
    """Turns bytes, cut anywhere, into pieces of data and the ends of events.

    A picture's line is many megabytes long, so data is handed out as it arrives instead of line by line. Lines end
    with CR, LF or CRLF; several ``data`` lines are joined by LF; a byte order mark at the beginning is skipped. Data
    that begins with a colon is a comment that a relay has wrapped (``data: : PROCESSING``, llm-gateway#2053, 2026).
    Lines that begin as those of a JSON do, and as no field of the standard, are data: relays that have kept the line
    open with comments write what their upstream answers in one piece behind them, as it is (new-api, 2026).

    A blank line ends an event. Where relays leave it out, one ends whose data is a whole JSON when the next begins, as
    between lines of JSON (see :data:`BETWEEN`).
    """

    def __init__(self) -> None:
        self._head: bytes | None = b""
        """The line so far; None while its data is handed out."""
        self._marked = True
        """A byte order mark may still come."""
        self._after_cr = False
        self._name = ""
        self._has_data = False
        self._last = b""
        """The last byte of the data so far that is no space."""

    def feed(self, chunk: bytes) -> list[bytes | str]:
        """Pieces of data in ``chunk`` and, as texts, the names of the events that end there, in order."""
        out: list[bytes | str] = []
        if not chunk:
            return out
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        part, *others = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._take(part, out)
        for part in others:
            self._end_line(out)
            self._take(part, out)
        return out

    def close(self) -> list[bytes | str]:
        """What is left when the stream ends. An event whose blank line is missing counts: it may hold a paid picture,
        and whether it is whole shows in its data."""
        out: list[bytes | str] = []
        self._end_line(out)
        self._end_event(out)
        return out

    def _take(self, part: bytes, out: list[bytes | str]) -> None:
        """A piece of one line, without its end."""
        if self._head is None:
            self._hand_out(part, out)
            return
        head = self._head + part
        if self._marked and head.startswith(MARK):
            head, self._marked = head.removeprefix(MARK), False
        if begin := DATA.match(head):
            self._begin_data(out, opens=head[begin.end()] in b"{[")
            self._hand_out(head[begin.end() :], out)
        self._head = None if begin else head[:KEPT]

    def _end_line(self, out: list[bytes | str]) -> None:
        head, self._head, self._marked = self._head, b"", False
        if head is None:
            return
        field, _, value = head.partition(b":")
        value = value.removeprefix(b" ")
        if not head:
            self._end_event(out)
        elif field == b"event":
            if self._name and self._is_closed:  # else it names the data that stands before it
                self._end_event(out)
            self._name = value.decode("utf-8", "replace")
        elif field == b"data" and not value:
            self._begin_data(out)

    def _begin_data(self, out: list[bytes | str], *, opens: bool = False) -> None:
        """A line of data begins. ``opens``: with an opening bracket."""
        if opens and self._is_closed:
            self._end_event(out)
        if self._has_data:
            out.append(b"\n")
        self._has_data = True

    def _hand_out(self, data: bytes, out: list[bytes | str]) -> None:
        out += [data] if data else []
        self._last = data.rstrip(b" \t")[-1:] or self._last

    @property
    def _is_closed(self) -> bool:
        return self._has_data and self._last in {b"}", b"]"}

    def _end_event(self, out: list[bytes | str]) -> None:
        if self._has_data:
            out.append(self._name)
        self._name, self._has_data, self._last = "", False, b""


class JsonReader:
    """Turns bytes, cut anywhere, into pieces of JSON texts and their ends, in the form of :class:`EventReader`. Each
    text but the first begins in a line of its own; one alone may have as many lines as it likes."""

    def __init__(self) -> None:
        self._end = b""
        """The closing bracket that came last, and whether its line has ended, if nothing came after that."""

    def feed(self, chunk: bytes) -> list[bytes | str]:
        """Pieces of the texts in ``chunk`` and, as an empty name, the end of each but the last."""
        first, *others = self.cut(chunk)
        return [first, *(token for other in others for token in ("", other))]

    def cut(self, chunk: bytes) -> list[bytes]:
        """What ``chunk`` has of the text that is open, then those that begin in it."""
        known, joined = len(self._end), self._end + chunk
        text = joined.rstrip()
        is_closed = text.endswith((b"}", b"]"))
        self._end = text[-1:] + joined[len(text) :].strip(b" \t")[:1] if is_closed else b""
        # Most of what comes is from the middle of a picture, where no line ends: that is found out in no time.
        first, *others = BETWEEN.split(joined) if b"\n" in joined or b"\r" in joined else [joined]
        return [first[known:], *others]

    def close(self) -> list[bytes | str]:
        """The last one ends."""
        return [""]
