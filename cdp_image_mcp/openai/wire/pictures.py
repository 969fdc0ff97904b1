"""Pictures out of JSON while it arrives: long base64 strings are decoded piece by piece and never held as text."""

import binascii
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Any

import msgspec

LARGEST_PICTURE = 100 * 1024 * 1024
"""Bytes; the largest size any model makes is 33 MB uncompressed."""

LARGEST_REST = 64 * 1024 * 1024
"""Bytes of everything in an answer that is no picture, or a picture in a form that is not known: 44 MB as base64."""

LOOK_BACK = 8192
"""A key, its colon, its quote and by what its text is known are looked for across this many bytes of what came before:
a thousand letters, each of which may be escaped."""

SLASH = rb"(?:\\?/|\\u002[fF])"
BARE = rb"iVBORw0KGgo|UklGR|R0lGOD|PHN2Z|PD94b|%b9j%b|(?:[A-Za-z0-9+_-]|%b|\\u002[bB]|\\[rn]){1000}" % ((SLASH,) * 3)
"""How PNG, WebP, GIF, SVG and JPEG begin in base64, or any long text in it: no address has these."""
STRING = re.compile(
    rb'"(?:b64_json|partial_image_b64)"\s*:\s*"(?=(?i:[^h]|h[^t]|ht[^t]|htt[^p]|http[^s:]|https[^:]))'
    rb'|"(?:url|image_url)"\s*:\s*"(?=' + BARE + rb'|data:[^",]{0,200},'
    rb'(?:[^<%\\"]|\\(?:[^u]|u(?!003[cC])[0-9a-fA-F]{4})))'
)
"""Before a text in base64; servers put that and addresses into each other's fields. A drawing (``<`` or ``%3C``) may
also stand in its address as it is: that is read later."""
PIECE = re.compile(rb'[{}]|("(?:[^"\\]++|\\.)*+(?:"|\\?\Z))(?:\s*+:\s*+("(?:[^"\\]++|\\.)*+"))?', re.DOTALL)
"""A brace, a text, or the name of a text with the text. One that is cut off goes to the end: it is looked at once."""
CUT_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
SPACE = b" \t\r\n"
DECODER = msgspec.json.Decoder(bytes)
"""Base64 as JSON has it, in a third of the time that ``binascii`` takes; which is asked about what this refuses."""
MARK = "@picture:"
MARKED = re.compile(rf"{MARK}([0-9]{{1,9}})")
"""A server may write one, too, with anything behind it."""
LONGEST_PREFIX = 256
URL_SAFE = bytes.maketrans(b"-_", b"+/")
STRANGE = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
LOOKS_PAINTED = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{1000}|\0")
"""A long base64 text, or bytes that are no text: neither words, nor JSON, nor an address have these. Each run of
letters is looked at once."""
PREVIEW = re.compile(rb'"[\w.-]*partial[\w.-]*"')
"""The name of an event or a field; in words there are blanks."""
ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
OF_BASE64 = {b"\\/": b"/", b"\\u002b": b"+", b"\\u002f": b"/", b"\\u003d": b"="}


class AnswerError(ValueError):
    """The bytes are no JSON, or more than anybody sends."""


