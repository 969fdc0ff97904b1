"""The ways in which the site has been seen to behave, played through the real program and judged."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from fixtures.site import Site
from fixtures.site.expectation import OF_THE_SITE, Asked, expectation
from fixtures.site.log import Prompt
from fixtures.site.pictures import make_picture
from fixtures.site.switches import Generation, Language, Switches
from fixtures.site.variants import MORE, VARIANTS, Variant
from tests.web.awaited import AWAITED
from tests.web.failures import untrue
from tests.web.performance import Scene, Stage
from tests.web.program import Answer

__all__ = ["PATIENT", "rows"]

PATIENT = {
    **dict.fromkeys(("44b", "63p"), 105.0),
    **dict.fromkeys(("53", "53i", "67h", "67k"), 92.0),
    "40k": 60.0,
    "43c": 92.0,
    "40h": 82.0,
    "25f": 75.0,
    "76k": 64.0,
    "76m": 52.0,
    "40f": 42.0,
    "89c": 10.0,
    "47c": 9.0,
    **dict.fromkeys(("25d", "25e"), 17.0),
    **dict.fromkeys(("68", "76c", "77", "77b", "84", "84b", "84e"), 42.0),
    **dict.fromkeys(("01", "06b", "06c", "13", "22", "42b", "56", "57", "59b", "63i", "100"), 23.0),
    **dict.fromkeys(
        (
            "20g",
            "84g",
            "84h",
            "84i",
            "85c",
            "25",
            "25c",
            "36",
            "36b",
            "42d",
            "44",
            "52e",
            "53b",
            "53e",
            "53h",
            "65c",
            "66",
            "66b",
        ),
        17.0,
    ),
}
"""In these the program rightly waits long before it looks again or decides: for about so many seconds."""

PAGES: tuple[Generation, ...] = ("october", "classic", "rebuilt", "mobile")
"""A row is played in every run on the first of these that it knows, on the others at night."""

OTHERWISE: dict[str, Generation] = {
    **dict.fromkeys(("03", "14b", "18", "21", "26", "28", "33", "38", "40", "46b"), "classic"),
    **dict.fromkeys(("05", "15", "20", "22", "27", "31", "35", "39", "41", "64"), "rebuilt"),
}
"""Each page shows these in its own way: in every run they are played on one of the older ones as well, half on each."""

AWAITING = 45
"""Seconds for a generation of which it is known that it fails: no run waits longer for what nobody expects."""


def rows() -> list[Any]:
    """The parameters of the variants' test."""
    return [
        _parameter(variant, generation, language)
        for variant in (*VARIANTS, *MORE)
        for generation in variant.generations
        for language in variant.languages
    ]


def _parameter(variant: Variant, generation: Generation, language: Language) -> Any:
    lack = AWAITED.get(variant.key) or AWAITED.get(f"{variant.key}-{generation}")
    if lack:
        variant = msgspec.structs.replace(variant, limit=min(variant.limit, AWAITING))
    marks: list[pytest.MarkDecorator] = []
    if variant.nightly or _is_repetition(variant, generation, language):
        marks.append(pytest.mark.nightly)
    if lack:
        marks.append(pytest.mark.xfail(strict=True, reason=lack))
    scene = Scene(
        partial(play, variant, generation, language), PATIENT.get(variant.key, 3.0), limit=2 * variant.limit + 180
    )
    return pytest.param(scene, id=f"{variant.key}-{generation}-{language}", marks=marks)


def _is_repetition(variant: Variant, generation: Generation, language: Language) -> bool:
    """Whether another page or language says as much of the row: where the page's language matters, its second stands
    for the others. What the site's wording decides is held by the unit tables in every language."""
    first = min(variant.generations, key=PAGES.index)
    elsewhere = generation not in (first, OTHERWISE.get(variant.key))
    told = variant.languages[:1] if variant.group == "no picture" or generation != first else variant.languages[:2]
    return elsewhere or language not in told


WITHOUT_A_PERSON = {"needs_sign_in": "needs_sign_in", "needs_verification": "verification_required"}
"""Without a display a state that waits for a person is an error at once."""


def references(folder: Path, variant: Variant) -> list[str]:
    """Reference pictures where the program may read them."""
    place = folder / "Pictures"
    place.mkdir(exist_ok=True)
    size = (320, 240) if variant.reference_size == "small" else Switches().size
    paths: list[str] = []
    for number in range(variant.references):
        path = place / f"ref{number}.png"
        path.write_bytes(make_picture(f"reference {number}", size=size).content)
        paths.append(str(path))
    return paths


