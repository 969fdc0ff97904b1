"""The server that holds the browser is killed: another one takes over, and nothing is lost or made twice."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from fixtures.site import Site, Switches
from tests.faults.peer import Gone, Peer
from tests.people.browsers import none_left
from tests.people.screen import until
from tests.web.program import environment

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def killed_at_the_end() -> AsyncGenerator[list[Peer]]:
    """The servers that the test lists, none of which outlives it, whatever fails."""
    peers: list[Peer] = []
    try:
        yield peers
    finally:
        for peer in peers:
            if peer.process.returncode is None:
                peer.crash()
        with anyio.CancelScope(shield=True):
            for peer in peers:
                await peer.process.wait()


async def test_the_owner_of_the_browser_killed_three_times_loses_and_doubles_nothing(
    site: Site, tmp_path: Path
) -> None:
    site.switches = Switches(picture_delay_s=2.0)
    with anyio.fail_after(200):
        async with anyio.create_task_group() as group, killed_at_the_end() as peers:
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
                peers[owner].crash()
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
