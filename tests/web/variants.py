"""The ways in which the site has been seen to behave, played through the real program and judged."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fixtures.site import Site, running_site
from fixtures.site.pictures import make_picture
from fixtures.site.switches import Generation, Language, Switches
from fixtures.site.variants import MORE, VARIANTS, Variant
from tests.web.program import Answer, Program, running_program

__all__ = ["PATIENT", "Stage", "open_stage", "play", "rows"]

PATIENT = {
    **dict.fromkeys(("40b", "53", "53i"), 92),
    **dict.fromkeys(("01", "13", "42b", "56", "57", "59b"), 23),
}
"""In these the program rightly waits long before it looks again or decides; about how many seconds, for sharing out."""


def rows(*generations: Generation, patient: bool = False) -> list[Any]:
    """The parameters of one page generation's test."""
    return [
        pytest.param(variant, generation, language, id=f"{variant.key}-{generation}-{language}")
        for variant in (*VARIANTS, *MORE)
        for generation in variant.generations
        for language in variant.languages
        if generation in generations and (variant.key in PATIENT) == patient
    ]


WITHOUT_A_PERSON = {"needs_sign_in": "needs_sign_in", "needs_verification": "verification_required"}
"""Without a display a state that waits for a person is an error at once."""


@dataclass
class Stage:
    site: Site
    program: Program


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncGenerator[Stage]:
    """One program serves many variants, as on a person's workstation: the browser stays open between them."""
    with running_site(Switches()) as site:
        async with running_program(folder, site.url) as program:
            yield Stage(site, program)


def references(folder: Path, count: int) -> list[str]:
    """Reference pictures where the program may read them."""
    place = folder / "Pictures"
    place.mkdir(exist_ok=True)
    paths: list[str] = []
    for number in range(count):
        path = place / f"ref{number}.png"
        path.write_bytes(make_picture(f"reference {number}", size=(320, 240)).content)
        paths.append(str(path))
    return paths


async def play(stage: Stage, variant: Variant, generation: Generation, language: Language) -> None:
    """One variant through the real program, judged."""
    site, program = stage.site, stage.program
    # What an earlier variant said about limits does not hold for the next one's account.
    (program.folder / "ledger.jsonl").unlink(missing_ok=True)
    site.switches = Switches(generation=generation)
    site.reset()
    arguments: dict[str, object] = {
        "size": variant.size,
        "n": variant.asked,
        "reference_images": references(program.folder, variant.references),
    }
    if variant.continued:
        first = await program.generate("the beginning", images="none")
        assert first.status == "saved", first.data
        arguments["continue_from"] = first.data["generation_id"]
    before = len(site.log.prompts), len(site.log.pictures())
    site.switches = variant.switches(generation, language)
    answer = await program.generate(variant.prompt, images="none", timeout_seconds=120, wait_seconds=120, **arguments)
    judge(variant, answer, site, before)


def judge(variant: Variant, answer: Answer, site: Site, before: tuple[int, int]) -> None:
    """What must hold in all of them: the right outcome, only final pictures, at most one prompt, no wrong press."""
    log = site.log
    context = f"{variant.title}: {answer.data}"
    assert log.wrong_presses == [], context
    assert log.untrusted == [], context
    assert log.evaluations == [], context
    prompts = log.prompts[before[0] :]
    if variant.expects in {"saved", "partial"}:
        assert answer.status == variant.expects, context
        finals = [picture.sha256 for picture in log.pictures()[before[1] :]]
        assert [hashlib.sha256(data).hexdigest() for data in answer.files()] == finals[: variant.pictures], context
        assert len(answer.data["images"]) == variant.pictures, context
        assert 1 <= len(prompts) <= variant.asked, context
        assert all(prompt.text.startswith(variant.prompt) for prompt in prompts), context
        assert len(prompts[0].references) == variant.references, context
        # A size is told once: by the page's own chooser, or in the prompt's own words.
        assert prompts[0].aspect == variant.aspect, context
        in_words = variant.size != "auto" and not variant.aspect
        assert (prompts[0].text != variant.prompt) == in_words, context
        assert (f"Aspect ratio {variant.size}." in prompts[0].text) == in_words, context
        if variant.size != "auto":
            honoured = variant.changes.get("honour_ratio", True)
            assert answer.data["honoured"] == (honoured or ["size"]), context
    else:
        expected = WITHOUT_A_PERSON.get(variant.expects, variant.expects)
        assert answer.code == expected, context
        assert len(prompts) <= 1, context
        if answer.data["submitted"] is False:
            assert prompts == [], context
