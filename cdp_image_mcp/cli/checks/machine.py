"""The machine: versions, the disk as it really behaves, display, browser, window mode, profile."""

import importlib.metadata
import os
import platform
import sqlite3
import sys
import tempfile
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp import __version__
from cdp_image_mcp.cli.checks.check import Check
from cdp_image_mcp.config import APP_NAME, Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.disk import free_space, is_folder, look, replace_file, settle, write_part
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.plaintext import clean
from cdp_image_mcp.system.turns import Turns

PACKAGES = ("mcp", "websockets", "httpx", "anyio", "msgspec", "platformdirs", "psutil")
LOW_DISK, NO_DISK = 1_000_000_000, 100_000_000
"""Bytes free: below the first a warning, below the second a failure; a picture takes 2 to 25 MB."""
TRIAL = ".cdp-image-mcp-doctor-"
SILENT_ADVICE = (
    "Run this again when the machine has less to do. If it goes on, close that browser if it has windows; one without "
    "is ended by the next picture."
)


def versions() -> Check:
    told = [f"{APP_NAME} {__version__}", f"Python {platform.python_version()}", platform.platform(terse=True)]
    missing: list[str] = []
    for package in PACKAGES:
        try:
            told.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return Check("versions", "failed", f"Not installed: {', '.join(missing)}.", f"Install {APP_NAME} again.")
    return Check("versions", "ok", ", ".join(told))


def disk(name: str, path: Path, variable: str) -> Check:
    """Whether all that records need really works in a folder: writing, naming, replacing, locking, a transaction. What
    the system says of rights is not asked: it is wrong for root, for network drives and under a Mac's privacy rules."""
    correct = f"Correct {variable}."
    # What is there of it, at its end or above it; nothing on a drive that is not there.
    place = next((each for each in (path, *path.parents) if os.path.islink(each) or look(each) is not None), None)  # noqa: PTH114
    if place is None:
        return Check(name, "failed", f"There is no drive or folder {path.anchor}.", correct, person=True)
    if not is_folder(place):
        return Check(name, "failed", f"{place} is a file, or leads to no folder.", correct, person=True)
    try:
        with tempfile.TemporaryDirectory(prefix=TRIAL, dir=place, ignore_cleanup_errors=True) as trial:
            doing = _tried(Path(trial))
    except OSError as error:
        doing = f"making a folder ({error.strerror})"
    if doing:
        advice = f"{correct} It needs a folder on this machine's own disk that you may write to."
        return Check(name, "failed", f"In {place} this does not work: {doing}.", advice, person=True)
    if (free := free_space(place)) is None:
        return Check(name, "ok", f"{path} can be written to; how much is free its file system does not tell.")
    message = f"{free / 1e9:.1f} GB free at {path}."
    if free < NO_DISK:
        return Check(name, "failed", message, "Free some space: pictures could not be saved.", person=True)
    if free < LOW_DISK:
        return Check(name, "warning", message, "Free some space soon.")
    return Check(name, "ok", message)


def _tried(folder: Path) -> str:
    """What does not work in ``folder``; empty when all does. With the very ways in which records are written."""
    doing = "writing a file"
    try:
        part, _ = write_part(folder / "picture", b"picture")
        doing = "giving a file its name"
        settle(part, folder / "picture")
        doing = "replacing a file"
        replace_file(folder / "picture", b"another")
        doing = "locking a file"
        lock = LockFile(folder / "lock")
        if not lock.try_acquire():
            return doing
        lock.release()
        doing = "a transaction of SQLite"
        database = sqlite3.connect(folder / "index")
        try:
            with database:
                database.execute("CREATE TABLE tried (it INTEGER)")
        finally:
            database.close()
    except (OSError, sqlite3.Error, ImageError) as error:
        return f"{doing} ({clean(getattr(error, 'strerror', None) or str(error), 200)})"
    return ""


async def display(settings: Settings) -> Check:
    """A browser that could have windows is started, and makes none: a variable alone does not make a display."""
    from cdp_image_mcp.cdp import LaunchError
    from cdp_image_mcp.cdp.errors import NoDisplay
    from cdp_image_mcp.chatgpt.window.windowmode import has_display
    from cdp_image_mcp.previews.canvas import short_lived

    advice = "Sign in once on this machine with a display (or X forwarding), or use the API back end."
    if not has_display():
        message = "There is no display: nobody can sign in or pass a check here."
        return Check("display", "warning", f"{message} A client may have kept DISPLAY from this program.", advice)
    try:
        with anyio.fail_after(45):
            async with short_lived(settings, "hidden"):
                return Check("display", "ok", "Windows can be shown.")
    except NoDisplay as error:
        return Check("display", "failed", clean(f"{error}.", 1000), advice)
    except LaunchError:
        return Check("display", "ok", "A display is set; whether the browser starts is told below.")


