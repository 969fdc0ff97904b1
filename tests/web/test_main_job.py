"""One picture from the client's call to the file on disk, through a real browser."""

import hashlib
import shutil
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from fixtures.site import Site, Switches, running_site
from fixtures.site.log import Document
from fixtures.site.site import ACCOUNT_ID
from fixtures.site.switches import Generation
from fixtures.site.turn.conversations import Conversation
from fixtures.site.turn.messages import message, text_content
from tests.web.performance import Performance, Scene, Stage
from tests.web.program import Answer, noted, running_program

pytestmark = pytest.mark.anyio

WAYS = {
    "classic, recorded turn, websocket": Switches(),
    "rebuilt, recorded turn, websocket": Switches(generation="rebuilt"),
    "classic, recorded turn, conversation JSON": Switches(arrival="poll"),
    "rebuilt, recorded turn, conversation JSON": Switches(generation="rebuilt", arrival="poll"),
    "classic, bare hand-off": Switches(stream="handoff", arrival="poll"),
    "rebuilt, bare hand-off": Switches(generation="rebuilt", stream="handoff", arrival="poll"),
    "classic, previews with their own id first": Switches(stream="inline", previews=2),
    "classic, previews under the same id": Switches(stream="inline", previews=2, preview_ids="same"),
    "rebuilt, previews first, blob source": Switches(generation="rebuilt", stream="inline", previews=2),
    "classic, 8 MB picture": Switches(picture_bytes=8_000_000),
    "classic, JPEG": Switches(format="jpeg"),
    "rebuilt, WebP": Switches(generation="rebuilt", format="webp"),
}


async def one_picture(switches: Switches, stage: Stage) -> None:
    stage.set(switches)
    answer = await stage.program.generate("a lighthouse at dusk")
    assert answer.status == "saved", answer.data
    log = stage.site.log
    finals = log.pictures("final")
    assert [hashlib.sha256(data).hexdigest() for data in answer.files()] == [picture.sha256 for picture in finals]
    assert [prompt.text for prompt in log.prompts] == ["a lighthouse at dusk"]
    assert log.untrusted == []
    assert log.wrong_presses == []
    image = answer.data["images"][0]
    assert (image["width"], image["height"], image["bytes"]) == (finals[0].width, finals[0].height, finals[0].bytes)
    assert image["c2pa"] is True
    assert answer.record()["state"] == "saved"
    assert len(answer.pictures) == 1


@pytest.mark.parametrize("scene", [pytest.param(Scene(partial(one_picture, WAYS[way])), id=way) for way in WAYS])
async def test_the_saved_file_is_the_final_picture_and_one_prompt_went_out(
    scene: Scene, performance: Performance
) -> None:
    await performance.seen(scene)


UNUSUAL = "Unusual activity has been detected from your device. Try again later."


async def accepted(stage: Stage) -> None:
    """A gateway's 5xx to a prompt that the site took all the same."""
    stage.set(Switches(post_status=500, post_accepted=True))
    told = await stage.program.generate("a lamp that was paid for", wait_seconds=120)
    assert (told.code, told.data["submitted"], told.data["spent"]) == ("service_error", "unknown", "unknown"), told.data
    assert "wait_for_image" in told.data["next_step"], told.data
    answer = await stage.program.call("wait_for_image", generation_id=told.data["generation_id"], wait_seconds=60)
    assert answer.status == "saved", answer.data
    log = stage.site.log
    assert [hashlib.sha256(data).hexdigest() for data in answer.files()] == [
        one.sha256 for one in log.pictures("final")
    ]
    assert len(log.prompts) == 1


@pytest.mark.parametrize("scene", [pytest.param(Scene(accepted, 55.0), id="500")])
async def test_a_prompt_that_was_answered_with_a_fault_and_drawn_is_collected(
    scene: Scene, performance: Performance
) -> None:
    await performance.seen(scene)


