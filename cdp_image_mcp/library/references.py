"""Reference pictures and output folders named by a client: allowed or not, read once, and what they are."""

import errno
import hashlib
import ntpath
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from cdp_image_mcp.errors import ImageError, refusal
from cdp_image_mcp.library.folder import SIDECAR, read_record
from cdp_image_mcp.library.imagefile import NotAPictureError, inspect
from cdp_image_mcp.request import Reference
from cdp_image_mcp.system.disk import in_thread, is_folder, look, named_inside

MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 100_000_000
TAKEN = frozenset(("image/png", "image/jpeg", "image/webp"))
"""What both back ends take as a reference."""

PLAIN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0) | NO_LINK
"""``O_PATH`` (Linux) also passes through folders that may be entered and not listed."""
NO_WAIT = getattr(os, "O_NONBLOCK", 0)
BY_STEPS = os.open in os.supports_dir_fd and bool(NO_LINK)
"""Whether each folder on the way can be opened from the one before without following links (not on Windows)."""
WINDOWS = sys.platform == "win32"

OUTSIDE_FILE = "Copy the file into an allowed folder, or ask the user to extend GPT_IMAGE_INPUT_ROOTS, then call again."
OUTSIDE_FOLDER = (
    "Leave output_dir out for the default folder, or name one inside an allowed folder; the user can set "
    "another default with GPT_IMAGE_OUTPUT_DIR."
)


@in_thread
def check_reference(path: str, roots: Sequence[Path], field: str) -> Reference:
    """One picture: absolute path, inside a root after resolving links, no dot-folder below the root, regular file,
    magic bytes of PNG, JPEG or WebP, within the limits. Hash and facts come from one open file.

    Raises ImageError ``invalid_input`` naming ``field``; what lies outside the roots is answered the same whether it
    exists or not.
    """
    real, root = _inside(path, roots, field)
    data = _read(real, root, path, field)
    try:
        facts = inspect(data)
    except NotAPictureError as error:
        _refuse(field, path, str(error))
    if facts.mime_type not in TAKEN:
        _refuse(field, path, f"It is {facts.mime_type}; PNG, JPEG and WebP are taken.")
    if facts.width * facts.height > MAX_PIXELS:
        _refuse(field, path, f"It is {facts.width}x{facts.height}, more than {MAX_PIXELS // 1_000_000} megapixels.")
    digest = hashlib.sha256(data).hexdigest()
    return Reference(real, facts.mime_type, facts.width, facts.height, len(data), digest, facts.alpha)


async def check_references(paths: Sequence[str], roots: Sequence[Path]) -> tuple[Reference, ...]:
    """The ``reference_images`` of a call, in order; fields are named ``reference_images[0]`` and so on."""
    return tuple([await check_reference(path, roots, f"reference_images[{i}]") for i, path in enumerate(paths)])


@in_thread
def read_reference(reference: Reference) -> bytes:
    """The very bytes that were checked; ImageError ``invalid_input`` when the file changed since."""
    real = reference.path
    data = _read(real, real.parent, str(real), "reference_images")
    if hashlib.sha256(data).hexdigest() != reference.sha256:
        _refuse("reference_images", str(real), "It was changed after it had been checked.")
    return data


@in_thread
def allowed_output_dir(path: str, roots: Sequence[Path]) -> Path:
    """``output_dir`` of a call, resolved; it need not exist yet. The folder of an earlier generation, which its answer
    names so, means the one around it: inside, the new pictures would go whenever the earlier ones are deleted. Raises
    ImageError ``invalid_input``."""
    real, _ = _inside(path, roots, "output_dir")
    try:
        while _is_generations(real):
            try:
                real, _ = _inside(str(real.parent), roots, "output_dir")
            except ImageError:
                break
        taken = next(folder for folder in (real, *real.parents) if look(folder) is not None)
        if not is_folder(taken):
            _refuse("output_dir", path, f"{taken} is a file.")
    except OSError as error:
        _refuse("output_dir", path, f"It cannot be looked at: {error.strerror}.")
    return real


def _is_generations(folder: Path) -> bool:
    """Raises OSError for what may not be looked at."""
    if look(folder / SIDECAR) is None:
        return False
    try:
        read_record(folder)
    except ImageError:
        return False
    return True