def decode(data: bytes) -> Any:
    """A JSON text. Raises :class:`AnswerError`."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AnswerError(f"it is no JSON ({error})") from None
    except RecursionError:
        raise AnswerError("its JSON is nested too deeply") from None


class Base64:
    """Decodes a base64 text given in pieces, with or without the prefix of a data URL. What does not belong into one is
    noted in ``wrong`` and passed over: it is paid, and may be whole or mended by hand."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._carry = b""
        self._escape = b""
        self._prefix: bytes | None = b""
        self._padded = self._full = False
        self.wrong: str | None = None

    def feed(self, piece: bytes) -> None:
        if self._escape or b"\\" in piece:
            piece = self._unescape(piece)
        if self._prefix is not None:
            piece = self._after_prefix(piece)
        if piece:
            self._decode(self._carry + piece)

    def close(self) -> bytes:
        """The picture, or what could be read of it when ``wrong`` says what was the matter."""
        if self._prefix:
            start, self._prefix = self._prefix, None
            self._decode(start)
        if self._escape:
            self.wrong = "it ends in half an escape"
        if self._carry:
            self._decode(self._carry + b"=" * (-len(self._carry) % 4))
        # getvalue hands over the buffer itself instead of a copy, as long as nobody writes again.
        data = self._file.getvalue()
        self._file = io.BytesIO()
        if not self.wrong and not data:
            self.wrong = "it is empty"
        return data

    def _unescape(self, piece: bytes) -> bytes:
        r"""JSON escapes: PHP writes ``\/``, .NET writes ``+`` as ``\u002B``."""
        piece, self._escape = self._escape + piece, b""
        if cut := CUT_ESCAPE.search(piece):
            piece, self._escape = piece[: cut.start()], piece[cut.start() :]
        try:
            return msgspec.json.decode(b'"' + piece.translate(None, SPACE) + b'"', type=str).encode()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.wrong = "it holds a broken escape"
            return _without_escapes(piece)

    def _after_prefix(self, piece: bytes) -> bytes:
        start = (self._prefix or b"") + piece
        if not start.startswith(b"data:"[: len(start)]):
            self._prefix = None
            return start
        _, comma, rest = start.partition(b",")
        if comma:
            self._prefix = None
            return rest
        if len(start) > LONGEST_PREFIX:
            self._prefix, self.wrong = None, "its data URL has no comma"
            return start
        self._prefix = start
        return b""

    def _decode(self, text: bytes) -> None:
        if self._full:
            return
        if self._padded and text.strip(SPACE + b"="):
            self.wrong = "it goes on after its padding"
        whole = len(text) & ~3
        try:
            data = DECODER.decode(b'"%b"' % memoryview(text)[:whole])
        except msgspec.MsgspecError:
            text = text.translate(URL_SAFE, SPACE)
            whole = len(text) & ~3
            try:
                data = binascii.a2b_base64(text[:whole], strict_mode=True)
            except binascii.Error as error:
                self.wrong = f"it is no base64 ({error})"
                text = text.translate(None, STRANGE)
                whole = len(text) & ~3
                data = binascii.a2b_base64(text[:whole])
        self._padded = self._padded or len(data) * 4 < whole * 3
        self._carry = text[whole:]
        self._file.write(data)
        if self._file.tell() > LARGEST_PICTURE:
            self.wrong, self._full = f"it is larger than {LARGEST_PICTURE} bytes", True
            self._file = io.BytesIO()


