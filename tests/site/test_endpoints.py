"""The endpoints by themselves: who may read what, how a file goes up and comes down, and what can go wrong."""

import hashlib
import sys
from subprocess import PIPE

import anyio
import httpx
import msgspec
import pytest

from fixtures.site import Switches, make_picture, running_site
from fixtures.site.log import PictureMade, from_json
from fixtures.site.variants import MORE, VARIANTS, variant

from .visitor import Visit

pytestmark = pytest.mark.anyio


async def test_the_session_tells_guests_from_people(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit() as visitor:
            session = await visitor.session()
            assert session["user"]
            assert session["accessToken"]
        async with visit(account="guest") as visitor:
            assert await visitor.session() == {}
        async with visit(account="expired") as visitor:
            assert await visitor.session() == {}


async def test_cookies_alone_do_not_open_a_conversation(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit() as visitor:
            await visitor.ask("A fox")
            conversation_id = visitor.site.log.prompts[0].conversation_id
            bare = await visitor.client.get(f"/backend-api/conversation/{conversation_id}")
            assert bare.status_code == 404
            assert bare.json()["detail"]["code"] == "conversation_inaccessible"
            assert (await visitor.client.get("/backend-api/me")).status_code == 401
            assert (await visitor.conversation(conversation_id)).status_code == 200


async def test_a_new_conversation_is_not_there_at_once(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(conversation_404_s=600) as visitor:
            await visitor.ask("A fox")
            conversation_id = visitor.site.log.prompts[0].conversation_id
            assert (await visitor.conversation(conversation_id)).status_code == 404
            visitor.site.set(conversation_404_s=0)
            assert (await visitor.conversation(conversation_id)).status_code == 200


async def test_a_person_signs_in_elsewhere_and_the_next_session_read_knows(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(account="guest") as visitor:
            assert await visitor.session() == {}
            async with httpx.AsyncClient(base_url=visitor.site.url, trust_env=False) as person:
                await person.post("/__site/sign-in")
            assert (await visitor.session())["user"]
            assert [sign_in.how for sign_in in visitor.site.log.sign_ins] == ["person"]


async def test_bytes_need_the_cookie_and_the_signature(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(stream="inline", picture_bytes=200_000) as visitor:
            await visitor.ask("A fox")
            (made,) = visitor.site.log.pictures()
            address = await visitor.link(made.file_id)
            assert address != await visitor.link(made.file_id), "signed anew every time"
            whole = await visitor.client.get(address)
            assert hashlib.sha256(whole.content).hexdigest() == made.sha256
            assert len(whole.content) == made.bytes == 200_000
            async with httpx.AsyncClient(trust_env=False) as stranger:
                assert (await stranger.get(address)).status_code == 403
            forged = await visitor.client.get(address.replace("&sig=", "&sig=0"))
            assert forged.status_code == 403
            assert [download.status for download in visitor.site.log.downloads] == [200, 403, 403]


@pytest.mark.parametrize(("trouble", "status"), [("expired", 403), ("error", 500)])
async def test_the_first_download_may_fail_and_a_fresh_address_works(visit: Visit, trouble: str, status: int) -> None:
    with anyio.fail_after(20):
        async with visit(stream="inline", first_download=trouble) as visitor:
            await visitor.ask("A fox")
            (made,) = visitor.site.log.pictures()
            address = await visitor.link(made.file_id)
            assert (await visitor.client.get(address)).status_code == status
            if trouble == "expired":
                assert (await visitor.client.get(address)).status_code == 403, "that signature is spent"
            fresh = await visitor.client.get(await visitor.link(made.file_id))
            assert hashlib.sha256(fresh.content).hexdigest() == made.sha256


async def test_the_first_download_may_be_cut_half_way(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(stream="inline", first_download="cut", picture_bytes=300_000) as visitor:
            await visitor.ask("A fox")
            (made,) = visitor.site.log.pictures()
            with pytest.raises(httpx.RemoteProtocolError):
                await visitor.client.get(await visitor.link(made.file_id))
            whole = await visitor.client.get(await visitor.link(made.file_id))
            assert hashlib.sha256(whole.content).hexdigest() == made.sha256
            first, second = visitor.site.log.downloads
            assert (first.sent, second.sent) == (150_000, 300_000)


@pytest.mark.parametrize("finish", ["process_stream", "uploaded"])
async def test_an_upload_takes_three_steps_and_is_logged_with_its_digest(visit: Visit, finish: str) -> None:
    content = make_picture("reference", size=(64, 48)).content
    with anyio.fail_after(20):
        async with visit(upload_s=0.01, rename_uploads=True) as visitor:
            about = {"file_name": "ref.png", "file_size": len(content), "use_case": "multimodal"}
            announced = (await visitor.client.post("/backend-api/files", json=about, headers=visitor.bearer)).json()
            stored = await visitor.client.put(
                announced["upload_url"], content=content, headers={"x-ms-blob-type": "BlockBlob"}
            )
            assert stored.status_code == 201
            assert visitor.site.log.uploads == []
            file_id = announced["file_id"]
            if finish == "uploaded":
                path = f"/backend-api/files/{file_id}/uploaded"
                await visitor.client.post(path, json={}, headers=visitor.bearer)
            else:
                done = await visitor.client.post(
                    "/backend-api/files/process_upload_stream", json={"file_id": file_id}, headers=visitor.bearer
                )
                steps = [msgspec.json.decode(line)["event"] for line in done.text.splitlines()]
                assert steps == [
                    "file.processing.started",
                    "file.processing.file_ready",
                    "file.processing.completed",
                ]
            (upload,) = visitor.site.log.uploads
            assert (upload.name, upload.size) == ("ref(1).png", len(content))
            assert upload.sha256 == hashlib.sha256(content).hexdigest()


async def test_no_uploads_left_is_said_in_words(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(upload_limit=True) as visitor:
            about = {"file_name": "a.png", "file_size": 3}
            answer = await visitor.client.post("/backend-api/files", json=about, headers=visitor.bearer)
            assert answer.status_code == 429
            assert "file uploads" in answer.json()["detail"]["message"]


async def test_the_security_check_answers_403_with_its_header_until_it_is_passed(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(challenge="until_passed") as visitor:
            page = await visitor.client.get("/", headers={"accept": "text/html"})
            assert (page.status_code, page.headers["cf-mitigated"]) == (403, "challenge")
            assert "<title>" not in page.text, "its script sets the title later"
            assert "_cf_chl_opt" in page.text
            await visitor.client.post("/__site/pass-challenge")
            assert (await visitor.client.get("/", headers={"accept": "text/html"})).status_code == 200


async def test_the_security_check_in_the_middle_leaves_the_page_alone(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(challenge="mid_session") as visitor:
            assert (await visitor.client.get("/", headers={"accept": "text/html"})).status_code == 200
            refused = await visitor.client.get("/backend-api/me")
            assert (refused.status_code, refused.headers["cf-mitigated"]) == (403, "challenge")
            assert (await visitor.client.get("/", headers={"accept": "text/html"})).status_code == 403


async def test_leftover_conversation_cookies_are_answered_431(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(http_431="cookies") as visitor:
            assert (await visitor.client.get("/")).status_code == 200
            cookies = "; ".join(f"conv_key_{number}=x" for number in range(24))
            assert (await visitor.client.get("/", headers={"cookie": cookies})).status_code == 431


async def test_the_quota_is_told_in_passing_and_goes_down_with_each_picture(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(remaining=5, stream="inline", picture_delay_s=0.01) as visitor:
            await visitor.ask("A fox")
            told = await visitor.client.post("/backend-api/conversation/init", json={}, headers=visitor.bearer)
            assert told.json()["limits_progress"][0]["remaining"] == 4
            visitor.site.set(quota_known=False, image_blocked=True)
            told = await visitor.client.post("/backend-api/conversation/init", json={}, headers=visitor.bearer)
            assert told.json()["limits_progress"] is None
            assert told.json()["blocked_features"][0]["name"] == "image_gen"


@pytest.mark.parametrize(
    ("prompt", "size"),
    [
        ("A fox", (1254, 1254)),
        ("A fox\n\nAspect ratio 16:9.", (1672, 941)),
        ("A clock at 12:30\nportrait, 1024x1536 pixels", (1024, 1536)),
        ("At 12:30 a fox\nsits", (1254, 1254)),
    ],
)
async def test_the_size_follows_the_words_of_the_last_line(visit: Visit, prompt: str, size: tuple[int, int]) -> None:
    with anyio.fail_after(20):
        async with visit(stream="inline", picture_delay_s=0.01) as visitor:
            await visitor.ask(prompt)
            (made,) = visitor.site.log.pictures()
            assert (made.width, made.height) == size
            assert visitor.site.log.prompts[0].text == prompt


async def test_reset_forgets_everything_but_the_switches(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(picture_delay_s=60, plan="free") as visitor:
            await visitor.ask("A fox")
            await visitor.client.post("/__site/reset")
            assert visitor.site.log.prompts == []
            assert visitor.site.switches.plan == "free"
            assert await visitor.session() == {}


async def test_switches_are_changed_by_request_and_bad_ones_are_refused(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit() as visitor:
            changed = await visitor.client.post("/__site/switches", json={"generation": "rebuilt"})
            assert changed.json()["generation"] == "rebuilt"
            assert visitor.site.switches.generation == "rebuilt"
            for bad in ({"generation": "fourth"}, {"no_such_switch": 1}):
                assert (await visitor.client.post("/__site/switches", json=bad)).status_code == 422


async def test_the_site_runs_as_a_process_of_its_own_and_ends_with_its_standard_input() -> None:
    with anyio.fail_after(30):
        command = [sys.executable, "-m", "fixtures.site", "--switches", '{"plan":"free"}']
        async with await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
            assert process.stdout
            assert process.stdin
            url = (await process.stdout.receive()).decode().strip()
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                assert (await client.get("/__site/switches")).json()["plan"] == "free"
                entries = from_json((await client.get("/__site/log")).content)
            assert [entry.kind for entry in entries if isinstance(entry, PictureMade)] == ["foreign"]
            await process.stdin.aclose()
            assert await process.wait() == 0


def test_a_site_in_a_thread_serves_and_ends_with_its_block() -> None:
    with running_site(Switches(account="guest")) as site:
        assert httpx.get(f"{site.url}/api/auth/session", trust_env=False).json() == {}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{site.url}/api/auth/session", trust_env=False)


def test_every_variant_has_a_row_whose_switches_exist() -> None:
    assert len({row.key for row in (*VARIANTS, *MORE)}) == len(VARIANTS) + len(MORE)
    for row in (*VARIANTS, *MORE):
        for generation in row.generations:
            for language in row.languages:
                assert row.switches(generation, language).generation == generation
    assert variant("09b").changes["challenge_reload"] == "cures"
