"""What was used up and what is left: durations, dollars, pictures of the day, quota and resting times."""

import statistics
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio.to_thread
import msgspec

from cdp_image_mcp.disk import finish, make_path, replace_file
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import Library
from cdp_image_mcp.lockfile import LockFile
from cdp_image_mcp.record import Record, epoch, now
from cdp_image_mcp.request import BackendName

__all__ = ["Ledger", "Quota", "Rest"]

HISTORY = 20
"""Durations the typical one is taken from."""

MAX_LINES = 2_000
MAX_BYTES = 4 * 1024 * 1024
HISTORY_SECONDS = 90 * 24 * 3600


class Quota(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="quota"):
    """Quota as the site stated it last. Times are ISO 8601 with offset."""

    feature: str
    remaining: int | None
    reset_at: str | None
    at: str


class Rest(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="rest"):
    """A back end that must not be asked until ``reset_at``; None: the rest is over."""

    backend: BackendName
    code: str
    """The error code that caused it: ``quota_reached``, ``rate_limited``, ``billing``."""
    reset_at: str | None
    at: str


class _Spend(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="spend"):
    usd: float
    usage: dict[str, Any] | None = None
    at: str


class _Duration(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="duration"):
    backend: BackendName
    seconds: float
    at: str


_Line: TypeAlias = Quota | Rest | _Spend | _Duration


