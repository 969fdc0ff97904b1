"""A small program with a browser, for a test that stops both as a sleeping machine would: it asks for answers that take
a second, allows two, and is stopped meanwhile. Says ``asking`` before and what came of it afterwards."""

import sys
from pathlib import Path

import anyio

from cdp_image_mcp import cdp
from cdp_image_mcp.system import sleep
from tests.browser import SWITCHES, found_browser

LATER = "new Promise(resolve => setTimeout(() => resolve('awake'), 1000))"


async def main(profile: str) -> None:
    # A quarter of the rule's patience, so that the test need not stop everything for half a minute.
    sleep.LATE_SECONDS = 1.0
    options = cdp.LaunchOptions(browser=found_browser(), profile=Path(profile), extra_args=SWITCHES)
    async with cdp.launch(options) as browser, await cdp.Page.create(browser.connection) as page:
        with page.session.subscribe("Page.frameNavigated") as events:
            say(f"asking {browser.pid}")
            try:
                say(await page.evaluate(LATER, timeout=2.0))
                with anyio.fail_after(20):
                    await events.next(0.5)
            except cdp.CDPError as error:
                say(type(error).__name__)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
