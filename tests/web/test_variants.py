"""The 62 ways in which the site has been seen to behave, through the real program.

One program serves many variants, as on a person's workstation: the browser stays open between them.
"""

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.site import Site, running_site
from fixtures.site.pictures import make_picture
from fixtures.site.switches import Generation, Language, Switches
from fixtures.site.variants import VARIANTS, Variant
from tests.web.program import Answer, Program, running_program

pytestmark = pytest.mark.anyio

ALL = [
    pytest.param(variant, generation, language, id=f"{variant.key}-{generation}-{language}")
    for variant in VARIANTS
    for generation in variant.generations
    for language in variant.languages
]

WITHOUT_A_PERSON = {"needs_sign_in": "needs_sign_in", "needs_verification": "verification_required"}
"""Without a display a state that waits for a person is an error at once."""


@dataclass
class Stage:
    site: Site
    program: Program


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    folder = tmp_path_factory.mktemp("variants")
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


@pytest.mark.parametrize(("variant", "generation", "language"), ALL)
async def test_variant(
    variant: Variant, generation: Generation, language: Language, stage: Stage, tmp_path: Path
) -> None:
    site, program = stage.site, stage.program
    # What an earlier variant said about limits does not hold for the next one's account.
    (program.folder / "ledger.jsonl").unlink(missing_ok=True)
    site.switches = Switches(generation=generation)
    site.reset()
    arguments: dict[str, object] = {
        "size": variant.size,
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
    if variant.expects == "saved":
        assert answer.status == "saved", context
        finals = [picture.sha256 for picture in log.pictures()[before[1] :]]
        assert [hashlib.sha256(data).hexdigest() for data in answer.files()] == finals[: variant.pictures], context
        assert len(answer.data["images"]) == variant.pictures, context
        assert len(prompts) == 1, context
        assert prompts[0].text.startswith(variant.prompt), context
        assert len(prompts[0].references) == variant.references, context
    else:
        expected = WITHOUT_A_PERSON.get(variant.expects, variant.expects)
        assert answer.code == expected, context
        assert len(prompts) <= 1, context
        if answer.data["submitted"] is False:
            assert prompts == [], context
