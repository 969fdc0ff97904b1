"""A browser that can be driven, and its end."""

import logging
import os
from dataclasses import dataclass

import anyio
import anyio.to_thread

from cdp_image_mcp.cdp.connection import Connection
from cdp_image_mcp.cdp.errors import CDPError, CommandTimeout
from cdp_image_mcp.cdp.launching.process import KILL_PATIENCE, BrowserProcess, kill_foreign, wait_foreign
from cdp_image_mcp.cdp.protocol import BrowserVersion
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)

# Of an orderly end that did not even begin: the browser did not answer Browser.close.
HUNG_PATIENCE = 2.0


@dataclass(eq=False, kw_only=True)
class Browser:
    """A browser that can be driven, until its block ends. Made by ``launch`` and ``attach``."""

    connection: Connection
    pid: int | None
    version: BrowserVersion
    process: BrowserProcess | None
    """Ours; None for one that was attached to."""
    leash: int | None
    close_timeout: float
    _ended: bool = False

    @property
    def owned(self) -> bool:
        """Started by us, and ended with its block; False when it was attached to."""
        return self.process is not None

    @property
    def shared(self) -> bool:
        """Others may hold its leash as well, so that it can be left to them."""
        return self.leash is not None

    @property
    def headless(self) -> bool:
        """Without any window: told by the browser itself, not by what was asked for."""
        return "Headless" in self.version.product or "Headless" in self.version.user_agent

    async def leave(self) -> None:
        """Let go: the browser lives on while another process holds its leash, and ends in order otherwise, which the
        end of its block waits for; one of our own ends where a leash has no name (Windows). Idempotent; shields
        itself."""
        if self._ended:
            return
        self._ended = True
        with shielded():
            self.connection.expect_end()
            self._drop_leash()
            if self.process is not None:
                self.process.drop_leash()
            await self.connection.close()

    def _drop_leash(self) -> None:
        if self.leash is not None:
            os.close(self.leash)
            self.leash = None

    async def answers(self, seconds: float) -> bool:
        """Whether the browser itself still answers within that time; one that hangs keeps its connection. Raises
        BrowserGone."""
        try:
            await self.connection.browser.call("Browser.getVersion", timeout=seconds)
        except CommandTimeout:
            return False
        return True

    async def kill(self) -> None:
        """End a browser that hangs, at once and whoever started it; returns when its connection has broken, after 5 s
        at the latest. What it had not written down is lost: the cookies of its last 30 s."""
        log.warning("the browser (process %s) does not answer and is ended by force", self.pid)
        if self.process is not None:
            self.process.kill_tree()
        elif self.pid is not None:
            await anyio.to_thread.run_sync(kill_foreign, self.pid)
        with anyio.move_on_after(KILL_PATIENCE):
            await self.connection.wait_gone()

    async def quit(self) -> None:
        """End the browser in order, whoever started it: Browser.close, 10 s (2 s when that was not answered within 5),
        SIGTERM, 3 s, the whole group. Idempotent.

        Not to be cancelled half-way: it shields itself.
        """
        if self._ended:
            return
        self._ended = True
        patience = self.close_timeout
        with shielded():
            self.connection.expect_end()
            self._drop_leash()
            try:
                await self.connection.browser.call("Browser.close", timeout=5)
            except CDPError as error:
                if isinstance(error, CommandTimeout):
                    patience = min(patience, HUNG_PATIENCE)
                if self.process is not None:
                    self.process.drop_leash()
            if self.process is not None:
                await self.process.end(patience)
            elif self.pid is not None:
                await anyio.to_thread.run_sync(wait_foreign, self.pid, patience)
            await self.connection.close()
