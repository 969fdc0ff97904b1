"""However a server ends, no browser of ours is left three seconds later, and the sign-in is kept."""

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from fixtures.site import Site
from tests.faults.peer import Peer
from tests.people.browsers import browsers, none_left, session_cookie
from tests.people.person import auto
from tests.people.screen import Screen, until
from tests.web.program import environment, running_program

pytestmark = pytest.mark.anyio


async def eof(peer: Peer) -> None:
    assert peer.process.stdin is not None
    await peer.process.stdin.aclose()


async def vanished_client(peer: Peer) -> None:
    await peer.vanish()


async def crashed(peer: Peer) -> None:
    peer.crash()


async def killed(peer: Peer) -> None:
    peer.process.kill()


def signalled(number: signal.Signals) -> Callable[[Peer], Awaitable[None]]:
    async def end(peer: Peer) -> None:
        peer.process.send_signal(number)

    return end


ENDS: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "end of input": eof,
    "a client that died": vanished_client,
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGINT": signalled(signal.SIGINT),
    "SIGKILL": killed,
    "a crash": crashed,
}


@pytest.mark.parametrize("end", ENDS)
async def test_nothing_is_left_and_the_sign_in_is_kept(end: str, screen: Screen, site: Site, tmp_path: Path) -> None:
    variables = auto(screen, CHATGPT_WINDOW_MODE="hidden")
    cookie: str | None = None
    with anyio.fail_after(90):
        async with anyio.create_task_group() as group:
            peer = await Peer.start(tmp_path, environment(tmp_path, site.url, **variables))
            group.start_soon(peer.read)
            await peer.open()
            answer = await peer.call("generate_image", prompt="one", images="none", wait_seconds=60)
            assert answer["status"] == "saved", answer
            cookie = await session_cookie(tmp_path, site.url)
            assert cookie in site.state.sessions
            assert browsers(tmp_path)
            await ENDS[end](peer)
            await none_left(tmp_path)
            await peer.process.wait()
            group.cancel_scope.cancel()
        visible = auto(screen, CHATGPT_WINDOW_MODE="visible")
        async with running_program(tmp_path, site.url, variables=visible) as program:
            await program.call("browser_visibility", action="show", start_browser=True)
            assert await session_cookie(tmp_path, site.url) == cookie
            (window,) = screen.windows()
            screen.picture(tmp_path / "again.png")
            # A "Restore pages?" bubble would be a window of its own.
            assert screen.windows() == [window]


async def test_the_sign_in_window_ends_with_a_killed_server(screen: Screen, site: Site, tmp_path: Path) -> None:
    site.set(account="guest")
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            peer = await Peer.start(tmp_path, environment(tmp_path, site.url, **auto(screen)))
            group.start_soon(peer.read)
            await peer.open()
            answer = await peer.call("generate_image", prompt="one", images="none", wait_seconds=60)
            assert answer["status"] == "needs_sign_in", answer
            await until(lambda: bool(screen.windows()))
            peer.crash()
            await none_left(tmp_path)
            await peer.process.wait()
            group.cancel_scope.cancel()
        assert screen.windows() == []


async def test_another_server_goes_on_when_the_one_with_the_sign_in_window_is_killed(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    variables = auto(screen)
    with anyio.fail_after(90):
        async with (
            running_program(tmp_path, site.url, variables=variables) as other,
            anyio.create_task_group() as group,
        ):
            peer = await Peer.start(tmp_path, environment(tmp_path, site.url, **variables))
            group.start_soon(peer.read)
            await peer.open()
            assert (await peer.call("generate_image", prompt="one", wait_seconds=60))["status"] == "needs_sign_in"
            queued = await other.generate("two", wait_seconds=0)
            site.set(account="signed_in")
            peer.crash()
            answer = await other.call("wait_for_image", generation_id=queued.data["generation_id"])
            assert answer.status == "saved", answer.data
            await peer.process.wait()
            group.cancel_scope.cancel()
        await none_left(tmp_path)
