"""The browser's window: put away, brought back, and the truth about where it is."""

from dataclasses import dataclass
from typing import Literal

from .page import Page
from .protocol import Bounds

Place = Literal["visible", "minimized", "offscreen", "headless", "closed"]


@dataclass(frozen=True)
class WindowReport:
    """``place`` at the moment of asking; ``method`` by which it was put there (None: by the user, or headless);

    ``paints``: whether the page still draws, None if not asked. ``note``: what did not work, in words.
    """

    place: Place
    bounds: Bounds | None = None
    method: Literal["offscreen", "minimize", "restore"] | None = None
    paints: bool | None = None
    note: str = ""

    @property
    def hidden(self) -> bool:
        """Nobody sees it."""
        return self.place != "visible"


class Window:
    """The window that holds a page."""

    def __init__(self, page: Page, *, platform: str | None = None, wayland: bool | None = None) -> None:
        """``platform`` as sys.platform; both default to this machine."""
        raise NotImplementedError

    async def status(self, *, probe: bool = False) -> WindowReport:
        """Where it is now. Runs no script, unless ``probe`` asks whether the page paints. Never raises for a closed window."""
        raise NotImplementedError

    async def hide(self, *, probe: bool = True) -> WindowReport:
        """Out of sight: off screen if the system allows it and the page still paints there, else minimised."""
        raise NotImplementedError

    async def show(self) -> WindowReport:
        """Back to the last visible place and size, in front."""
        raise NotImplementedError
