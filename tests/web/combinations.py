"""Moods of the site drawn together at random: ``python -m tests.web.combinations --rounds 300 --seed 7``.

Whatever their mixture, the right picture is saved or the right code told, exactly one prompt goes out, each reference
goes up once, no reference is ever saved, and nothing is left. A seed gives the same combinations again; ``--only 17``
plays one of them.
"""

import argparse
import hashlib
import random
import secrets
import statistics
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec

from fixtures.site import Site, Switches, make_picture
from fixtures.site.expectation import OF_THE_SITE, Asked, Expectation, contradiction, expectation
from tests.web.failures import untrue
from tests.web.performance import Performance, Scene, Stage
from tests.web.program import Answer, profile_processes

__all__ = [
    "GIVEN",
    "MANNERS",
    "NOT_DRAWN",
    "NO_SUCH_VALUE",
    "TROUBLES",
    "Round",
    "Tally",
    "draw",
    "given",
    "play",
    "scenes",
]

# How the site does what it does: all of these are drawn for every round.
MANNERS: dict[str, list[Any]] = {
    "generation": ["classic", "rebuilt", "october", "october"],
    "language": ["en", "en", "zh", "ru", "ko", "ja", "vi"],
    "plan": ["plus", "free"],
    "editor": ["prosemirror", "prosemirror", "lexical"],
    "twin": [False, True],
    "hydrate_s": [0.05, 0.15, 0.5],
    "send_enable_s": [0.05, 0.6],
    "send_test_id": [True, False],
    "nbsp_readback": [False, True],
    "url_pill": [False, True],
    "image_tool": ["pill", "inline", "absent"],
    "aspect_chooser": [True, False],
    "tool_on": [False, False, True],
    "toast": [False, True],
    "challenge_script": [False, True],
    "rate_marked": [True, True, False],
    "message_ids": [True, True, False],
    "turn_keys": [True, True, False],
    "turn_actions": [True, False],
    "unit_wrapper": [True, False],
    "old_article": [False, True],
    "author_roles": [False, True],
    "mounted_turns": [0, 1],
    "analytics": ["ok", "mitigated"],
    "prompt_path": ["f/conversation", "f/conversation", "f/v2/conversation"],
    "stream": ["recorded", "recorded", "inline", "handoff"],
    "arrival": ["websocket", "websocket", "poll"],
    "reads": ["own", "own", "single", "batch", "plural"],
    "plural_status": ["absent", "told", "null"],
    "plural_metadata": ["kept", "bare"],
    "plural_turns": [10, 1, 4],
    "older_turns": [False, True],
    "singular_status": [200, 404],
    "stream_status": ["told", "unavailable", "stream_alone"],
    "websocket_form": ["own", "own", "update", "enveloped", "batch", "refetch", "notice", "topic"],
    "websocket_replay": [False, True],
    "waiting": ["own", "card", "recap"],
    "sse_newline": ["lf", "crlf", "mixed"],
    "sse_trailing_spaces": [False, True],
    "sse_chunk": [0, 1, 7, 1000],
    "stream_extras": [False, True],
    "stream_closes": [True, True, False],
    "completed": ["at the end", "with the stream"],
    "batch_requests": [False, True],
    "doubled_pointers": [False, True],
    "tool_text_after": [False, True],
    "words_after": [False, True],
    "words_call": [True, True, False],
    "interim_address": [False, True],
    "stop_button": ["stream", "stuck", "never", "early", "drawing"],
    "reference_source": ["own", "own", "estuary", "blob"],
    "source": ["img", "img", "srcset", "background", "outside", "broken"],
    "layers": [1, 3],
    "canvas": [False, True],
    "remove_shown": ["own", "always", "hover"],
    "upload_finish": ["process_stream", "uploaded"],
    "rename_uploads": [False, True],
    "format": ["png", "jpeg", "webp"],
    "file_address": ["estuary", "estuary", "redirect"],
    "size": [(1254, 1254), (1536, 1024), (640, 960)],
    "picture_bytes": [0, 400_000],
    "csp": [False, True],
}

