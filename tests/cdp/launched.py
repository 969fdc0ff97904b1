"""Starts a browser as a process of its own would, says where it is, and waits: a test ends it as it likes."""

import sys
from pathlib import Path

import anyio

from cdp_image_mcp import cdp
from tests.browser import found_browser


async def main(profile: str, *extra: str) -> None:
    options = cdp.LaunchOptions(browser=found_browser(), profile=Path(profile), extra_args=extra)
    async with cdp.launch(options) as browser:
        sys.stdout.write(f"{browser.pid}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], *sys.argv[2:])
