"""Answers that give the end of a generation, on their way to the client: each is noted as fetched when it is out.

Made is not out: the client may give its call up in that moment, or die before its pipe has taken all of the answer. It
asks the same again then, and joins what it was not told of instead of paying for another picture.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import mcp_types as types

from cdp_image_mcp.system.tasks import shielded

logger = logging.getLogger(__name__)

SETTLING_SECONDS = 5.0
"""Longest wait of a call for what is to be noted of earlier answers."""

NOTING_SECONDS = 2.0
"""The same at the end of the line."""

Note = Callable[[], Awaitable[None]]


class Underway:
    """All of one connection, by the ids of their requests."""

    def __init__(self) -> None:
        self._made: dict[types.RequestId, tuple[Note, AsyncExitStack]] = {}
        self._noting = 0
        self._settled = anyio.Event()
        self._line_tells = False

    def follow(self) -> Callable[[types.JSONRPCMessage], Coroutine[Any, Any, None]]:
        """What the line is to call from now on with each message that is out. Without such a line an answer is out when
        it is made."""
        self._line_tells = True
        return self._out

    async def give(self, request_id: types.RequestId | None, note: Note, held: AsyncExitStack) -> None:
        """Last of all in making an answer. ``note`` is done when it is out, what is ``held`` is held until then."""
        # Given up while nothing could be interrupted, it will never be out.
        await anyio.lowlevel.checkpoint_if_cancelled()
        if request_id is None or not self._line_tells:
            await self._finish(note, held.pop_all())
            return
        before = self._made.get(request_id)
        self._made[request_id] = (note, held.pop_all())
        if before is not None:  # a client that uses an id twice
            await self._finish(None, before[1])

    async def settled(self) -> None:
        """Wait until what is out is noted; what is made is out before any later answer can be."""
        with anyio.move_on_after(SETTLING_SECONDS):
            while self._made or self._noting:
                await self._settled.wait()

    async def aclose(self) -> None:
        """The client has gone, or no longer asks. What comes out all the same is noted, but nobody waits any more."""
        with shielded():
            for _, held in list(self._made.values()):
                await held.aclose()
            # Noting goes on meanwhile; what is out at the API is waiting to be told that the client has gone.
            with anyio.move_on_after(NOTING_SECONDS):
                while self._noting:
                    await self._settled.wait()

    async def _out(self, message: types.JSONRPCMessage) -> None:
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and message.id in self._made:
            note, held = self._made.pop(message.id)
            await self._finish(note if isinstance(message, types.JSONRPCResponse) else None, held)

    async def _finish(self, note: Note | None, held: AsyncExitStack) -> None:
        self._noting += 1
        try:
            async with held:
                if note is not None:
                    await note()
        except Exception:
            logger.exception("that an answer is out could not be noted")
        finally:
            self._noting -= 1
            self._settled.set()
            self._settled = anyio.Event()