async def play(variant: Variant, generation: Generation, language: Language, stage: Stage) -> None:
    """One variant through the real program, judged. What it leaves unfinished is given up, so that the next is not
    judged by it."""
    site, program = stage.site, stage.program
    stage.set(Switches(generation=generation))
    arguments: dict[str, object] = {
        "size": variant.size,
        "n": variant.asked,
        "reference_images": references(program.folder, variant),
    }
    if variant.continued:
        site.set(**variant.first)
        first = await program.whole(await program.generate("the beginning", images="none"))
        assert first.status == "saved", first.data
        # The page leaves that conversation, so that it is loaded anew.
        await program.whole(await program.generate("between them", images="none"))
        arguments["continue_from"] = first.data["generation_id"]
    # Words of its own: an equal prompt would be taken for a repetition of one that an earlier row left unfinished.
    prompt = f"{variant.prompt} [{variant.key} {generation} {language}]"
    before = Before(len(site.log.prompts), len(site.log.pictures()), len(site.log.uploads), site.state.remaining_taken)
    site.switches = variant.switches(generation, language)
    answer = await program.generate(
        prompt, images="none", timeout_seconds=variant.limit, wait_seconds=variant.limit + 130, **arguments
    )
    try:
        if variant.expects == "saved":
            assert answer.status == "saved", f"{variant.title}: {answer.data}"
            assert len(answer.data["images"]) >= variant.asked, f"{variant.title}: {answer.data}"
        answer = await program.whole(answer)
        judge(variant, prompt, answer, site, before)
        if answer.code is not None:
            judge_failure(variant, generation, answer, site, before)
        if variant.switches(generation).popup:
            assert await anyio.to_thread.run_sync(site.state.popups.gone.wait, 20), "a window of the page's is left"
        if variant.then:
            site.switches = Switches(generation=generation)
            afterwards = await program.generate("a plain one", images="none")
            assert afterwards.status == "saved", afterwards.data
    finally:
        if answer.status == "working" or ("generation_id" in answer.data and answer.code not in (None, "not_found")):
            await program.call("cancel_image", generation_id=answer.data["generation_id"])


@dataclass
class Before:
    """How much of the log belongs to what came before."""

    prompts: int
    pictures: int
    uploads: int
    charged: int


def judge(variant: Variant, prompt: str, answer: Answer, site: Site, before: Before) -> None:
    """What must hold in all of them: the right outcome, only final pictures, at most one prompt, no wrong press."""
    log = site.log
    context = f"{variant.title}: {answer.data}"
    assert log.wrong_presses == [], context
    assert log.untrusted == [], context
    # The check sees what runs in its own world alone; of ours, tests/people/test_check.py tells.
    assert log.evaluations == [], context
    assert variant.says in str(answer.data), context
    prompts = [sent for sent in log.prompts[before.prompts :] if not sent.person]
    assert {hint for sent in prompts for hint in sent.system_hints} <= {"picture_v2"}, context
    assert not site.past() & {sent.conversation_id for sent in prompts}, context
    if variant.expects in {"saved", "partial"}:
        judge_pictures(variant, answer, site, before, context)
        judge_prompts(variant, prompt, answer, prompts, context)
        went_up = {upload.file_id: upload.sha256 for upload in log.uploads[before.uploads :]}
        assert len({went_up[file] for file in prompts[0].references}) == variant.references, context
    elif variant.expects == "not_sent":
        assert answer.code in OF_THE_SITE, context
        assert answer.data["submitted"] is False, context
        assert prompts == [], context
    else:
        expected = [WITHOUT_A_PERSON.get(each, each) for each in variant.expects.split("/")]
        assert answer.code in expected, context
        if variant.changes.get("answers") == ["tool_error"]:
            told = (answer.data["submitted"], answer.data["spent"], answer.data["retryable"])
            assert told == (True, "unknown", True), context
        assert len(prompts) <= 1, context


def judge_failure(variant: Variant, generation: Generation, answer: Answer, site: Site, before: Before) -> None:
    """What it says of sending and spending, and whether the prompt was to go out at all."""
    context = f"{variant.title}: {answer.data}"
    prompts = [sent for sent in site.log.prompts[before.prompts :] if not sent.person]
    assert untrue(answer, prompts, site.state.remaining_taken - before.charged) == "", context
    asked = Asked(references=variant.references, continued=variant.continued)
    right = expectation(variant.switches(generation), asked)
    if right.codes and right.sent is not None:
        assert bool(prompts) == right.sent, context


def judge_pictures(variant: Variant, answer: Answer, site: Site, before: Before, context: str) -> None:
    """The finished pictures of our own turns, in order, and each reference sent up."""
    assert answer.status == variant.expects, context
    ours = {prompt.turn for prompt in site.log.prompts[before.prompts :] if not prompt.person}
    finals = [made.sha256 for made in site.log.pictures()[before.pictures :] if made.turn in ours]
    assert [hashlib.sha256(data).hexdigest() for data in answer.files()] == finals[: variant.pictures], context
    assert len(answer.data["images"]) == variant.pictures, context
    uploads = [upload.sha256 for upload in site.log.uploads[before.uploads :]]
    assert len(set(uploads)) == variant.references, context
    # What is taken so late is given again, and taken away where both came; so are those beside one that broke, and
    # in a new chat those that were given in the old one.
    again = {"upload_begin_s", "upload_breaks", "restored_chat"} & variant.changes.keys()
    assert len(uploads) == variant.references or again, context


def judge_prompts(variant: Variant, prompt: str, answer: Answer, prompts: list[Prompt], context: str) -> None:
    assert 1 <= len(prompts) <= variant.asked, context
    assert all(sent.text.startswith(prompt) for sent in prompts), context
    assert len(prompts[0].references) == variant.references, context
    # A size is told once: by the page's own chooser, or in the prompt's own words.
    assert prompts[0].aspect == variant.aspect, context
    in_words = variant.size != "auto" and not variant.aspect
    assert (prompts[0].text != prompt) == in_words, context
    assert (f"Aspect ratio {variant.size}." in prompts[0].text) == in_words, context
    if variant.size != "auto":
        honoured = variant.changes.get("honour_ratio", True)
        assert answer.data["honoured"] == (honoured or ["size"]), context