class Ledger:
    """One small file of JSON lines, shared by all processes. Lines that cannot be read are skipped and told, and
    durations and dollars are then made up from the sidecars. "Today" is the local day.

    Writing never raises: what cannot be written now counts in this process all the same, is told by
    :meth:`problems`, and is written with the next line. A picture must not fail over its bookkeeping.
    """

    def __init__(self, path: Path, library: Library) -> None:
        self.path = path
        self._library = library
        self._lock = LockFile(path.with_name(path.name + ".lock"))
        self._unwritten: list[_Line] = []
        self._problems: list[str] = []
        self._mended = False

    async def spend(self, usd: float, usage: dict[str, Any] | None = None) -> None:
        """Note dollars just spent at the API."""
        await self._add(_Spend(usd=usd, usage=usage, at=now()))

    async def spent_today(self) -> float:
        """Dollars spent since local midnight; what the sidecars of the day say counts when it is more."""
        start = _midnight()
        noted = sum(line.usd for line in await self._lines() if isinstance(line, _Spend) and epoch(line.at) >= start)
        recorded = sum(record.cost_usd or 0.0 for record in await self._library.since(start))
        return max(noted, recorded)

    async def web_pictures_today(self) -> int:
        """Pictures saved from the web back end in generations of this local day (from the sidecars)."""
        records = await self._library.since(_midnight())
        return sum(len(record.images) for record in records if record.backend == "chatgpt-web")

    async def add_duration(self, backend: BackendName, seconds: float) -> None:
        """Note how long a finished generation took, without queue and sign-in."""
        await self._add(_Duration(backend=backend, seconds=seconds, at=now()))

    async def typical(self, backend: BackendName) -> float | None:
        """Median of the last 20 durations in seconds, None without history."""
        lines = await self._lines()
        seconds = [line.seconds for line in lines if isinstance(line, _Duration) and line.backend == backend]
        return statistics.median(seconds[-HISTORY:]) if seconds else None

    async def set_quota(self, feature: str, remaining: int | None, reset_at: str | None = None) -> None:
        """Note the quota the site stated."""
        await self._add(Quota(feature=feature, remaining=remaining, reset_at=reset_at, at=now()))

    async def quota(self) -> list[Quota]:
        """The newest statement per feature whose reset time has not passed."""
        newest = {line.feature: line for line in await self._lines() if isinstance(line, Quota)}
        return [quota for quota in newest.values() if quota.reset_at is None or epoch(quota.reset_at) > epoch(now())]

    async def rest_until(self, backend: BackendName, code: str, reset_at: str) -> None:
        """Leave ``backend`` alone until ``reset_at``."""
        await self._add(Rest(backend=backend, code=code, reset_at=reset_at, at=now()))

    async def resting(self, backend: BackendName) -> Rest | None:
        """Why and until when ``backend`` rests, None when it may be asked."""
        rests = [line for line in await self._lines() if isinstance(line, Rest) and line.backend == backend]
        return rests[-1] if rests and epoch(rests[-1].reset_at) > epoch(now()) else None

    async def clear_rest(self, backend: BackendName) -> None:
        """It answered after all: forget its rest."""
        if await self.resting(backend) is not None:
            await self._add(Rest(backend=backend, code="", reset_at=None, at=now()))

    def problems(self) -> list[str]:
        """Sentences about lines that could not be read or written, of this process so far."""
        return list(dict.fromkeys(self._problems))

    async def _lines(self) -> list[_Line]:
        lines, broken = await anyio.to_thread.run_sync(self._read)
        if (broken or not self.path.exists()) and not self._mended:
            self._mended = True
            records = await self._library.since(epoch(now()) - HISTORY_SECONDS)
            await finish(partial(self._mend, records))
            lines, _ = await anyio.to_thread.run_sync(self._read)
        return lines + self._unwritten

    async def _add(self, line: _Line) -> None:
        await self._lines()
        await finish(partial(self._append, line))

    # What follows runs in threads.

    def _read(self) -> tuple[list[_Line], int]:
        """The lines that can be read, and how many cannot."""
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_BYTES)
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            self._problems.append(f"The ledger {self.path} cannot be read: {error.strerror}.")
            return [], 0
        lines: list[_Line] = []
        broken = 0
        for text in raw.splitlines():
            try:
                lines.append(msgspec.json.decode(text, type=_Line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                broken += 1
        if raw and not raw.endswith(b"\n"):
            broken += not broken  # even if the last line happens to be whole, the file was cut
        if broken:
            self._mended = False
        return lines, broken

    def _append(self, line: _Line) -> None:
        self._unwritten.append(line)
        try:
            make_path(self.path.parent)
            with self._lock.held():
                lines, broken = self._read()
                mine = list(self._unwritten)
                lines += mine
                replace_file(self.path, _encoded(_needed(lines) if broken or len(lines) > MAX_LINES else lines))
                del self._unwritten[: len(mine)]
        except (OSError, ImageError) as error:
            self._problems.append(f"The ledger {self.path} cannot be written: {error}.")

    def _mend(self, records: list[Record]) -> None:
        """Keep what can be read and take durations and dollars from the sidecars."""
        try:
            if not records and not self.path.exists():
                return
            make_path(self.path.parent)
            with self._lock.held():
                lines, broken = self._read()
                if self.path.exists() and not broken:
                    return  # another process was faster
                kept = [line for line in lines if not isinstance(line, _Duration)]
                made_up = _durations(records)
                replace_file(self.path, _encoded(_needed(kept + made_up)))
                what = f"held {broken} broken lines" if broken else "was missing"
                self._problems.append(f"The ledger {self.path} {what} and was made up from {len(records)} records.")
        except (OSError, ImageError) as error:
            self._problems.append(f"The ledger {self.path} cannot be mended: {error}.")


def _midnight() -> float:
    """Epoch seconds of the last local midnight; ``timestamp`` of a naive time knows summer time."""
    today = datetime.now().astimezone().date()
    return datetime(today.year, today.month, today.day).timestamp()  # noqa: DTZ001 - local on purpose


def _durations(records: list[Record]) -> list[_Line]:
    made: list[_Line] = []
    for record in records:
        timings = record.timings
        seconds = timings.browser + timings.submit + timings.generate + timings.save
        if record.state == "saved" and seconds > 0:
            made.append(_Duration(backend=record.backend, seconds=seconds, at=record.finished_at or record.updated_at))
    return made


def _needed(lines: list[_Line]) -> list[_Line]:
    """Without what no question can ask for any more."""
    start = _midnight()
    kept: list[_Line] = [line for line in lines if isinstance(line, _Spend) and epoch(line.at) >= start]
    durations = [line for line in lines if isinstance(line, _Duration)]
    for backend in ("api", "chatgpt-web"):
        kept += [line for line in durations if line.backend == backend][-HISTORY:]
    kept += {line.feature: line for line in lines if isinstance(line, Quota)}.values()
    kept += {line.backend: line for line in lines if isinstance(line, Rest)}.values()
    return kept


def _encoded(lines: list[_Line]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
