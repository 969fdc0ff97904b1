"""``login`` and ``logout``: the sign-in that lives in the browser profile."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio
import anyio.to_thread

from cdp_image_mcp.cli.exit_codes import DONE, FAILED, PERSON
from cdp_image_mcp.cli.pictures import deleted
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import Settings
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.system.disk import look
from cdp_image_mcp.system.presence import OWN_FOLDER
from cdp_image_mcp.system.turns import Turns

if TYPE_CHECKING:
    from cdp_image_mcp.chatgpt.backend import WebBackend


async def login(_: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    async with studio_apart(settings) as studio:
        backend = cast("WebBackend", studio.backend("chatgpt-web"))
        async with Turns(settings.profile_dir).take(on_position=partial(tell_position, terminal)):
            ended, arrival = await backend.sign_in(partial(_tell_sign_in, terminal))
    if arrival.kind == "ready":
        terminal.say("You are signed in.", "green")
        return DONE
    how = ended[0].upper() + ended[1:]
    terminal.say(f"{how}, and ChatGPT is not ready yet: {arrival.detail}. Run this again.", "yellow")
    return PERSON


def _tell_sign_in(terminal: Terminal) -> None:
    from cdp_image_mcp.chatgpt.window.person import to_do

    terminal.say(to_do("needs_sign_in"))
    terminal.say("Nothing is read from that window while you sign in. Ctrl-C gives up.", "dim")


def tell_position(terminal: Terminal, position: int) -> None:
    terminal.say(f"Waiting until the browser is free (place {position} in the queue).", "dim")


async def logout(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    """The profile goes as a whole: cookies, cache and all. The site is not told; other devices stay signed in."""
    profile = settings.profile_dir
    if await anyio.to_thread.run_sync(look, profile) is None:
        terminal.say(f"Nobody is signed in: there is no profile at {profile}.", "green")
        return DONE
    if (pictures := await anyio.to_thread.run_sync(_pictures_in, settings)) is not None:
        terminal.say(f"Pictures lie in {pictures}, inside the browser profile {profile}. Nothing was deleted.", "red")
        terminal.say("Move them, or delete the sign-in by hand; a profile needs a folder of its own.")
        return PERSON
    terminal.say(f"This deletes the browser profile {profile}, and with it the sign-in. Pictures stay.")
    if not parsed.yes and not await terminal.agreed("Delete it?"):
        terminal.say("Nothing was deleted.")
        return FAILED
    turns = Turns(profile)
    async with turns.take(on_position=partial(tell_position, terminal)):
        if (held := await _held(profile)) is not None:
            terminal.say(f"A browser has that profile open{held}", "yellow")
            return PERSON
        left = await anyio.to_thread.run_sync(_delete, profile)
        if not left:
            await anyio.to_thread.run_sync(turns.take_away)
    if left:
        terminal.say(f"Not all of it could be deleted; see {profile}.", "red")
        return FAILED
    if sys.platform == "win32":  # where nothing can be deleted that is open, so that this takes it from nobody
        await anyio.to_thread.run_sync(turns.take_away)
    terminal.say("The sign-in is gone from this computer.", "green")
    return DONE


def _pictures_in(settings: Settings) -> Path | None:
    """An output folder that would go with the profile."""
    profile = os.path.realpath(settings.profile_dir)
    folders = Library(settings.output_dir).index.parents()
    return next((folder for folder in folders if Path(os.path.realpath(folder)).is_relative_to(profile)), None)


async def _held(profile: Path) -> str | None:
    """Whose browser has the profile open, and what to do about it; for whoever holds the turn. One without windows,
    which nobody could close, is ended: without the turn nobody works in it."""
    from cdp_image_mcp import cdp
    from cdp_image_mcp.cdp.errors import ProfileInUse

    try:
        async with cdp.attach(profile) as browser:
            if not browser.headless:
                return f" (process {browser.pid}). Close it, then run this again."
            await browser.quit()
            return None
    except ProfileInUse as error:
        return f", and nothing was deleted: {error}."  # which may be one on another computer
    except cdp.CDPError:
        return None  # none runs


def _delete(profile: Path) -> list[Path]:
    """All but the queue; answers what is still there."""
    # What was remembered of its windows belongs to the sign-in.
    profile.with_name(f"{profile.name}.window.json").unlink(missing_ok=True)
    return deleted([entry for entry in profile.iterdir() if entry.name != OWN_FOLDER])