# What goes wrong, or takes long: a few of these are drawn for a round.
TROUBLES: dict[str, list[Any]] = {
    "account": ["guest", "expired", "picker"],
    "auth_modal": ["no_auth"],
    "answers": [
        ("refusal",),
        ("guardrail",),
        ("plan_limit",),
        ("upload_limit",),
        ("generation_failed",),
        ("tool_error",),
        ("turn_error",),
        ("clarify",),
        ("need_source",),
        ("pro_python",),
        ("text",),
    ],
    "error_form": ["type", "topic"],
    "limit_reset": ["minute", "clock", "day"],
    "dialogs": [
        ("beacon",),
        ("promo",),
        ("connector",),
        ("storage",),
        ("model_picker",),
        ("rate",),
        ("suspicious",),
        ("workspace",),
    ],
    "cookie_banner": ["dialog", "div"],
    "rate_after_send_s": [0.5],
    "analytics": ["unanswered"],
    "challenge": ["always", "until_passed", "headless", "mid_session", "in_page", "session", "prompt", "from_prompt"],
    "challenge_reload": ["cures"],
    "http_431": ["always", "cookies"],
    "module_fails_once": [True],
    "popup": [True],
    "surrogates": [
        ("title", "console"),
        ("json", "list"),
        ("stream", "page"),
        ("title", "console", "json", "list", "stream", "page"),
    ],
    "work_mode": [True],
    "work_switch": ["radios", "group", "outside", "none"],
    "temporary": ["intro", "on"],
    "restored_chat": [True],
    "unloadable": [True],
    "stale_draft": ["yesterday's words"],
    "stale_attachment": [True],
    "stale_attachment_s": [0.5],
    "stale_card": ["document", "pasted"],
    "draft_tools": [("web",), ("app", "research"), ("image", "web")],
    "draft_tool_form": ["chip", "pill"],
    "editor": ["textarea"],
    "wipe_s": [0.6],
    "inputs": ["ignore", "decoy"],
    "chips": [False],
    "upload_s": [1.0],
    "upload_in_turn": [True],
    "upload_card": ["after_receipt"],
    "upload_spinner": ["stays"],
    "upload_tile": ["document"],
    "upload_finish": ["renamed"],
    "upload_limit": [True],
    "upload_limit_told": ["card", "answer"],
    "overloaded": [1, 2],
    "upload_fails": [True],
    "send_commits": [False],
    "send_most_attachments": [1],
    "image_blocked": [True],
    "quota_known": [False],
    "quota_delay_s": [1.0],
    "starter_submits": [True],
    "stream": ["cut", "json"],
    "arrival": ["resume"],
    "words_first": [True],
    "moderated_words": [True],
    "between_status": ["null", "done"],
    "echoes_source": [True],
    "watermarked": [True],
    "empty_node": [True],
    "text_shown": [False],
    "safety_review": [True],
    "pictures": [2, 3],
    "carousel": [1],
    "paragen": [True],
    "previews": [1, 2],
    "preview_ids": ["same"],
    "stated": ["dimensions", "both", "nothing"],
    "first_download": ["expired", "error", "cut"],
    "download_chunk_s": [0.2],
    "signature_s": [8.0],
    "skeleton_s": [1.0],
    "source": ["unpainted"],
    "file_address": ["raw"],
    "paint_hidden": [False],
    "read_errors": [2],
    "read_error_status": [503],
    "conversation_404_s": [1.0],
    "live_channel": ["resume_404", "resume_410", "interrupted", "reconnect", "error"],
    "websocket_works": [False],
    "websocket_drops": [True],
    "foreign_toast": [True],
    "reload_s": [0.6],
    "reload_status": [502, 403, 429],
    "bounce_home": [True],
    "asks_before_leaving": [True],
    "person_prompts_s": [0.3],
    "post_status": [401, 403, 429, 500, 503],
    "post_most_references": [1],
    "sentinel_s": [2.0],
}

