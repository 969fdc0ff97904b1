"""Two versions of the program on one library: the older one leaves alone what it does not know."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import index
from cdp_image_mcp.library.folder import SIDECAR
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.system.lockfile import LockFile
from tests.library.making import DEAD, a_record, create, finished, joined

pytestmark = pytest.mark.anyio


def change(sidecar: Path, **fields: Any) -> bytes:
    """What another version wrote there."""
    tree = json.loads(sidecar.read_bytes()) | fields
    sidecar.write_text(json.dumps(tree))
    return sidecar.read_bytes()


def a_picture(path: str) -> dict[str, Any]:
    facts = {"mimeType": "image/png", "width": 8, "height": 6, "bytes": 1, "alpha": False, "c2pa": False}
    return {"path": path, "sha256": "0" * 64, **facts}


NEWER: dict[str, dict[str, Any]] = {
    "a newer form": {"version": 2},
    "a state of its own": {"state": "upscaling"},
    "a field of another shape": {"images": {"first": "image-01.png"}},
    # No program of ours writes these: who shares the folder can draw on a terminal by them, or lead out of it.
    "an id that draws": {"generation_id": "\x1b]0;saved\x07"},
    "an id with a line behind it": {"generation_id": "0" * 32 + "\n"},
    "a picture that draws": {"images": [a_picture("/pictures/image-01\x1b[2J.png")]},
    "a picture on another drive": {"images": [a_picture("D:\\pictures\\C:evil.png")]},
    "a picture that is the folder around": {"images": [a_picture("/pictures/..")]},
    "a picture that is the folder itself": {"images": [a_picture("/pictures/")]},
    "a kept file that draws": {"facts": {"kept": ["unrecognised-01.\x1b[2Jbin"]}},
}


@pytest.mark.parametrize("how", NEWER)
async def test_a_record_that_cannot_be_understood_is_never_taken_up_joined_or_written(
    library: Library, root: Path, how: str
) -> None:
    with anyio.fail_after(60):
        orphan = a_record(owner=DEAD, state="generating", submitted=True)
        folder = await create(library, orphan)
        written = change(folder.path / SIDECAR, **NEWER[how])
        for each in (library, Library(root)):
            assert await each.adopt(orphan.generation_id) is None
            assert await joined(each) is None
            assert await each.unfinished() == []
            await each.mark_fetched(orphan)
            await each.rescan()
            with pytest.raises(ImageError, match="left as it is") as caught:
                await each.find(orphan.generation_id)
            assert caught.value.code == "disk"
            # The program that runs stays the old one.
            assert "update cdp-image-mcp and to restart the client" in caught.value.next_step
            assert any(str(folder.path) in problem for problem in each.problems())
    assert (folder.path / SIDECAR).read_bytes() == written


async def test_what_a_newer_program_wrote_beside_what_is_known_stays_through_every_change(library: Library) -> None:
    with anyio.fail_after(60):
        record = a_record()
        folder = await create(library, record)
        await finished(library, folder, record)
        change(
            folder.path / SIDECAR,
            colour_profile={"name": "P3", "parts": [1, 2.5, None]},
            timings={"generate": 21.5, "upscale": 4.0},
            failures=[{"index": 2, "code": "refused", "message": "No.", "stage": "output"}],
            images=[{**json.loads((folder.path / SIDECAR).read_bytes())["images"][0], "hash2": "abc"}],
        )
        await library.mark_fetched(record)
        entry = await library.find(record.generation_id)
        assert entry is not None
        entry.record.images.append(entry.record.images[0])
        await entry.folder.write(entry.record)
    tree = json.loads((folder.path / SIDECAR).read_bytes())
    assert tree["fetched"] is True
    assert tree["colour_profile"] == {"name": "P3", "parts": [1, 2.5, None]}
    assert tree["timings"]["upscale"] == 4.0
    assert tree["timings"]["generate"] == 21.5
    assert [image.get("hash2") for image in tree["images"]] == ["abc", None]
    assert tree["failures"][0]["stage"] == "output"


async def test_the_indexes_of_other_versions_are_left_alone_and_what_they_know_is_seen(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(60):
        await create(library, a_record())
        others = [root / ".index.sqlite3", library.index.path.with_name("index-9.sqlite3")]
        for other in others:
            sqlite3.connect(other).close()
            other.write_bytes(b"of another version")
        # Another program makes one; only its own index and the sidecar tell.
        theirs = a_record(fingerprint="theirs")
        folder = root / "20260101-000000-theirs"
        folder.mkdir()
        (folder / SIDECAR).write_text(json.dumps(json.loads(_sidecar(root).read_bytes()) | _named(theirs)))
        others[0].write_bytes(b"of another version, changed")
        assert {entry.record.generation_id for entry in await library.newest()} >= {theirs.generation_id}
        assert await library.find(theirs.generation_id) is not None
        # Seen by one process it is seen by all: not each one that starts reads all folders again.
        with monkeypatch.context() as unwalked:
            unwalked.setattr(os, "scandir", None)
            assert len(await Library(root).newest()) == 2
    assert [other.read_bytes() for other in others] == [b"of another version, changed", b"of another version"]
    assert library.problems() == []


def test_while_one_version_decides_who_gets_what_no_other_does(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each keeps an index of its own, and both take up orphans, join and set money aside."""
    acquire = LockFile.acquire

    def at_once(lock: LockFile, _seconds: float) -> None:
        acquire(lock, 0.0)

    monkeypatch.setattr(LockFile, "acquire", at_once)
    with monkeypatch.context() as newer:
        newer.setattr(index, "NAME", "index-9.sqlite3")
        other = Library(root)

    def meanwhile(_: sqlite3.Connection) -> None:
        with pytest.raises(ImageError, match="has kept"):
            other.index.run(lambda _: None)

    library.index.run(meanwhile)
    other.index.run(lambda _: None)
    assert library.index.path != other.index.path


def _sidecar(root: Path) -> Path:
    return next(root.glob(f"*/{SIDECAR}"))


def _named(record: Any) -> dict[str, str]:
    return {"generation_id": record.generation_id, "fingerprint": record.fingerprint}
