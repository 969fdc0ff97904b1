"""The time limit of a generation."""

import math

import anyio

from cdp_image_mcp.system.sleep import AGAIN_SECONDS, overslept


class Clock:
    """It stands still in the queue and while a person is waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._left = seconds
        self._running_since: float | None = None
        self._scope: anyio.CancelScope | None = None

    @property
    def left(self) -> float:
        """Seconds, 0 when it is over."""
        since = self._running_since
        return max(0.0, self._left - (0.0 if since is None else anyio.current_time() - since))

    async def over(self, later: float = 0.0) -> None:
        """Until the limit, and ``later`` seconds more, is used up. What the machine slept through was not waited: a
        while is waited after it."""
        self._left += later
        begins = not later  # the second time a person may be waited for at this moment
        while True:
            self._scope = scope = anyio.CancelScope()
            try:
                with scope:
                    if begins or self._running_since is not None:
                        self.run()
                    await anyio.sleep_forever()
            finally:
                self._scope = None
            if not overslept(scope.deadline):
                return
            self._left, self._running_since = min(later or self.seconds, AGAIN_SECONDS), anyio.current_time()

    def run(self) -> None:
        if self._running_since is None:
            self._running_since = anyio.current_time()
        if self._scope is not None:
            self._scope.deadline = self._running_since + self._left

    def stop(self) -> None:
        self._left, self._running_since = self.left, None
        if self._scope is not None and not self._scope.cancel_called:
            self._scope.deadline = math.inf
