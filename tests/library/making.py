"""Records, pictures and second processes for the tests."""

import io
import itertools
import platform
import subprocess
import sys
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
from PIL import Image

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.imagefile import inspect
from cdp_image_mcp.library.joining import Claim
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Owner, Record, now
from cdp_image_mcp.request import State

_serial = itertools.count(1)

DEAD = Owner(token="0123456789abcdef01234567", pid=2**22 + 7, started=1.0, host=platform.node())
"""A process that is gone: nobody holds its lock, and no system gives out such a pid."""


def new_id() -> str:
    return f"{next(_serial):032x}"


def a_record(prompt: str = "a lighthouse", fingerprint: str = "same", **more: Any) -> Record:
    at = now()
    fields: dict[str, Any] = {
        "generation_id": new_id(),
        "requested_backend": "auto",
        "backend": "chatgpt-web",
        "created_at": at,
        "updated_at": at,
    }
    return Record(prompt=prompt, fingerprint=fingerprint, **(fields | more))


def ago(**delta: float) -> str:
    return (datetime.now().astimezone() - timedelta(**delta)).isoformat(timespec="milliseconds")


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB", **options: Any) -> bytes:
    """A small picture with noise in it, so that two of them are not the same bytes."""
    out = io.BytesIO()
    image = Image.effect_noise(size, 90 + next(_serial) % 50).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.effect_noise(size, 60))
    image.save(out, kind, **options)
    return out.getvalue()


async def create(library: Library, record: Record, parent: Path | None = None) -> Folder:
    """A generation as some earlier call left it: it joined nothing, and nobody waits for it."""
    fingerprint, record.fingerprint = record.fingerprint, record.generation_id
    owner = record.owner
    try:
        claim = await library.claim_or_register(record, parent)
    finally:
        record.fingerprint = fingerprint
    if owner is not None:
        record.owner, record.session = owner, owner.token
    await library.release(claim.waiter)
    await library.let_go(record.generation_id)
    # Not Folder.write: that would date an old record anew.
    put_back = partial(library.index.write, folder=claim.folder.path, record=record)
    await anyio.to_thread.run_sync(library.index.run, put_back)
    return claim.folder


async def finished(
    library: Library, folder: Folder, record: Record, state: State = "saved", data: bytes | None = None
) -> Record:
    """Save one picture and end the generation, as the studio does."""
    data = data or picture()
    record.images.append(await folder.add_picture(data, inspect(data)))
    record.state = state
    record.finished_at = record.finished_at or now()
    await folder.write(record)
    return record


async def joined(library: Library, fingerprint: str = "same") -> Claim | None:
    """What a call with this fingerprint joins; None, and nothing is registered, when there is nothing."""

    def refuse(_: object) -> None:
        raise ImageError("not_found", "There is nothing to join.")

    try:
        return await library.claim_or_register(a_record(fingerprint=fingerprint), admit=refuse)
    except ImageError as error:
        if error.code != "not_found":
            raise
        return None


def other_process(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Python code in a process of its own, from the checkout, with pipes."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def end(process: "subprocess.Popen[str]") -> None:
    """Kill it if it lives, reap it and close its pipes."""
    if process.poll() is None:
        process.kill()
    process.communicate()
