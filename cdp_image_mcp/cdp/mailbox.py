"""A bounded queue between the connection's reader, which never waits, and one consumer, which does."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from cdp_image_mcp.cdp.errors import CDPError, EventOverflow, EventTimeout, SubscriptionClosed
from cdp_image_mcp.system.sleep import overslept

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Use as a context manager; iterate, or call ``next``.

    What is queued is always given before an end. An interruption (a crash of the page) is raised once, at its place
    in the order, and the queue goes on; SessionClosed, BrowserGone, EventOverflow and the like are final.
    """

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._weight = 0
        self._queue: deque[tuple[T, int] | CDPError] = deque()
        self._error: CDPError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._releases: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._queue)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next entry; ends without an error only after ``close``, or where the end is no error."""
        try:
            return await self.next()
        except SubscriptionClosed:
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> T:
        """The next entry. Raises EventTimeout after ``timeout`` seconds, PageCrashed, or what ended the queue.

        Cancelling loses nothing. One reader at a time (RuntimeError for a second).
        """
        if self._queue or self._error is not None:
            return self._take()
        if self._waiter is not None:
            raise RuntimeError("one reader at a time")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        try:
            while not self._waiter.done():
                due = loop.time() + (timeout or 0.0)
                await asyncio.wait([self._waiter], timeout=timeout)
                # After a sleep of the machine nobody has waited yet.
                if timeout is not None and not self._waiter.done() and not overslept(due):
                    raise EventTimeout(self._what, timeout)
        finally:
            self._waiter = None
        return self._take()

    def poll(self) -> T | None:
        """An entry that is here already, or None. Raises as ``next`` does."""
        return self._take() if self._queue or self._error is not None else None

    def close(self) -> None:
        """Take no more and drop what is queued."""
        self._queue.clear()
        self.finish(SubscriptionClosed())

    # The writing side, which never waits.

    def put(self, entry: T, weight: int = 1) -> None:
        """Queue an entry. Over the limit of weights the mailbox ends with EventOverflow instead."""
        if self._error is not None:
            return
        if self._weight + weight > self._limit:
            bound = f"unread {self._what} reached the bound of {self._limit}"
            self.finish(EventOverflow(f"{bound}: the queue was closed, the later ones are missing"))
            return
        self._weight += weight
        self._queue.append((entry, weight))
        self._wake()

    def interrupt(self, error: CDPError) -> None:
        """Queue an error that is no end."""
        if self._error is None:
            self._queue.append(error)
            self._wake()

    def finish(self, error: CDPError) -> None:
        """End it, with ``error`` after what is queued; SubscriptionClosed for an end that is no error."""
        if self._error is None:
            self._error = error
            for release in self._releases:
                release()
            self._releases.clear()
            self._wake()

    def on_end(self, release: Callable[[], object]) -> None:
        """Call ``release`` when it ends, for whatever reason; at once if it has."""
        if self._error is None:
            self._releases.append(release)
        else:
            release()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self) -> T:
        if self._queue:
            entry = self._queue.popleft()
            if isinstance(entry, CDPError):
                raise entry
            self._weight -= entry[1]
            return entry[0]
        raise self._error or RuntimeError("woken for nothing")
