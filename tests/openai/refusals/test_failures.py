"""Every row of the error table, asked through the whole back end."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.refusals.failures import clean, judge
from cdp_image_mcp.request import WorkState
from fixtures.images_api import ERRORS, ImagesApi, Request, Response, error, html_page, raw, redirect
from tests.clock import leap
from tests.openai.doubles import KEY, DiskReport, MakeBackend, ask

pytestmark = pytest.mark.anyio

# name of the row: our code, submitted, spent, retryable, how often it is asked in all
TABLE: dict[str, tuple[str, Any, Any, bool, int]] = {
    "key": ("api_key_invalid", False, False, False, 1),
    "unverified": ("organization_unverified", False, False, False, 1),
    "model_access": ("model_unavailable", False, False, False, 1),
    "model": ("model_unavailable", False, False, False, 1),
    "model_gone": ("model_unavailable", False, False, False, 1),
    "moderation": ("refused", True, False, False, 1),
    "moderation_output": ("refused", True, "unknown", False, 1),
    "size": ("invalid_input", False, False, False, 1),
    "size_step": ("invalid_input", False, False, False, 1),
    "background": ("invalid_input", False, False, False, 1),
    "fidelity": ("invalid_input", False, False, False, 1),
    "response_format": ("invalid_input", False, False, False, 1),
    "image_data": ("invalid_input", False, False, False, 1),
    "image_url": ("invalid_input", False, False, False, 1),
    "image_mode": ("invalid_input", False, False, False, 1),
    "stream_n": ("invalid_input", False, False, False, 1),
    "policy": ("refused", True, "unknown", False, 1),
    "rate": ("rate_limited", False, False, True, 9),
    "rate_new_account": ("rate_limited", False, False, True, 1),
    "rate_beyond": ("rate_limited", False, False, False, 1),
    "slow_down": ("rate_limited", False, False, True, 9),
    "quota": ("billing", False, False, False, 1),
    "credit": ("billing", False, False, False, 1),
    "organization_spend": ("billing", False, False, False, 1),
    "project_spend": ("billing", False, False, False, 1),
    "organization_usage": ("billing", False, False, False, 1),
    "quota_by_type": ("billing", False, False, False, 1),
    "hard_limit": ("billing", False, False, False, 1),
    "not_active": ("billing", False, False, False, 1),
    "deactivated": ("billing", False, False, False, 1),
    "overloaded": ("service_error", False, False, True, 3),
    "server": ("service_error", "unknown", False, True, 3),
    "azure_filter": ("refused", True, "unknown", False, 1),
    "azure_output_filter": ("refused", True, "unknown", False, 1),
}


async def failure(backend: ApiBackend, report: DiskReport, **fields: Any) -> ImageError:
    report.limit = fields.get("timeout_seconds", report.limit)
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await backend.generate(ask(**fields), report)
    return caught.value


def test_every_known_body_has_its_row() -> None:
    assert set(TABLE) == set(ERRORS)


@pytest.mark.parametrize("name", TABLE)
async def test_each_error_body_becomes_our_code_and_is_repeated_only_when_it_may_be(
    name: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    code, submitted, spent, retryable, asked = TABLE[name]
    # Limits that clear: without jitter nothing waits longer than the 20 ms asked for here. New accounts' 12 s lie
    # beyond this request's deadline.
    headers = {"retry-after-ms": "20"} if asked > 1 else {}
    api.always = error(name, headers)
    fields = {"timeout_seconds": 5.0} if name == "rate_new_account" else {}
    found = await failure(backend, report, **fields)
    assert (found.code, found.submitted, found.spent, found.retryable) == (code, submitted, spent, retryable)
    assert len(api.posts) == asked
    assert found.details["http_status"] == ERRORS[name].status
    assert found.details["request_id"] == "req_0123456789abcdef"
    assert found.details["text"]
    assert report.known["submitted"] == submitted
    assert report.known["spent"] == spent
    assert report.pictures == []


@pytest.mark.parametrize(
    ("status", "code", "spent", "asked"),
    [
        (502, "service_error", False, 3),
        (522, "service_error", False, 3),
        (408, "timeout", "unknown", 1),
        (504, "timeout", "unknown", 1),
        (520, "service_error", "unknown", 1),
        (524, "timeout", "unknown", 1),
        (404, "configuration", False, 1),
        (413, "invalid_input", False, 1),
    ],
)
async def test_html_pages_of_proxies_are_judged_by_their_status(
    status: int, code: str, spent: Any, asked: int, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.always = html_page(status)
    found = await failure(backend, report)
    assert (found.code, found.spent) == (code, spent)
    assert found.details["text"].startswith(f"example.org | {status}: ")
    assert ("most end in /v1" in found.next_step) == (status == 404)
    assert len(api.posts) == asked


ENVOY = "upstream connect error or disconnect/reset before headers. reset reason"


@pytest.mark.parametrize("name", ["rate", "quota", "moderation", "server"])
@pytest.mark.parametrize(
    "form",
    ["\ufeff%s", "event: error\ndata: %s\n\n", ": still there\n\ndata: %s\n\ndata: [DONE]\n\n"],
    ids=["behind a mark", "as an event", "as data"],
)
async def test_a_refusal_means_the_same_in_whatever_form_it_is_written(
    form: str, name: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    code, submitted, spent, retryable, asked = TABLE[name]
    said = (form % json.dumps(ERRORS[name].body())).encode()
    api.always = raw(ERRORS[name].status, said, {"content-type": "text/event-stream", "retry-after-ms": "20"})
    found = await failure(backend, report, quality="high")
    assert (found.code, found.submitted, found.spent, found.retryable) == (code, submitted, spent, retryable)
    assert len(api.posts) == asked


@pytest.mark.parametrize("words", ["no available accounts", "disk full"])
@pytest.mark.parametrize("field", ["message", "detail"])
async def test_a_refusals_words_are_read_from_an_event_without_an_error_object(
    field: str, words: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    said = f": wait\n\ndata: {{}}\n\ndata: {json.dumps({field: words})}\n\ndata: [DONE]\n\n"
    api.always = raw(503, said.encode(), {"content-type": "text/event-stream", "retry-after-ms": "20"})
    found = await failure(backend, report)
    assert found.details["text"] == words
    assert ("relay's accounts" in str(found.next_step)) == (words != "disk full")


RELAYED = {"message": "The upstream failed.", "type": "upstream_error", "code": None, "param": None}
SPRING = {"timestamp": "2026-11-28", "path": "/v1/images/generations", "status": 500, "error": "Internal Server Error"}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, "<html><title>500 - The request failed</title></html>", ("timeout", True, "unknown", 1)),
        (502, "<html><title>502 Server Error</title></html>", ("timeout", True, "unknown", 1)),
        (503, "Application error", ("timeout", True, "unknown", 1)),
        (503, '{"message": "Service Unavailable"}', ("timeout", True, "unknown", 1)),
        (500, json.dumps(SPRING), ("timeout", True, "unknown", 1)),
        (503, '{"detail": "Service unavailable"}', ("timeout", True, "unknown", 1)),
        (500, '{"error": "CUDA out of memory"}', ("service_error", "unknown", False, 3)),
        (502, "", ("timeout", True, "unknown", 1)),
        (500, json.dumps({"error": RELAYED}), ("service_error", "unknown", False, 3)),
        (521, "<html><title>521: Web server is down</title></html>", ("service_error", "unknown", False, 3)),
    ],
    ids=[
        *("app service", "load balancer", "router", "api gateway", "spring", "problem", "the server's own sentence"),
        *("nothing", "the server's own word", "never reached"),
    ],
)
async def test_a_gateway_that_answers_for_a_server_after_long_silence_may_hide_a_picture(
    status: int,
    body: str,
    told: tuple[Any, ...],
    api: ImagesApi,
    backend: ApiBackend,
    report: DiskReport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By their own limits of 15 to 230 s they answer so, and the server behind them draws on."""

    async def late(request: Request, response: Response) -> None:
        there = threading.Event()
        while report.states[-1] != "generating":
            await anyio.lowlevel.checkpoint()
        loop.call_soon_threadsafe(lambda: (leap(monkeypatch, 31), there.set()))
        await asyncio.to_thread(there.wait, 20)
        await raw(status, body.encode(), {"content-type": "text/html", "retry-after-ms": "20"})(request, response)

    loop = asyncio.get_running_loop()
    api.always = late
    with anyio.fail_after(1000), pytest.raises(ImageError) as caught:
        await backend.generate(ask(), report)
    found = caught.value
    assert (found.code, found.submitted, found.spent, len(api.posts)) == told
    assert found.retryable is (found.spent is False)
    assert (report.unclear_usd > 0) is (found.spent == "unknown")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("curl: (28) Operation timed out after 30002 milliseconds with 0 bytes received", ("timeout", 1)),
        ('do request failed: Post "https://api.example.com/v1/images/generations": EOF', ("timeout", 1)),
        ("context deadline exceeded (Client.Timeout exceeded while awaiting headers)", ("timeout", 1)),
        ("Server disconnected without sending a response.", ("timeout", 1)),
        ("read tcp 10.0.0.2:51812->10.0.0.7:443: read: connection timed out", ("timeout", 1)),
        ("curl: (56) Recv failure: Connection timed out", ("timeout", 1)),
        ("upstream failed:\nread: connection reset by peer", ("timeout", 1)),
        ("java.net.SocketException: Connection reset", ("timeout", 1)),
        ("connection closed before message completed", ("timeout", 1)),
        ("request to https://api.example.com/v1 failed, reason: Premature close", ("timeout", 1)),
        ("upstream failed:\ndial tcp 10.0.0.7:443: connect: connection timed out", ("service_error", 3)),
        (f"{ENVOY}: connection termination", ("timeout", 1)),
        (f"{ENVOY}: connection failure", ("service_error", 3)),
        ("dial tcp 10.0.0.7:443: i/o timeout", ("service_error", 3)),
    ],
)
@pytest.mark.parametrize("status", [500, 503])
async def test_a_relay_that_says_how_it_lost_its_server_is_believed(
    status: int, said: str, told: tuple[str, int], api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.always = raw(status, json.dumps({"error": {"message": said}}).encode(), {"retry-after-ms": "20"})
    found = await failure(backend, report)
    assert (found.code, len(api.posts)) == told
    assert found.spent == ("unknown" if told[1] == 1 else False)


async def test_a_429_without_a_word_is_tried_twice_more(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.always = raw(429, b"slow down", {"content-type": "text/plain"})
    found = await failure(backend, report)
    assert (found.code, found.spent) == ("rate_limited", False)
    assert len(api.posts) == 3


@pytest.mark.parametrize(
    ("advice", "name", "asked"), [("false", "server", 1), ("true", "server", 3), ("false", "rate", 1)]
)
async def test_the_servers_own_advice_on_repeating_is_followed(
    advice: str, name: str, asked: int, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.always = error(name, {"x-should-retry": advice})
    await failure(backend, report)
    assert len(api.posts) == asked


class Leaves(DiskReport):
    """Its server leaves between the record that something may go out and the request, or in the pause after it."""

    when = "before the first try"

    async def state(self, state: WorkState, /, **facts: Any) -> None:
        await super().state(state, **facts)
        self.leaving = self.leaving or (state == "submitting" and self.when == "before the first try")

    def progress(self, message: str) -> None:
        super().progress(message)
        self.leaving = self.leaving or ("Sent again" in message and self.when == "in the pause before the second")


@pytest.mark.parametrize(("when", "asked"), [("before the first try", 0), ("in the pause before the second", 1)])
async def test_who_stops_because_the_server_leaves_tells_what_was_sent_and_paid_before(
    when: str, asked: int, api: ImagesApi, backend: ApiBackend, tmp_path: Path
) -> None:
    report = Leaves(tmp_path)
    report.when = when
    api.always = error("server", {"retry-after-ms": "20"})
    found = await failure(backend, report)
    assert len(api.posts) == asked
    submitted = TABLE["server"][1] if asked else False
    assert (found.code, found.submitted, found.spent) == ("cancelled", submitted, False)
    assert (report.known["submitted"], report.known["spent"]) == (submitted, False)


@pytest.mark.parametrize("status", [408, 504, 520, 524])
def test_what_may_be_paid_is_not_sent_again_on_a_gateways_advice(status: int) -> None:
    verdict = judge(status, {"x-should-retry": "true"}, None, "<html>gateway timeout</html>")
    assert (verdict.error.spent, verdict.again) == ("unknown", None)


def test_an_error_page_of_any_length_is_read_at_once() -> None:
    assert judge(502, {}, None, "<" * 1_000_000).error.code == "service_error"


async def test_another_address_is_not_followed_with_the_key(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(redirect(api.url + "/images/generations"))
    found = await failure(backend, report)
    assert found.code == "configuration"
    assert len(api.posts) == 1


async def test_an_error_within_a_success_is_an_error(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(raw(200, b'{"error": {"message": "upstream failed", "type": "server_error", "code": null}}'))
    found = await failure(backend, report)
    assert (found.code, found.submitted, found.spent) == ("service_error", True, "unknown")
    assert len(api.posts) == 1
    assert report.unclear_usd > 0


async def test_a_refusal_within_a_success_is_a_refusal(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(raw(200, b'{"error": {"message": "no", "code": "moderation_blocked"}}'))
    assert (await failure(backend, report)).code == "refused"


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'"x"', b"{}", b'{"data": []}', b'{"data": null}', b'{"data":[{}]}', b"<html>"]
)
async def test_a_success_without_a_picture_is_a_service_error_that_may_be_paid(
    body: bytes, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(raw(200, body))
    found = await failure(backend, report)
    assert (found.code, found.submitted) == ("service_error", True)
    assert found.spent in {"unknown", True}
    assert len(api.posts) == 1


def test_foreign_text_is_bounded_and_holds_neither_control_characters_nor_keys() -> None:
    text = clean(f"a\x1b[31m\x00b\u202e {KEY} sk-live-abcd1234efgh " + "x" * 5000, KEY)
    assert len(text) <= 1000
    assert KEY not in text
    assert "sk-live" not in text
    assert not set(text) & set("\x1b\x00\u202e")


@pytest.mark.parametrize("key", ["x", "e", "none", "test", "ollama", "lm-studio", None])
@pytest.mark.parametrize(
    "text",
    [
        "a test of low-key-lighting, keystone and key-visual: none is extreme, not elm-studios",
        "the key-visuals-of-2026 are high; task-1234567890abc of the kiosk-1234567890abc, low-key-light-at-50mm-f2",
    ],
)
def test_what_is_no_key_stays_as_it_was_said(text: str, key: str | None) -> None:
    """Servers of one's own take any word for a key."""
    assert clean(text, key) == text


ESCAPED = [r"Bearer%20{}%0A", r"'Bearer\n{}\n'", r"\t{}\r\n", r"\x20{}\x0a", r"\u003d{}\u0026"]
"""What stands before a key may be written with letters and digits."""


@pytest.mark.parametrize("key", ["sk-1234", "lm-studio", "hunter22", KEY, "0123456789abcdef", "a.b+c(d"])
@pytest.mark.parametrize("text", ["{}", "'{}'", "no such key: {}.", "key={}, or Bearer {}", *ESCAPED])
def test_a_key_is_shown_nowhere(text: str, key: str) -> None:
    assert clean(text.replace("{}", key), key) == text.replace("{}", "[key]")


@pytest.mark.parametrize("text", ["x{}", "{}y", "a_{}_b", "{}{}"])
def test_a_long_one_is_not_shown_within_a_word_either(text: str) -> None:
    assert clean(text.replace("{}", KEY), KEY) == text.replace("{}", "[key]")


@pytest.mark.parametrize(
    "foreign",
    [
        "sk-proj-Ab1_cdEfGhIjKlMnOpQr-StUv",
        "sk-ant-api03-QWERTYuiop",
        "sk-0123456789abcdef",
        "sk-********************Kdsa",
        "key-3ax6xnjp29jd6fds4gc373sgvjxteol0",
        "sess-AbCdEfGhIjKlMnOpQrStUvWx",
        "sk-or-v1-0123456789abcdef",
    ],
)
@pytest.mark.parametrize("text", ["{}", "Incorrect API key provided: {}, sorry", "token='{}'"])
def test_somebody_elses_key_is_not_shown(text: str, foreign: str) -> None:
    assert clean(text.replace("{}", foreign), KEY) == text.replace("{}", "[key]")


@pytest.mark.parametrize(
    "body",
    [
        *(None, [], "text", {"error": "words"}, {"error": ["x"]}, {"error": {"code": 13}}, 7),
        *({"detail": [{"loc": None, "msg": "words"}]}, {"detail": [{"loc": 1.5}]}),
    ],
    ids=str,
)
def test_bodies_of_any_shape_are_judged(body: Any) -> None:
    assert judge(400, {}, body).error.code == "invalid_input"
    assert judge(500, {}, body).error.code == "service_error"


async def test_a_body_that_is_one_sentence_in_quotation_marks_is_told_without_them(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(raw(400, b'"bad things"'))
    assert (await failure(backend, report)).details["text"] == "bad things"


@pytest.mark.parametrize("number", [",", "9" * 5000], ids=["none", "an endless one"])
def test_a_limit_without_a_number_is_a_limit(number: str) -> None:
    found = judge(429, {}, {"error": {"message": f"Rate limit reached: Limit {number}, Requested {number}."}}).error
    assert (found.code, found.submitted, found.spent, found.retryable) == ("rate_limited", False, False, True)


def test_a_plain_sentence_in_place_of_an_error_object_is_kept() -> None:
    assert judge(400, {}, {"error": "bad things"}).error.details["text"] == "bad things"


@pytest.mark.parametrize("status", [504, 524, 599])
async def test_what_may_have_been_paid_is_never_called_retryable(
    status: int, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.always = html_page(status)
    found = await failure(backend, report)
    assert (found.spent, found.retryable) == ("unknown", False)


@pytest.mark.parametrize(
    ("row", "model", "fields", "advice"),
    [
        ("background", "gpt-image-2", {"background": "transparent"}, "gpt-image-2.6-sunburst, gpt-image-2.6-flare"),
        ("model_gone", "gpt-image-1.5", {}, "Set GPT_IMAGE_MODEL to gpt-image-2.6-sunburst."),
        ("model_access", "gpt-image-1-mini", {}, "Set GPT_IMAGE_MODEL to gpt-image-2.6-sunburst."),
        ("model", "gpt-image-9", {}, "gpt-image-2.6-sunburst, gpt-image-2.6-flare, gpt-image-2.5-sunburst"),
    ],
)
async def test_a_refusal_names_the_models_that_can(
    row: str,
    model: str,
    fields: dict[str, str],
    advice: str,
    api: ImagesApi,
    make_backend: MakeBackend,
    report: DiskReport,
) -> None:
    """What the server grants nobody else refuses: its own refusal costs nothing."""
    api.play(error(row))
    found = await failure(make_backend(model=model), report, **fields)
    assert advice in found.next_step
    assert (found.submitted, found.spent, found.retryable) == (False, False, False)
    for name, value in fields.items():
        assert api.posts[0].json()[name] == value


async def test_a_transparent_picture_that_the_server_grants_is_simply_there(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    with anyio.fail_after(20):
        await backend.generate(ask(background="transparent"), report)
    assert report.images[0].alpha
