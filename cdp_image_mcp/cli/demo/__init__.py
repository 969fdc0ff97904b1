"""The whole way through a real browser without an account: the bundled stand-in site, the ordinary web back end."""

import argparse
import importlib
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec

from cdp_image_mcp.cli.exit_codes import DONE
from cdp_image_mcp.cli.follow import follow, tell_standing
from cdp_image_mcp.cli.prompting import copied
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.arguments import parse
from cdp_image_mcp.mcp_server.fields import fields_of
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.previews.scratch import scratch_folder
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Standing
from cdp_image_mcp.system.disk import make_path

SITES = ("cdp_image_mcp.cli.demo.site", "fixtures.site")
"""The stand-in as it lies in the wheel, and in a checkout."""
SCRATCH_PREFIX = "cdp-image-mcp-demo-"
FOLDER = "demo"
"""In the output root: a demo's picture is no generation, nobody can continue it and it counts for no limit."""


def site() -> Any:
    """The stand-in's module. Raises ImageError where none is, ModuleNotFoundError where it needs one that is not."""
    for place in SITES:
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if not f"{place}.".startswith(f"{error.name}."):
                raise  # it is there, and something that it needs is not
    raise ImageError(
        "internal", "The stand-in site is not part of this installation.", next_step="Install the package again."
    )


def install_advice(platform: str, *, apt: bool, root: bool) -> str:
    """How to get a browser on this system; the demo never installs anything by itself."""
    if platform == "linux" and apt:
        return f"Run: {'' if root else 'sudo '}apt-get install chromium   and then the demo again."
    if platform == "linux":
        return "Install Chromium or Google Chrome with your package manager, then run the demo again."
    if platform == "darwin":
        return "Install Google Chrome (brew install --cask google-chrome), then run the demo again."
    return "Install Google Chrome or Microsoft Edge, or set CHROME_PATH to the program file, then run the demo again."


async def _require_browser(settings: Settings) -> bool:
    """Whether it is confined as a snap; raises ImageError when there is none."""
    from cdp_image_mcp.cdp import LaunchError, find_browser

    try:
        found = await anyio.to_thread.run_sync(find_browser, settings.chrome_path)
    except LaunchError as error:
        root = False if sys.platform == "win32" else os.geteuid() == 0
        advice = install_advice(sys.platform, apt=shutil.which("apt-get") is not None, root=root)
        raise ImageError("browser_not_found", str(error), next_step=advice) from None
    return found.snap


async def demo(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    """Make one picture at the stand-in and keep nothing but that picture."""
    prompt = " ".join(parsed.prompt) or "a red fox under a full moon"
    arguments, _ = parse(GenerateImage, {"prompt": prompt, "backend": "chatgpt-web"})
    stand_in = site()
    snap = await _require_browser(settings)
    terminal.say(
        "Demo: a real browser and a stand-in site on this machine. No account is used and nothing leaves it.", "dim"
    )
    async with scratch_folder(SCRATCH_PREFIX, snap=snap) as scratch, stand_in.serve() as running:
        aside = msgspec.structs.replace(
            settings,
            backend="chatgpt-web",
            web_url=f"{running.url}/",
            output_dir=scratch / "pictures",
            profile_dir=scratch / "profile",
            window_mode="headless",
            debug_port=0,
            api_key=None,
            site_file=None,
            daily_limit=None,
        )
        async with (
            studio_apart(aside) as studio,
            follow(studio, partial(studio.generate, arguments, seconds=0), terminal, []) as standing,
        ):
            pass
        kept = await anyio.to_thread.run_sync(_keep, standing, settings.output_dir / FOLDER)
    if parsed.json and standing.record.images:
        terminal.json({"demo": True, **fields_of(kept)})
        return DONE
    return tell_standing(terminal, kept, as_json=parsed.json)


def _keep(standing: Standing, folder: Path) -> Standing:
    """Copy the pictures out of the scratch folder; the standing with their new paths."""
    record = standing.record
    if not record.images:
        return standing
    make_path(folder)
    stem, images = Path(standing.folder).name, list(record.images)
    for index, image in enumerate(images):
        source = Path(image.path)
        target = copied(source, folder / f"{stem}-{index + 1:02}{source.suffix}")
        images[index] = msgspec.structs.replace(image, path=str(target))
    return msgspec.structs.replace(
        standing, record=msgspec.structs.replace(record, images=images, profile_dir=None), folder=str(folder)
    )
