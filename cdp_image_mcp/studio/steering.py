"""What earlier answers said of the ways. It orders the ways of ``auto`` and lets a short limit pass; it never refuses
one that was named or is the only one: asking costs nothing, and whoever has just paid must not be kept waiting."""

import hashlib
import os
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import Code, ImageError
from cdp_image_mcp.library.ledger import Learnt, Ledger
from cdp_image_mcp.library.record import epoch
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.system.day import in_seconds

RESTS: frozenset[Code] = frozenset(("quota_reached", "rate_limited", "billing"))
BILLING_REST = 60.0
"""Seconds for which an account without credit is asked last. Short: nothing says when its owner has paid."""


def account_of(settings: Settings, backend: BackendName) -> str:
    """Who is asked, without the key: another key, server, path there, model or profile is another one."""
    if backend == "chatgpt-web":
        return f"{settings.web_url} {os.path.realpath(settings.profile_dir)}"
    mark = hashlib.sha256(f"{settings.base_url} {settings.api_key or ''}".encode()).hexdigest()[:8]
    return f"{urlsplit(settings.base_url).netloc} {settings.model} {mark}"


class Steering:
    """What is remembered of each way's account."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.ledgers: dict[BackendName, Ledger] = {
            "api": Ledger(settings.output_dir),
            "chatgpt-web": Ledger(settings.profile_dir),
        }

    async def rest(self, way: BackendName) -> Learnt | None:
        """Why and until when ``way`` is asked last, None when nothing speaks against it."""
        ledger = self.ledgers[way]
        if (rest := await ledger.resting(account_of(self._settings, way))) is not None:
            return rest
        used_up = [q for q in await ledger.quota() if q.about == "image_gen" and q.remaining == 0 and q.reset_at]
        return next((msgspec.structs.replace(q, code="quota_reached") for q in used_up), None)

    async def order(self, ways: Sequence[BackendName]) -> tuple[list[BackendName], tuple[str, str] | None]:
        """``ways`` with those that rest behind the others, and the first choice with the reason if it is first no
        more."""
        rests = {way: rest for way in ways if (rest := await self.rest(way)) is not None}
        ordered = sorted(ways, key=rests.__contains__)
        return ordered, None if ordered[0] == ways[0] else (ways[0], rests[ways[0]].code)

    async def pause(self, way: BackendName) -> float:
        """Seconds until a stated rate limit has cleared; 0 for everything that nobody can wait for."""
        rest = await self.rest(way)
        return max(0.0, epoch(rest.reset_at) - time.time()) if rest is not None and rest.code == "rate_limited" else 0.0

    async def learn(self, way: BackendName, error: ImageError) -> None:
        """Remember what ``way`` said about being asked again."""
        until = error.reset_at
        if error.code == "billing" and until is None:
            until = in_seconds(BILLING_REST)
        if error.code in RESTS and until is not None:
            await self.ledgers[way].rest_until(account_of(self._settings, way), error.code, until)

    async def forget(self, way: BackendName) -> None:
        """It answered after all."""
        await self.ledgers[way].clear_rest(account_of(self._settings, way))
