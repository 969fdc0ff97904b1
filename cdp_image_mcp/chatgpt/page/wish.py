"""What the site has no control for becomes one plain line in the prompt; what it shows a control for is pressed.

The aspect chooser is shown only while the picture tool is on, and the tool is never switched on here. On one page
generation its row is known by its words alone, on another it puts a sample prompt into the editor, and builds were seen
that send that sample as soon as the tool is chosen (2026-10): a picture nobody asked for would be paid. The words in
the prompt reach the site in every build, and what came of them is read from the picture's bytes.
"""

import math
from pathlib import Path

from cdp_image_mcp.cdp import keyboard_mouse as human
from cdp_image_mcp.cdp.errors import NodeError
from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.page.layers import press
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.request import ImageRequest, parse_size, ratio_of

RATIOS: dict[str, float] = {"1:1": 1.0, "3:4": 3 / 4, "9:16": 9 / 16, "4:3": 4 / 3, "16:9": 16 / 9}
"""What the aspect chooser offers (five tools, 2026-04 to 2026-09); a size within one percent of one is that."""


def prompt_with_wishes(request: ImageRequest, *, ratio_chosen: bool) -> str:
    """The prompt as it is typed: unchanged, unless size or background were asked for and nothing else says so."""
    wishes: list[str] = []
    if request.size != "auto" and not ratio_chosen:
        if (sides := parse_size(request.size)) is None:
            wishes.append(f"Aspect ratio {request.size}.")
        else:
            width, height = sides
            divisor = math.gcd(width, height) or 1
            wishes.append(f"Aspect ratio {width // divisor}:{height // divisor} ({width}x{height} pixels).")
    if request.background != "auto":
        wishes.append(f"{request.background.capitalize()} background.")
    return f"{request.prompt}\n\n{' '.join(wishes)}" if wishes else request.prompt


async def fill_in(composer: Composer, request: ImageRequest, files: list[Path], *, first: bool) -> str:
    """Put the request into the composer: in a conversation's first turn the ratio by the page's own chooser where it
    stands, everything else in words. Answers the text that stands there. Raises as ``Composer.fill``."""
    text = prompt_with_wishes(request, ratio_chosen=False)
    await composer.fill(files, text)
    # Not before: a page whose script has not taken over yet shows no chooser, and that it keeps a text is the sign.
    if first and await choose_ratio(composer.tab, request.size):
        text = prompt_with_wishes(request, ratio_chosen=True)
        await composer.change_text(text)
    return text


async def choose_ratio(tab: Tab, size: str) -> bool:
    """Press the ratio in the aspect chooser where there is one. False: not there, nothing changed."""
    wanted = ratio_of(size) or 0.0
    ratio = next((name for name, value in RATIOS.items() if abs(wanted / value - 1) < 0.01), None)
    option = f"witness.all('ratio_option').find((option) => witness.nameOf(option).endsWith({quoted(ratio)}))"
    try:
        if ratio is None or not await press(tab, "witness.one('ratio_button')"):
            return False
        if not await press(tab, f"witness.until(() => {option}, 2000)"):
            await human.press(tab.page, "Escape")
            return False
    except NodeError:
        return False
    shown = "[witness.one('ratio_button')].some((button) => button && (button.innerText + (button.title || ''))"
    return await tab.eye.until(f"{shown}.includes({quoted(ratio)}))", 1.5)
