"""Waiting for a page: several signs side by side, and a page that may be too busy to answer."""

from collections.abc import Awaitable, Callable

import anyio

from cdp_image_mcp.cdp.errors import CDPError
from cdp_image_mcp.system.tasks import background

LOOK_SECONDS, PROMPT_SECONDS = 1.0, 0.5
"""One look at a page that shows nothing, and by how much it may be late without meaning that the page is busy."""


async def answering(look: Callable[[float], Awaitable[bool]], seconds: float) -> bool:
    """Whether one look at the page finds it; False after so many seconds in which the page answered at once."""
    waited = 0.0
    while waited < seconds:
        time = min(LOOK_SECONDS, seconds)
        began = anyio.current_time()
        if await look(time):
            return True
        waited += time if anyio.current_time() - began - time < PROMPT_SECONDS else 0.0
    return False


async def first_of(*waits: Callable[[], Awaitable[object]]) -> None:
    """Wait side by side until one of them is over. Raises what that one met: all meet the end of a page at once."""
    over = anyio.Event()
    met: list[CDPError] = []

    async def wait(for_it: Callable[[], Awaitable[object]]) -> None:
        try:
            await for_it()
        except CDPError as error:
            met.append(error)
        over.set()

    async with background() as group:
        for each in waits:
            group.start_soon(wait, each)
        await over.wait()
    if met:
        raise met[0]
