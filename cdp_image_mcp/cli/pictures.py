"""``list``, ``open``, ``wait``, ``cancel``, ``collect``, ``gallery``, ``clean``: what has been made, is being made, and
what that left."""

import argparse
import os
import shutil
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from cdp_image_mcp.cli.exit_codes import DONE, FAILED
from cdp_image_mcp.cli.follow import follow, standing_code, tell_person, tell_standing
from cdp_image_mcp.cli.terminal import Terminal, ago
from cdp_image_mcp.config import APP_NAME, Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import SIDECAR, read_record
from cdp_image_mcp.library.gallery.gallery import Gallery
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import epoch
from cdp_image_mcp.library.strays import worthless
from cdp_image_mcp.mcp_server.fields import fields_of
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.studio.ending import sent_and_spent
from cdp_image_mcp.system.disk import PART, look
from cdp_image_mcp.system.plaintext import sound
from cdp_image_mcp.system.presence import OWN_FOLDER
from cdp_image_mcp.system.viewer import open_file, openable

SHORTEST_ID = 4
LONGEST_ID = 32
SHOWN_PROBLEMS = 3
"""Most sentences that one failure says about what cannot be read."""
OLD_SECONDS = 600.0
"""What is half written and as old as this belongs to nobody any more."""


async def _entry(library: Library, name: str | None) -> Entry:
    """The generation of that id or beginning of one; without a name the newest. Raises ImageError: ``not_found``, and
    ``disk`` for one that is there and cannot be read."""
    if name is not None and len(name) < SHORTEST_ID:
        raise ImageError("invalid_input", f"Nothing was done. Give at least {SHORTEST_ID} characters of the id.")
    if name is None and (newest := await library.newest(1)):
        return newest[0]
    beginning = sound((name or "").lower())
    # A whole one needs no look through all folders.
    ids = [beginning] if len(beginning) == LONGEST_ID else await library.ids(beginning)
    if name is not None and len(ids) > 1:
        several = ", ".join(each[:12] for each in ids[:5])
        raise ImageError("invalid_input", f"Nothing was done. Several begin with {name}: {several}. Give more of it.")
    try:
        if ids and (entry := await library.find(ids[0])) is not None:
            return entry
    except ImageError as error:
        error.submitted = error.spent = "unknown"  # its record would tell
        raise
    said = f"There is no generation {name}" if name else "Nothing has been made yet"
    if problems := library.problems():
        said = f"{said}, as far as can be read. {' '.join(problems[:SHOWN_PROBLEMS])}"
    raise ImageError("not_found", said, submitted="unknown" if problems else False)


async def _newest(library: Library, count: int) -> tuple[list[Entry], list[str]]:
    """Those that can be read and, where they are fewer, after a look through all folders, what keeps others from being
    among them."""
    shown = await library.newest(count)
    if len(shown) < count:
        ids = await library.ids("")
        shown = await library.newest(count)  # some may have come back
        known = {entry.record.generation_id for entry in shown}
        if len(shown) < count and (hidden := [each for each in ids if each not in known]):
            try:
                await library.find(hidden[0])
            except ImageError as error:  # such as the drive on which they lie
                library.tell(error.message)
    return shown, library.problems()


def _line(entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "generation_id": record.generation_id,
        "state": record.state,
        "age_seconds": round(max(time.time() - epoch(record.created_at), 0)),
        "created_at": record.created_at,
        "backend": record.backend,
        "prompt": record.prompt,
        "path": record.images[0].path if record.images else str(entry.folder.path),
        "images": len(record.images),
    }


