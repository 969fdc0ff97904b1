"""What answers hold, and that the largest of them can be delivered."""

import base64
import json
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Failure
from cdp_image_mcp.mcp_server.answer import BLOCK, ENVELOPE, LIMIT, NOTE, Showing, compose, fitted
from cdp_image_mcp.mcp_server.call import result_of
from cdp_image_mcp.mcp_server.fields import describe, failure, failure_of, fields_of, status_of
from cdp_image_mcp.request import SavedImage, State
from cdp_image_mcp.studio.asked import Images
from cdp_image_mcp.studio.studio import Standing
from tests.mcp_server.lengths import NASTY, wire
from tests.mcp_server.scripted import FakeCanvas, png, record, saved, standing

FIRST = ["status", "generation_id", "next", "image_path", "markdown", "images", "failures", "joined"]
CONTRACT = [
    *(*FIRST, "honoured", "prompt", "sent_prompt", "requested_backend", "backend", "fallback_from", "output_dir"),
    *("requested", "actual", "elapsed_seconds", "timings", "metadata"),
]


async def answered(made: Standing, images: Images = "preview", canvas: FakeCanvas | None = None) -> dict[str, Any]:
    answer = await compose(made, Showing(images), (canvas or FakeCanvas()).open)
    assert len(wire(result_of(answer))) < LIMIT
    return json.loads(answer.text) | {"_pictures": answer.pictures}


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> list[SavedImage]:
    folder = tmp_path_factory.mktemp("huge")
    data = png(2048, 2048, size=25_000_000)
    return [saved(folder, index, data, width=2048, height=2048) for index in range(1, 13)]


@pytest.mark.anyio
@pytest.mark.parametrize("prompt", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("images", ["preview", "full", "none"])
async def test_the_largest_answer_fits(huge: list[SavedImage], prompt: str, images: Images) -> None:
    failures = [Failure(index, "service_error", "é" * 100_000) for index in range(1, 40)]
    facts = {f"fact {index}": "<b>" * 10_000 for index in range(50)}
    asked = {"n": 10, "reference_images": ["/" + "\x02" * 4000] * 16, "output_dir": "/" + "ü" * 4000}
    made = standing(
        Path("/tmp") / ("x" * 4000),  # noqa: S108  only a long name
        "partial",
        images=huge,
        prompt=prompt,
        sent_prompt=prompt,
        failures=failures,
        facts=facts,
        request=asked,
    )
    with anyio.fail_after(60):
        told = await answered(made, images)
    assert told["status"] == "partial"
    assert len(told["images"]) == 12
    assert len(told["_pictures"]) <= 10


@pytest.mark.anyio
async def test_ten_large_pictures_share_the_room_evenly(huge: list[SavedImage], tmp_path: Path) -> None:
    images: list[SavedImage] = []
    for image in huge[:10]:
        await anyio.Path(tmp_path / Path(image.path).name).hardlink_to(image.path)
        images.append(msgspec.structs.replace(image, path=str(tmp_path / Path(image.path).name)))
    with anyio.fail_after(60):
        told = await answered(standing(tmp_path, images=images, request={"n": 10}))
    sizes = [len(picture.data) for picture in told["_pictures"]]
    assert len(sizes) == 10
    assert min(sizes) > 60_000
    assert max(sizes) < 1.2 * min(sizes)
    assert "not_inline" not in told


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["image/gif", "image/svg+xml", "image/avif"])
@pytest.mark.parametrize("images", ["preview", "full"])
async def test_a_format_that_some_clients_cannot_show_is_never_given_as_it_is(
    images: Any, kind: str, tmp_path: Path
) -> None:
    image = msgspec.structs.replace(saved(tmp_path, 1, png(64, 64), width=64, height=64), mime_type=kind)
    with anyio.fail_after(20):
        told = await answered(standing(tmp_path, images=[image]), images)
    [picture] = told["_pictures"]
    assert picture.mime_type in {"image/webp", "image/jpeg"}
    assert ("file only" in str(told.get("not_inline"))) == (images == "full")


