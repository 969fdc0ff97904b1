"""The conversation's event stream: server-sent events, the v1 delta encoding, typed objects."""

from typing import Any, Literal

import msgspec

__all__ = ["StreamDecoder", "StreamEvent"]


class StreamEvent(msgspec.Struct, frozen=True):
    """One thing the stream said. ``data`` must not be changed: documents share their unchanged parts."""

    kind: Literal["message", "typed", "error", "done"]
    data: dict[str, Any] = {}
    """message: the document ``{"message": …, "conversation_id": …}`` as it stands after this delta;
    typed: the whole object with its ``type``; error: the whole object with its ``error``."""


class StreamDecoder:
    """Decodes one stream, split anywhere. Never raises; what cannot be read is counted in :attr:`garbage`."""

    garbage: int

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        raise NotImplementedError

    def close(self) -> list[StreamEvent]:
        """The end of the bytes: a last event without its blank line is still read."""
        raise NotImplementedError
