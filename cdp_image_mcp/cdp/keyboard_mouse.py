"""Typing, clicking and choosing files, as trusted input. Measured on Chromium 156 with ProseMirror, 2026-11."""

import stat
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio.to_thread

from cdp_image_mcp.cdp.errors import ClickBlocked, ClickMissed, FileError, NodeError, ProtocolError
from cdp_image_mcp.cdp.page import Page
from cdp_image_mcp.cdp.protocol import ContentQuads, FileChooserOpened
from cdp_image_mcp.cdp.world import Node
from cdp_image_mcp.system.tasks import shielded

CONTROL, META = 2, 4
# Key: its code, its Windows virtual key code, the text it types.
KEYS: dict[str, tuple[str, int, str]] = {
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Backspace": ("Backspace", 8, ""),
    "a": ("KeyA", 65, ""),  # of a chord, which types nothing
}
# Headed and hidden without focus emulation a click is never answered; 10 s is far more than an answer takes.
CLICK_TIMEOUT = 10.0
# How often a press is tried that the page takes no notice of; each waits for frames of the page first.
PRESSES = 5
# An element that moves for longer is clicked where it is.
MOVING_FRAMES = 120

# Waits one frame (or 100 ms where no frame comes), so that two looks at the place tell whether it still moves.
_NEXT_FRAME = """function() {
  return new Promise(resolve => { requestAnimationFrame(() => resolve()); setTimeout(resolve, 100); });
}"""
_VIEWPORT = "function() { return [innerWidth, innerHeight]; }"
_COVER = """function(x, y) {
  let hit = document.elementFromPoint(x, y);
  while (hit && hit.shadowRoot) {
    const inner = hit.shadowRoot.elementFromPoint(x, y);
    if (!inner || inner === hit) break;
    hit = inner;
  }
  if (!hit) return "nothing (outside the view)";
  const parent = node => node.parentNode || node.host;
  for (let node = hit; node; node = parent(node)) if (node === this) return "";
  const outer = this.closest("button, a, label, [role=button], [role=menuitem]");
  if (outer && outer !== this && (outer === hit || outer.contains(hit))) return "";
  const id = hit.id ? "#" + hit.id : "";
  const classes = [...hit.classList].slice(0, 4).map(name => "." + name).join("");
  return (hit.localName + id + classes).slice(0, 200);
}"""
# What a keyboard user presses with Enter; the others need the mouse.
_TAKE_KEYS = """function() {
  const target = this.closest('button, a[href], summary, [role^="menuitem"], [role="option"]');
  if (!target || target.disabled) return false;
  target.focus({preventScroll: true});
  return target.getRootNode().activeElement === target;
}"""
# Notes whether a press reaches the element, or the control that it is a part of. A key that would reach something else,
# because the page moved the focus meanwhile, reaches nothing: Enter in an editor sends what stands there.
_LISTEN = """function(byKey) {
  globalThis.press?.done.abort();
  const controls = 'button, a, label, summary, [role="button"], [role^="menuitem"], [role="option"]';
  const target = this.closest(controls) || this;
  const press = globalThis.press = {target, reached: false, done: new AbortController()};
  const listen = (kinds, heard) => {
    for (const kind of kinds) addEventListener(kind, heard, {capture: true, signal: press.done.signal});
  };
  listen(['pointerdown', 'mousedown', 'click'], event => {
    if (event.composedPath().includes(target)) press.reached = true;
  });
  if (byKey) listen(['keydown', 'keypress', 'keyup'], event => {
    if (event.key !== 'Enter' || event.composedPath().includes(target)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });
}"""
# A row of a menu that acts on the key itself closes its menu.
_REACHED = """function() {
  const {target, reached, done} = globalThis.press;
  done.abort();
  return reached || !target.isConnected || target.getClientRects().length === 0;
}"""
_FILE_INPUT = "function() { return this.localName === 'input' && this.type === 'file'; }"


async def insert_text(page: Page, text: str) -> None:
    """Insert text at the caret as one trusted input event.

    Exact for every script and emoji. A newline becomes a paragraph of the editor and never submits. Read the text back:
    an editor may change it.
    """
    await page.session.call("Input.insertText", {"text": text})


async def press(page: Page, key: str, modifiers: int = 0, commands: Sequence[str] = ()) -> None:
    """Press and release a key of KEYS."""
    code, number, text = KEYS[key]
    numbers = {"windowsVirtualKeyCode": number, "nativeVirtualKeyCode": number}
    named = {"key": key, "code": code, "modifiers": modifiers, **numbers}
    down = {"type": "keyDown", "text": text, "unmodifiedText": text} if text else {"type": "rawKeyDown"}
    await page.session.call("Input.dispatchKeyEvent", {**down, **named, "commands": list(commands)})
    await page.session.call("Input.dispatchKeyEvent", {"type": "keyUp", **named})


async def clear(page: Page) -> None:
    """Select everything in the focused editor and delete it."""
    await press(page, "a", META if sys.platform == "darwin" else CONTROL, ("selectAll",))
    await press(page, "Backspace")


