"""The prompt of ``generate`` and where its pictures go: what was typed, piped and named at a terminal."""

import argparse
import codecs
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from cdp_image_mcp.cli.terminal import Terminal, typed
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError, refusal
from cdp_image_mcp.mcp_server.arguments import parse
from cdp_image_mcp.request import SavedImage
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.system.disk import is_folder, look

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".gif": "gif", ".svg": "svg"}


async def prompt_of(words: list[str], terminal: Terminal) -> str:
    """The prompt; ``-`` alone is read from standard input. Raises ImageError ``invalid_input``."""
    if words != ["-"]:
        return " ".join(words)
    if sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        terminal.say(f"Type the prompt and end it with {end}; Ctrl-C gives up.", "dim")
    return decoded(await typed())


def decoded(raw: bytes) -> str:
    """Text as programs pipe it: UTF-8 or UTF-16, with or without a mark. Guessing further would pay for mojibake."""
    encoding = "utf-8-sig"
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(raw) % 2 == 0 and b"\0" in raw:
        # Every other byte of most texts is zero in UTF-16; in UTF-8 none is.
        encoding = "utf-16-le" if raw[1::2].count(0) >= raw[::2].count(0) else "utf-16-be"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise refusal(
            "prompt", "What came in is neither UTF-8 nor UTF-16, and a guess might be paid for. Pipe it as UTF-8."
        ) from None


def wish(parsed: argparse.Namespace, prompt: str, place: "Destination | None") -> GenerateImage:
    """The arguments as the tool has them. Raises ImageError ``invalid_input``."""
    named: dict[str, Any] = {name: getattr(parsed, name, None) for name in GenerateImage.__struct_fields__}
    given = {name: value for name, value in named.items() if value is not None}
    for name in ("mask", "output_dir"):
        if name in given:
            given[name] = str(absolute(name, given[name]))
    if parsed.reference_images:
        given["reference_images"] = [str(absolute("reference_images", each)) for each in parsed.reference_images]
    if place is not None and place.format is not None:
        given.setdefault("output_format", place.format)
    arguments, _ = parse(GenerateImage, given | {"prompt": prompt})
    return arguments


def absolute(field: str, path: str) -> Path:
    """What a person typed as a file's or folder's name. Raises ImageError ``invalid_input`` where there is none."""
    if not path:
        raise refusal(field, "An empty name is no file and no folder.")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise refusal(field, f"{path} names the home of a user who is not known here.") from None
    except FileNotFoundError:
        raise refusal(field, f"{path} is in the working folder, which is gone.") from None


def typed_roots(arguments: GenerateImage, settings: Settings) -> Settings:
    """``settings`` in which the folders that a person has typed are allowed: no model can reach this way."""
    files = [path for path in (*arguments.reference_images, arguments.mask) if isinstance(path, str)]
    roots = [Path(os.path.realpath(path)).parent for path in files]
    if isinstance(arguments.output_dir, str):
        roots.append(Path(os.path.realpath(arguments.output_dir)))
    return msgspec.structs.replace(settings, input_roots=(*settings.input_roots, *roots))


class Destination(msgspec.Struct, frozen=True):
    """Where pictures are put beside the library (``-o``)."""

    path: Path
    is_folder: bool

    @property
    def format(self) -> str | None:
        """What the name's ending asks for."""
        return None if self.is_folder else FORMATS.get(self.path.suffix.lower())

    def put(self, images: list[SavedImage]) -> list[Path]:
        """Copies of the pictures, named by what their bytes are, never over another file. ImageError ``disk``."""
        return [self._copied(image, index, len(images)) for index, image in enumerate(images, start=1)]

    def _copied(self, image: SavedImage, index: int, count: int) -> Path:
        source = Path(image.path)
        if self.is_folder:
            wanted = self.path / f"{source.parent.name}-{source.name}"
        else:
            ending = self.path.suffix if FORMATS.get(self.path.suffix.lower()) == FORMATS.get(source.suffix) else ""
            number = f"-{index}" if count > 1 else ""
            stem = self.path.stem if self.path.suffix.lower() in FORMATS else self.path.name
            wanted = self.path.with_name(f"{stem}{number}{ending or source.suffix}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.is_folder:
                self.path.mkdir(exist_ok=True)
            return copied(source, wanted)
        except OSError as error:
            raise ImageError(
                "disk",
                f"The picture is saved as {image.path}, but not as {wanted}: {error.strerror}.",
                submitted=True,
                spent=True,
                next_step="Copy it by hand; it need not be made again.",
            ) from None


def copied(source: Path, wanted: Path) -> Path:
    """A copy of a file, under the name that is ``wanted`` or the next that is free. Raises OSError."""
    for number in range(1, 1000):
        target = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        try:
            taken = target.open("xb")
        except FileExistsError:
            continue
        try:
            with taken, source.open("rb") as given:
                shutil.copyfileobj(given, taken)
        except OSError:
            target.unlink(missing_ok=True)  # half a picture looks like one
            raise
        return target
    raise FileExistsError(17, "there are too many of that name")


def destination(given: str | None) -> Destination | None:
    """What ``-o`` names. Raises ImageError ``invalid_input`` for what would not work, before anything is paid."""
    if given is None:
        return None
    if given in {"", "-"}:  # a variable of a script that is not set, or standard output
        raise refusal("output", "-o takes a file or a folder; standard output gets the path.")
    path = absolute("output", given)
    try:
        if is_folder(path) or given.endswith(("/", os.sep)):
            return Destination(path, is_folder=True)
        if path.suffix and path.suffix.lower() not in FORMATS:
            raise refusal("output", f"-o takes a name that ends in {', '.join(FORMATS)}, and not {path.name}.")
        if look(path) is not None:
            raise refusal("output", f"{path} is there already, and no file is overwritten. Name another.")
        if not is_folder(path.parent):
            raise refusal("output", f"There is no folder {path.parent}.")
    except OSError as error:
        raise refusal("output", f"{path} cannot be looked at ({error.strerror}).") from None
    return Destination(path, is_folder=False)
