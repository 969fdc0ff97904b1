"""Finding our own prompt among the site's conversations: never another's, and given up only when all was read."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.chatgpt import collecting
from cdp_image_mcp.chatgpt.collecting import Collecting
from cdp_image_mcp.chatgpt.network.conversations import read_conversations
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import ImageRequest, Report
from tests.chatgpt.talk import conversation, picture, prompt, site_at, window

SITE = site_at("https://chatgpt.com/")
REQUEST = ImageRequest(prompt="a lighthouse", backend="chatgpt-web")
PRESSED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TEXT = "a lighthouse\n\nat night"


def chat(number: int) -> str:
    return f"{number:08x}-7d3e-4b8a-9c41-2e5f8a7b9d10"


def sent(identity: str, seconds: float | None = 0.0, text: str = TEXT) -> dict[str, Any]:
    """A person's message, dated ``seconds`` after the press of send."""
    at = None if seconds is None else (PRESSED + timedelta(seconds=seconds)).timestamp()
    return prompt(text, identity, create_time=at)


class ScriptedSite:
    """Conversations that the site has, and what its history lists of them."""

    def __init__(self, *chats: list[dict[str, Any]] | None, listed: bool = True) -> None:
        self.chats = {chat(number): said for number, said in enumerate(chats)}
        self.listed = listed
        self.history: list[list[dict[str, Any]]] = []
        """What the page's own list says, each time it is loaded."""
        self.plural = self.from_start = False
        self.refusals = 0
        self.now = datetime.now(UTC)
        """By the site's clock."""
        self.opened: list[str] = []
        self.meanwhile: list[tuple[str, list[dict[str, Any]], str]] = []
        """Lists that come while the page is loaded: address, entries, and the document that asked."""
        self.loader_id = "0"
        self.who: str | None = None
        self.site = SITE
        self.bodies = self.eye = self
        self.requests: list[Any] = []
        self._answers: Mailbox[Any] = Mailbox("answers", 10)

    async def until(self, _condition: str, _seconds: float) -> bool:
        return self.listed

    async def ask(self, expression: str, **_: Any) -> Any:
        links = [SITE.conversation(one) for one in self.chats] if self.listed else []
        return links if "link.href" in expression else bool(links)

    def watch(self, accept: Any) -> Mailbox[Any]:
        self._answers = Mailbox("answers", 10)
        self._accept = accept
        return self._answers

    def _give(self, path: str, body: bytes, status: int = 200, loader: str = "") -> None:
        request = SimpleNamespace(
            url=f"https://chatgpt.com/backend-api/{path}",
            method="GET",
            status=status,
            body=body,
            loader_id=loader or self.loader_id,
            headers={"date": format_datetime(self.now)},
        )
        if self._accept(request):
            self._answers.put(request)

    async def open(self, address: str = "") -> Any:
        identity = SITE.conversation_id(address)
        self.loader_id = str(int(self.loader_id) + 1)
        if identity is None:
            for path, entries, loader in self.meanwhile:
                self._give(path, json.dumps({"items": entries}).encode(), loader=loader)
            if address and self.history:
                self._give("conversations?limit=28", json.dumps({"items": self.history.pop(0)}).encode())
            return SimpleNamespace(challenged=False)
        self.opened.append(identity)
        said = self.chats[identity]
        self._give(f"conversation/{chat(99)}", conversation(identity=chat(99)))
        self._give(f"conversation/{identity}", b"{}", 404)
        if self.refusals:
            self.refusals -= 1
        elif said is not None and self.plural:
            page = {"start_cursor": "c", "has_previous_page": not self.from_start}
            self._give(f"conversations/{identity}?num_turns=10", window(*said, identity=identity, page_info=page))
        elif said is not None:
            self._give(f"conversation/{identity}", conversation(*said, identity=identity))
        return SimpleNamespace(challenged=False)

    async def answer(self, request: Any) -> bytes:
        return request.body


async def searched(site: ScriptedSite, taken: frozenset[str] = frozenset(), **facts: Any) -> tuple[str, str]:
    known = {"sent_prompt": TEXT, "submitted_at": PRESSED.isoformat(), **facts}
    report = cast("Report", SimpleNamespace(facts=known))
    with anyio.fail_after(20):
        job = Collecting(SITE, REQUEST, report, taken=taken)
        return await job._search(cast("Tab", site))  # pyright: ignore[reportPrivateUsage]