async def refused(status: int, words: str, code: str, stage: Stage) -> None:
    """The site takes nothing, and the same wish is sent anew where nothing is left to be looked for."""
    stage.set(Switches(post_status=status, post_words=words))
    told = await stage.program.generate("a lamp that was refused", wait_seconds=120)
    assert (told.code, told.data["spent"]) == (code, False), told.data
    assert "wait_for_image" not in told.data["next_step"], told.data
    stage.site.set(post_status=0)
    answer = await stage.program.generate("a lamp that was refused", wait_seconds=120)
    assert answer.status == "saved", answer.data
    assert answer.data["generation_id"] != told.data["generation_id"]
    assert [prompt.outcome for prompt in stage.site.log.prompts] == [f"status {status}", "answered"]


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(Scene(partial(refused, 401, "", "needs_sign_in"), 8.0), id="401"),
        pytest.param(Scene(partial(refused, 403, UNUSUAL, "verification_required"), 8.0), id="403"),
    ],
)
async def test_what_the_site_refused_is_not_looked_for_there(scene: Scene, performance: Performance) -> None:
    await performance.seen(scene)


def an_old_chat(stage: Stage, **switches: Any) -> None:
    """A person opens it in our page."""
    old = Conversation("Another matter")
    old.add(message("user", text_content("So?")))
    old.add(message("assistant", text_content("So it is."), end_turn=True))
    old.date(time.time() - 86_400)
    stage.set(Switches(person_opens=old.id, **switches))
    stage.site.state.conversations[old.id] = old


async def never_sent(stage: Stage, *, in_place: bool) -> None:
    """Before the page sends the prompt, which then never goes out."""
    an_old_chat(stage, person_opens_behind="press", sentinel_s=3.0, person_opens_in_place=in_place)
    told = await stage.program.generate("a lighthouse that was left", wait_seconds=120)
    assert (told.code, told.data["submitted"]) == ("site_changed", "unknown"), told.data
    assert stage.site.log.prompts == []


async def left(stage: Stage) -> None:
    """Before the first byte of the answer."""
    an_old_chat(stage)
    answer = await stage.program.generate("a lighthouse in another chat", wait_seconds=120)
    assert answer.status == "saved", answer.data
    log = stage.site.log
    assert answer.record()["conversation_id"] == log.prompts[0].conversation_id
    assert [hashlib.sha256(data).hexdigest() for data in answer.files()] == [
        one.sha256 for one in log.pictures("final")
    ]
    assert len(log.prompts) == 1


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(Scene(partial(never_sent, in_place=False), 20.0), id="opened"),
        pytest.param(Scene(partial(never_sent, in_place=True), 20.0), id="in the same document"),
    ],
)
async def test_the_turn_of_a_chat_that_a_person_opened_before_the_prompt_went_out_is_not_taken_for_ours(
    scene: Scene, performance: Performance
) -> None:
    await performance.seen(scene)


@pytest.mark.parametrize("scene", [pytest.param(Scene(left, 40.0), id="opened")])
async def test_a_picture_is_collected_from_its_own_chat_where_a_person_opened_another_before_it_was_named(
    scene: Scene, performance: Performance
) -> None:
    await performance.seen(scene)


GENERATIONS: tuple[Generation, ...] = ("october", "classic", "rebuilt")

PROMPTS = {
    "quotes": "a sign that says \"don't\" and 'do' — „so“ «ja»",
    "scripts": "Ein Bär, 一只熊, медведь, 곰, クマ, con gấu, 👩‍🚀🐻‍❄️ é e\u0301",
    "blank lines": "first line\n\nthird line\n\n\nsixth line",
    "markup": "<b>bold</b> & `code` *stars* # no heading\n- no list\n/slash @at",
    "long": " ".join(f"word{number}" for number in range(2200))[:20_000].strip(),
}


async def exactly(prompt: str, generation: Generation, stage: Stage) -> None:
    stage.set(Switches(generation=generation))
    answer = await stage.program.generate(prompt)
    assert answer.status == "saved", answer.data
    assert [prompt.text for prompt in stage.site.log.prompts] == [prompt]
    assert answer.data["prompt"] == prompt
    assert answer.data["sent_prompt"] == prompt


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(
            Scene(partial(exactly, prompt, generation)),
            id=f"{generation}-{kind}",
            marks=() if generation == "october" else pytest.mark.nightly,
        )
        for generation in GENERATIONS
        for kind, prompt in PROMPTS.items()
    ],
)
async def test_exactly_the_asked_text_reaches_the_site_once(scene: Scene, performance: Performance) -> None:
    await performance.seen(scene)