# What makes a trouble count, drawn with it: other switches, how many references are asked for, and whether it goes on
# from a conversation. `...` stands for any value.
_PICTURES_UP: dict[str, list[Any]] = {"references": [1, 2]}
GIVEN: dict[tuple[str, Any], dict[str, list[Any]]] = {
    ("arrival", "resume"): {"stream": ["cut", "handoff"]},
    ("asks_before_leaving", ...): {"reload_s": [0.6]},
    ("carousel", ...): {"pictures": [2, 3]},
    ("challenge_reload", ...): {"challenge": ["mid_session"]},
    ("dialogs", ("storage",)): _PICTURES_UP,
    ("draft_tool_form", ...): {"draft_tools": TROUBLES["draft_tools"]},
    ("echoes_source", ...): {"continued": [True]},
    ("editor", "textarea"): {"url_pill": [False], "image_tool": ["pill", "absent"]},
    ("error_form", ...): {"answers": [("turn_error",)]},
    ("error_form", "topic"): {"stream": ["handoff"], "arrival": ["websocket"], "websocket_form": ["topic"]},
    ("limit_reset", ...): {"answers": [("plan_limit",)]},
    ("moderated_words", ...): {"words_first": [True]},
    ("paragen", ...): {"stream": ["recorded", "handoff"]},
    ("post_most_references", ...): {"references": [2]},
    ("preview_ids", ...): {"previews": [1, 2]},
    ("read_error_status", ...): {"read_errors": [2]},
    ("reload_status", ...): {"reload_s": [0.6]},
    ("send_most_attachments", ...): {"references": [2]},
    ("skeleton_s", ...): {"generation": ["rebuilt", "october"]},
    ("stale_attachment_s", ...): {"stale_attachment": [True]},
    ("stale_card", ...): {"stale_attachment": [True]},
    ("starter_submits", ...): {"image_tool": ["inline"]},
    # What stays open without its end is no cut: the page itself waits for it, and reads nothing.
    ("stream", "cut"): {"arrival": ["resume", "poll"], "stream_closes": [True]},
    ("text_shown", ...): {"answers": [("refusal",), ("clarify",), ("need_source",), ("text",)]},
    ("unloadable", ...): {"continued": [True]},
    ("upload_in_turn", ...): {"references": [2]},
    ("upload_limit_told", ...): {"upload_limit": [True], **_PICTURES_UP},
    ("work_switch", ...): {"work_mode": [True]},
    ("work_switch", "none"): {"continued": [True]},
    **{
        (name, ...): _PICTURES_UP
        for name in (
            "chips",
            "inputs",
            "upload_card",
            "upload_fails",
            "upload_limit",
            "upload_s",
            "upload_spinner",
            "upload_tile",
        )
    },
    ("upload_finish", "renamed"): _PICTURES_UP,
}

# Why a value of a switch that is drawn is not.
NO_SUCH_VALUE: dict[tuple[str, Any], str] = {
    ("answers", "silence"): "nothing but the limit ends it; it has a row of its own",
    ("arrival", "reload"): "a minute and a half each time; it has rows of its own",
    ("generation", "mobile"): "it is for guests; it has rows of its own",
    ("stream", "nameless"): "most of a minute each time; it has a row of its own",
}