async def found(site: ScriptedSite, taken: frozenset[str] = frozenset(), **facts: Any) -> str:
    known = {"sent_prompt": TEXT, "submitted_at": PRESSED.isoformat(), **facts}
    report = cast("Report", SimpleNamespace(facts=known))
    with anyio.fail_after(20):
        job = Collecting(SITE, REQUEST, report, taken=taken)
        return await job._find_message(cast("Tab", site), chat(0))  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "READ_SECONDS", 0.05)
    monkeypatch.setattr(collecting, "RETRIES", (0.0, 0.001))


@pytest.mark.anyio
async def test_of_two_with_the_same_words_the_one_nearest_to_the_press_is_ours() -> None:
    site = ScriptedSite([sent("later", 100)], [sent("ours", 2)], [sent("earlier", -90)])
    assert await searched(site) == (chat(1), "ours")


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [-121, 136, 3600])
async def test_the_same_words_of_another_time_are_not_ours(seconds: float) -> None:
    with pytest.raises(ImageError) as caught:
        await searched(ScriptedSite([sent("other", seconds)]))
    assert caught.value.code == "not_found"


@pytest.mark.anyio
async def test_what_another_generation_has_in_its_record_is_not_ours() -> None:
    site = ScriptedSite([sent("a", 1)], [sent("b", 2), sent("c", 30)])
    assert await searched(site, frozenset({chat(0), "b"})) == (chat(1), "c")
    assert site.opened == [chat(1)]


@pytest.mark.anyio
async def test_conversations_of_others_use_up_none_of_those_we_look_into() -> None:
    others = [[sent(f"other{number}")] for number in range(6)]
    site = ScriptedSite(*others, [sent("ours")])
    assert await searched(site, frozenset(map(chat, range(6)))) == (chat(6), "ours")


@pytest.mark.anyio
async def test_an_earlier_turn_of_ours_with_the_same_words_is_not_this_one() -> None:
    site = ScriptedSite([sent("first", 1), sent("second", 60)])
    assert await found(site, used_message_ids=["first"]) == "second"
    assert await searched(site, used_message_ids=["first"]) == (chat(0), "second")
    with pytest.raises(ImageError) as caught:
        await found(site, used_message_ids=["first", "second"])
    assert caught.value.code == "not_found"


@pytest.mark.anyio
async def test_our_own_conversation_is_searched_although_another_generation_went_on_in_it() -> None:
    site = ScriptedSite([sent("ours", 1), sent("theirs", 2)])
    assert await found(site, frozenset({chat(0), "theirs"})) == "ours"


@pytest.mark.anyio
async def test_a_message_without_a_time_is_ours_only_when_there_is_no_other() -> None:
    assert await searched(ScriptedSite([sent("timeless", None)])) == (chat(0), "timeless")
    site = ScriptedSite([sent("timeless", None)], [sent("timed", 5)])
    assert await searched(site) == (chat(1), "timed")
    with pytest.raises(ImageError):
        await searched(ScriptedSite([sent("timeless", None)], [sent("other", None)]))


@pytest.mark.anyio
async def test_another_clients_wish_of_that_minute_with_one_word_changed_is_not_ours() -> None:
    wanted = "a lighthouse at night, in the snow, seen from the sea"
    theirs = sent("theirs", 1, text=wanted.replace("snow", "rain"))
    with pytest.raises(ImageError) as caught:
        await searched(ScriptedSite([theirs]), sent_prompt=wanted)
    assert (caught.value.code, caught.value.submitted) == ("not_found", "unknown")
    assert await searched(ScriptedSite([theirs], [sent("ours", 60, text=wanted)]), sent_prompt=wanted) == (
        chat(1),
        "ours",
    )


@pytest.mark.anyio
async def test_words_are_compared_as_a_reader_would() -> None:
    folded = sent("ours", text="a lighthouse\nat\u00a0night ")
    assert await searched(ScriptedSite([folded])) == (chat(0), "ours")


@pytest.mark.anyio
async def test_a_conversation_that_did_not_load_leaves_it_open() -> None:
    for search in (searched(ScriptedSite([], None)), found(ScriptedSite(None))):
        with pytest.raises(ImageError) as caught:
            await search
        assert (caught.value.code, caught.value.submitted) == ("network", "unknown")
    assert await searched(ScriptedSite(None, [sent("ours")])) == (chat(1), "ours")


