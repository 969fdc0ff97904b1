"""Several clients on one workstation: several servers, one profile, one account, one prompt at a time."""

import hashlib
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from fixtures.site import Site
from fixtures.site.log import PictureMade, Prompt
from tests.people.browsers import browsers, none_left
from tests.people.screen import until
from tests.web.program import Answer, running_program

pytestmark = pytest.mark.anyio


def one_at_a_time(site: Site) -> bool:
    """In the site's log every prompt comes after the picture of the one before."""
    kinds = [entry for entry in site.log.entries if isinstance(entry, Prompt | PictureMade)]
    kinds = [entry for entry in kinds if not (isinstance(entry, PictureMade) and entry.kind != "final")]
    return all(isinstance(entry, Prompt) == (number % 2 == 0) for number, entry in enumerate(kinds))


@pytest.mark.parametrize("servers", [pytest.param(2, marks=pytest.mark.nightly), 4])
async def test_ten_generations_of_several_servers_are_all_right_and_come_one_after_the_other(
    servers: int, site: Site, tmp_path: Path
) -> None:
    answers: dict[str, Answer] = {}
    with anyio.fail_after(200):
        async with AsyncExitStack() as stack:
            programs = [await stack.enter_async_context(running_program(tmp_path, site.url)) for _ in range(servers)]

            async def ask(number: int) -> None:
                prompt = f"picture {number}"
                program = programs[number % servers]
                answer = await program.generate(prompt, images="none", wait_seconds=120)
                answers[prompt] = answer

            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(ask, number)
                await until(lambda: bool(site.log.prompts))
                assert len(browsers(tmp_path)) == 1
            told = [message for program in programs for message in program.messages]
        await none_left(tmp_path)
    assert {answer.status for answer in answers.values()} == {"saved"}, answers
    assert sorted(prompt.text for prompt in site.log.prompts) == sorted(answers)
    assert one_at_a_time(site)
    made = {picture.conversation_id: picture.sha256 for picture in site.log.pictures("final")}
    ours = {prompt.text: made[prompt.conversation_id] for prompt in site.log.prompts}
    for prompt, answer in answers.items():
        assert [hashlib.sha256(data).hexdigest() for data in answer.files()] == [ours[prompt]]
    assert any("queued 2nd" in message for message in told), told


async def test_the_place_in_the_queue_is_told_in_the_answer(site: Site, tmp_path: Path) -> None:
    site.state.held = True
    with anyio.fail_after(90):
        async with (
            running_program(tmp_path, site.url) as first,
            running_program(tmp_path, site.url) as second,
        ):
            begun = await first.generate("one", wait_seconds=0)
            await until(lambda: bool(site.log.prompts))
            waiting = [await second.generate(f"more {number}", wait_seconds=0) for number in range(2)]
            places: list[int] = []
            for answer in waiting:
                told = await second.call("wait_for_image", generation_id=answer.data["generation_id"], wait_seconds=1)
                assert told.status == "working", told.data
                places.append(told.data["progress"]["queue_position"])
                assert told.data["progress"]["message"].startswith("queued")
            assert sorted(places) == [1, 2]
            site.state.held = False
            for program, answer in [(first, begun), *((second, answer) for answer in waiting)]:
                done = await program.call("wait_for_image", generation_id=answer.data["generation_id"])
                assert done.status == "saved", done.data