@pytest.mark.anyio
async def test_full_gives_originals_that_fit_and_says_which_did_not(tmp_path: Path) -> None:
    small, large = png(size=200_000), png(size=2_000_000)
    images = [
        saved(tmp_path, 1, small, width=64, height=64),
        saved(tmp_path, 2, large, width=2000, height=2000),
        saved(tmp_path, 3, small, width=64, height=64),
    ]
    with anyio.fail_after(20):
        told = await answered(standing(tmp_path, images=images, request={"n": 3}), "full")
    assert [picture.mime_type for picture in told["_pictures"]] == ["image/png", "image/webp", "image/png"]
    assert [picture.data for picture in told["_pictures"]][0::2] == [small, small]
    assert [note["index"] for note in told["not_inline"]] == [2]
    assert "does not fit" in told["not_inline"][0]["reason"]


@pytest.mark.anyio
async def test_without_a_browser_the_paths_stand_alone_with_the_reason(tmp_path: Path) -> None:
    images = [saved(tmp_path, 1, png(size=2_000_000), width=2000, height=2000)]
    canvas = FakeCanvas("No browser was found for previews.")
    with anyio.fail_after(20):
        told = await answered(standing(tmp_path, images=images), canvas=canvas)
    assert told["_pictures"] == []
    assert told["image_path"] == images[0].path
    assert told["not_inline"] == [{"index": 1, "reason": "No browser was found for previews."}]