@pytest.mark.anyio
async def test_a_history_that_did_not_load_leaves_it_open() -> None:
    with pytest.raises(ImageError) as caught:
        await searched(ScriptedSite([sent("ours")], listed=False))
    assert (caught.value.code, caught.value.submitted) == ("network", "unknown")


@pytest.mark.anyio
async def test_it_is_given_up_when_all_there_is_was_read_or_the_last_is_older_than_the_press() -> None:
    newer = [[sent(f"new{number}", 500, "other words")] for number in range(5)]
    old = [[sent(f"old{number}", -500, "other words")] for number in range(2)]
    for site, code in (
        (ScriptedSite(*newer[:4]), "not_found"),
        (ScriptedSite(*newer[:3], *old), "not_found"),
        (ScriptedSite(*newer), "network"),
    ):
        with pytest.raises(ImageError) as caught:
            await searched(site)
        assert (caught.value.code, caught.value.submitted) == (code, "unknown")


def others(count: int, seconds: float) -> list[list[dict[str, Any]]]:
    return [[sent(f"other{number}", seconds, "other words")] for number in range(count)]


@pytest.mark.anyio
@pytest.mark.parametrize("pinned", [1, 4, 7])
async def test_old_conversations_pinned_above_the_history_hide_nothing_below_them(pinned: int) -> None:
    site = ScriptedSite(*others(pinned, -90_000), *others(2, 500), [sent("ours")], *others(9, -500))
    assert await searched(site) == (chat(pinned + 2), "ours")


@pytest.mark.anyio
async def test_a_long_run_of_older_ones_is_the_end_and_a_short_one_is_not() -> None:
    long = ScriptedSite(*others(2, 500), *others(20, -500))
    with pytest.raises(ImageError) as caught:
        await searched(long)
    assert caught.value.code == "not_found"
    assert len(long.opened) == 2 + collecting.OLDER
    # Pinned ones of any age above newer ones than can be looked into.
    with pytest.raises(ImageError) as caught:
        await searched(ScriptedSite(*others(1, 500), *others(5, -500), *others(6, 500), [sent("ours")]))
    assert caught.value.code == "network"


@pytest.mark.anyio
async def test_no_more_is_opened_than_is_needed_once_ours_is_found() -> None:
    site = ScriptedSite([sent("ours")], *others(20, -500))
    assert await searched(site) == (chat(0), "ours")
    assert len(site.opened) == collecting.HISTORY


def listing(count: int, changed: float, begun: float) -> list[dict[str, Any]]:
    """Rows of the site's own list, as of moments after the press."""
    times = [(PRESSED + timedelta(seconds=seconds)).isoformat() for seconds in (changed, begun)]
    return [{"id": chat(number), "update_time": times[0], "create_time": times[1]} for number in range(count)]


@pytest.mark.anyio
async def test_on_a_busy_account_the_conversation_that_began_at_the_press_is_found_among_many_newer_ones() -> None:
    site = ScriptedSite(*others(12, 500), [sent("ours", 2)])
    rows = listing(13, 500, -90_000)
    rows[-1]["create_time"] = (PRESSED - timedelta(minutes=6)).isoformat()
    site.history = [rows]
    assert await searched(site) == (chat(12), "ours")
    assert site.opened == [chat(12)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("count", "oldest", "code"), [(28, 8000, "network"), (28, -900, "not_found"), (5, 8000, "not_found")]
)
async def test_a_list_that_does_not_reach_back_to_the_press_leaves_it_open(
    count: int, oldest: float, code: str
) -> None:
    site = ScriptedSite(*others(count, 500))
    rows = [*listing(count - 1, 9000, 5000), *listing(count, oldest, -90_000)[-1:]]
    site.history = [rows, rows]
    with pytest.raises(ImageError) as caught:
        await searched(site)
    assert caught.value.code == code
    assert site.opened == []


class Watched:
    reloads = 0
    others, turn = False, SimpleNamespace(followed=False)

    def __init__(self, tab: object) -> None:
        self.tab = tab

    async def load(self, _cause: str) -> Any:
        self.reloads += 1
        return SimpleNamespace(challenged=False)

    async def until(self, _test: object, _seconds: float) -> None: ...