# Why a switch is not drawn.
NOT_DRAWN: dict[str, str] = {
    "model": "a name, told as it is",
    "dialogs_come": "about leaving work mode under a dialog; it has a row of its own",
    "words": "the wordings have rows of their own",
    "post_words": "the wordings have rows of their own",
    "remaining": "a number, told as it is",
    "reset_minutes": "a number, told as it is",
    "session_status": "no outcome is known that is right for every status",
    "session_ends": "half a minute until it is noticed; it has rows of its own",
    "session_reads_s": "a time",
    "login_host": "about signing in, which nobody does here",
    "login_closes_window": "about signing in, which nobody does here",
    "challenge_title_s": "a time",
    "rate_clears_s": "a time",
    "rate_after_turns": "about several prompts",
    "unloadable_s": "a time",
    "restore_s": "a time",
    "new_chat_address": "it has a row of its own",
    "composer_late": "half a minute each time; it has rows of its own",
    "composer_late_s": "a time",
    "layer_closes_s": "a time; it has a row of its own",
    "upload_begin_s": "a quarter of a minute each time; it has a row of its own",
    "upload_breaks": "a file goes up twice for it; it has rows of its own",
    "upload_call_s": "a few seconds each time; it has a row of its own",
    "upload_card_s": "a time, given with its mood",
    "upload_spinner_s": "a time, given with its mood",
    "paste_attachment_chars": "nothing is pasted",
    "max_chars": "the prompts are short",
    "picture_delay_s": "a time",
    "post_cut": "it has a test of its own",
    "post_accepted": "it is collected by another call; it has a test of its own",
    "preview_s": "a time",
    "between_pictures_s": "a time",
    "event_gap_s": "a time",
    "poll_s": "a time",
    "interim_s": "a time",
    "words_first_s": "a time, given with its mood",
    "person_opens": "the id of a conversation that must be there; it has tests of its own",
    "person_opens_behind": "given with that",
    "person_opens_in_place": "given with that",
    "reload_status_times": "a number, given with its mood",
    "finish_without_page": "a turn given up for want of a page has no right outcome",
    "honour_ratio": "sizes have rows of their own",
    "honour_background": "backgrounds have rows of their own",
    "alpha": "backgrounds have rows of their own",
    "claim_bytes": "a number",
    "read_path": "two minutes each time; it has a row of its own",
    "pointer_scheme": "a few seconds each time; it has a row of its own",
    "python_fails": "told before the tool's own call alone; it has a row of its own",
    "tool_called_again": "a minute each time; it has a row of its own",
    "message_renamed": "words after a bare hand-off are not known as ours then; it has a row of its own",
    "rest_status": "a minute each time; it has a row of its own",
    "work_redrawn": "ten seconds each time; it has a row of its own",
    "sentinel_status": "a quarter of a minute each time; it has rows of its own",
}

QUICK: dict[str, Any] = {"words_first_s": 2.0, "upload_card_s": 3.0, "upload_spinner_s": 1.0, "picture_delay_s": 0.6}
TROUBLES_A_ROUND = (0, 1, 2, 2, 3, 4)
OTHER_MANNERS = 50
"""So often others are drawn with the same troubles: those that go with few would hardly come up."""
CLEAN = Switches()


class Round(msgspec.Struct, frozen=True):
    """One combination: the site's mood and what of the request it concerns."""

    switches: Switches
    asked: Asked
    prompt: str
    same_size: bool

    @property
    def changed(self) -> dict[str, Any]:
        """The switches that are not as usual."""
        given: dict[str, Any] = msgspec.to_builtins(self.switches)
        usual: dict[str, Any] = msgspec.to_builtins(CLEAN)
        return {name: value for name, value in given.items() if value != usual[name]}


def draw(chance: random.Random, number: int, seed: int) -> Round:
    """A mood without a contradiction, and a request to go with it."""
    while True:
        some = chance.sample(list(TROUBLES), chance.choice(TROUBLES_A_ROUND))
        troubles = {name: chance.choice(TROUBLES[name]) for name in some}
        for _ in range(OTHER_MANNERS):
            if (found := _with_manners(troubles, chance, f"combination {number} of {seed}")) is not None:
                return found


def _with_manners(troubles: dict[str, Any], chance: random.Random, name: str) -> Round | None:
    """None where these manners and those troubles do not go together."""
    mood = {name: chance.choice(options) for name, options in MANNERS.items()}
    mood |= {"references": chance.choice((0, 0, 1, 2)), "continued": chance.random() < 0.1}
    for trouble in troubles.items():
        mood |= {other: chance.choice(options) for other, options in given(*trouble).items()}
    mood |= troubles
    address = " in the style of https://example.org/posters/7" if chance.random() < 0.3 else ""
    alike = chance.random() < 0.5
    if not _counts(mood):
        return None
    asked = Asked(references=mood.pop("references"), continued=mood.pop("continued"))
    switches = msgspec.convert({**QUICK, **mood}, Switches)
    return None if contradiction(switches) else Round(switches, asked, f"A lantern on a stair{address}, {name}", alike)


def given(name: str, value: Any) -> dict[str, list[Any]]:
    """What has to hold for a trouble to count."""
    return {**GIVEN.get((name, ...), {}), **GIVEN.get((name, value), {})}


