"""The package is updated or removed under the running server, which loads the larger part of itself late."""

import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

import cdp_image_mcp
from fixtures.images_api import running_api
from tests.web.program import Answer, Program, running_program

pytestmark = pytest.mark.anyio
NOWHERE = "http://127.0.0.1:9/"


def updated(package: Path) -> None:
    newer = package / "newer.py"
    newer.write_text('__version__ = "99.0.0"\n')
    newer.replace(package / "__init__.py")


def removed(package: Path) -> None:
    shutil.rmtree(package)


CHANGES: dict[str, Callable[[Path], None]] = {"updated": updated, "removed": removed}


@asynccontextmanager
async def installed(folder: Path, api: str) -> AsyncGenerator[tuple[Program, Path]]:
    """The program from a package of its own, which Python finds first in the folder that it is started in."""
    package = folder / "cdp_image_mcp"
    shutil.copytree(Path(str(cdp_image_mcp.__file__)).parent, package)
    variables = {
        "GPT_IMAGE_BACKEND": "api",
        "OPENAI_BASE_URL": api,
        "OPENAI_COMPAT": "openai",
        "OPENAI_API_KEY": "test-key",
    }
    with anyio.fail_after(120):
        async with running_program(folder, NOWHERE, variables=variables) as program:
            await program.client.list_tools()
            yield program, package


def assert_not_of_one_piece(answer: Answer) -> None:
    assert (answer.is_error, answer.code, answer.data["retryable"]) == (True, "configuration", False)
    assert "cdp-image-mcp was updated or removed while it ran." in answer.data["message"]
    assert "restart the client" in answer.data["next_step"]


@pytest.mark.parametrize("change", CHANGES)
async def test_before_the_first_call_nothing_is_loaded_from_another_version_and_nothing_is_sent(
    change: str, tmp_path: Path
) -> None:
    with running_api() as api:
        async with installed(tmp_path, api.url) as (program, package):
            CHANGES[change](package)
            asked = await program.generate("a fox", images="none")
            waited = await program.call("wait_for_image", wait_seconds=0)
            assert len((await program.client.list_tools()).tools) == 5
        assert api.posts == []
    assert_not_of_one_piece(asked)
    assert asked.data["message"].endswith("Nothing was sent.")
    assert (asked.data["submitted"], asked.data["spent"]) == (False, False)
    assert_not_of_one_piece(waited)
    # What is asked after may have been sent long ago.
    assert "sent" not in waited.data["message"]
    assert (waited.data["submitted"], waited.data["spent"]) == ("unknown", "unknown")


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_loaded_already_goes_on_and_the_other_way_is_not_begun(change: str, tmp_path: Path) -> None:
    with running_api() as api:
        async with installed(tmp_path, api.url) as (program, package):
            first = await program.generate("a fox", images="none")
            CHANGES[change](package)
            again = await program.call("wait_for_image", generation_id=first.data["generation_id"], images="preview")
            second = await program.generate("a bear", images="none")
            by_the_site = await program.generate("a cat", backend="chatgpt-web", images="none")
        assert len(api.posts) == 2
    assert [each.status for each in (first, again, second)] == ["saved"] * 3
    assert_not_of_one_piece(by_the_site)
    assert (by_the_site.data["submitted"], by_the_site.data["spent"]) == (False, False)
