"""The site's locators: the table that ships, and the user's checked override until the next release."""

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from cdp_image_mcp.errors import ImageError

__all__ = ["Locator", "SiteFile", "load", "witness_source"]

LARGEST = 256 * 1024
"""Bytes of an override file; ours is a tenth of that."""


class Locator(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One way to find a role. Shape and meaning stand at the head of ``locators.json``."""

    css: str
    text: tuple[str, ...] = ()
    outside: str = ""
    hidden: bool = False
    source: str = ""
    date: str = ""


class SiteFile(msgspec.Struct, forbid_unknown_fields=True):
    """``CHATGPT_SITE_FILE``: roles given here stand before ours, words are added to ours. Never any script."""

    about: str = ""
    roles: dict[str, tuple[Locator, ...]] = {}
    words: dict[str, Any] = {}


def _ours() -> dict[str, tuple[Locator, ...]]:
    text = resources.files("cdp_image_mcp.chatgpt.page").joinpath("site/locators.json").read_bytes()
    return msgspec.json.decode(text, type=SiteFile).roles


@lru_cache(maxsize=4)
def load(override: Path | None = None) -> SiteFile:
    """The locators in force. Raises ImageError ``configuration`` naming the place in a bad override file."""
    roles = _ours()
    if override is None:
        return SiteFile(roles=roles)
    theirs = _read(override)
    if unknown := set(theirs.roles) - set(roles):
        known = ", ".join(sorted(roles))
        raise ImageError(
            "configuration",
            f"CHATGPT_SITE_FILE: there is no role {', '.join(sorted(unknown))}; the roles are {known}.",
        )
    merged = {role: (*theirs.roles.get(role, ()), *locators) for role, locators in roles.items()}
    return SiteFile(roles=merged, words=theirs.words)


def _read(path: Path) -> SiteFile:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise ImageError("configuration", f"CHATGPT_SITE_FILE: {path} cannot be read ({error.strerror}).") from None
    if len(text) > LARGEST:
        raise ImageError("configuration", f"CHATGPT_SITE_FILE: {path} is larger than {LARGEST // 1024} kB.")
    try:
        return msgspec.json.decode(text, type=SiteFile)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ImageError("configuration", f"CHATGPT_SITE_FILE: {path}: {error}") from None


def witness_source(site: SiteFile, binding: str) -> str:
    """The page script with its table, as an expression that runs once per document."""
    script = resources.files("cdp_image_mcp.chatgpt.page").joinpath("site/witness.js").read_text("utf-8")
    table = msgspec.json.encode({role: list(locators) for role, locators in site.roles.items()}).decode()
    return f"({script.strip()})({table}, {msgspec.json.encode(binding).decode()})"
