"""Which JavaScript contexts the frames of a page have right now."""

import asyncio

from cdp_image_mcp.cdp.errors import CommandTimeout, EventTimeout, PageCrashed
from cdp_image_mcp.cdp.protocol import ContextCreated, ContextDestroyed
from cdp_image_mcp.cdp.session import Event, Session

CREATED = "Runtime.executionContextCreated"
DESTROYED = "Runtime.executionContextDestroyed"
CLEARED = "Runtime.executionContextsCleared"
CRASHED = "Inspector.targetCrashed"


class Contexts:
    """Unique ids of contexts by frame and world name ("" is the page's own world), kept inside the reader."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._by_place: dict[tuple[str, str], str] = {}
        self._by_number: dict[int, tuple[str, str, str]] = {}
        self._stop = session.listen(self._on_event, CREATED, DESTROYED, CLEARED, CRASHED)

    def get(self, frame_id: str, world: str) -> str | None:
        """The unique id of the frame's context in a world, if its document is there."""
        return self._by_place.get((frame_id, world))

    def is_in(self, number: int, frame_id: str, world: str) -> bool:
        """The context with this number (as in a binding call) is the frame's present one in the world."""
        return self._by_number.get(number, ("", "", ""))[:2] == (frame_id, world)

    async def wait(self, frame_id: str, world: str, timeout: float, method: str) -> str:
        """As ``get``, waiting for a document that is just being made. Raises CommandTimeout for ``method``."""
        end = asyncio.get_running_loop().time() + timeout
        with self._session.subscribe(CREATED) as created:
            while (found := self.get(frame_id, world)) is None:
                if self._session.crashed:
                    raise PageCrashed(method)
                try:
                    await created.next(max(0.0, end - asyncio.get_running_loop().time()))
                except EventTimeout:
                    raise CommandTimeout(f"{method} (waiting for a document)", timeout) from None
        return found

    def forget(self, unique: str) -> None:
        """The browser called this id stale before its event came."""
        for place, known in list(self._by_place.items()):
            if known == unique:
                del self._by_place[place]

    def stop(self) -> None:
        """Follow the page no more."""
        self._stop()

    def _on_event(self, event: Event) -> None:
        if event.method == CREATED:
            context = event.decode(ContextCreated).context
            world = "" if context.aux_data.is_default else context.name
            frame_id = context.aux_data.frame_id
            self._by_place[frame_id, world] = context.unique_id
            self._by_number[context.id] = (frame_id, world, context.unique_id)
        elif event.method == DESTROYED:
            known = self._by_number.pop(event.decode(ContextDestroyed).execution_context_id, None)
            if known is not None and self._by_place.get(known[:2]) == known[2]:
                del self._by_place[known[:2]]
        else:
            self._by_place.clear()
            self._by_number.clear()