@pytest.mark.parametrize("generation", ["classic", "october"])
async def test_a_picture_that_went_on_in_a_conversation_can_be_gone_on_with_in_the_page_that_stands_there(
    tmp_path: Path, generation: Generation
) -> None:
    with running_site(Switches(generation=generation)) as site:
        async with running_program(tmp_path, site.url) as program:
            answers = [
                await program.generate("a lighthouse at dusk"),
                await program.generate("make it blue", conversation_mode="continue"),
                await program.generate("make it red", conversation_mode="continue"),
            ]
        assert [answer.status for answer in answers] == ["saved"] * 3, [answer.data for answer in answers]
        assert len({prompt.conversation_id for prompt in site.log.prompts}) == 1
        assert [prompt.references for prompt in site.log.prompts] == [[]] * 3
        assert [document.path for document in site.log.of(Document)] == ["/"]
    assert len({answer.record()["conversation_url"] for answer in answers}) == 1
    assert len({answer.files()[0] for answer in answers}) == 3


async def test_an_address_in_a_record_that_is_no_conversation_of_the_site_is_not_opened(tmp_path: Path) -> None:
    """A shared folder brings records that others wrote, and the site may be another one than it was then."""
    with running_site(Switches()) as site:
        async with running_program(tmp_path, site.url) as program:
            first = await program.whole(await program.generate("a lighthouse at dusk"))
            record, before = first.record(), len(site.log.of(Document))
            others = "https://other.example/c/" + record["conversation_id"]
            for stored in (f"{site.url}/?q=ten%20cats", f"{site.url}/auth/logout", others):
                sidecar = Path(first.data["output_dir"]) / "metadata.json"
                sidecar.write_bytes(msgspec.json.encode(record | {"conversation_url": stored}))
                told = await program.generate(f"make it like {stored}", continue_from=first.data["generation_id"])
                assert (told.code, told.data["details"]["field"]) == ("invalid_input", "continue_from"), told.data
                assert (told.data["submitted"], told.data["spent"]) == (False, False)
        assert len(site.log.of(Document)) == before
        assert [prompt.text for prompt in site.log.prompts] == ["a lighthouse at dusk"]


def went_up(site: Site) -> list[list[str]]:
    """The pictures that went along with each prompt of ours, by their hashes; all went into one conversation."""
    prompts = [prompt for prompt in site.log.prompts if not prompt.person]
    assert len({prompt.conversation_id for prompt in prompts}) == 1
    uploads = {upload.file_id: upload.sha256 for upload in site.log.uploads}
    return [[uploads[file] for file in prompt.references] for prompt in prompts]


async def test_the_site_is_shown_the_picture_that_is_gone_on_from_where_it_has_drawn_another_since(
    tmp_path: Path,
) -> None:
    """Also where nothing here tells of that other any more."""
    with running_site(Switches()) as site:
        async with running_program(tmp_path, site.url) as program:
            first = await program.generate("a lighthouse at dusk")
            identity = first.data["generation_id"]
            blue = await program.whole(await program.generate("make it blue", continue_from=identity))
            red = await program.whole(await program.generate("make it red", continue_from=identity))
            for known in (blue, red):
                shutil.rmtree(known.data["output_dir"])
            green = await program.generate("make it green", continue_from=identity)
        answers = [first, blue, red, green]
        assert [answer.status for answer in answers] == ["saved"] * 4, [answer.data for answer in answers]
        drawn = hashlib.sha256(first.files()[0]).hexdigest()
        assert went_up(site) == [[], [], [drawn], [drawn]]


