"""Tasks that serve a block and end with it, and work that must be finished once it was begun."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import anyio
import anyio.abc

__all__ = ["background", "shielded"]


@asynccontextmanager
async def background() -> AsyncGenerator[anyio.abc.TaskGroup]:
    """A task group that is cancelled when the block is left.

    What the block itself raises leaves as it is and not inside an exception group, so that callers can catch it by its
    type. A fault of a background task cancels the block and leaves as it is too, when it is the only one.
    """
    problem: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            try:
                yield group
            except Exception as error:  # noqa: BLE001 - raised again below, outside the group
                problem = error
            group.cancel_scope.cancel()
    except BaseExceptionGroup as faults:
        problem = problem or _alone(faults)
    if problem is not None:
        raise problem


def _alone(fault: BaseException) -> BaseException:
    """The one fault of a group: the group says only that tasks were in it."""
    if not isinstance(fault, BaseExceptionGroup):
        return fault
    inner = cast("BaseExceptionGroup[BaseException]", fault).exceptions
    return _alone(inner[0]) if len(inner) == 1 else cast("BaseException", fault)


@contextmanager
def shielded(seconds: float | None = None) -> Generator[None]:
    """Hold cancellation back until the block is done, at most for ``seconds`` (then TimeoutError)."""
    with anyio.CancelScope(shield=True) as scope:
        if seconds is not None:
            scope.deadline = anyio.current_time() + seconds
        yield
    if scope.cancelled_caught:
        raise TimeoutError
