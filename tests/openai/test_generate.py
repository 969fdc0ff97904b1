"""Pictures made and edited: what is sent, what is saved, what is told."""

import base64
import hashlib
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.wire import exchange
from cdp_image_mcp.request import Reference
from fixtures.images_api import ImagesApi, draw, error, png, raw, silence
from tests.library.making import picture as drawn
from tests.openai.doubles import KEY, DiskReport, MakeBackend, ask, reference

pytestmark = pytest.mark.anyio


async def test_a_picture_is_saved_with_what_was_sent_and_what_it_cost(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    with anyio.fail_after(10):
        await backend.generate(ask("a cat, ünïcode 🦊", quality="low", size="1536x1024"), report)
    [sent] = api.posts
    assert sent.path == "/v1/images/generations"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.json() == {"model": "gpt-image-2", "prompt": "a cat, ünïcode 🦊", "size": "1536x1024", "quality": "low"}
    assert report.pictures == [png(1536, 1024)]
    assert report.states[:3] == ["submitting", "generating", "saving"]
    assert report.known["sent_prompt"] == "a cat, ünïcode 🦊"
    assert report.known["model"] == "gpt-image-2"
    assert report.known["quality"] == "low"
    assert report.known["openai_created"] == 1_795_000_000
    assert report.known["request_id"] == "req_0123456789abcdef"
    assert report.known["usage"]["output_tokens"] == 1756
    assert (report.known["submitted"], report.known["spent"]) == (True, True)
    # 20 text tokens at $5 and 1756 image tokens at $30 for a million.
    assert report.known["cost_usd"] == pytest.approx((20 * 5 + 1756 * 30) / 1e6)
    assert report.known["booked_usd"] == report.known["cost_usd"]


async def test_submitting_is_on_record_before_the_server_hears_anything(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    seen: list[int] = []
    original = report.state

    async def state(name: Any, /, **facts: Any) -> None:
        seen.append(len(api.log))
        await original(name, **facts)

    report.state = state
    with anyio.fail_after(10):
        await backend.generate(ask(), report)
    assert report.history[0][0] == "submitting"
    assert seen[0] == 0
    assert report.history[0][1]["submitted"] == "unknown"  # whatever happens from here on, it may have left
    assert report.history[1] == ("generating", {"submitted": True})


async def test_several_pictures_come_from_one_request_and_each_is_saved_before_the_next_has_come(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    pictures = [png(64, 64, size=200_000, seed=number) for number in range(4)]
    api.play(draw(pictures, piece=30_000))
    with anyio.fail_after(10):
        await backend.generate(ask(n=4), report)
    assert [request.json()["n"] for request in api.posts] == [4]
    assert report.pictures == pictures
    assert report.sentences[-1] == "4 of 4 pictures are saved."


async def test_connections_are_kept_for_the_next_request(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    with anyio.fail_after(20):
        for quality in ("low", "high", "low"):
            await backend.generate(ask(quality=quality), report)
    assert {request.connection for request in api.posts} == {1}


async def test_a_connection_that_rested_is_let_go_before_relays_close_it(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent on a connection that is being closed just then is lost, and may have been paid."""
    assert exchange.KEEP_ALIVE < 5  # uvicorn's, under vLLM, LiteLLM and others
    monkeypatch.setattr(exchange, "KEEP_ALIVE", 0.0)
    with anyio.fail_after(20):
        for _ in range(2):
            await backend.generate(ask(), report)
    assert [request.connection for request in api.posts] == [1, 2]


@pytest.mark.parametrize("background", ["transparent", "opaque"])
async def test_every_wish_is_sent_under_the_vendors_name(
    background: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    backend = make_backend(model="gpt-image-2.5-flare", organization="org-1", project="proj_1")
    with anyio.fail_after(10):
        await backend.generate(
            ask(n=2, size="9:16", quality="xhigh", background=background, output_format="webp", output_compression=70)
            if background == "opaque"
            else ask(background=background),
            report,
        )
    sent = api.posts[0].json()
    assert sent["background"] == background
    assert api.posts[0].headers["openai-organization"] == "org-1"
    assert api.posts[0].headers["openai-project"] == "proj_1"
    if background == "opaque":
        assert (sent["size"], sent["quality"], sent["output_format"], sent["output_compression"]) == (
            "864x1536",
            "xhigh",
            "webp",
            70,
        )


async def test_an_edit_at_the_vendor_is_json_with_data_urls_and_a_mask(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path
) -> None:
    first = reference(tmp_path, png(64, 32, size=2_000_000), "holiday at home.png")
    second = reference(tmp_path, drawn("JPEG"), "b.jpg")
    mask = reference(tmp_path, png(64, 32, alpha=True), "mask.png")
    with anyio.fail_after(10):
        await make_backend().generate(ask(reference_images=(first, second), mask=mask), report)
    [sent] = api.posts
    assert sent.path == "/v1/images/edits"
    assert int(sent.headers["content-length"]) == len(sent.body)
    fields = sent.json()
    urls = [*(image["image_url"] for image in fields["images"]), fields["mask"]["image_url"]]
    heads, bodies = zip(*(url.split(",") for url in urls), strict=True)
    assert heads == ("data:image/png;base64", "data:image/jpeg;base64", "data:image/png;base64")
    assert [base64.b64decode(body) for body in bodies] == [p.path.read_bytes() for p in (first, second, mask)]
    assert b"holiday" not in sent.body
    assert report.known["usage"]["input_tokens_details"]["image_tokens"] == 2048


async def test_a_picture_too_long_for_a_data_url_goes_as_a_form_part(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, tmp_path: Path
) -> None:
    large = reference(tmp_path, png(64, 64, size=16_000_000), "large.png")
    with anyio.fail_after(20):
        await backend.generate(ask(reference_images=(large,)), report)
    [part] = [part for part in api.posts[0].parts() if part.filename]
    assert hashlib.sha256(part.data).hexdigest() == large.sha256


async def test_an_edit_elsewhere_is_a_form_with_made_up_file_names(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path
) -> None:
    one = reference(tmp_path, png(32, 32), "secret name.png")
    two = reference(tmp_path, png(32, 32, seed=2), "two.png")
    mask = reference(tmp_path, png(32, 32, alpha=True), "m.png")
    backend = make_backend(compat="litellm")
    with anyio.fail_after(10):
        await backend.generate(ask("ein Fuchs im Schnee ❄", reference_images=(one,), mask=mask, n=2), report)
        await backend.generate(ask(reference_images=(one, two)), report)
    parts = api.posts[0].parts()
    names = [(part.name, part.filename, part.content_type) for part in parts if part.filename]
    assert names == [("image", "image-1.png", "image/png"), ("mask", "mask.png", "image/png")]
    assert {part.name: part.data.decode() for part in parts if not part.filename} == {
        "model": "gpt-image-2",
        "prompt": "ein Fuchs im Schnee ❄",
        "n": "2",
    }
    assert parts[3].data == one.path.read_bytes()
    assert [part.name for part in api.posts[1].parts() if part.filename] == ["image[]", "image[]"]


async def test_continuing_makes_the_earlier_picture_the_first_input_of_an_edit(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, tmp_path: Path
) -> None:
    earlier = reference(tmp_path, png(48, 48, seed=5), "image-01.png")
    other = reference(tmp_path, png(32, 32), "other.png")
    request = ask(conversation_mode="continue", continue_image=earlier, reference_images=(other,))
    with anyio.fail_after(10):
        await backend.generate(request, report)
    first = api.posts[0].json()["images"][0]["image_url"]
    assert base64.b64decode(first.split(",")[1]) == earlier.path.read_bytes()
    assert len(api.posts[0].json()["images"]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="a file that opens and cannot be read")
async def test_a_reference_that_cannot_be_read_half_way_is_told_as_that_and_not_sent(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    picture = Reference(Path("/proc/self/mem"), "image/png", 32, 32, 4000, "0" * 64, alpha=False)
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await backend.generate(ask(reference_images=(picture,)), report)
    assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("invalid_input", False, False)
    assert (report.known["submitted"], api.posts) == (False, [])


@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone"])
@pytest.mark.parametrize("compat", ["openai", "litellm"])
async def test_a_reference_that_changed_after_the_check_is_not_sent(
    change: str, compat: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path
) -> None:
    data = png(32, 32)
    picture = reference(tmp_path, data, "a.png")
    if change == "gone":
        picture.path.unlink()
    else:
        new = {"longer": data + b"x", "shorter": data[:-1], "other": data[:-1] + b"x"}[change]
        picture.path.write_bytes(new)
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await make_backend(compat=compat).generate(ask(reference_images=(picture,)), report)
    assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("invalid_input", False, False)
    assert api.posts == []


async def test_fewer_pictures_than_asked_are_saved_and_told(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(draw([png(seed=1)]))
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await backend.generate(ask(n=3), report)
    assert len(report.pictures) == 1
    assert (caught.value.code, caught.value.spent) == ("service_error", True)
    assert "1 of 3 pictures" in caught.value.message


async def test_more_pictures_than_asked_are_all_saved(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(draw([png(seed=number) for number in range(3)]))
    with anyio.fail_after(10):
        await backend.generate(ask(n=2), report)
    assert len(report.pictures) == 3


async def test_one_broken_picture_does_not_take_the_others_with_it(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    good = base64.b64encode(png()).decode()
    api.play(draw(items=[{"b64_json": good}, {"b64_json": "!!!"}, {"b64_json": good}]))
    with anyio.fail_after(10), pytest.raises(ImageError, match="picture 2 cannot be decoded"):
        await backend.generate(ask(n=3), report)
    assert len(report.pictures) == 2


async def test_bytes_that_are_no_picture_fail_and_are_told_as_paid(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(draw([b"<html>sorry</html>"]))
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await backend.generate(ask(), report)
    assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("service_error", True, True)


async def test_a_full_disk_is_told_as_paid(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    report.fail_saves = ImageError("disk", "No space is left.")
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await backend.generate(ask(), report)
    assert (caught.value.code, caught.value.spent) == ("disk", True)
    assert report.known["cost_usd"] > 0


@pytest.mark.parametrize("resend", [False, True])
async def test_an_answer_cut_after_its_first_picture_keeps_that_picture(
    resend: bool, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    """It was paid: sent again, also by the wish of the user, it would be paid and saved twice."""
    pictures = [png(64, 64, size=300_000, seed=number) for number in range(2)]
    api.play(draw(pictures, stop_after=500_000))
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await make_backend(resend_unclear=resend).generate(ask(n=2), report)
    assert report.pictures == pictures[:1]
    assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("network", True, True)
    assert len(api.posts) == 1
    assert report.unclear_usd > 0


async def test_a_record_that_cannot_be_written_does_not_cost_the_picture(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    original = report.state

    async def state(name: Any, /, **facts: Any) -> None:
        if name != "submitting":
            raise ImageError("disk", "No space is left.")
        await original(name, **facts)

    report.state = state
    with anyio.fail_after(10):
        await backend.generate(ask(), report)
    assert len(report.pictures) == 1


async def test_nothing_is_sent_when_the_record_cannot_be_written(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    async def state(name: Any, /, **facts: Any) -> None:
        raise ImageError("disk", "No space is left.")

    report.state = state
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await backend.generate(ask(), report)
    assert (caught.value.code, caught.value.submitted) == ("disk", False)
    assert api.log == []


@pytest.mark.parametrize("missing", ["created", "usage", "size", "quality", "background", "output_format"])
async def test_every_field_but_the_picture_may_be_missing(
    missing: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(draw(without=[missing]))
    with anyio.fail_after(10):
        await backend.generate(ask(), report)
    assert len(report.pictures) == 1


async def test_an_answer_without_usage_is_booked_with_its_estimate(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(draw(without=["usage"]))
    with anyio.fail_after(10):
        await backend.generate(ask(quality="low"), report)
    assert "cost_usd" not in report.known
    assert report.unclear_usd > 0


async def test_unknown_fields_and_a_revised_prompt_are_taken_in_stride(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    data = base64.b64encode(png()).decode()
    items = [
        {"b64_json": data, "revised_prompt": "a \x1b[1mbig fox", "generation_id": "gen_1", "new": {"b64_json": None}}
    ]
    api.play(draw(items=items, extra={"svg_usage": None, "safety_identifier": "x", "later": [1, {"a": 2}]}))
    with anyio.fail_after(10):
        await backend.generate(ask(), report)
    assert report.known["revised_prompt"] == "a big fox"
    assert len(report.pictures) == 1


@pytest.mark.parametrize(
    "play",
    [
        draw(prefix="data:image/png;base64,"),
        draw(rewrite=lambda body: body.replace(b"/", b"\\/")),
        draw(content_type="text/plain"),
        draw(piece=7),
        draw(rewrite=lambda body: b"\n\n   \n" + body + b"\n"),
        raw(200, b'{"data":[{"b64_json":"' + base64.b64encode(png()) + b'"}]}'),
    ],
    ids=["data URL", "escaped slashes", "wrong content type", "small pieces", "keep-alive blanks", "content-length"],
)
async def test_answers_of_relays_in_other_clothes_are_understood(
    play: Any, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(play)
    with anyio.fail_after(10):
        await backend.generate(ask(), report)
    assert report.pictures == [png()]


async def test_a_parameter_of_ours_that_the_server_does_not_know_is_left_out_once(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    backend = make_backend(compat="generic", model="flux")
    api.play(error("response_format"))
    api.strict = False
    with anyio.fail_after(10):
        await backend.generate(ask(), report)
    assert [request.json().get("response_format") for request in api.posts] == ["b64_json", None]
    assert report.known["left_out"] == ["response_format"]


async def test_a_parameter_the_caller_chose_is_never_left_out(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    body = b'{"error":{"code":"unknown_parameter","param":"quality","message":"Unknown parameter"}}'
    api.play(raw(400, body))
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await backend.generate(ask(quality="low"), report)
    assert (caught.value.code, caught.value.details["param"]) == ("invalid_input", "quality")
    assert len(api.posts) == 1


async def test_cancelling_cuts_the_connection_and_records_that_it_may_be_billed(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    heard = threading.Event()
    api.play(silence(heard))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(backend.generate, ask(), report)
            await anyio.to_thread.run_sync(heard.wait)
            group.cancel_scope.cancel()
    assert (report.known["submitted"], report.known["spent"]) == (True, "unknown")
    assert "may have made and billed" in report.known["billing_note"]
    assert report.unclear_usd > 0
    assert len(api.posts) == 1


async def test_cancelling_while_waiting_to_send_again_records_that_nothing_was_spent(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.always = error("rate", {"retry-after": "6"})
    told = anyio.Event()
    original = report.progress

    def progress(message: str) -> None:
        original(message)
        told.set()

    report.progress = progress
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(backend.generate, ask(), report)
            await told.wait()
            group.cancel_scope.cancel()
    assert (report.known["submitted"], report.known["spent"]) == (False, False)
    assert report.known["booked_usd"] == 0