@pytest.mark.anyio
async def test_an_original_that_long_reasons_leave_no_room_for_has_a_reason_of_its_own(tmp_path: Path) -> None:
    """A path or a word of the system that is not ASCII takes six times its length on the wire."""
    first = saved(tmp_path, 1, png(size=2_000_000), width=2000, height=2000)

    def both(size: int) -> Standing:
        second = saved(tmp_path, 2, png(size=size), width=64, height=64)
        return standing(tmp_path, images=[first, second], request={"n": 2})

    around = len(json.dumps(fitted(describe(both(700_000))))) + ENVELOPE + 2 * NOTE + 2 * BLOCK
    canvas = FakeCanvas("я" * 300)
    with anyio.fail_after(20):
        told = await answered(both((LIMIT - around) // 4 * 3 - 300), "full", canvas)
    assert told["_pictures"] == []
    assert [note["index"] for note in told["not_inline"]] == [1, 2]


@pytest.mark.anyio
async def test_a_small_original_needs_no_browser(tmp_path: Path) -> None:
    canvas = FakeCanvas()
    with anyio.fail_after(20):
        told = await answered(standing(tmp_path), canvas=canvas)
    assert told["_pictures"][0].data == png()
    assert canvas.opened == 0


@pytest.mark.anyio
@pytest.mark.parametrize(("images", "noted"), [("preview", False), ("full", True)])
async def test_a_picture_that_was_edited_and_is_larger_now_is_shown_by_a_preview(
    tmp_path: Path, images: Images, noted: bool
) -> None:
    """A person may work on the file; its record tells of the bytes that came."""
    made = standing(tmp_path)
    await anyio.Path(made.record.images[0].path).write_bytes(png(size=2_000_000))
    canvas = FakeCanvas()
    with anyio.fail_after(20):
        told = await answered(made, images, canvas=canvas)
    assert (len(told["_pictures"]), canvas.opened, "not_inline" in told) == (1, 1, noted)


@pytest.mark.anyio
async def test_a_picture_that_was_deleted_is_told(tmp_path: Path) -> None:
    made = standing(tmp_path)
    await anyio.Path(made.record.images[0].path).unlink()
    with anyio.fail_after(20):
        told = await answered(made)
    assert told["not_inline"] == [{"index": 1, "reason": "The file is no longer there."}]


@pytest.mark.anyio
async def test_a_preview_lies_beside_its_picture_and_is_made_once(tmp_path: Path) -> None:
    images = [saved(tmp_path, 1, png(size=2_000_000), width=2000, height=2000)]
    before = await anyio.Path(images[0].path).read_bytes()
    canvas = FakeCanvas()
    with anyio.fail_after(20):
        first = await answered(standing(tmp_path, images=images), canvas=canvas)
        second = await answered(standing(tmp_path, images=images), canvas=canvas)
    assert canvas.opened == 1
    assert first["_pictures"] == second["_pictures"]
    assert sorted([path.name async for path in anyio.Path(tmp_path).iterdir()]) == ["image-01.png", "preview-01.webp"]
    assert [entry["path"] for entry in first["images"]] == [images[0].path]
    assert await anyio.Path(images[0].path).read_bytes() == before


@pytest.mark.anyio
async def test_a_running_generation_lists_its_pictures_and_shows_none(tmp_path: Path) -> None:
    images = [saved(tmp_path, 1, png(), width=64, height=64)]
    made = standing(tmp_path, "generating", images=images)
    with anyio.fail_after(10):
        answer = await compose(made, Showing("preview"), FakeCanvas().open)
    assert answer.pictures == []
    assert len(json.loads(answer.text)["images"]) == 1


def test_what_the_person_and_the_model_need_comes_first(tmp_path: Path) -> None:
    made = msgspec.structs.replace(
        standing(tmp_path, "partial", fallback_from="api", failures=[Failure(2, "timeout", "late")]), joined=True
    )
    assert list(describe(made)) == [*CONTRACT[:-4], "actual", "elapsed_seconds", "timings", "metadata"]


def test_what_only_this_program_needs_stays_in_the_record(tmp_path: Path) -> None:
    ours = {"user_message_id": "1", "used_message_ids": ["1"], "turn_pressed": True, "account": "0", "taken_up": True}
    made = standing(tmp_path, facts={**ours, "browser_mode": "headless"}, profile_dir="/p", session_reused=True)
    assert describe(made)["metadata"] == {
        "conversation_mode": "new",
        "browser_mode": "headless",
        "profile_dir": "/p",
        "session_reused": True,
    }


def test_who_asks_again_and_again_is_not_told_the_whole_prompt_each_time(tmp_path: Path) -> None:
    prompt = "a fox " * 5000
    running = describe(standing(tmp_path, "generating", prompt=prompt, sent_prompt=prompt))
    assert len(running["prompt"]) == len(running["sent_prompt"]) == 200
    assert running["prompt"].startswith("a fox a fox")
    assert "timings" not in running
    ended = describe(standing(tmp_path, prompt=prompt, sent_prompt=prompt))
    assert ended["prompt"] == ended["sent_prompt"] == prompt


@pytest.mark.parametrize(
    ("prompt", "name", "line"),
    [
        ("a fox", "image-01.png", "![a fox]({folder}/image-01.png)"),
        ("a fox", "a fox.png", "![a fox](<{folder}/a fox.png>)"),
        ("a fox", "fox (1).png", "![a fox](<{folder}/fox (1).png>)"),
        ("a [fox](x)\n and `this` *bold* <b>", "i.png", "![a fox (x) and this bold b]({folder}/i.png)"),
        ("ein Fuchs " * 10, "i.png", "![ein Fuchs ein Fuchs ein Fuchs ein Fuchs…]({folder}/i.png)"),
        ("狐", "狐.png", "![狐]({folder}/狐.png)"),
    ],
)
def test_one_line_shows_the_picture_where_markdown_is_rendered(
    tmp_path: Path, prompt: str, name: str, line: str
) -> None:
    image = saved(tmp_path, 1, png(), width=64, height=64)
    image = msgspec.structs.replace(image, path=str(tmp_path / name))
    assert describe(standing(tmp_path, prompt=prompt, images=[image]))["markdown"] == line.format(folder=tmp_path)


def test_several_pictures_stand_in_one_line(tmp_path: Path) -> None:
    images = [saved(tmp_path, index, png(), width=64, height=64) for index in (1, 2)]
    line = describe(standing(tmp_path, prompt="a fox", images=images, request={"n": 2}))["markdown"]
    assert line == f"![a fox]({images[0].path}) ![a fox]({images[1].path})"
    assert "markdown" not in describe(standing(tmp_path, "generating"))


@pytest.mark.anyio
async def test_a_client_that_makes_text_of_pictures_gets_the_paths_and_the_reason(tmp_path: Path) -> None:
    images = [saved(tmp_path, index, png(), width=64, height=64) for index in (1, 2)]
    made = standing(tmp_path, images=images, request={"n": 2})
    with anyio.fail_after(10):
        answer = await compose(made, Showing("preview", unseen="It shows none."), FakeCanvas().open)
    assert answer.pictures == []
    assert json.loads(answer.text)["not_inline"] == [{"index": n, "reason": "It shows none."} for n in (1, 2)]
    assert json.loads(answer.text)["image_path"] == images[0].path


@pytest.mark.parametrize(
    ("state", "status"),
    [
        *[(state, "working") for state in ("queued", "starting", "submitting", "generating", "saving")],
        *[(state, state) for state in ("needs_sign_in", "needs_verification", "saved", "partial", "cancelled")],
        *[(state, "failed") for state in ("refused", "failed", "interrupted")],
    ],
)
def test_every_state_has_its_status(state: State, status: str) -> None:
    assert status_of(record(state)) == status


@pytest.mark.anyio
async def test_an_interrupted_generation_that_was_sent_asks_to_be_collected(tmp_path: Path) -> None:
    made = standing(tmp_path, "interrupted", spent="unknown")
    with anyio.fail_after(10):
        answer = await compose(made, Showing("preview"), FakeCanvas().open)
    assert answer.failed
    assert json.loads(answer.text)["submitted"] is True
    assert "wait_for_image" in json.loads(answer.text)["next_step"]


def test_a_failure_of_another_client_says_so_and_by_its_words_is_known(tmp_path: Path) -> None:
    error = ImageError("refused", "The site refused it.", submitted=True, next_step="Change the prompt.").as_dict()
    theirs = standing(tmp_path, "refused", prompt="a fox", error=error)
    told = fields_of(msgspec.structs.replace(theirs, notes=("It is of another client.",)))
    assert (told["next_step"], told["prompt"]) == ("It is of another client. Change the prompt.", "a fox")
    assert "prompt" not in fields_of(theirs)


def test_a_missing_picture_that_may_still_be_fetched_is_never_asked_for_anew(tmp_path: Path) -> None:
    one = [saved(tmp_path, 1, png(), width=64, height=64)]
    late = [Failure(2, "timeout", "300 s were over")]
    left = describe(standing(tmp_path, "interrupted", images=one, failures=late, request={"n": 2}))
    assert left["status"] == "partial"
    assert "wait_for_image" in left["next"]
    assert "Ask only for the rest" not in left["next"]
    given_up = standing(tmp_path, "interrupted", images=one, request={"n": 2}, facts={"given_up": True})
    assert "Ask only for the rest" in describe(given_up)["next"]


def test_an_end_that_nobody_wrote_down_is_never_offered_for_collecting_at_the_api() -> None:
    error = failure_of(record("failed", backend="api", submitted=True, spent="unknown"))
    assert error.retryable is False
    assert "wait_for_image" not in error.next_step
    unsent = failure_of(record("failed", backend="api", submitted=False))
    assert (unsent.retryable, unsent.spent) == (True, False)


@pytest.mark.parametrize(
    ("reset_at", "left"),
    [("2026-11-29T11:00:00+00:00", 0), ("2026-11-29T15:30:00+03:00", 1800), (None, 3600), ("soon", 3600)],
)
def test_a_wait_that_is_told_later_counts_from_then(
    reset_at: str | None, left: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ImageError("rate_limited", "Too many.", submitted=True, retry_after_seconds=3600, reset_at=reset_at)
    monkeypatch.setattr("cdp_image_mcp.library.record.now", lambda: "2026-11-29T12:00:00+00:00")
    told = fields_of(standing(tmp_path, "failed", error=error.as_dict()))
    assert (told["retry_after_seconds"], told.get("reset_at")) == (left, reset_at)


@pytest.mark.parametrize(
    ("wish", "missed"),
    [
        ({}, True),
        ({"size": "64x64"}, True),
        ({"size": "1:1"}, True),
        ({"size": "64x65"}, ["size"]),
        ({"size": "16:9"}, ["size"]),
        ({"size": "0:0"}, ["size"]),
        ({"n": 2}, ["n"]),
        ({"quality": "high"}, ["quality"]),
        ({"output_format": "webp"}, ["output_format"]),
        ({"background": "transparent"}, ["background"]),
        ({"output_compression": 50}, ["output_compression"]),
    ],
)
def test_wishes_that_were_not_met_are_named(tmp_path: Path, wish: dict[str, Any], missed: Any) -> None:
    fields = describe(standing(tmp_path, request=wish))
    assert fields["honoured"] == missed
    assert fields["actual"] == {"n": 1, "size": "64x64", "output_format": "png", "alpha": False}


@pytest.mark.parametrize(
    ("wish", "missed"),
    [
        ({"n": 2, "size": "16:9"}, ["n", "size"]),
        ({"size": "1024x1024", "quality": "high"}, ["n", "size", "quality"]),
        ({"output_format": "webp", "background": "transparent"}, ["n", "output_format", "background"]),
        ({"size": "auto", "background": "opaque"}, ["n", "background"]),
        ({}, ["n"]),
    ],
)
@pytest.mark.parametrize("backend", ["api", "chatgpt-web"])
def test_where_nothing_came_no_wish_was_met(tmp_path: Path, backend: str, wish: dict[str, Any], missed: Any) -> None:
    fields = describe(standing(tmp_path, "cancelled", backend=backend, request=wish))
    assert fields["honoured"] == missed
    assert fields["actual"] == {"n": 0}


def test_the_api_met_a_quality_it_confirmed(tmp_path: Path) -> None:
    met = standing(tmp_path, backend="api", request={"quality": "high"}, facts={"quality": "high"})
    lowered = standing(tmp_path, backend="api", request={"quality": "high"}, facts={"quality": "medium"})
    assert describe(met)["honoured"] is True
    assert describe(lowered)["honoured"] == ["quality"]


def test_addresses_and_prompts_survive_unchanged(tmp_path: Path) -> None:
    prompt = 'two "lines"\n\n\u202eand \U0001f468\u200d\U0001f469\u200d\U0001f467 \\ \x07'
    fields = describe(standing(tmp_path, prompt=prompt, sent_prompt=prompt))
    assert fields["prompt"] == fields["sent_prompt"] == prompt


def test_a_failure_drops_details_that_would_not_fit() -> None:
    error = ImageError("service_error", "x" * 90_000, details={"a": ["y" * 7000] * 50, "b": "kept"})
    fields = failure(error)
    assert len(fields["message"]) == 4000
    assert fields["details"] == {"b": "kept"}


def test_lists_are_shortened_only_where_shorter_strings_are_not_enough() -> None:
    wordy = json.loads(fitted({"lines": ["狐" * 32_000] * 200}))
    many = json.loads(fitted({"lines": [{"number": number} for number in range(200_000)]}))
    assert (len(wordy["lines"]), wordy["shortened"]) == (200, True)
    assert many["lines"][:2] == [{"number": 0}, {"number": 1}]
    assert many["shortened"] is True
    assert fitted({"lines": list(range(5000))}) == json.dumps({"lines": list(range(5000))}, separators=(",", ":"))


def test_base64_lengths_are_counted_exactly() -> None:
    from cdp_image_mcp.mcp_server.answer import base64_length

    assert all(base64_length(size) == len(base64.b64encode(bytes(size))) for size in range(10))