@pytest.mark.parametrize("generation", ["october", pytest.param("classic", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("asks", [False, True], ids=["nobody asked since", "a person asked since"])
async def test_what_a_person_asked_for_in_the_conversation_at_the_site_counts_when_it_is_loaded(
    tmp_path: Path, generation: Generation, asks: bool
) -> None:
    with running_site(Switches(generation=generation)) as site:
        async with running_program(tmp_path, site.url) as program:
            first = await program.whole(await program.generate("a lighthouse at dusk"))
        if asks:
            conversation = site.state.conversations[first.record()["conversation_id"]]
            conversation.add(message("user", text_content("What is it made of?")))
            conversation.add(message("assistant", text_content("Of stone."), end_turn=True))
        async with running_program(tmp_path, site.url) as program:
            blue = await program.generate("make it blue", continue_from=first.data["generation_id"])
        assert blue.status == "saved", blue.data
        assert went_up(site) == [[], [hashlib.sha256(first.files()[0]).hexdigest()] if asks else []]


async def test_where_a_conversation_does_not_open_it_is_said_that_another_account_may_have_it(tmp_path: Path) -> None:
    """Waiting alone does not help whoever signed in anew as somebody else."""
    with running_site(Switches()) as site:
        async with running_program(tmp_path, site.url) as program:
            first = await program.whole(await program.generate("a lighthouse at dusk"))
        site.set(unloadable=True)
        async with running_program(tmp_path, site.url) as program:
            blue = await program.generate("make it blue", continue_from=first.data["generation_id"])
        assert (blue.code, blue.data["submitted"]) == ("service_error", False), blue.data
        assert "ask the user whether the account" in blue.data["next_step"]
        assert len(site.log.prompts) == 1


async def test_a_page_that_does_not_show_what_was_asked_for_since_goes_on_from_the_picture_itself(
    tmp_path: Path,
) -> None:
    """The prompt answers what its page shows last, so that nothing else need be shown for it."""
    with running_site(Switches()) as site:
        async with running_program(tmp_path, site.url) as program:
            first = await program.whole(await program.generate("a lighthouse at dusk"))
            conversation = site.state.conversations[first.record()["conversation_id"]]
            leaf = conversation.current
            conversation.add(message("user", text_content("What is it made of?")))
            conversation.add(message("assistant", text_content("Of stone."), end_turn=True))
            blue = await program.generate("make it blue", continue_from=first.data["generation_id"])
        assert blue.status == "saved", blue.data
        assert (went_up(site), site.log.prompts[1].parent_id) == ([[], []], leaf)


@pytest.mark.parametrize("generation", ["october", pytest.param("classic", marks=pytest.mark.nightly)])
async def test_what_a_person_asked_for_in_the_page_that_stands_there_counts(
    tmp_path: Path, generation: Generation
) -> None:
    with running_site(Switches(generation=generation, person_prompts_s=0.1, picture_delay_s=2.0)) as site:
        async with running_program(tmp_path, site.url) as program:
            first = await program.whole(await program.generate("a lighthouse at dusk"))
            site.set(person_prompts_s=0.0, picture_delay_s=0.3)
            blue = await program.generate("make it blue", continue_from=first.data["generation_id"])
        assert blue.status == "saved", blue.data
        assert went_up(site) == [[], [hashlib.sha256(first.files()[0]).hexdigest()]]


@pytest.mark.parametrize("generation", ["october", pytest.param("classic", marks=pytest.mark.nightly)])
async def test_a_follow_up_whose_request_was_lost_is_told_so_and_not_waited_for_again_and_again(
    tmp_path: Path, generation: Generation
) -> None:
    with running_site(Switches(generation=generation)) as site:
        async with running_program(tmp_path, site.url) as program:
            assert (await program.generate("a lighthouse at dusk")).status == "saved"
            site.set(post_cut=True)
            lost = await program.whole(await program.generate("make it blue", conversation_mode="continue"))
            assert (lost.code, lost.data["submitted"]) == ("service_error", "unknown"), lost.data
            assert "wait_for_image" in lost.data["next_step"]
            site.set(post_cut=False)
            (sidecar,) = (tmp_path / "output" / "chatgpt-images").glob("*make-it-blue*/metadata.json")
            await noted(sidecar)
            record = msgspec.json.decode(sidecar.read_bytes())
            # Some minutes later: right after the press the site may not show it yet.
            record["facts"]["submitted_at"] = (datetime.now().astimezone() - timedelta(minutes=10)).isoformat()
            sidecar.write_bytes(msgspec.json.encode(record))
            for _ in range(2):
                told = await program.call("wait_for_image", generation_id=lost.data["generation_id"], wait_seconds=60)
                assert told.code == "not_found", told.data
            again = await program.generate("make it blue", conversation_mode="continue")
            assert again.status == "saved", again.data
        assert [prompt.outcome for prompt in site.log.prompts] == ["answered", "status 599", "answered"]


async def test_a_page_that_another_server_has_left_behind_is_loaded_before_its_conversation_goes_on(
    tmp_path: Path,
) -> None:
    with running_site(Switches()) as site:
        async with running_program(tmp_path, site.url) as one, running_program(tmp_path, site.url) as other:
            answers = [
                await one.generate("a lighthouse at dusk"),
                await other.generate("make it blue", conversation_mode="continue"),
                await one.generate("make it red", conversation_mode="continue"),
            ]
        assert [answer.status for answer in answers] == ["saved"] * 3, [answer.data for answer in answers]
        conversations = {prompt.conversation_id for prompt in site.log.prompts}
        assert len(conversations) == 1
        conversation = f"/c/{conversations.pop()}"
        assert [document.path for document in site.log.of(Document)] == ["/", conversation, conversation]


def unfetched(answer: Answer, *forgotten: str, **facts: object) -> None:
    """Put a generation back to how it stood when its server died behind the press of send."""
    record, folder = answer.record(), Path(answer.data["output_dir"])
    for key in forgotten:
        for known in (record, record["facts"]):
            known.pop(key, None)
    record |= {"submitted": "unknown", "spent": "unknown", "state": "submitting", "finished_at": None}
    record |= {"images": [], "sources": []}
    record["facts"] |= {"submitted": "unknown", "turn_pressed": True, **facts}
    for picture in folder.glob("image-*"):
        picture.unlink()
    (folder / "metadata.json").write_bytes(msgspec.json.encode(record))


@pytest.mark.parametrize("generation", ["october", pytest.param("classic", marks=pytest.mark.nightly)])
async def test_both_candidates_are_collected_while_the_panel_that_asks_for_a_choice_locks_the_composer(
    tmp_path: Path, generation: Generation
) -> None:
    with running_site(Switches(generation=generation, paragen=True)) as site:
        async with running_program(tmp_path, site.url) as program:
            answer = await program.whole(await program.generate("a lighthouse at dusk"))
        drawn = answer.files()
        assert len(drawn) == 2
        unfetched(answer)
        async with running_program(tmp_path, site.url) as program:
            identity = answer.data["generation_id"]
            again = await program.call("wait_for_image", generation_id=identity, images="none")
            again = await program.whole(again)
        assert (again.status, again.files()) == ("saved", drawn), again.data
        assert len(site.log.prompts) == 1
        assert (site.log.wrong_presses, site.log.untrusted) == ([], [])


@pytest.mark.parametrize("generation", ["october", pytest.param("classic", marks=pytest.mark.nightly)])
async def test_a_conversation_whose_panel_was_left_open_is_gone_on_with(tmp_path: Path, generation: Generation) -> None:
    with running_site(Switches(generation=generation, paragen=True)) as site:
        async with running_program(tmp_path, site.url) as program:
            first = await program.whole(await program.generate("a lighthouse at dusk"))
        async with running_program(tmp_path, site.url) as program:
            blue = await program.generate("make it blue", continue_from=first.data["generation_id"])
        assert blue.status == "saved", blue.data
        assert [prompt.text for prompt in site.log.prompts] == ["a lighthouse at dusk", "make it blue"]
        assert len({prompt.conversation_id for prompt in site.log.prompts}) == 1
        assert (site.log.wrong_presses, site.log.untrusted) == ([], [])


async def test_a_prompt_does_not_wait_for_a_picture_that_the_site_never_finishes_and_nobody_waits_for(
    tmp_path: Path,
) -> None:
    with running_site(Switches(picture_delay_s=3600.0)) as site:
        async with running_program(tmp_path, site.url) as program:
            left = await program.generate("a fox", wait_seconds=0)
            await becomes(left, lambda record: record["conversation_url"] is not None)
        site.set(picture_delay_s=0.3)
        async with running_program(tmp_path, site.url) as program:
            assert (await program.generate("a cat")).status == "saved"
            await becomes(left, lambda record: record["state"] == "generating" and "taken_up" in record["facts"])
            horse = await program.generate("a horse")
            behind = left.record()
        assert horse.status == "saved", horse.data
        assert (behind["finished_at"], behind["submitted"]) == (None, True)
        assert len(site.log.prompts) == 3


async def becomes(answer: Answer, true: Callable[[dict[str, Any]], bool]) -> None:
    with anyio.fail_after(120):
        while not true(answer.record()):  # noqa: ASYNC110 - a file of another process
            await anyio.sleep(0.05)


@pytest.mark.nightly
async def test_a_picture_on_a_branch_that_its_person_left_is_fetched_once_that_is_shown_again(tmp_path: Path) -> None:
    """They edited the prompt at another machine, and a page that reads the current branch shows nothing of ours."""
    with running_site(Switches(singular_status=404)) as site:
        async with running_program(tmp_path, site.url) as program:
            answer = await program.whole(await program.generate("a lighthouse at dusk"))
        (drawn,), record = answer.files(), answer.record()
        pressed = (datetime.now().astimezone() - timedelta(minutes=10)).isoformat()
        unfetched(answer, submitted_at=pressed)
        conversation = site.state.conversations[record["conversation_id"]]
        ours, leaf = conversation.nodes[record["facts"]["user_message_id"]], conversation.current
        edited = conversation.add(message("user", text_content("a windmill at dusk")), ours["parent"])
        conversation.add(message("assistant", text_content("A windmill it is."), end_turn=True), edited)
        async with running_program(tmp_path, site.url) as program:
            identity = answer.data["generation_id"]
            hidden = await program.call("wait_for_image", generation_id=identity, images="none")
            assert (hidden.code, hidden.data["submitted"]) == ("network", "unknown"), hidden.data
            conversation.current = leaf
            again = await program.call("wait_for_image", generation_id=identity, images="none")
        assert (again.status, again.files()) == ("saved", [drawn]), again.data
        assert len(site.log.prompts) == 1


async def test_a_users_selector_that_is_none_costs_no_picture_and_is_told_with_its_role(tmp_path: Path) -> None:
    wrong = 'button:contains("Send")'
    file = tmp_path / "site.json"
    file.write_bytes(msgspec.json.encode({"roles": {role: [{"css": wrong}] for role in ("send", "turn", "user_part")}}))
    with running_site(Switches()) as site:
        async with running_program(tmp_path, site.url, variables={"CHATGPT_SITE_FILE": str(file)}) as program:
            before = await program.call("backend_status")
            answer = await program.whole(await program.generate("a lighthouse at dusk"))
            status = await program.call("backend_status")
    assert answer.status == "saved", answer.data
    assert before.data["problems"] == []
    for role, problem in zip(("send", "turn", "user_part"), sorted(status.data["problems"]), strict=True):
        assert problem.startswith(f"CHATGPT_SITE_FILE, role {role}: {wrong} is no selector that this browser can read.")
        assert problem in (tmp_path / "stderr").read_text("utf-8")


@pytest.mark.nightly
async def test_a_picture_whose_conversation_was_never_learnt_is_found_in_the_history(tmp_path: Path) -> None:
    """The server died between the press of send and the first word of the answer."""
    with running_site(Switches(generation="october")) as site:
        async with running_program(tmp_path, site.url) as program:
            answer = await program.whole(await program.generate("a lighthouse at dusk"))
        (drawn,) = answer.files()
        # In another account's history it would not be missed.
        account = answer.record()["facts"]["account"]
        assert account == hashlib.sha256(f"user-standin {ACCOUNT_ID}".encode()).hexdigest()[:12]
        unfetched(answer, "conversation_id", "conversation_url", "user_message_id")
        for number in range(12):  # a person went on with older ones since, in another window
            busy = Conversation(f"Another matter {number}")
            busy.date(time.time() - 86_400)
            busy.changed = time.time()
            site.state.conversations[busy.id] = busy
        async with running_program(tmp_path, site.url) as program:
            again = await program.call("wait_for_image", generation_id=answer.data["generation_id"], images="none")
        assert (again.status, again.files()) == ("saved", [drawn])
        assert len(site.log.prompts) == 1