def _inside(path: str, roots: Sequence[Path], field: str) -> tuple[Path, Path]:  # noqa: RET503
    """The path with all links resolved and the root it is in, or the error."""
    given = Path(path)
    if "\0" in path or not given.is_absolute():
        _refuse(field, path, "It is not an absolute path.")
    try:
        places = [Path(os.path.realpath(root)) for root in roots]
        if WINDOWS and not may_be_asked(path, map(str, (*roots, *places))):
            _refuse_outside(field, path, roots)
        real = Path(os.path.realpath(given))
    except (OSError, ValueError, RuntimeError):
        _refuse(field, path, "It is not a usable path.")
    inside = [found for root in places if (found := named_inside(real, root)) is not None]
    for root in inside:
        if not any(part.startswith(".") for part in real.relative_to(root).parts):
            return real, root
    if not inside:
        _refuse_outside(field, path, roots)
    _refuse(field, path, "It lies in a folder whose name begins with a dot; those are never used.")


def may_be_asked(path: str, roots: Iterable[str]) -> bool:
    """Whether Windows may be asked about an absolute path: it answers for a share by signing in to it, with a proof of
    the user's password, and for a device by opening it. So those of the allowed folders alone, and drives by letter."""
    drive = _drive(path)
    return re.fullmatch("[a-z]:", drive) is not None or drive in map(_drive, roots)


def _drive(path: str) -> str:
    """Its drive, share or device, the same for each way to write it."""
    plain = path.replace("/", "\\").casefold()
    named = plain.removeprefix("\\\\?\\")
    if named.startswith("unc\\"):
        named = "\\\\" + named.removeprefix("unc\\")
    elif named[1:2] != ":":
        named = plain
    return ntpath.splitdrive(named)[0]


def _read(real: Path, root: Path, path: str, field: str) -> bytes:
    """All bytes from one opening. The path was resolved already: a link that turns up now was put there meanwhile."""
    try:
        handle = _open_by_steps(real, root) if BY_STEPS else os.open(real, PLAIN)
    except OSError as error:
        why = {
            errno.ENOENT: "There is no such file.",
            errno.ENOTDIR: "There is no such file.",
            errno.EISDIR: "It is a folder.",
            errno.ELOOP: "It is a link that leads in a circle or was put there while it was read.",
            errno.EACCES: "The system does not allow it to be read.",
        }.get(error.errno or 0, f"It cannot be opened: {error.strerror}.")
        _refuse(field, path, why)
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            _refuse(field, path, "It is a folder." if stat.S_ISDIR(facts.st_mode) else "It is not a regular file.")
        if not BY_STEPS and not os.path.samestat(facts, Path(os.path.realpath(real)).lstat()):
            _refuse(field, path, "It was replaced while it was read.")
        data = b""
        if facts.st_size <= MAX_BYTES:
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(MAX_BYTES + 1)
        if max(facts.st_size, len(data)) > MAX_BYTES:
            size = max(facts.st_size, len(data)) / 1024 / 1024
            _refuse(field, path, f"It has {size:.1f} MB, more than {MAX_BYTES // 1024 // 1024} MB.")
    except OSError as error:
        _refuse(field, path, f"It cannot be read: {error.strerror}.")
    finally:
        os.close(handle)
    return data


def _open_by_steps(real: Path, root: Path) -> int:
    """Open folder after folder from the root down, none of them through a link."""
    folder = os.open(root, PLAIN | FOLDER)
    try:
        *folders, name = real.relative_to(root).parts or (".",)
        for part in folders:
            below = os.open(part, PLAIN | FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        # Without waiting: opening a named pipe would otherwise hang until somebody writes to it.
        return os.open(name, PLAIN | NO_LINK | NO_WAIT, dir_fd=folder)
    finally:
        os.close(folder)


def _refuse_outside(field: str, path: str, roots: Sequence[Path]) -> NoReturn:
    allowed = ", ".join(dict.fromkeys(map(str, roots))) or "none"
    step = OUTSIDE_FOLDER if field == "output_dir" else OUTSIDE_FILE
    _refuse(field, path, f"It is outside the allowed folders ({allowed}).", step)


def _refuse(field: str, path: str, why: str, next_step: str | None = None) -> NoReturn:
    shown = path if len(path) <= 300 else path[:300] + "…"
    raise refusal(field, f"{field}: {shown!r}: {why}", next_step=next_step, path=shown)
