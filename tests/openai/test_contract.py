"""The seams: the real ledger and the real studio above, the back end's protocol."""

from pathlib import Path

import anyio
import msgspec
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import open_studio
from fixtures.images_api import ImagesApi, draw, error, png, silence
from tests.openai.doubles import KEY

pytestmark = pytest.mark.anyio


def settings(api: ImagesApi, folder: Path) -> Settings:
    return Settings(
        backend="api",
        output_dir=folder / "pictures",
        profile_dir=folder / "profile",
        api_key=KEY,
        base_url=api.url,
        compat="openai",
        wait_seconds=20,
    )


async def made(api: ImagesApi, folder: Path, **fields: object) -> Record:
    arguments = GenerateImage(prompt="a red fox", **fields)  # pyright: ignore[reportArgumentType]
    with anyio.fail_after(40):
        async with open_studio(settings(api, folder), InstalledWays()) as studio:
            return (await studio.generate(arguments)).record


async def test_a_picture_comes_through_the_studio_to_the_disk(api: ImagesApi, tmp_path: Path) -> None:
    pictures = [png(1024, 1024, size=200_000, seed=number) for number in range(2)]
    api.play(draw(pictures))
    record = await made(api, tmp_path, n=2, quality="low")
    assert record.state == "saved"
    assert [Path(image.path).read_bytes() for image in record.images] == pictures
    assert (record.submitted, record.spent) == (True, True)
    assert record.usage is not None
    assert record.cost_usd == pytest.approx((20 * 5 + 3512 * 30) / 1e6)
    assert record.booked_usd == record.cost_usd
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in everything


async def test_a_refusal_is_recorded_as_one(api: ImagesApi, tmp_path: Path) -> None:
    api.play(error("moderation"))
    record = await made(api, tmp_path)
    assert record.state == "refused"
    assert record.error is not None
    assert (record.error["code"], record.error["spent"]) == ("refused", False)


async def test_an_error_at_the_door_leaves_the_way_to_the_other_back_end_open(api: ImagesApi, tmp_path: Path) -> None:
    api.play(error("quota"))
    record = await made(api, tmp_path)
    assert record.error is not None
    assert record.error["code"] == "billing"
    assert record.submitted is False
    assert record.error["submitted"] is False


async def test_an_answer_in_part_is_partial(api: ImagesApi, tmp_path: Path) -> None:
    api.play(draw([png()]))
    record = await made(api, tmp_path, n=3)
    assert (record.state, len(record.images), len(record.failures)) == ("partial", 1, 2)
    assert record.spent is True


async def test_a_shutdown_in_the_middle_is_recorded_as_perhaps_paid(api: ImagesApi, tmp_path: Path) -> None:
    import threading

    heard = threading.Event()
    api.play(silence(heard))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            standing = await studio.generate(GenerateImage(prompt="a red fox", wait_seconds=0))
            await anyio.to_thread.run_sync(heard.wait)
        folder = Path(standing.folder)
    text = (folder / "metadata.json").read_text()
    assert '"interrupted"' in text
    assert '"unknown"' in text


async def test_without_a_key_nothing_is_sent(api: ImagesApi, tmp_path: Path) -> None:
    without = msgspec.structs.replace(settings(api, tmp_path), api_key=None)
    with anyio.fail_after(20):
        async with open_studio(without, InstalledWays()) as studio:
            with pytest.raises(ImageError) as caught:
                await studio.generate(GenerateImage(prompt="a red fox"))
    assert (caught.value.code, caught.value.submitted) == ("api_key_missing", False)
    assert api.log == []
