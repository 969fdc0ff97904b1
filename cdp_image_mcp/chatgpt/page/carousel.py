"""A turn's pictures that the page has not mounted: it loads those only when somebody looks at them.

Carousels that mount about two of a turn's pictures were seen in 2026-08. The control that brings the next ones stands
in our own turn, and a press of it changes nothing but what is shown; what is pressed is said in ``locators.json``
(role ``picture_next``), and nothing else ever is.
"""

import logging

from cdp_image_mcp.cdp import keyboard_mouse as human
from cdp_image_mcp.cdp.errors import CommandTimeout, NodeError, ScriptError
from cdp_image_mcp.chatgpt.network.turn import Pointer
from cdp_image_mcp.chatgpt.page.eye import DocumentLeft, quoted
from cdp_image_mcp.chatgpt.page.pagereport import SeenImage
from cdp_image_mcp.chatgpt.watching.turnwatch import TurnWatch

__all__ = ["Carousel"]

log = logging.getLogger(__name__)

TURN_MILLISECONDS = 3000
"""How long the page may take to show other pictures after the press."""


class Carousel:
    """Turns the carousel for one picture: at most once for each picture of the turn, which is once all round."""

    def __init__(self, watch: TurnWatch) -> None:
        self._watch = watch
        self._presses = 0
        self._stuck = False

    async def bring(self, pointer: Pointer) -> bool:
        """Press for the next pictures when this one is neither shown nor asked for. Whether others are shown now."""
        watch = self._watch
        if self._stuck or self._presses >= len(watch.turn.pictures) or not self._wanted(pointer):
            return False
        try:
            node = await watch.tab.eye.node("witness.pictureNext()")
            if node is None:
                return False
            before: str = await watch.tab.eye.ask("witness.mounted()", reply=str)
            self._presses += 1
            await human.click(node)
            changed: bool = await watch.tab.eye.ask(
                f"witness.until(() => witness.mounted() !== {quoted(before)}, {TURN_MILLISECONDS}).then(Boolean)",
                reply=bool,
            )
        except (CommandTimeout, DocumentLeft, NodeError, ScriptError) as error:
            log.info("the carousel could not be turned: %s", error)
            changed = False
        self._stuck = not changed
        return changed

    def _wanted(self, pointer: Pointer) -> bool:
        images = self._watch.page.images
        if len(self._watch.turn.pictures) < 2 or not images or self._watch.challenge is not None:
            return False
        if any(image.file == pointer.file_id for image in images):
            return False
        if self._watch.pictures.asked(pointer.file_id, self._watch.tab.loader_id):
            return False
        return all(self._loaded(image) for image in images)

    def _loaded(self, image: SeenImage) -> bool:
        """A hidden page paints nothing: there the network says that a picture is loaded."""
        if image.complete or image.file is None:
            return image.complete
        return any(request.ended for request in self._watch.pictures.of(image.file))
