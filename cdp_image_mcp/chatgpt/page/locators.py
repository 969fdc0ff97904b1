"""The site's locators, endpoints and wordings: the tables that ship, and the user's checked override of them."""

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec

from cdp_image_mcp.chatgpt.address import Endpoints
from cdp_image_mcp.chatgpt.words import Words
from cdp_image_mcp.errors import ImageError

T = TypeVar("T")
BINDING = "tell"
"""What the page script calls to tell something."""
LARGEST = 256 * 1024
"""Bytes of an override file; ours is a tenth of that."""


class Locator(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One way to find a role. Shape and meaning stand at the head of ``locators.json``."""

    css: str
    text: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    outside: str = ""
    hidden: bool = False
    source: str = ""
    date: str = ""


class SiteFile(msgspec.Struct, forbid_unknown_fields=True):
    """``CHATGPT_SITE_FILE``: roles and endpoints given here stand before ours, words are added to ours. Never any
    script."""

    about: str = ""
    roles: dict[str, tuple[Locator, ...]] = {}
    endpoints: Endpoints = {}
    words: Words = Words()


def _ours(name: str) -> SiteFile:
    text = resources.files("cdp_image_mcp.chatgpt.page").joinpath(f"site/{name}.json").read_bytes()
    return msgspec.json.decode(text, type=SiteFile)


@lru_cache(maxsize=4)
def load(override: Path | None = None) -> SiteFile:
    """What is in force. Raises ImageError ``configuration`` naming the place in a bad override file."""
    ours = SiteFile(roles=_ours("locators").roles, endpoints=_ours("endpoints").endpoints, words=_ours("words").words)
    if override is None:
        return ours
    theirs = _read(override)
    return SiteFile(
        roles=_merged("role", theirs.roles, ours.roles),
        endpoints=_merged("endpoint", theirs.endpoints, ours.endpoints),
        words=Words(rules=(*theirs.words.rules, *ours.words.rules)),
    )


def _merged(
    what: str, theirs: Mapping[str, tuple[T, ...]], ours: Mapping[str, tuple[T, ...]]
) -> dict[str, tuple[T, ...]]:
    if unknown := set(theirs) - set(ours):
        known = ", ".join(sorted(ours))
        raise ImageError(
            "configuration",
            f"CHATGPT_SITE_FILE: there is no {what} {', '.join(sorted(unknown))}; the {what}s are {known}.",
        )
    return {name: (*theirs.get(name, ()), *own) for name, own in ours.items()}


def _read(path: Path) -> SiteFile:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise ImageError("configuration", f"CHATGPT_SITE_FILE: {path} cannot be read ({error.strerror}).") from None
    if len(text) > LARGEST:
        raise ImageError("configuration", f"CHATGPT_SITE_FILE: {path} is larger than {LARGEST // 1024} kB.")
    try:
        # With or without the mark that editors on Windows begin it with.
        return msgspec.json.decode(text.decode("utf-8-sig"), type=SiteFile)
    except UnicodeDecodeError as error:
        told = f"byte {error.start} is not UTF-8; save it in that encoding"
        raise ImageError("configuration", f"CHATGPT_SITE_FILE: {path}: {told}.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ImageError("configuration", f"CHATGPT_SITE_FILE: {path}: {error}") from None


def witness_source(site: SiteFile) -> str:
    """The page script with its table, as an expression that runs once per document."""
    folder = resources.files("cdp_image_mcp.chatgpt.page").joinpath("site")
    witness, composer = (folder.joinpath(name).read_text("utf-8").strip() for name in ("witness.js", "composer.js"))
    table = msgspec.json.encode({role: list(locators) for role, locators in site.roles.items()}).decode()
    return f"({witness})({table}, {msgspec.json.encode(BINDING).decode()}, {composer})"