def _counts(mood: dict[str, Any]) -> bool:
    """Whether each of its troubles counts, and what it goes on from is there to be gone on from."""
    for name, value in mood.items():
        if any(mood[other] not in options for other, options in given(name, value).items()):
            return False
    if not mood["continued"] or mood.get("unloadable"):
        return True
    # A document that is refused after a prompt would be refused to the conversation's next prompt too. One that cannot
    # be read is loaded anew once, and then told. Who has begun a conversation is signed in.
    return not {"reload_status", "read_errors"} & mood.keys() and mood.get("account", "expired") == "expired"


class Before(msgspec.Struct, frozen=True):
    """How much of the site's belongs to what came before."""

    prompts: int
    pictures: int
    charged: int


class Tally:
    """What the rounds came to."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.faults: list[str] = []
        self.prompts = 0
        self.uploads = 0

    def __str__(self) -> str:
        counted = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        middle = statistics.median(self.seconds) if self.seconds else 0.0
        longest = max(self.seconds, default=0.0)
        return (
            f"{sum(self.outcomes.values())} combinations: {counted}; {len(self.faults)} wrong; {self.prompts} prompts, "
            f"{self.uploads} uploads; {middle:.1f} s at the median, {longest:.1f} s at most"
        )


def scenes(rounds: int, seed: int, tally: Tally) -> list[Scene]:
    chance = random.Random(seed)
    drawn = [draw(chance, number, seed) for number in range(rounds)]
    return [
        Scene(partial(_noted, each, f"seed {seed}, number {number}", tally), seconds=6.0, limit=900)
        for number, each in enumerate(drawn)
    ]


async def play(rounds: int, seed: int, folder: Path, *, only: int | None = None) -> Tally:
    """Plays them by several programs side by side, and counts each; raises what is no fault of a combination."""
    tally = Tally()
    chosen = scenes(rounds, seed, tally)
    if only is not None:
        chosen = [chosen[only]]
    performance = Performance(chosen)
    await performance.run(folder)
    for number, scene in enumerate(chosen):
        try:
            await performance.seen(scene)
        except (AssertionError, TimeoutError) as error:
            tally.outcomes["wrong"] += 1
            tally.faults.append(str(error) or f"number {number if only is None else only}: not over within its limit")
        tally.seconds.append(performance.seconds(scene))
    assert sum(tally.outcomes.values()) == len(chosen), f"{len(chosen)} were drawn: {tally}"
    if performance.errors:
        raise ExceptionGroup("programs did not end as they should", performance.errors)
    left = [process.pid for process in profile_processes(folder)]
    assert left == [], f"processes are left: {left}"
    return tally


async def _noted(drawn: Round, name: str, tally: Tally, stage: Stage) -> None:
    try:
        tally.outcomes[await _round(drawn, tally, stage)] += 1
    except (AssertionError, TimeoutError) as error:
        told = f"{name}: {error or repr(error)}\n  {drawn.asked} {drawn.changed}"
        raise AssertionError(told) from error


async def _round(drawn: Round, tally: Tally, stage: Stage) -> str:
    site, program = stage.site, stage.program
    stage.set(Switches(generation=drawn.switches.generation))
    paths = _references(program.folder, drawn)
    arguments: dict[str, Any] = {"reference_images": [str(path) for path in paths]}
    if drawn.asked.continued:
        first = await program.generate(f"the beginning of {drawn.prompt}", images="none")
        assert first.status == "saved", first.data
        # The page leaves that conversation, so that it is loaded anew with what is asked of it below.
        await program.whole(await program.generate(f"beside {drawn.prompt}", images="none"))
        arguments["continue_from"] = first.data["generation_id"]
    before = Before(len(site.log.prompts), len(site.log.pictures()), site.state.remaining_taken)
    site.switches = drawn.switches
    answer = await program.generate(drawn.prompt, images="none", timeout_seconds=240, wait_seconds=370, **arguments)
    try:
        answer = await program.whole(answer)
        _judge(expectation(drawn.switches, drawn.asked), drawn, answer, site, before)
        digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        assert not digests & {hashlib.sha256(data).hexdigest() for data in answer.files()}, "a reference was saved"
        gone = await anyio.to_thread.run_sync(site.state.popups.gone.wait, 20)
        assert gone, "a window that the page opened is left"
    finally:
        tally.prompts += len([sent for sent in site.log.prompts[before.prompts :] if not sent.person])
        tally.uploads += len(site.log.uploads)
        if answer.status != "saved" and "generation_id" in answer.data:
            await program.call("cancel_image", generation_id=answer.data["generation_id"])
    return answer.code or answer.status


def _references(folder: Path, drawn: Round) -> list[Path]:
    place = folder / "Pictures"
    place.mkdir(exist_ok=True)
    size = drawn.switches.size if drawn.same_size else (320, 240)
    paths = [place / f"ref{number}.png" for number in range(drawn.asked.references)]
    for path in paths:
        path.write_bytes(make_picture(f"{path.stem} of {drawn.prompt}", size=size).content)
    return paths


def _judge(right: Expectation, drawn: Round, answer: Answer, site: Site, before: Before) -> None:
    log, told = site.log, _told(answer)
    assert log.wrong_presses == [], f"pressed {[press.button for press in log.wrong_presses]}: {told}"
    assert log.untrusted == [], f"{[event.what for event in log.untrusted]}: {told}"
    assert log.evaluations == [], f"script ran in a check's own world: {told}"
    sent = [prompt for prompt in log.prompts[before.prompts :] if not prompt.person]
    assert not site.past() & {prompt.conversation_id for prompt in sent}, f"sent into an old chat: {told}"
    assert {hint for prompt in sent for hint in prompt.system_hints} <= {"picture_v2"}, f"tools sent along: {told}"
    assert len(sent) <= 1, f"{len(sent)} prompts: {told}"
    if right.codes:
        codes = right.codes | (OF_THE_SITE if "*" in right.codes else frozenset[str]())
        assert answer.code in codes, f"not {sorted(right.codes)}: {told}"
        if right.sent is not None:
            assert len(sent) == right.sent, f"{len(sent)} prompts: {told}"
        wrong = untrue(answer, sent, site.state.remaining_taken - before.charged)
        assert wrong == "", f"{wrong}: {told}"
        return
    assert answer.status == "saved", f"not saved: {told}"
    assert [prompt.text for prompt in sent] == [drawn.prompt], f"another prompt: {told}"
    assert len(sent[0].references) == drawn.asked.references, f"{len(sent[0].references)} references: {told}"
    uploads = [upload.sha256 for upload in log.uploads]
    assert len(set(uploads)) == drawn.asked.references, f"{len(set(uploads))} uploads: {told}"
    # In the place of an old chat a new one is begun, and what was given to that one's composer is given to this.
    assert len(uploads) == len(set(uploads)) or drawn.switches.restored_chat, f"{len(uploads)} uploads: {told}"
    finals = [made.sha256 for made in log.pictures()[before.pictures :] if made.turn == sent[0].turn]
    saved = [hashlib.sha256(data).hexdigest() for data in answer.files()]
    # Of more pictures than were asked for, not all need be saved.
    assert saved, f"nothing was saved: {told}"
    assert saved == finals[: len(saved)], f"other pictures: {told}"
    # Those that nobody asked for may still be drawn when the one that was is saved and its turn is left.
    assert len(finals) <= right.pictures, f"{len(finals)} pictures were made"


def _told(answer: Answer) -> str:
    kept = ("status", "code", "message", "submitted", "spent", "generation_id")
    return str({name: answer.data[name] for name in kept if name in answer.data})


def main() -> int:
    parser = argparse.ArgumentParser(prog="combinations", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--only", type=int, help="play this one alone")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rounds} combinations", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tally = anyio.run(_run, options.rounds, options.seed, Path(folder), options.only)
    print(*tally.faults, tally, sep="\n")
    return 1 if tally.faults else 0


async def _run(rounds: int, seed: int, folder: Path, only: int | None) -> Tally:
    return await play(rounds, seed, folder, only=only)


if __name__ == "__main__":
    sys.exit(main())