class PictureReader:
    """One JSON text, fed in pieces. Memory: one decoded picture and everything that is no picture."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._looked = 0
        self._passed = 0
        """Everything before this offset is settled: a key found there had its picture taken out."""
        self._open: Base64 | None = None
        self._done: dict[int, bytes] = {}
        self.damaged: dict[int, tuple[bytes, str]] = {}
        """What could be read of others, by their number, and what was wrong with them."""
        self.count = 0
        """Pictures that have begun and ended."""
        self.taken = False
        """Whether one of them was."""
        self._before = (b"", 0)
        """The last picture, and where it stood: one place may hold the same in two forms."""
        self._first_alone: bool | None = None
        """See ``is_event``; what stands before the first picture stays as it is."""
        self._depth = self._gone_through = 0
        """How many braces are open at the offset up to which the outermost object's pictures were looked for."""

    def feed(self, piece: bytes) -> None:
        """Read on. Raises :class:`AnswerError` when what is no picture grows beyond all reason."""
        at = 0
        while at < len(piece):
            if self._open is None:
                piece, at = self._outside(piece[at:]), 0
                continue
            end = piece.find(b'"', at)
            self._open.feed(piece[at:end] if end >= 0 else piece[at:] if at else piece)
            if end < 0:
                return
            self._close(self._open)
            at = end

    def _close(self, picture: Base64) -> None:
        data, wrong = picture.close(), picture.wrong
        before, self._before = self._before, (sha256(data).digest(), len(self._rest))
        if wrong:
            self.damaged[self.count] = data, wrong
        elif before[0] != self._before[0] or b"{" in self._rest[before[1] :]:
            self._done[self.count] = data
        self.count, self._open = self.count + 1, None

    def _outside(self, piece: bytes) -> bytes:
        """Keep ``piece`` until the next picture's string begins; returns what follows its opening quote."""
        self._rest += piece
        found = STRING.search(self._rest, max(self._passed, self._looked - LOOK_BACK))
        if found is None:
            self._looked = len(self._rest)
            if self._looked > LARGEST_REST:
                raise AnswerError(f"it holds more than {LARGEST_REST} bytes beside pictures")
            return b""
        begin = found.end()
        found = None  # a match keeps the buffer from being resized
        following = bytes(self._rest[begin:])
        del self._rest[begin:]
        self._rest += f"{MARK}{self.count}".encode()
        self._looked = self._passed = len(self._rest)
        self._open = Base64()
        return following

    @property
    def drawn(self) -> bool:
        """Whether any picture that has come, and was not taken yet, is more than nothing."""
        return bool(self._done)

    @property
    def is_event(self) -> bool:
        """Whether a picture that has come, and was not taken yet, stands in the outermost object or in no list, or
        beside the name of a preview: an answer lists its pictures, and an event may be one of several."""
        if not (self.drawn and self._rest.startswith(b"{")):
            return False
        if self._first_alone is None:
            before = self._rest[: self._rest.find(MARK.encode())]
            self._first_alone = b"[" not in before or PREVIEW.search(before) is not None
        return self._first_alone or self._in_outermost()

    def _in_outermost(self) -> bool:
        """Whether a picture that was not looked at before stands in the outermost object."""
        begin = self._gone_through
        for token in PIECE.finditer(bytes(self._rest[begin:])):
            if token[0] in b"{}":
                self._depth += 1 if token[0] == b"{" else -1
            elif token[2] is None:
                continue  # what it is the name of may be to come
            elif self._depth == 1 and token[2].startswith(b'"' + MARK.encode()):
                return True
            self._gone_through = begin + token.end()
        return False

    def whole(self, smallest: int = 0) -> Iterator[bytes]:
        """The pictures that have come since the last time; those of fewer bytes than ``smallest`` are ``damaged``."""
        for index in list(self._done):
            data, self.taken = self._done.pop(index), True
            if len(data) < smallest:
                self.damaged[index] = data, "it is too small for a picture"
            else:
                yield data

    def so_far(self) -> Any:
        """The JSON, if what was fed is a whole one; else None. All of it is read anew: not with each piece."""
        if self._open is None:
            with suppress(AnswerError):
                return decode(bytes(self._rest))
        return None

    def finish(self) -> Any:
        """The JSON, with a mark where each picture was (see :func:`picture_index`); a picture that it ends in is
        ``damaged``. Raises :class:`AnswerError`."""
        if (cut := self._open) is not None:
            cut.wrong = "it ends too early"
            self._close(cut)
            self._rest += b'"'  # so that its place is a text of its object
            raise AnswerError("it ends inside a picture")
        return decode(bytes(self._rest))

    def pieces(self) -> list[dict[str, str]]:
        """The texts of each object in a JSON that cannot be read, or not to its end; without those of errors. In a page
        there are none."""
        found: list[dict[str, str]] = []
        inside: list[dict[str, str]] = [{}]
        before = b""
        for token in PIECE.finditer(bytes(self._rest).lstrip()):
            if token[0] == b"{":
                inside.append({})
                found += inside[-1:] if before != b'"error"' else []
            elif token[0] == b"}":
                inside = inside[:-1] or [{}]
            elif token[2] is not None:
                with suppress(AnswerError):
                    inside[-1][decode(token[1])] = decode(token[2])
            before = token[0]
        return [] if self._is_page() else found

    def _is_page(self) -> bool:
        return self._rest.lstrip().startswith(b"<")

    def painted(self) -> bytes | None:
        """All that is no known picture, if one may be in it; in a page there is none."""
        rest = bytes(self._rest)
        if self._is_page():
            return None
        return rest if LOOKS_PAINTED.search(_without_escapes(rest).translate(None, b"\r\n")) else None

    def text(self, limit: int = 2000) -> str:
        """The beginning of what is no picture, for people."""
        return bytes(self._rest[:limit]).decode("utf-8", "replace")


def _without_escapes(text: bytes) -> bytes:
    """A text with base64 in it, with what escapes stand for in base64; others are dropped, line ends among them."""
    return ESCAPE.sub(lambda found: OF_BASE64.get(found[0].lower(), b""), text)


def picture_index(value: Any) -> int | None:
    """Which picture stood where ``value`` now is, None when none did."""
    found = MARKED.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) if found else None