async def collected(monkeypatch: pytest.MonkeyPatch, pictures: Any, **report: Any) -> None:
    """Collect from a conversation that is known, where ``pictures`` waits for them."""

    @asynccontextmanager
    async def watch_turn(tab: object, _transcript: object) -> AsyncGenerator[Watched]:
        yield Watched(tab)

    async def state(*_: Any, **__: Any) -> None:
        pass

    def drawn(watch: Watched, *_: Any) -> Any:
        return SimpleNamespace(pictures=lambda: pictures(watch))

    monkeypatch.setattr(collecting, "watch_turn", watch_turn)
    monkeypatch.setattr(collecting, "Drawing", drawn)
    facts = {"conversation_id": chat(0), "user_message_id": "ours", "turn_pressed": True}
    told = cast("Report", SimpleNamespace(facts=facts, state=state, **report))
    await Collecting(SITE, REQUEST, told).run(cast("Tab", ScriptedSite()))


@pytest.mark.anyio
async def test_what_is_no_conversation_in_a_record_is_not_opened_and_ours_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shared folder brings records that others wrote; an address with a prompt in it may be sent as it is opened."""
    read: list[tuple[str, str]] = []

    async def taken_from(_job: Collecting, _tab: Tab, conversation: str, message: str) -> bool:
        read.append((conversation, message))
        return True

    async def state(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(Collecting, "_taken_from", taken_from)
    site = ScriptedSite([sent("ours")], listed=False)
    site.history = [[entry(0, 5)]]
    facts = {"conversation_id": "../?q=x", "sent_prompt": TEXT, "submitted_at": PRESSED.isoformat()}
    told = cast("Report", SimpleNamespace(facts=facts, state=state, images=()))
    with anyio.fail_after(20):
        job = Collecting(SITE, REQUEST, told)
        assert job.address == SITE.home
        await job.run(cast("Tab", site))
    assert (site.opened, read) == ([chat(0)], [(chat(0), "ours")])


@pytest.mark.anyio
async def test_opening_the_conversation_counts_as_the_one_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []

    async def pictures(watch: Watched) -> None:
        judged.append(watch.reloads)

    with anyio.fail_after(20):
        await collected(monkeypatch, pictures)
    assert judged == [1]


@pytest.mark.anyio
async def test_what_is_given_up_while_it_is_collected_is_stopped_at_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    pressed: list[str] = []

    async def node(_site: ScriptedSite, expression: str) -> str:
        return expression

    async def click(control: str) -> None:
        pressed.append(control)

    given_up = anyio.CancelScope()

    async def pictures(_watch: Watched) -> None:
        given_up.cancel()
        await anyio.sleep_forever()

    monkeypatch.setattr(ScriptedSite, "node", node, raising=False)
    monkeypatch.setattr("cdp_image_mcp.cdp.keyboard_mouse.click", click)
    with anyio.fail_after(20), given_up:
        await collected(monkeypatch, pictures, stop_wanted=True)
    assert [control for control in pressed if "'stop'" in control] == pressed
    assert len(pressed) == 1


def test_a_conversation_is_as_new_as_its_newest_message_whoever_wrote_it() -> None:
    said: list[dict[str, Any]] = [
        sent("ours"),
        {**sent("answer", 50), "author": {"role": "assistant"}},
        {"id": 7, "metadata": {}},
    ]
    for form in (conversation, window):
        (read,) = read_conversations(form(*said, identity=chat(0)))
        assert [message.id for message in read.messages if message.role == "user"] == ["ours"]
        assert read.changed == PRESSED.timestamp() + 50


# The page's own list of the history


def entry(number: int, seconds: float) -> dict[str, Any]:
    return {"id": chat(number), "update_time": datetime.fromtimestamp(PRESSED.timestamp() + seconds, UTC).isoformat()}


@pytest.mark.anyio
async def test_the_history_is_the_pages_own_list_and_what_is_older_is_not_opened() -> None:
    site = ScriptedSite([sent("other", -90)], [sent("ours")], [sent("older", -9000)], listed=False)
    site.history = [[entry(2, -9000), entry(0, 60), entry(1, 30)]]
    assert await searched(site) == (chat(1), "ours")
    assert site.opened == [chat(0), chat(1)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "loader"),
    [
        ("conversations?limit=28", "0"),
        ("conversations?offset=28&limit=28", ""),
        ("conversations?offset=0&limit=28&is_archived=true", ""),
    ],
)
async def test_only_the_newest_that_this_page_was_told_say_that_ours_is_not_there(path: str, loader: str) -> None:
    """Not what an earlier document asked before send was pressed, nor a later part of the list, nor the archive."""
    site = ScriptedSite([sent("ours")], listed=False)
    older = [entry(50 + number, -600 - number) for number in range(9)]
    before = {"url": "https://chatgpt.com/backend-api/conversations", "method": "GET", "status": 200}
    site.requests = [SimpleNamespace(**before, body=json.dumps({"items": older}).encode(), loader_id="0")]
    site.meanwhile = [(path, older, loader)]
    site.history = [[entry(0, 5), *older]]
    assert await searched(site) == (chat(0), "ours")


@pytest.mark.anyio
async def test_the_list_as_the_page_of_2026_asks_for_it_is_the_newest() -> None:
    site = ScriptedSite([sent("ours")], listed=False)
    asked = "conversations?offset=0&limit=28&order=updated&is_archived=false&is_starred=false"
    site.meanwhile = [(asked, [entry(0, 5)], "")]
    assert await searched(site) == (chat(0), "ours")


@pytest.mark.anyio
async def test_a_conversation_that_is_not_listed_yet_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Collecting, "_just_pressed", True)
    site = ScriptedSite([sent("other", -90)], [sent("ours")], listed=False)
    site.history = [[entry(0, -3600)], [entry(1, 5), entry(0, -3600)]]
    assert await searched(site) == (chat(1), "ours")


@pytest.mark.anyio
async def test_a_conversation_that_is_not_listed_so_soon_after_the_press_may_be_listed_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for just, code in ((True, "network"), (False, "not_found")):
        monkeypatch.setattr(Collecting, "_just_pressed", just)
        site = ScriptedSite([sent("other", text="another wish")])
        site.history = [[entry(0, 5)], [entry(0, 5)]]
        with pytest.raises(ImageError) as caught:
            await searched(site)
        assert caught.value.code == code


@pytest.mark.anyio
async def test_a_page_that_goes_on_by_itself_hides_no_conversation() -> None:
    """What the network says is read; no script has to look at the page for it."""

    async def opened() -> None:
        raise DocumentLeft("the page went to another document")

    site = ScriptedSite([sent("ours")])
    site.eye = cast("Any", SimpleNamespace(open=opened, until=site.until, ask=site.ask))
    site.history = [[entry(0, 5)]]
    assert await searched(site) == (chat(0), "ours")
    for_lack_of_a_list = ScriptedSite([sent("ours")])
    for_lack_of_a_list.eye = site.eye
    with pytest.raises(ImageError) as caught:
        await searched(for_lack_of_a_list)
    assert caught.value.code == "network"


@pytest.mark.anyio
async def test_a_conversation_that_does_not_hold_a_prompt_just_sent_may_hold_it_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for just, code in ((True, "network"), (False, "not_found")):
        monkeypatch.setattr(Collecting, "_just_pressed", just)
        with pytest.raises(ImageError) as caught:
            await found(ScriptedSite([sent("other", -90, "other words")]))
        assert (caught.value.code, caught.value.submitted) == (code, "unknown")


@pytest.mark.anyio
@pytest.mark.parametrize("hours", [-7, 2])
async def test_a_machine_whose_clock_is_wrong_finds_its_own_by_the_sites(hours: int) -> None:
    apart = hours * 3600
    site = ScriptedSite(*others(3, apart), [sent("ours", apart + 2)], [sent("before", -90_000)])
    site.now += timedelta(hours=hours)
    rows = [entry(number, apart + 2) for number in range(4)]
    site.history = [[*rows, entry(4, -90_000)]]
    assert await searched(site) == (chat(3), "ours")
    site = ScriptedSite([sent("ours", apart + 2)])
    site.now += timedelta(hours=hours)
    assert await found(site) == "ours"


@pytest.mark.anyio
async def test_a_strangers_conversation_is_opened_once_however_often_the_history_is_looked_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Collecting, "_just_pressed", True)
    site = ScriptedSite([sent("other", text="something else")], listed=False)
    site.history = [[entry(0, 5)], [entry(0, 5)]]
    with pytest.raises(ImageError, match="may not be listed yet"):
        await searched(site)
    assert (site.opened, site.history) == ([chat(0)], [])


@pytest.mark.anyio
async def test_a_conversation_that_has_changed_meanwhile_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Collecting, "_just_pressed", True)
    site = ScriptedSite([sent("other", text="something else")], listed=False)
    site.history = [[entry(0, 5)], [entry(0, 6)]]
    with pytest.raises(ImageError, match="may not be listed yet"):
        await searched(site)
    assert site.opened == [chat(0), chat(0)]


@pytest.mark.anyio
async def test_a_conversation_that_does_not_load_at_first_is_read_again() -> None:
    site = ScriptedSite([sent("ours")], listed=False)
    site.history = [[entry(0, 5)], [entry(0, 5)]]
    site.refusals = 1
    assert await searched(site) == (chat(0), "ours")


@pytest.mark.anyio
@pytest.mark.parametrize("plural", [False, True])
async def test_our_message_is_found_in_either_form_of_a_conversation(plural: bool) -> None:
    site = ScriptedSite([sent("older", -9000), sent("ours")])
    site.plural = plural
    assert await found(site) == "ours"


BEFORE, LATER = sent("before", -9000, "something else"), sent("later", 9000, "something else")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "plural", "from_start", "code"),
    [
        ([BEFORE], True, False, "network"),
        ([BEFORE], True, True, "not_found"),
        ([BEFORE, LATER], True, True, "network"),
        ([BEFORE, sent("timeless", None, "something else")], True, True, "network"),
        ([BEFORE, LATER], False, True, "not_found"),
    ],
    ids=["the end of it", "nothing was asked since", "on another branch", "asked nobody knows when", "all branches"],
)
async def test_a_conversation_lacks_ours_for_good_only_where_no_part_and_no_branch_of_it_is_left_out(
    said: list[dict[str, Any]], plural: bool, from_start: bool, code: str
) -> None:
    """The flat form holds the current branch alone: who edits a message of theirs makes another one."""
    site = ScriptedSite(said)
    site.plural, site.from_start = plural, from_start
    with pytest.raises(ImageError) as caught:
        await found(site)
    assert (caught.value.code, caught.value.submitted) == (code, "unknown")


@pytest.mark.anyio
@pytest.mark.parametrize("look", [found, searched])
async def test_what_may_stand_where_only_a_person_can_look_is_not_waited_for_again_and_again(look: Any) -> None:
    """The same call asked anew joins this one for a day, so the way out of it has to be named."""
    site = ScriptedSite([sent("edited", 600, "other words")])
    site.plural = site.from_start = True
    with pytest.raises(ImageError) as caught:
        await look(site)
    assert "may stand in a part or on a branch that is not shown" in caught.value.message
    step = caught.value.next_step or ""
    assert SITE.conversation(chat(0)) in step
    assert step.index("wait_for_image") < step.index("cancel_image") < step.index("generate_image")


@pytest.mark.anyio
async def test_what_another_generation_of_ours_asked_for_there_is_no_branch_of_somebodys() -> None:
    site = ScriptedSite([BEFORE, sent("theirs", 9000)])
    site.plural = site.from_start = True
    with pytest.raises(ImageError) as caught:
        await found(site, frozenset({"theirs"}))
    assert caught.value.code == "not_found"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "plural", "from_start", "code"),
    [
        ([sent("edited", 600, "other words")], True, True, "network"),
        ([sent("edited", 600, "other words")], False, True, "not_found"),
        ([sent("later", 600, "other words")], True, False, "network"),
        ([BEFORE, sent("later", 600, "other words")], True, True, "not_found"),
    ],
    ids=["its beginning was edited", "all branches", "its beginning is not shown", "it began before"],
)
async def test_a_conversation_that_may_have_begun_with_ours_leaves_it_open(
    said: list[dict[str, Any]], plural: bool, from_start: bool, code: str
) -> None:
    site = ScriptedSite(said)
    site.plural, site.from_start = plural, from_start
    with pytest.raises(ImageError) as caught:
        await searched(site)
    assert caught.value.code == code


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("sent_by", "here", "code"),
    [
        ("mine", "other", "network"),
        ("mine", "mine", "not_found"),
        ("mine", None, "not_found"),
        (None, "other", "not_found"),
    ],
)
async def test_the_history_of_another_account_does_not_tell_that_ours_is_not_there(
    sent_by: str | None, here: str | None, code: str
) -> None:
    site = ScriptedSite([sent("other", text="other words")])
    site.who = here
    with pytest.raises(ImageError) as caught:
        await searched(site, account=sent_by)
    assert (caught.value.code, "sign" in (caught.value.next_step or "")) == (code, code == "network")


class Holding(Watched):
    """A turn that is watched where the site's conversations are read."""

    def __init__(self, site: ScriptedSite, transcript: Transcript) -> None:
        super().__init__(site)
        for known, said in site.chats.items():
            if site.plural:
                part = {"start_cursor": "c", "has_previous_page": not site.from_start}
                transcript.feed_conversation(window(*(said or ()), identity=known, page_info=part))
            else:
                transcript.feed_conversation(conversation(*(said or ()), identity=known))


