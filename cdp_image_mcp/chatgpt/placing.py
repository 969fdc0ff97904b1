"""Which messages of a conversation belong to our turn: decided by ids alone, never by position or time."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.chatgpt.node import Node

__all__ = ["Anchors", "Place", "place"]

Place: TypeAlias = Literal["ours", "other", "unknown"]
FARTHEST = 2_000
ROUNDS = 4


class Anchors(msgspec.Struct, frozen=True, kw_only=True):
    """What ties messages to our turn."""

    users: frozenset[str]
    """The ids of the user messages we sent."""
    parent: str = ""
    """The message we answered; it and everything above it is older than our turn."""
    exchanges: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    """The answer's own stream, and the topics it was handed to."""
    past: frozenset[str] = frozenset()
    """The streams of earlier turns."""


def place(nodes: Mapping[str, Node], links: Mapping[str, str], anchors: Anchors) -> dict[str, Place]:
    """The place of every node. ``links`` are parents of messages without content.

    In this order: our own message's descendants are ours, descendants of another person's message are not; the same
    ``turn_exchange_id`` or image task as ours is ours, another exchange is not; what came by our own stream is ours.
    The stream's word comes last because some streams begin with the previous answer (seen 2026-05).
    """
    if not (anchors.users or anchors.parent):
        return {key: "ours" if node.origins & anchors.origins else "unknown" for key, node in nodes.items()}
    before = _above(nodes, links, anchors)
    places: dict[str, Place] = {key: _by_chain(node, nodes, links, anchors, before) for key, node in nodes.items()}
    exchanges, tasks = _ties(nodes, places, anchors)
    for _ in range(ROUNDS):
        for key, node in nodes.items():
            if places[key] == "unknown":
                places[key] = _by_ties(node, exchanges, tasks)
        more = _ties(nodes, places, anchors)
        if more == (exchanges, tasks):
            break
        exchanges, tasks = more
    for key, node in nodes.items():
        if places[key] != "unknown" or not node.origins & anchors.origins or node.role == "user":
            continue
        if node.exchange and exchanges and node.exchange not in exchanges:
            places[key] = "other"
        else:
            places[key] = "ours"
    # A picture may be tied only to a placeholder that the stream alone placed.
    exchanges, tasks = _ties(nodes, places, anchors)
    for key, node in nodes.items():
        if places[key] == "unknown":
            places[key] = _by_ties(node, exchanges, tasks)
    return places


def _parent(key: str, nodes: Mapping[str, Node], links: Mapping[str, str]) -> str:
    node = nodes.get(key)
    return (node.parent if node else "") or links.get(key, "")


def _above(nodes: Mapping[str, Node], links: Mapping[str, str], anchors: Anchors) -> frozenset[str]:
    """Our message's ancestors."""
    above: set[str] = set()
    starts = [anchors.parent, *(_parent(user, nodes, links) for user in anchors.users)]
    for start in starts:
        key = start
        while key and key not in above and len(above) < FARTHEST:
            above.add(key)
            key = _parent(key, nodes, links)
    return frozenset(above - anchors.users)


def _by_chain(
    node: Node, nodes: Mapping[str, Node], links: Mapping[str, str], anchors: Anchors, before: frozenset[str]
) -> Place:
    if node.id in anchors.users:
        return "ours"
    if node.id in before or (node.role == "user" and not node.hidden):
        return "other"
    key, steps = _parent(node.id, nodes, links), 0
    while key and steps < FARTHEST:
        if key in anchors.users:
            return "ours"
        above = nodes.get(key)
        if key in before or (above is not None and above.role == "user" and not above.hidden):
            return "other"
        key, steps = _parent(key, nodes, links), steps + 1
    return "other" if node.origins & anchors.past else "unknown"


def _ties(
    nodes: Mapping[str, Node], places: Mapping[str, Place], anchors: Anchors
) -> tuple[frozenset[str], frozenset[str]]:
    ours = [node for key, node in nodes.items() if places[key] == "ours"]
    exchanges = {node.exchange for node in ours if node.exchange}
    tasks = {task for node in ours for task in node.tasks}
    return anchors.exchanges | exchanges, frozenset(tasks)


def _by_ties(node: Node, exchanges: frozenset[str], tasks: frozenset[str]) -> Place:
    if node.role == "user":
        return "unknown"
    if (node.exchange and node.exchange in exchanges) or any(task in tasks for task in node.tasks):
        return "ours"
    return "other" if node.exchange and exchanges else "unknown"
