"""What could not be fetched or written at first comes later, each by itself, and is known at once."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import folder as folders
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.jobs.runner import Runner
from tests.studio.scripted import Scripted, png, studio_with

pytestmark = pytest.mark.anyio

API: dict[str, Any] = {"backend": "api", "api_key": "test-key"}


class Disk:
    """One that takes no bytes of an unknown format, or what else a test names, while it is full."""

    full = True
    refused = "unrecognised"
    fault: Exception = OSError(28, "No space left on device")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk, write_part = Disk(), folders.write_part

    def written(path: Path, data: bytes) -> Any:
        if disk.full and path.name.startswith(disk.refused):
            raise disk.fault
        return write_part(path, data)

    monkeypatch.setattr(folders, "write_part", written)
    return disk


def fetched_later(fetch: Callable[[], Awaitable[bytes]]) -> Scripted:
    """An answer that only names its picture, which cannot be fetched at once."""

    async def named(_: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        report.fetch_later(fetch)
        raise ImageError("service_error", "It did not come.", submitted=True, spent=True)

    return Scripted(named)


async def test_a_picture_that_was_fetched_later_is_known_although_the_next_one_still_fails(tmp_path: Path) -> None:
    reachable = False

    async def drawn(_: ImageRequest, report: Report) -> None:
        async def first() -> bytes:
            if not reachable:
                raise ImageError("network", "No way.", submitted=True)
            return png(1)

        async def second() -> bytes:
            raise ImageError("network", "No way.", submitted=True)

        await report.state("generating", submitted=True)
        report.fetch_later(first)
        report.fetch_later(second)
        raise ImageError("service_error", "Neither came.", submitted=True, spent=True)

    with anyio.fail_after(60):
        async with studio_with(tmp_path, api=Scripted(drawn), **API) as studio:
            asked = await studio.generate(GenerateImage(prompt="two", backend="api", n=2))
            await studio.wait(asked.record.generation_id)
            reachable = True
            seen = await studio.wait(asked.record.generation_id)
        written = json.loads((Path(seen.folder) / "metadata.json").read_text())
    assert (written["state"], len(written["images"])) == ("partial", 1)


async def test_bytes_of_an_unknown_format_are_kept_when_the_disk_has_room_again(tmp_path: Path, disk: Disk) -> None:
    async def drawn(_: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        await report.save(b"II*\0 a picture that was paid for")

    with anyio.fail_after(60):
        async with studio_with(tmp_path, api=Scripted(drawn), **API) as studio:
            asked = await studio.generate(GenerateImage(prompt="one", backend="api"))
            await studio.wait(asked.record.generation_id)
            disk.full = False
            seen = await studio.wait(asked.record.generation_id)
        (kept,) = Path(seen.folder).glob("unrecognised*")
    assert kept.read_bytes() == b"II*\0 a picture that was paid for"


async def test_bytes_of_an_unknown_format_that_were_fetched_later_are_kept_once(tmp_path: Path, disk: Disk) -> None:
    async def fetched() -> bytes:
        return b"II*\0 a picture that was paid for"

    with anyio.fail_after(60):
        async with studio_with(tmp_path, api=fetched_later(fetched), **API) as studio:
            asked = await studio.generate(GenerateImage(prompt="one", backend="api"))
            await studio.wait(asked.record.generation_id)
            disk.full = False
            seen = await studio.wait(asked.record.generation_id)
            seen = await studio.wait(asked.record.generation_id)
        (kept,) = Path(seen.folder).glob("unrecognised*")
    assert kept.read_bytes() == b"II*\0 a picture that was paid for"
    assert (seen.record.error or {})["details"]["kept"] == [str(kept)]


@pytest.mark.parametrize("data", [png(1), b"II*\0 a picture that was paid for"], ids=["a picture", "unknown"])
@pytest.mark.parametrize("fault", [Disk.fault, RuntimeError("can't start new thread")], ids=["full", "a fault"])
async def test_what_its_address_gives_once_outlives_what_keeps_it_from_the_disk(
    fault: Exception, data: bytes, tmp_path: Path, disk: Disk
) -> None:
    disk.refused, disk.fault = "", fault
    asked_for: list[int] = []

    async def fetched() -> bytes:
        asked_for.append(1)
        if len(asked_for) > 1:
            raise ImageError("network", "The address has expired.", submitted=True)
        return data

    with anyio.fail_after(60):
        async with studio_with(tmp_path, api=fetched_later(fetched), **API) as studio:
            asked = await studio.generate(GenerateImage(prompt="one", backend="api"))
            while not asked_for:
                await studio.wait(asked.record.generation_id)
            disk.full = False
            seen = await studio.wait(asked.record.generation_id)
        (kept,) = [path for path in Path(seen.folder).iterdir() if path.name.startswith(("image", "unrecognised"))]
    assert kept.read_bytes() == data
    assert asked_for == [1]


async def test_a_fault_at_one_address_leaves_alone_what_another_gives_once(tmp_path: Path) -> None:
    under_way, faults, given = anyio.Event(), list[str](), list[str]()

    async def faulty() -> bytes:
        if not faults:
            await under_way.wait()
            faults.append("once")
            raise RuntimeError("can't start new thread")
        return png(2)

    async def once() -> bytes:
        given.append("asked")
        if len(given) > 1:
            raise ImageError("network", "The address has expired.", submitted=True)
        under_way.set()
        await anyio.wait_all_tasks_blocked()
        return png(1)

    async def drawn(_: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        report.fetch_later(faulty)
        report.fetch_later(once)
        raise ImageError("service_error", "Neither came.", submitted=True, spent=True)

    with anyio.fail_after(60):
        async with studio_with(tmp_path, api=Scripted(drawn), **API) as studio:
            asked = await studio.generate(GenerateImage(prompt="two", backend="api", n=2))
            await studio.wait(asked.record.generation_id)
            seen = await studio.wait(asked.record.generation_id)
    assert [Path(image.path).read_bytes() for image in seen.record.images] == [png(1), png(2)]
    assert (seen.record.state, given) == ("saved", ["asked"])


async def test_a_fault_while_catching_up_keeps_no_call_and_no_end_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reachable = False

    async def fetched() -> bytes:
        if not reachable:
            raise ImageError("network", "No way.", submitted=True)
        return png(1)

    async def broken(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with anyio.fail_after(60):
        async with studio_with(tmp_path, api=fetched_later(fetched), **API) as studio:
            asked = await studio.generate(GenerateImage(prompt="one", backend="api"))
            reachable = True
            monkeypatch.setattr(Runner, "_end", broken)
            seen = await studio.wait(asked.record.generation_id)
    assert len(seen.record.images) == 1


async def test_what_cannot_even_be_looked_at_is_kept(tmp_path: Path) -> None:
    nested = b""
    for _ in range(3000):
        nested = (8 + len(nested)).to_bytes(4, "big") + b"iprp" + nested
    meta = bytes(4) + nested
    meta = (8 + len(meta)).to_bytes(4, "big") + b"meta" + meta
    odd = b"\0\0\0\x10ftypavif\0\0\0\0" + meta + b"\0\0\0\x09mdatx"

    async def drawn(_: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        await report.save(odd)

    with anyio.fail_after(60):
        async with studio_with(tmp_path, api=Scripted(drawn), **API) as studio:
            asked = await studio.generate(GenerateImage(prompt="one", backend="api"))
            seen = await studio.wait(asked.record.generation_id)
        (kept,) = Path(seen.folder).glob("unrecognised*")
    assert kept.read_bytes() == odd


async def test_an_address_that_hangs_keeps_no_call_waiting_beyond_its_wait(tmp_path: Path) -> None:
    answers, asked_again = anyio.Event(), anyio.Event()

    async def fetch() -> bytes:
        asked_again.set()
        await answers.wait()
        return png(1)

    with anyio.fail_after(60):
        api = fetched_later(fetch)
        async with studio_with(tmp_path, api=api, **API) as studio:
            one = GenerateImage(prompt="one", backend="api", wait_seconds=5)
            generation_id = (await studio.generate(one)).record.generation_id
            assert (await studio.wait(generation_id, 0)).record.state == "failed"
            await asked_again.wait()
            again = await studio.generate(GenerateImage(prompt="one", backend="api", wait_seconds=0))
            other = await studio.generate(GenerateImage(prompt="another", backend="api", wait_seconds=0))
            assert (again.joined, other.joined, answers.is_set()) == (True, False, False)
            answers.set()
            seen = await studio.wait(generation_id)
    assert (seen.record.generation_id, seen.record.state) == (generation_id, "saved")
    assert api.started == ["one", "another"]