@pytest.mark.anyio
@pytest.mark.parametrize("noted", [None, "ours", "the page's own"], ids=["unknown", "kept", "kept under another id"])
@pytest.mark.parametrize("plural", [False, True])
async def test_a_record_that_names_a_chat_which_a_person_had_opened_is_corrected_from_the_history(
    plural: bool, noted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's address alone had named it, and the process died before that chat was read."""
    site = ScriptedSite([BEFORE], [sent("ours", 2)])
    site.plural = plural
    facts = {"conversation_id": chat(0), "user_message_id": noted}
    assert await run(site, facts, monkeypatch) == [(chat(1), "ours")]


@pytest.mark.anyio
@pytest.mark.parametrize(("answers", "found"), [("ours", 0), ("theirs", 1)])
async def test_a_part_of_the_chat_that_begins_within_our_turn_is_waited_in(
    answers: str, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its picture answers our message, which stands in the part before; another's picture tells nothing."""
    drawn = [picture(parent=answers), *(sent(f"later-{number}", 60 + number, "And so on") for number in range(3))]
    site = ScriptedSite(drawn, [sent("ours", 2)])
    site.plural = True
    facts = {"conversation_id": chat(0), "user_message_id": "ours"}
    assert await run(site, facts, monkeypatch) == [(chat(found), "ours")]


@pytest.mark.anyio
@pytest.mark.parametrize(("going_on", "pictures"), [(True, ()), (False, ("saved",))], ids=["gone on", "a later one"])
async def test_a_conversation_that_was_known_before_the_press_is_not_looked_for(
    going_on: bool, pictures: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = ScriptedSite([BEFORE], [sent("ours", 2)])
    asked = ImageRequest(
        prompt=REQUEST.prompt, backend="chatgpt-web", conversation_mode="continue" if going_on else "new"
    )
    with pytest.raises(ImageError) as caught:
        await run(site, {"conversation_id": chat(0)}, monkeypatch, request=asked, images=pictures)
    assert (caught.value.code, site.opened) == ("not_found", [chat(0)])


@pytest.mark.anyio
async def test_what_was_not_read_of_the_recorded_conversation_is_not_given_up_for_a_history_without_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = ScriptedSite(None, [sent("other", text="other words")], listed=False)
    site.history = [[entry(1, 30)]]
    with pytest.raises(ImageError) as caught:
        await run(site, {"conversation_id": chat(0)}, monkeypatch)
    assert (caught.value.code, caught.value.submitted) == ("network", "unknown")


async def run(
    site: ScriptedSite,
    known: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    request: ImageRequest = REQUEST,
    images: tuple[str, ...] = (),
) -> list[tuple[Any, Any]]:
    """Collect with what the record holds; from which message of which conversation pictures were then waited for."""
    facts: dict[str, Any] = {"sent_prompt": TEXT, "submitted_at": PRESSED.isoformat(), **known}
    waited: list[tuple[Any, Any]] = []

    @asynccontextmanager
    async def watch_turn(_tab: object, transcript: Transcript) -> AsyncGenerator[Watched]:
        yield Holding(site, transcript)

    async def state(_state: str, **news: Any) -> None:
        facts.update(news)

    async def pictures() -> None:
        waited.append((facts["conversation_id"], facts["user_message_id"]))

    def drawn(*_: Any) -> Any:
        return SimpleNamespace(pictures=pictures)

    monkeypatch.setattr(collecting, "watch_turn", watch_turn)
    monkeypatch.setattr(collecting, "Drawing", drawn)
    report = cast("Report", SimpleNamespace(facts=facts, state=state, images=images))
    with anyio.fail_after(20):
        await Collecting(SITE, request, report).run(cast("Tab", site))
    return waited
