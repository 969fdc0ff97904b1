"""The conversation's event stream: server-sent events, the v1 delta encoding, typed objects.

Facts: a turn recorded 2026-04-24 and one recorded 2026-09-28, both paid accounts, and six public clients. Data lines
may end in spaces; CR, LF and CRLF all occur; typed objects carry no event line; an absent ``p``, ``o`` or ``c`` is
that of the previous delta; ``append`` of an object merges; ``patch`` may lack ``p``.
"""

from typing import Any, Literal

import msgspec

from cdp_image_mcp.chatgpt.network.delta import DeltaError, apply, path_of
from cdp_image_mcp.chatgpt.network.wire import items, obj, read_json, remember
from cdp_image_mcp.system.events import EventReader

LONGEST_EVENT = 8 * 1024 * 1024
"""Bytes of one event; far above the largest message, far below what would hurt."""
MOST_CHANNELS = 64
MOST_ITEMS = 20_000


class StreamEvent(msgspec.Struct, frozen=True):
    """One thing the stream said. ``data`` must not be changed: documents share their unchanged parts."""

    kind: Literal["message", "typed", "error", "done"]
    data: dict[str, Any] = {}
    """message: the document ``{"message": …, "conversation_id": …}`` as it stands after this delta;
    typed: the whole object with its ``type``; error: the whole object with its ``error``."""


class StreamDecoder:
    """Decodes one stream, split anywhere. Never raises; what cannot be read is passed over."""

    def __init__(self) -> None:
        self._events = EventReader()
        self._data = bytearray()
        self._documents: dict[Any, Any] = {}
        self._pointer = ""
        self._operation = "add"
        self._channel: Any = 0
        self._items: dict[str, None] = {}

    def fresh(self, item_id: str) -> bool:
        """Whether an item of a websocket's topic has not been had yet: topics replay from the start."""
        if item_id in self._items:
            return False
        if item_id:
            remember(self._items, item_id, None, MOST_ITEMS)
        return True

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        return self._read(self._events.feed(chunk))

    def close(self) -> list[StreamEvent]:
        """The end of the bytes: a last event without its blank line is still read."""
        return self._read(self._events.close())

    def _read(self, tokens: list[bytes | str]) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for token in tokens:
            if isinstance(token, bytes):
                self._data += token[: LONGEST_EVENT + 1 - len(self._data)]
                continue
            data, self._data = self._data, bytearray()
            events += self._values(data.decode("utf-8", "replace")) if len(data) <= LONGEST_EVENT else []
        return events

    def _values(self, text: str) -> list[StreamEvent]:
        text = text.strip()
        if text == "[DONE]":
            return [StreamEvent("done")]
        value = read_json(text)  # no object: the delta encoding's name, "v1" or bare
        if value is None and "\n" in text:
            # Blank lines between events get lost in some recordings.
            return [event for line in text.split("\n") for event in self._values(line)]
        return self._object(obj(value))

    def _object(self, value: dict[str, Any]) -> list[StreamEvent]:
        if value.get("error"):
            return [StreamEvent("error", value)]
        if value.get("type") == "error":
            return [StreamEvent("error", {"error": value.get("message") or value})]
        if isinstance(value.get("type"), str):
            return [StreamEvent("typed", value)]
        if "o" in value or "v" in value:
            return self._delta(value)
        if isinstance(value.get("message"), dict):
            return [StreamEvent("message", value)]
        if value.get("detail"):
            return [StreamEvent("error", {"error": value["detail"]})]
        return []

    def _delta(self, delta: dict[str, Any]) -> list[StreamEvent]:
        """Fill in what the delta left out, apply it and give the document's new state."""
        value = delta.get("v")
        if "c" in delta and isinstance(delta["c"], int | str):
            self._channel = delta["c"]
        if isinstance(delta.get("o"), str):
            self._operation = delta["o"]
        if isinstance(delta.get("p"), str):
            self._pointer = delta["p"]
        elif isinstance(obj(value).get("message"), dict):
            self._pointer, self._operation = "", "add"
        elif delta.get("o") == "patch":
            self._pointer = ""
        before = self._documents.get(self._channel)
        try:
            after = self._changed(before, self._pointer, self._operation, value)
        except DeltaError:
            return []
        remember(self._documents, self._channel, after, MOST_CHANNELS)
        document = obj(after)
        changed = after is not before and isinstance(document.get("message"), dict)
        return [StreamEvent("message", document)] if changed else []

    def _changed(self, document: Any, pointer: str, operation: str, value: Any) -> Any:
        path = path_of(pointer)
        if operation != "patch":
            return apply(document, path, operation, value)
        operation, place = "append", path
        for part in items(value):
            step = obj(part)
            if not step:
                raise DeltaError("a part of a patch that says nothing")
            if isinstance(step.get("p"), str):
                # Below the patch's own place, unless it starts at the document.
                inner = path_of(step["p"])
                place = inner if inner[:1] == ("message",) else path + inner
            if isinstance(step.get("o"), str):
                operation = step["o"]
            document = apply(document, place, operation, step.get("v"))
        return document
