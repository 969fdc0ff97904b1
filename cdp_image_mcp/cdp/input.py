"""Typing, clicking and choosing files, as trusted input."""

from collections.abc import Sequence
from pathlib import Path

from .page import Node, Page


async def focus(node: Node) -> None:
    """Give the element the keyboard. Raises NodeError when it cannot have it."""
    raise NotImplementedError


async def insert_text(page: Page, text: str) -> None:
    """Insert text at the caret as one input event. Exact for every script and emoji; a newline makes a paragraph, never submits."""
    raise NotImplementedError


async def press(page: Page, key: str, *, modifiers: Sequence[str] = ()) -> None:
    """Press and release a named key ("Enter", "Escape", "Backspace", "a" …) with "Alt", "Control", "Meta", "Shift"."""
    raise NotImplementedError


async def clear(page: Page) -> None:
    """Select everything in the focused editor and delete it."""
    raise NotImplementedError


async def click(node: Node, *, force: bool = False) -> tuple[float, float]:
    """Scroll the element into view and click its middle; where that was, in CSS pixels.

    Raises NodeError (gone, no box) and ClickBlocked (something lies over it; ``force`` leaves this check out): nothing was
    clicked then.
    """
    raise NotImplementedError


async def set_files(node: Node, files: Sequence[Path]) -> None:
    """Put files into an ``<input type=file>`` (hidden ones too). Raises FileError before anything is given to the page."""
    raise NotImplementedError


async def choose_files(node: Node, files: Sequence[Path], *, timeout: float = 10.0) -> None:
    """Click a button that opens a file chooser and answer it. Raises EventTimeout when none opened."""
    raise NotImplementedError
