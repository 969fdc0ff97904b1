"""Somebody at a page of the stand-in, in a real Chromium."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fixtures.site import Site, Switches, serve

from .chromium import Browser, Tab

__all__ = ["EDITORS", "WIDE", "Person", "visiting"]

WIDE = (
    "october",
    pytest.param("classic", marks=pytest.mark.nightly),
    pytest.param("rebuilt", marks=pytest.mark.nightly),
)
"""Pages with the same moods: the newest in every run, those before it at night, like the rows that are played there."""

EDITORS = {
    "classic": "#prompt-textarea:not([aria-hidden])",
    "rebuilt": "form:not([hidden]) [data-composer-markdown]:not([aria-hidden])",
    "october": "form:not([hidden]) [data-composer-markdown]:not([aria-hidden])",
    "mobile": "#mobile-composer-prompt",
}
SENDS = {
    "classic": "#composer-submit-button:not([disabled]):not([aria-disabled])",
    "rebuilt": "form[data-chatgpt-composer]:not([hidden]) button[type=submit]:not([disabled])",
    "october": "form[data-chatgpt-composer]:not([hidden]) button[type=submit][aria-label=Send]:not([disabled])",
    "mobile": "button[data-composer-submit]:not([disabled])",
}


class Person:
    """Somebody at a page of the site."""

    def __init__(self, site: Site, tab: Tab) -> None:
        self.site = site
        self.tab = tab

    @property
    def generation(self) -> str:
        return self.site.switches.generation

    async def arrive(self, path: str = "/") -> None:
        await self.tab.go(self.site.url + path)
        await self.tab.until("document.querySelector('nav a[href^=\"/c/\"]')")

    async def write(self, text: str) -> None:
        await self.enter_editor()
        await self.tab.type(text)

    async def enter_editor(self) -> None:
        box = f"document.querySelector({EDITORS[self.generation]!r})"
        while True:
            await self.tab.click(EDITORS[self.generation])
            # A page that comes alive takes the focus away again; what is typed then goes nowhere.
            if await self.tab.run(f"{box}.contains(document.activeElement)"):
                break

    async def send(self) -> None:
        await self.tab.click(SENDS[self.generation])

    async def sees_picture(self) -> None:
        await self.tab.until("[...document.querySelectorAll('main img')].some((img) => img.naturalWidth >= 900)")

    async def sees_pictures(self, count: int) -> None:
        """So many different finished pictures, counted by their visible layer."""
        shown = "[...document.querySelectorAll('main img')].filter((img) => img.naturalWidth >= 900 && img.alt)"
        await self.tab.until(f"{shown}.length === {count}")


@asynccontextmanager
async def visiting(browser: Browser, **changes: Any) -> AsyncGenerator[Person]:
    """A site of its own and somebody at its page."""
    async with serve(Switches(**changes)) as site, browser.tab() as tab:
        yield Person(site, tab)