async def list_pictures(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    found, problems = await _newest(Library(settings.output_dir), min(max(parsed.count, 1), sys.maxsize))
    lines = [_line(entry) for entry in found]
    for problem in problems:
        terminal.say(problem, "yellow")
    if parsed.json:
        terminal.json(lines)
        return DONE
    for line in lines:
        several = f" ({line['images']})" if line["images"] > 1 else ""
        head = f"{line['generation_id'][:8]}  {line['state'] + several:<14} {ago(line['age_seconds']):>7}  "
        terminal.row(head, line["prompt"])
        terminal.result(f"{'':10}{line['path']}")
    if not lines and not problems:
        terminal.say("Nothing has been made yet.")
    return DONE


async def open_picture(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    entry = await _entry(Library(settings.output_dir), parsed.id)
    images = entry.record.images
    path = entry.folder.path if parsed.folder or not images else Path(images[0].path)
    if await anyio.to_thread.run_sync(look, path) is None:
        raise ImageError("not_found", f"{path} is not there any more.")
    terminal.result(str(path))
    asked_for = path == entry.folder.path or path.suffix.lower() == ".svg"
    return DONE if await shown(path if asked_for else openable(path), terminal) else FAILED


async def shown(path: Path, terminal: Terminal) -> bool:
    """Whether the system's viewer was started for it; why not is told."""
    try:
        await anyio.to_thread.run_sync(open_file, path)
    except OSError as error:
        terminal.say(f"Nothing here opens pictures ({error.strerror}); the path is above.", "yellow")
        return False
    return True


async def wait(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    async with studio_apart(settings) as studio:
        identity = (await _entry(studio.library, parsed.id)).record.generation_id
        async with follow(studio, partial(studio.wait, identity, 0), terminal, []) as standing:
            return tell_standing(terminal, standing, as_json=parsed.json)


async def cancel(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    async with studio_apart(settings) as studio:
        identity = (await _entry(studio.library, parsed.id)).record.generation_id
        standing = await studio.cancel(identity)
    record = standing.record
    if not record.finished:
        terminal.say("Its process was told to stop it, and has not done so yet; 'list' shows when it has.", "yellow")
        return FAILED
    for image in record.images:
        terminal.result(image.path)
    if record.state == "cancelled":
        terminal.say("Cancelled.", "green")
        terminal.say(sent_and_spent(record.submitted, record.spent))
    else:
        terminal.say(f"It had ended already: {record.state}.", "yellow")
    return DONE


async def collect(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    async with studio_apart(settings) as studio:
        terminal.say("Looking for pictures that the site finished and nobody fetched …")
        found = await studio.collect(partial(tell_person, terminal))
    if parsed.json:
        terminal.json([fields_of(standing) for standing in found])
    else:
        for standing in found:
            tell_standing(terminal, standing, as_json=False)
        terminal.say(f"{len(found)} looked at." if found else "There was nothing to collect.")
    return max((standing_code(standing) for standing in found), default=DONE)


async def gallery(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    path = await Gallery(Library(settings.output_dir)).rebuild()
    terminal.result(str(path))
    if parsed.open and not await anyio.to_thread.run_sync(webbrowser.open, path.as_uri()):
        terminal.say("No browser could be opened; open the path by hand.", "yellow")
        return FAILED
    return DONE


# --- clean -----------------------------------------------------------------------------------------------------


async def clean(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    library = Library(settings.output_dir)
    if parsed.id:
        entries = await _at_rest(library, parsed.id)
        paths = [entry.folder.path for entry in entries]
        for identity in (entry.record.generation_id for entry in entries if entry.record.collectable):
            told = f"The picture of {identity} may still be at the site; '{APP_NAME} collect' fetches it."
            terminal.say(told, "yellow")
    else:
        paths = await anyio.to_thread.run_sync(lambda: sorted(_rubbish(library, settings)))
    if not paths:
        terminal.say("There is nothing to take away.", "green")
        return DONE
    total = await anyio.to_thread.run_sync(_weight, paths)
    for path in paths:
        terminal.result(str(path))
    what = "These generations, pictures and all," if parsed.id else "These, and no picture,"
    terminal.say(f"{what} would go: {len(paths)}, {total / 1e6:.1f} MB.")
    if parsed.dry_run:
        return DONE
    if not parsed.yes and not await terminal.agreed("Delete them?"):
        terminal.say("Nothing was deleted.")
        return FAILED
    if parsed.id:
        await _at_rest(library, parsed.id)  # a server may have taken one up while it was asked
    left = await anyio.to_thread.run_sync(deleted, paths)
    if parsed.id and await anyio.to_thread.run_sync((page := Gallery(library)).path.exists):
        await page.rebuild()  # where their words stand too
    for path in left:
        terminal.say(f"It could not be deleted: {path}", "yellow")
    terminal.say(f"{len(paths) - len(left)} deleted.", "green")
    return FAILED if left else DONE


async def _at_rest(library: Library, names: list[str]) -> list[Entry]:
    """Those generations. Raises ImageError for one on which a process works, and for one whose folder also holds
    something else with a record: it would go with it."""
    entries = {entry.record.generation_id: entry for entry in [await _entry(library, name) for name in names]}
    for identity, entry in entries.items():
        if entry.alive:
            raise ImageError("invalid_input", f"{identity} is being made; cancel it first.")
        if await library.is_worked_on(entry):
            raise ImageError(
                "invalid_input",
                f"Nothing was deleted. {identity} has ended. Another process still works on it, perhaps to save what "
                "was made; try again when that has ended.",
            )
    for entry in entries.values():
        if (told := await anyio.to_thread.run_sync(_also_held, entry.folder.path, set(entries))) is not None:
            raise ImageError("invalid_input", f"Nothing was deleted. {entry.folder.path} also holds {told}.")
    return list(entries.values())


def _also_held(path: Path, named: set[str]) -> str | None:
    """What else lies there, and what to do about it. A copy of what is named counts as named."""
    for sidecar in sorted(path.rglob(SIDECAR)):
        try:
            record, _ = read_record(sidecar.parent)
        except ImageError:
            return f"{sidecar}, which is not of this generation: move it away first"
        if record.generation_id not in named:
            return f"{sidecar.parent}: name that generation too, or move it"
    return None


def _rubbish(library: Library, settings: Settings) -> Iterator[Path]:
    """Previews, which are made anew when they are needed; what was half written; and profiles of short-lived
    browsers."""
    from cdp_image_mcp.previews.canvas import PROFILE_PREFIX
    from cdp_image_mcp.previews.scratch import abandoned

    for place in (settings.output_dir, settings.profile_dir):
        with suppress(FileNotFoundError):
            os.scandir(place).close()  # a glob is silent where nobody may look, from Python 3.13 on at each step
    for folder in library.index.folders():
        yield from _beside(folder)
    # Root and profile may lie among other people's files: only names of ours, and folders that are ours alone.
    root, profile = settings.output_dir, settings.profile_dir
    yield from filter(_old, root.glob(".index.html.*.part"))
    yield from filter(_old, profile.parent.glob(f".{profile.name}.window.json.*.part"))
    for own in (root / OWN_FOLDER, profile / OWN_FOLDER):
        yield from filter(_old, own.glob(".*.part"))
    yield from abandoned(PROFILE_PREFIX, Path(tempfile.gettempdir()))


def _beside(folder: Path) -> Iterator[Path]:
    """What may go beside a record. Others keep a file of its name too, with previews of their own in the folder."""
    from cdp_image_mcp.previews.preview import preview_paths

    found = [*folder.glob("preview-*"), *folder.glob(".*.part")]
    if not found:
        return
    try:
        record, _ = read_record(folder)
    except ImageError:
        return
    previews = {path for image in record.images for path in preview_paths(Path(image.path))}
    for path in found:
        # What may have been paid for and is nowhere else is rescued when its generation is asked for, or collected.
        half = path.name.startswith((f".{SIDECAR}.", ".preview-")) or worthless(path)
        if path in previews or (path.name.endswith(PART) and _old(path) and half):
            yield path


def _old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > OLD_SECONDS
    except OSError:
        return False


def _weight(paths: list[Path]) -> int:
    """Of what lies in two of them once."""
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}
    return sum(file.lstat().st_size for file in files)


def deleted(paths: list[Path]) -> list[Path]:
    """Those that are still there afterwards."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # what stays is told
                path.unlink()
    return [path for path in paths if path.exists()]
