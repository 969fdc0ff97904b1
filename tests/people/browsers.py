"""The browsers on a test's profile, seen from outside of the program."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import psutil

from cdp_image_mcp import cdp
from fixtures.site.site import SESSION_COOKIE
from tests.people.screen import until
from tests.web.program import profile_processes

__all__ = [
    "bring_forward",
    "browsers",
    "command_line",
    "is_headless",
    "is_ordinary",
    "none_left",
    "pages",
    "session_cookie",
    "wait_for_pages",
]


def is_ordinary(words: list[str]) -> bool:
    return not any(part in word for word in words for part in ("remote-debugging", "headless", "automation"))


def browsers(folder: Path) -> list[psutil.Process]:
    """Browsers (not their children) that work on the profile below ``folder``."""
    found: list[psutil.Process] = []
    for process in profile_processes(folder):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if f"--user-data-dir={folder / 'profile'}" in words and not any(w.startswith("--type=") for w in words):
            found.append(process)
    return found


def command_line(folder: Path) -> list[str]:
    """Of the one browser that runs."""
    (process,) = browsers(folder)
    return process.cmdline()


def is_headless(folder: Path) -> bool:
    return any(word.startswith("--headless") for word in command_line(folder))


async def none_left(folder: Path) -> None:
    """No process of any kind works below ``folder`` any more, or soon."""
    await until(lambda: not profile_processes(folder))


async def session_cookie(folder: Path, site: str) -> str | None:
    """The value of the site's session cookie in the browser that runs."""
    with anyio.fail_after(60):
        async with cdp.attach(folder / "profile") as browser:
            answer = await browser.connection.browser.call(
                "Storage.getCookies", reply=dict[str, list[dict[str, object]]]
            )
    host = urlsplit(site).hostname
    values = [c["value"] for c in answer["cookies"] if c["name"] == SESSION_COOKIE and c["domain"] == host]
    return str(values[0]) if values else None


async def bring_forward(folder: Path, address: Callable[[str], bool]) -> None:
    """Make a tab the one that its window shows. A tab chosen by key may come after the key that closes one: the first
    goes through the page, the second does not."""
    with anyio.fail_after(60):
        async with cdp.attach(folder / "profile") as browser:
            answer = await browser.connection.browser.call(
                "Target.getTargets", reply=dict[str, list[dict[str, object]]]
            )
            (tab,) = [t for t in answer["targetInfos"] if t["type"] == "page" and address(str(t["url"]))]
            await browser.connection.browser.call("Target.activateTarget", {"targetId": tab["targetId"]})


async def pages(folder: Path) -> list[str]:
    """The addresses of all tabs."""
    with anyio.fail_after(60):
        async with cdp.attach(folder / "profile") as browser:
            answer = await browser.connection.browser.call(
                "Target.getTargets", reply=dict[str, list[dict[str, object]]]
            )
    return [str(target["url"]) for target in answer["targetInfos"] if target["type"] == "page"]


async def wait_for_pages(folder: Path, condition: Callable[[list[str]], bool]) -> None:
    with anyio.fail_after(60):
        while not condition(await pages(folder)):  # noqa: ASYNC110 - the browser tells nobody here
            await anyio.sleep(0.1)
