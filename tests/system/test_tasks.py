"""A block with tasks behind it."""

from collections.abc import Callable, Coroutine

import anyio
import pytest

from cdp_image_mcp.system.tasks import background

pytestmark = pytest.mark.anyio


async def fail() -> None:
    raise ZeroDivisionError


async def fail_when_asked_to_end() -> None:
    try:
        await anyio.sleep_forever()
    finally:
        raise ZeroDivisionError


async def block(*tasks: Callable[[], Coroutine[None, None, None]]) -> None:
    async with background() as group:
        for task in tasks:
            group.start_soon(task)
        await anyio.sleep_forever()


async def test_a_fault_behind_a_block_ends_it_and_comes_out_alone() -> None:
    with anyio.fail_after(60), pytest.raises(ZeroDivisionError):
        await block(fail)


async def test_a_fault_behind_a_block_in_a_block_comes_out_alone_too() -> None:
    with anyio.fail_after(60), pytest.raises(ZeroDivisionError):
        await block(lambda: block(fail))


async def test_two_faults_come_out_together() -> None:
    with anyio.fail_after(60), pytest.raises(ExceptionGroup) as caught:
        await block(fail_when_asked_to_end, fail)
    assert [type(fault) for fault in caught.value.exceptions] == [ZeroDivisionError, ZeroDivisionError]


async def test_what_the_block_raises_comes_out_as_it_is_and_its_tasks_end() -> None:
    ended = anyio.Event()

    async def serve() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async def failing() -> None:
        async with background() as group:
            group.start_soon(serve)
            await anyio.wait_all_tasks_blocked()
            raise LookupError("mine") from KeyError("why")

    with anyio.fail_after(60), pytest.raises(LookupError) as caught:
        await failing()
    assert ended.is_set()
    assert isinstance(caught.value.__cause__, KeyError)
