"""Which messages of a conversation belong to our turn: decided by ids alone, never by position or time."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.chatgpt.network.message import Message, upwards

Place: TypeAlias = Literal["ours", "other", "later", "unknown"]
"""``later``: another person's turn that hangs below ours. What it shows of ours, as an edit does, came from ours."""


class Anchors(msgspec.Struct, frozen=True, kw_only=True):
    """What ties messages to our turn."""

    users: frozenset[str]
    parent: str = ""
    """The message we answered; it and everything above it is older than our turn."""
    exchanges: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    """The answer's own stream, and the topics it was handed to."""
    past: frozenset[str] = frozenset()
    """The streams of earlier turns."""


def place(messages: Mapping[str, Message], links: Mapping[str, str], anchors: Anchors) -> dict[str, Place]:
    """The place of every message. ``links`` are parents of messages without content.

    In this order: our own message's descendants are ours, descendants of another person's message are not, but for
    those that name the other's exchange (a picture finished after a later prompt hangs below that, and the picture of
    that prompt may hang below ours; whose an exchange is, prompts and what is older than ours say first); the same
    ``turn_exchange_id`` or image task as ours is ours, another exchange is not; what came by our own stream is ours,
    and what descends from it. The stream's word comes late because some begin with the previous answer (2026-05).
    """

    def parent(key: str) -> str:
        message = messages.get(key)
        return (message.parent if message else "") or links.get(key, "")

    starts = [anchors.parent, *map(parent, anchors.users)]
    before = {key for start in starts for key in upwards(start, parent)} - anchors.users

    def first_hand(key: str) -> Place | None:
        if key in anchors.users:
            return "ours"
        message = messages.get(key)
        if key in before or (message is not None and message.role == "user" and not message.hidden):
            return "other"
        return None

    def known(key: str) -> Place | None:
        message = messages.get(key)
        return first_hand(key) or (exchanges.get(message.exchange) if message is not None else None)

    exchanges: dict[str, Place] = {}
    places = _inherited(messages, parent, first_hand)
    named: list[tuple[str, Place]] = [
        (message.exchange, places[key]) for key, message in messages.items() if message.exchange
    ]
    owned: list[tuple[str, Place | None]] = [
        (message.exchange, first_hand(key)) for key, message in messages.items() if message.exchange
    ]
    exchanges.update(_owners(named) | _owners(owned))
    exchanges.update(dict.fromkeys(anchors.exchanges, "ours"))
    if any(exchanges.get(exchange, place) != place for exchange, place in named):
        places = _inherited(messages, parent, known)
    for key, message in messages.items():
        if places[key] == "unknown" and message.origins & anchors.past:
            places[key] = "other"
    tied = _tie(messages, parent, places, anchors)
    for key, message in messages.items():
        if places[key] == "unknown" and message.origins & anchors.origins:
            elsewhere = message.exchange and tied and message.exchange not in tied
            places[key] = "other" if elsewhere else "ours"
    _tie(messages, parent, places, anchors)
    for key in _later(messages, parent, places, before, anchors.users):
        places[key] = "later"
    return places


def _owners(told: Iterable[tuple[str, Place | None]]) -> dict[str, Place]:
    """Whose each exchange is by those that name it."""
    owners: dict[str, Place] = {}
    for owner in ("other", "ours"):
        owners.update((exchange, owner) for exchange, found in told if found == owner)
    return owners


def _later(
    messages: Mapping[str, Message],
    parent: Callable[[str], str],
    places: Mapping[str, Place],
    before: Collection[str],
    users: Collection[str],
) -> list[str]:
    """What hangs below ours and is another's, unless it came of what was asked for before."""

    def known(key: str) -> Place | None:
        if key in users:
            return "ours"
        return "other" if key in messages and messages[key].exchange in older else None

    older = {messages[key].exchange for key in before if key in messages} - {""}
    below = _inherited(messages, parent, known)
    return [key for key, place in places.items() if place == "other" and below[key] == "ours"]


def _inherited(
    messages: Mapping[str, Message], parent: Callable[[str], str], known: Callable[[str], Place | None]
) -> dict[str, Place]:
    """For every message the place of the nearest of itself and its ancestors that has one; each link is walked once."""
    found: dict[str, Place] = {}
    for start in messages:
        path: list[str] = []
        place: Place | None = None
        for key in upwards(start, parent):
            path.append(key)
            place = found.get(key) or known(key)
            if place is not None:
                break
        found.update(dict.fromkeys(path, place or "unknown"))
    return {key: found[key] for key in messages}


def _tie(
    messages: Mapping[str, Message], parent: Callable[[str], str], places: dict[str, Place], anchors: Anchors
) -> frozenset[str]:
    """Place what exchanges, image tasks and parents tie to what is placed already; answers our exchanges."""
    while True:
        ours = [message for key, message in messages.items() if places[key] == "ours"]
        exchanges = anchors.exchanges | {message.exchange for message in ours if message.exchange}
        tasks = {task for message in ours for task in message.tasks}
        loose = [key for key, place in places.items() if place == "unknown"]
        for key in loose:
            places[key] = _by_ties(messages[key], exchanges, tasks)
        if any(places[key] == "unknown" for key in loose):
            settled: dict[str, Place | None] = {key: place for key, place in places.items() if place != "unknown"}
            places.update(_inherited(messages, parent, settled.get))
        if all(places[key] == "unknown" for key in loose):
            return frozenset(exchanges)


def _by_ties(message: Message, exchanges: Collection[str], tasks: Collection[str]) -> Place:
    if (message.exchange and message.exchange in exchanges) or any(task in tasks for task in message.tasks):
        return "ours"
    return "other" if message.exchange and exchanges else "unknown"
