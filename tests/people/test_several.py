"""Several clients on one workstation: several servers, one profile, one account, one prompt at a time."""

import hashlib
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from fixtures.site import Site, Switches
from fixtures.site.log import PictureMade, Prompt
from tests.faults.peer import Gone, Peer
from tests.people.browsers import browsers, none_left
from tests.people.screen import until
from tests.web.program import Answer, environment, running_program

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
    site.set(picture_delay_s=3.0)
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
            for program, answer in [(first, begun), *((second, answer) for answer in waiting)]:
                done = await program.call("wait_for_image", generation_id=answer.data["generation_id"])
                assert done.status == "saved", done.data


async def test_the_owner_of_the_browser_killed_three_times_loses_and_doubles_nothing(
    site: Site, tmp_path: Path
) -> None:
    site.switches = Switches(picture_delay_s=2.0)
    with anyio.fail_after(200):
        async with anyio.create_task_group() as group:
            peers: list[Peer] = []
            for _ in range(4):
                peer = await Peer.start(tmp_path, environment(tmp_path, site.url))
                peers.append(peer)
                group.start_soon(peer.read)
                await peer.open()
            started: dict[int, str] = {}

            async def ask(number: int) -> None:
                try:
                    answer = await peers[number].call(
                        "generate_image", prompt=f"of server {number}", images="none", wait_seconds=0
                    )
                    started[number] = answer["generation_id"]
                except Gone:
                    pass

            for number in range(4):
                await ask(number)
            for kill in range(3):
                await until(lambda kill=kill: len(site.log.prompts) > kill)
                working = site.log.prompts[-1].text
                owner = int(working.rsplit(" ", 1)[1])
                os.kill(peers[owner].process.pid, signal.SIGKILL)
                at = anyio.current_time()
                await until(lambda kill=kill: len(site.log.prompts) > kill + 1, 40)
                print(f"taken over {anyio.current_time() - at:.1f} s after a kill")
            (last,) = [peer for peer in peers if peer.process.returncode is None and alive(peer)]
            for generation_id in started.values():
                answer = await last.call("wait_for_image", generation_id=generation_id, wait_seconds=90, images="none")
                assert answer["status"] == "saved", answer
            await last.end()
            for peer in peers:
                await peer.process.wait()
            group.cancel_scope.cancel()
        await none_left(tmp_path)
    assert sorted(prompt.text for prompt in site.log.prompts) == [f"of server {number}" for number in range(4)]


def alive(peer: Peer) -> bool:
    try:
        os.kill(peer.process.pid, 0)
    except ProcessLookupError:
        return False
    return peer.process.returncode is None
