"""The private copies of reference pictures never stay behind."""

from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.chatgpt.page.uploads import upload_copies
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.references import check_reference
from cdp_image_mcp.request import Reference
from tests.studio.scripted import png

pytestmark = pytest.mark.anyio


async def reference(folder: Path) -> Reference:
    folder.mkdir(exist_ok=True)
    (folder / "bear.png").write_bytes(png(1))
    return await check_reference(str(folder / "bear.png"), (folder,), "reference_images[0]")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*uploads*"))


async def test_a_copy_that_fails_half_way_takes_its_folder_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await reference(tmp_path / "in")
    written: list[bytes] = []

    def full(_: Path, data: bytes) -> int:
        written.append(data)
        raise OSError(28, "No space left on device")

    with anyio.fail_after(10):
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(ImageError) as caught:
            async with upload_copies([one], tmp_path / "state" / "profile"):
                pytest.fail("nothing was copied")
    assert caught.value.code == "disk"
    assert written
    assert left(tmp_path / "state") == []


async def test_what_a_killed_process_left_goes_first_and_nothing_stays(tmp_path: Path) -> None:
    one = await reference(tmp_path / "in")
    profile = tmp_path / "state" / "profile"
    for number, references in ((1, [one, one]), (2, [])):
        (tmp_path / "state" / "profile.uploads" / "0").mkdir(parents=True)
        (tmp_path / "state" / "profile.uploads" / "0" / "private.png").write_bytes(b"x")
        with anyio.fail_after(10):
            async with upload_copies(references, profile) as files:
                assert [file.read_bytes() for file in files] == [png(1)] * len(references), number
                assert not list(tmp_path.rglob("private.png"))
        assert left(tmp_path / "state") == []
