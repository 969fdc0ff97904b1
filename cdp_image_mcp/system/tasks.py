"""Tasks that serve a block and end with it, blocks that outlive their caller, and work that must be finished."""

import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import Generic, TypeVar, cast

import anyio
import anyio.abc

log = logging.getLogger(__name__)

T = TypeVar("T")


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


class HeldOpen(Generic[T]):
    """A block that a task of its own holds open, so that it is entered and left in one place, whoever asks for it."""

    def __init__(self, manager: AbstractAsyncContextManager[T]) -> None:
        self._manager = manager
        self._leave = anyio.Event()
        self._left = anyio.Event()
        self._entered: list[T] = []

    @property
    def open(self) -> bool:
        """It was entered, and nobody has asked to leave it."""
        return bool(self._entered) and not self._leave.is_set() and not self._left.is_set()

    @property
    def value(self) -> T:
        """What entering the block gave; for those who have entered it."""
        return self._entered[0]

    async def enter(self, group: anyio.abc.TaskGroup) -> T:
        """Enter the block in a task of ``group``. Raises what entering raises; a fault after that ends it alone."""
        await group.start(self._hold)
        return self.value

    async def close(self) -> None:
        """Leave the block, and wait until that is done. Idempotent."""
        self._leave.set()
        await self._left.wait()

    async def _hold(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        try:
            async with self._manager as value:
                self._entered.append(value)
                task_status.started()
                await self._leave.wait()
        except Exception as error:
            if not self._entered:
                raise
            log.info("a block that was held open ended: %r", error)
        finally:
            self._left.set()


def shielded(seconds: float | None = None) -> AbstractContextManager[anyio.CancelScope]:
    """Hold cancellation back until the block is done, at most for ``seconds`` (then TimeoutError)."""
    return anyio.fail_after(seconds, shield=True)
