"""A machine that sleeps is no browser that hangs."""

import sys
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil
import pytest
from anyio.streams.text import TextReceiveStream

from cdp_image_mcp.cdp.errors import CommandTimeout, EventTimeout
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.system.sleep import slept_since
from tests.browser import found_browser
from tests.cdp.peer import connected
from tests.clock import leap

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


async def test_who_waits_for_an_answer_gets_his_time_again_after_a_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    with anyio.fail_after(7200):
        async with connected() as (peer, connection):
            peer.silent = {"A.one"}
            answers: list[dict[str, int]] = []

            async def ask() -> None:
                answers.append(await connection.browser.call("A.one", timeout=60.0, reply=dict[str, int]))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                sent = await peer.command("A.one")
                leap(monkeypatch, 3600.0)
                await peer.settle(connection)
                await peer.send({"id": sent["id"], "result": {"n": 1}})
            assert answers == [{"n": 1}]


async def test_an_answer_that_does_not_come_after_a_sleep_either_is_late() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            peer.silent = {"A.one"}
            with pytest.raises(CommandTimeout):
                await connection.browser.call("A.one", timeout=0.1)


async def test_who_waits_for_an_event_gets_his_time_again_after_a_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox: Mailbox[int] = Mailbox("numbers", 10)
    with anyio.fail_after(7200):
        async with anyio.create_task_group() as tasks:

            async def later() -> None:
                await anyio.wait_all_tasks_blocked()
                leap(monkeypatch, 3600.0)
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                mailbox.put(1)

            tasks.start_soon(later)
            assert await mailbox.next(60.0) == 1
        with pytest.raises(EventTimeout):
            await mailbox.next(0.01)


@pytest.mark.parametrize(("passed", "slept"), [(31.0, False), (59.0, False), (61.0, True), (8 * 3600.0, True)])
def test_more_time_of_day_than_was_waited_for_is_a_sleep(passed: float, slept: bool) -> None:
    assert slept_since(time.time() - passed, 30.0) is slept


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be stopped there")
async def test_a_program_stopped_together_with_its_browser_goes_on_where_it_was(tmp_path: Path) -> None:
    found_browser()
    command = [sys.executable, "-m", "tests.cdp.asleep", str(tmp_path / "profile")]
    with anyio.fail_after(60):
        async with await anyio.open_process(command, stderr=None, cwd=ROOT) as program:
            assert program.stdout is not None
            said = TextReceiveStream(program.stdout)
            _asking, pid = (await said.receive()).split()
            browser = psutil.Process(int(pid))
            family = [psutil.Process(program.pid), browser, *browser.children(recursive=True)]
            for process in family:
                process.suspend()
            await anyio.sleep(4)  # longer than the answer may take, and than the rule's patience on top of it
            for process in reversed(family):
                process.resume()
            assert "".join([text async for text in said]).split() == ["awake", "EventTimeout"]