async def browser(settings: Settings) -> Check:
    """Found and really started once, without a window and on a throw-away profile."""
    from cdp_image_mcp.cdp import LaunchError, find_browser
    from cdp_image_mcp.cdp.launching.discovery import Machine, everyday_kind
    from cdp_image_mcp.previews.canvas import short_lived

    try:
        found = await anyio.to_thread.run_sync(lambda: find_browser(settings.chrome_path, profile=settings.profile_dir))
    except LaunchError as error:
        advice = "Install Google Chrome or Microsoft Edge, or set CHROME_PATH to the program file."
        return Check("browser", "failed", clean(str(error), 1000), advice, person=True)
    try:
        with anyio.fail_after(45):
            async with short_lived(msgspec.structs.replace(settings, chrome_path=found.path)) as started:
                product = started.version.product
    except LaunchError as error:
        advice = "See the reason above; as root a browser needs CHATGPT_CHROME_ARGS=--no-sandbox."
        return Check("browser", "failed", clean(f"{found.path} did not start: {error}", 1000), advice)
    if sys.platform == "darwin" and found.kind == everyday_kind(Machine.here()):
        advice = "Install another browser, such as Google Chrome for Testing or Edge; it is used from then on."
        told = f"{product} starts ({found.path}). It opens your links too, also while it runs here without a window."
        return Check("browser", "warning", told, advice)
    return Check("browser", "ok", f"{product} starts ({found.path}).")


async def window_mode(settings: Settings) -> Check:
    from cdp_image_mcp.chatgpt.window.windowmode import WindowMemory

    choice = await WindowMemory(settings.profile_dir, settings.window_mode).choose()
    return Check("window mode", "ok", f"{settings.window_mode}; the next browser is {choice.mode}: {choice.why}.")


async def profile(settings: Settings) -> Check:
    """Really written to, and the browser that holds it really asked; never waited for or ended, since somebody may draw
    or sign in there."""
    from cdp_image_mcp import cdp
    from cdp_image_mcp.cdp.errors import ProfileInUse, ProfileNotWritable
    from cdp_image_mcp.cdp.launching.holder import in_use_undriven, look_at
    from cdp_image_mcp.cdp.launching.profile import long_paths_allowed, prepare_profile, too_long

    place = settings.profile_dir
    trial = await anyio.to_thread.run_sync(disk, "profile", place, "CHATGPT_WEB_PROFILE_DIR")
    if trial.level == "failed":
        return trial
    if look(place) is None:
        return Check("profile", "ok", f"{place} will be made at the first use.")
    pid = manner = None
    try:
        await anyio.to_thread.run_sync(
            lambda: prepare_profile(place, cdp.find_browser(settings.chrome_path, profile=place))
        )
        pid, manner = await look_at(place) or (None, None)
        if manner == "undriven" and not await anyio.to_thread.run_sync(Turns(place).busy):
            raise in_use_undriven(place, pid)
    except ProfileNotWritable as error:
        advice = "Correct CHATGPT_WEB_PROFILE_DIR, its owner and rights."
        return Check("profile", "failed", clean(f"{error}."), advice, person=True)
    except ProfileInUse as error:
        return Check("profile", "failed", clean(f"{error}."), "Close that browser, then try again.", person=True)
    except cdp.CDPError:
        pass  # a browser that is not found has a line of its own
    if manner == "silent":
        told = f"{place} is open in process {pid or 'unknown'}, which does not answer at this moment."
        return Check("profile", "warning", told, SILENT_ADVICE)
    if too_long(place, platform=sys.platform, long_paths=long_paths_allowed()):
        advice = "Set CHATGPT_WEB_PROFILE_DIR to a shorter path, or let Windows take long ones (LongPathsEnabled)."
        return Check("profile", "warning", f"{place} leaves the browser too little room for its own paths.", advice)
    if sys.platform != "win32" and place.stat().st_mode & 0o077:
        advice = f"chmod 700 '{place}': it holds the cookies of your account."
        return Check("profile", "warning", f"Other users of this machine can look into {place}.", advice)
    held = f", open in process {pid or 'unknown'} at this moment" if manner is not None else ""
    return Check("profile", "ok", f"{place}{held}.")