async def click(
    node: Node, *, again: Callable[[], Awaitable[bool]] | None = None, last: Callable[[], None] = lambda: None
) -> None:
    """Scroll the element into view, wait until it stands still, click its middle.

    In a ``quiet`` page what answers the Enter key is pressed by that: the page sees a trusted click all the same.
    A press of which nothing reached the element (the page moved under it, or took no input yet) is made again, after
    ``again`` was asked: False means that it may have worked all the same, and ends this without an error. ``last`` is
    called right before each press, which it prevents by raising; after a first one that ends this as ClickMissed.
    Raises NodeError (gone, no box) and ClickBlocked (something lies over it) when nothing was pressed, and ClickMissed
    when no press was seen to reach it.
    """
    for attempt in range(PRESSES):
        if attempt and again is not None and not await again():
            return
        try:
            x, y = await _uncovered(node)
            # The mouse is the other way for what takes no keys, or not these.
            by_key = node.page.quiet and attempt % 2 == 0 and await node.call(_TAKE_KEYS, reply=bool)
            await node.call(_LISTEN, by_key)
        except NodeError as error:
            if attempt:
                raise ClickMissed(f"a press did not reach the element, and then: {error}") from error
            raise
        try:
            last()
        except Exception as late:
            if attempt:
                raise ClickMissed(f"a press did not reach the element, and then: {late}") from late
            raise
        if by_key:
            await press(node.page, "Enter")
        else:
            await _mouse(node.page, "mousePressed", x, y, button="left", buttons=1, clickCount=1)
            await _mouse(node.page, "mouseReleased", x, y, button="left", clickCount=1)
        if await _reached(node):
            return
    raise ClickMissed(f"the element was pressed {PRESSES} times and the page never took notice")


async def _uncovered(node: Node) -> tuple[float, float]:
    """A point of the element with nothing over it; the pointer is there."""
    x, y = await _point(node)
    while True:
        await _mouse(node.page, "mouseMoved", x, y)
        # After the move, which may have opened something.
        cover = await node.call(_COVER, x, y, reply=str)
        if not cover:
            return x, y
        x_before, y_before = x, y
        x, y = await _point(node)
        if (x, y) == (x_before, y_before):
            raise ClickBlocked(f"the click at {x:.0f},{y:.0f} would land on {cover}; nothing was clicked")


async def _reached(node: Node) -> bool:
    """Whether the press that was listened for reached the element."""
    try:
        return await node.call(_REACHED, reply=bool)
    except (NodeError, ProtocolError):
        return True  # it is gone, or its page went on: that was the press


async def set_file(node: Node, file: Path) -> None:
    """Put a file into an ``<input type=file>``, hidden ones too. Raises FileError, NodeError first."""
    path = await anyio.to_thread.run_sync(_checked, file)
    if not await node.call(_FILE_INPUT, reply=bool):
        raise NodeError("the element takes no files")
    await node.page.session.call("DOM.setFileInputFiles", {"files": [path], "objectId": node.object_id})


async def choose_file(node: Node, file: Path, *, timeout: float = 10.0) -> None:
    """Click what opens a file chooser and answer it. Raises EventTimeout when none opened, and as ``click``.

    No chooser of the system is seen.
    """
    path = await anyio.to_thread.run_sync(_checked, file)
    session = node.page.session
    await session.call("Page.setInterceptFileChooserDialog", {"enabled": True})
    try:
        with session.subscribe("Page.fileChooserOpened") as opened:
            await click(node)
            chooser = (await opened.next(timeout)).decode(FileChooserOpened)
        if chooser.backend_node_id is None:
            raise NodeError("the chooser belongs to no input element")
        answer = {"files": [path], "backendNodeId": chooser.backend_node_id}
        await session.call("DOM.setFileInputFiles", answer)
    finally:
        with shielded():
            if session.closed is None and not session.crashed:
                await session.call("Page.setInterceptFileChooserDialog", {"enabled": False}, timeout=5)


async def _mouse(page: Page, kind: str, x: float, y: float, **more: str | int) -> None:
    await page.session.call("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more}, timeout=CLICK_TIMEOUT)


async def _point(node: Node) -> tuple[float, float]:
    """The middle of the element's visible part, once it stands still."""
    session = node.page.session
    try:
        await session.call("DOM.scrollIntoViewIfNeeded", {"objectId": node.object_id})
        before: list[list[float]] = []
        still = 0
        for _ in range(MOVING_FRAMES):
            quads = (await session.call("DOM.getContentQuads", {"objectId": node.object_id}, reply=ContentQuads)).quads
            still = still + 1 if quads and quads == before else 0
            if still == 2:  # an animation that has just been asked for does not move in its first frame
                break
            before = quads
            await node.call(_NEXT_FRAME)
    except ProtocolError as error:
        raise NodeError(f"the element cannot be clicked: {error.message}") from error
    width, height = await node.call(_VIEWPORT, reply=tuple[float, float])
    for quad in before:
        left, right = max(0.0, min(quad[0::2])), min(width, max(quad[0::2]))
        top, bottom = max(0.0, min(quad[1::2])), min(height, max(quad[1::2]))
        if right - left >= 1 and bottom - top >= 1:
            return (left + right) / 2, (top + bottom) / 2
    raise NodeError("the element cannot be clicked: it has no box in the view")


def _checked(path: Path) -> str:
    """Absolute, existing, regular, readable: Chrome takes anything else silently, and the page then reads nothing."""
    if not path.is_absolute():
        raise FileError(path, "is not an absolute path")
    try:
        real = path.resolve(strict=True)
        if not stat.S_ISREG(real.stat().st_mode):
            raise FileError(path, "is not a regular file")
        with real.open("rb"):
            return str(real)
    except OSError as error:
        raise FileError(path, error.strerror or str(error)) from error
