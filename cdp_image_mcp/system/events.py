"""Server-sent events and lines of JSON, read byte by byte as they arrive, with lines of any length."""

import re

KEPT = 256
"""Bytes that are looked at of a line that is no data; those in use are shorter."""
MARK = b"\xef\xbb\xbf"
DATA = re.compile(rb"data:(?: (?=[^:])|(?=[^ :]))|(?=[ \t{}\[\]\"])")
"""How a line of data begins, up to the first byte of the data. JSON is data with no name before it, too."""
SIGN = re.compile(rb'["{}\[\]]')
QUOTED = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
"""The rest of a text in quotes, up to its end or half an escape."""
APART = b" \t\r\n,\x1e"
"""What stands between two JSON texts, also in a list that nobody opened, and in RFC 7464."""


class JsonReader:
    """Turns bytes, cut anywhere, into pieces of JSON texts and their ends, in the form of :class:`EventReader`. A text
    ends where its outermost bracket closes; what stands before the next bracket belongs to the next, but for what sets
    them :data:`APART`."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = False
        self.whole = False
        """A text has ended and the next has not begun."""

    def feed(self, chunk: bytes) -> list[bytes | str]:
        """Pieces of the texts in ``chunk`` and, as an empty name, the end of each that ends there."""
        out: list[bytes | str] = []
        plain = b"\\" not in chunk
        begin, at = 0, int(self._escaped)
        self._escaped = self._escaped and not chunk
        while at < len(chunk):
            if self._quoted:
                at = self._leave_quotes(chunk, at, plain=plain)
            elif found := SIGN.search(chunk, at):
                at = found.end()
                if self._closes(found[0]):
                    self._hand_out(chunk[begin:at], out)
                    out.append("")
                    begin, self.whole = at, True
            else:
                break
        self._hand_out(chunk[begin:], out)
        return out

    def close(self) -> list[bytes | str]:
        """The last one ends."""
        return [] if self.whole else [""]

    def _leave_quotes(self, chunk: bytes, at: int, *, plain: bool) -> int:
        """Where the text in quotes ends, or the chunk. ``plain``: it has no escapes, as most of what comes, which is
        from the middle of a picture: the end is found in no time."""
        end = chunk.find(b'"', at) if plain else QUOTED.match(chunk, at).end()  # pyright: ignore[reportOptionalMemberAccess]
        if chunk[end : end + 1] == b'"' and end >= 0:
            self._quoted = False
            return end + 1
        self._escaped = 0 <= end < len(chunk)
        return len(chunk)

    def _closes(self, sign: bytes) -> bool:
        """Whether this bracket is the end of the text. Quotes outside of all brackets are words."""
        if sign == b'"':
            self._quoted = self._depth > 0
        elif sign in b"{[":
            self._depth += 1
        elif self._depth:
            self._depth -= 1
            return not self._depth
        return False

    def _hand_out(self, piece: bytes, out: list[bytes | str]) -> None:
        if self.whole:
            piece = piece.lstrip(APART)
        if piece:
            self.whole = False
            out.append(piece)


class EventReader:
    """Turns bytes, cut anywhere, into pieces of data and the ends of events.

    A picture's line is many megabytes long, so data is handed out as it arrives instead of line by line. Lines end
    with CR, LF or CRLF; several ``data`` lines are joined by LF; a byte order mark at the beginning is skipped. Data
    that begins with a colon is a comment that a relay has wrapped (``data: : PROCESSING``, llm-gateway#2053, 2026).
    Lines that begin as those of a JSON do, and as no field of the standard, are data: relays that have kept the line
    open with comments write what their upstream answers in one piece behind them, as it is (new-api, 2026).

    A blank line ends an event. Where relays leave it out, one ends whose data is a whole JSON when more data comes; a
    name that stands between them is that of the second.
    """

    def __init__(self) -> None:
        self._head: bytes | None = b""
        """The line so far; None while its data is handed out."""
        self._marked = True
        """A byte order mark may still come."""
        self._after_cr = False
        self._name = ""
        self._next_name: str | None = None
        """A name that came behind a whole JSON."""
        self._has_data = False
        self._texts = JsonReader()
        self.whole = False
        """The data so far is a whole JSON."""

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
            self._begin_data(out)
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
            named = value.decode("utf-8", "replace")
            self._name, self._next_name = (self._name, named) if self.whole else (named, None)
        elif field == b"data" and not value:
            self._begin_data(out)

    def _begin_data(self, out: list[bytes | str]) -> None:
        if self._has_data:
            self._hand_out(b"\n", out)
        self._has_data = True

    def _hand_out(self, data: bytes, out: list[bytes | str]) -> None:
        for token in self._texts.feed(data):
            if isinstance(token, str):
                self.whole = True
                continue
            if self.whole:
                out.append(self._name)
                self._name, self._next_name, self.whole = self._next_name or "", None, False
            out.append(token)

    def _end_event(self, out: list[bytes | str]) -> None:
        if self._has_data:
            out.append(self._name if self._next_name is None else self._next_name)
        self._name, self._next_name, self._has_data = "", None, False
        self._texts, self.whole = JsonReader(), False
