"""What was used up and what is left: durations, dollars, pictures of the day, quota and resting times."""

import statistics
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio.to_thread
import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, epoch, now
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.system.day import last_midnight
from cdp_image_mcp.system.disk import finish, make_path, replace_file
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.owner import Owner, is_alive, this_process

__all__ = ["Ledger", "QuotaLine", "Reserved", "Rest"]

HISTORY = 20
"""Durations the typical one is taken from."""

MAX_LINES = 2_000
MAX_BYTES = 4 * 1024 * 1024
HISTORY_SECONDS = 90 * 24 * 3600


class QuotaLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="quota"):
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


class _Reserve(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="reserve"):
    """Dollars that a generation under way may cost at most."""

    generation_id: str
    usd: float
    owner: Owner
    at: str


class _Release(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="release"):
    """That generation is over, and what it cost is in the ledger."""

    generation_id: str
    at: str


class Reserved(msgspec.Struct, frozen=True):
    """The day's dollars at the moment of asking, without what was asked."""

    granted: bool
    spent: float
    under_way: float


_Line: TypeAlias = QuotaLine | Rest | _Spend | _Duration | _Reserve | _Release


class Ledger:
    """One small file of JSON lines, shared by all processes. Lines that cannot be read are skipped and told, and
    durations and dollars are then made up from the sidecars. "Today" is the local day.

    Writing never raises, nor does reading what stands in the file alone (durations, quota, rests): what cannot be
    written now counts in this process all the same, is told by :meth:`problems`, and is written with the next line. A
    picture must not fail over its bookkeeping.
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
        return _spent(await self._lines(), await self._library.since(last_midnight()))

    async def reserve(self, generation_id: str, usd: float, budget: float) -> Reserved:
        """Set dollars of the day's ``budget`` aside for a generation, if they are left; over all processes two never
        get the same ones. What a process that died had set aside counts until midnight if its request had left and
        nobody knows what it cost."""
        await self._lines()
        records = await self._library.since(last_midnight())
        line = _Reserve(generation_id=generation_id, usd=usd, owner=this_process(), at=now())
        return await finish(partial(self._reserve, line, budget, records))

    async def release(self, generation_id: str) -> None:
        """It is over: what it cost was noted with :meth:`spend`."""
        await self._add(_Release(generation_id=generation_id, at=now()))

    async def web_pictures_today(self) -> int:
        """Pictures saved from the web back end in generations of this local day (from the sidecars)."""
        records = await self._library.since(last_midnight())
        return sum(len(record.images) for record in records if record.on_web)

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
        await self._add(QuotaLine(feature=feature, remaining=remaining, reset_at=reset_at, at=now()))

    async def quota(self) -> list[QuotaLine]:
        """The newest statement per feature whose reset time has not passed."""
        newest = {line.feature: line for line in await self._lines() if isinstance(line, QuotaLine)}
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
            try:
                records = await self._library.since(epoch(now()) - HISTORY_SECONDS)
            except ImageError as error:
                self._problems.append(f"The ledger {self.path} could not be made up from the records: {error.message}")
            else:
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

    def _reserve(self, line: _Reserve, budget: float, records: list[Record]) -> Reserved:
        try:
            make_path(self.path.parent)
            with self._lock.held():
                lines, _ = self._read()
                answer = _rest_of_day([*lines, *self._unwritten], records, line, budget)
                if answer.granted:
                    replace_file(self.path, _encoded([*lines, line]))
                return answer
        except (OSError, ImageError) as error:
            self._problems.append(f"The ledger {self.path} cannot be written: {error}.")
        answer = _rest_of_day([*self._read()[0], *self._unwritten], records, line, budget)
        if answer.granted:
            self._unwritten.append(line)
        return answer

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


def _spent(lines: list[_Line], records: list[Record]) -> float:
    """Dollars of the day, of which ``records`` are the records."""
    start = last_midnight()
    noted = sum(line.usd for line in lines if isinstance(line, _Spend) and epoch(line.at) >= start)
    return max(noted, sum(record.cost_usd or 0.0 for record in records))


def _held(lines: list[_Line]) -> list[_Reserve]:
    """What was set aside and not released: today, or by a process that lives, whose spending will be of today."""
    start = last_midnight()
    held: dict[str, _Reserve] = {}
    for line in lines:
        if isinstance(line, _Reserve) and (epoch(line.at) >= start or is_alive(line.owner)):
            held[line.generation_id] = line
        elif isinstance(line, _Release):
            held.pop(line.generation_id, None)
    return list(held.values())


def _rest_of_day(lines: list[_Line], records: list[Record], wanted: _Reserve, budget: float) -> Reserved:
    unclear = {record.generation_id for record in records if record.submitted is not False and record.cost_usd is None}
    under_way = sum(line.usd for line in _held(lines) if is_alive(line.owner) or line.generation_id in unclear)
    spent = _spent(lines, records)
    # A price nobody knows is set aside as nothing: then at least something must be left.
    granted = spent + under_way + wanted.usd <= budget and spent < budget
    return Reserved(granted, spent, under_way)


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
    start = last_midnight()
    kept: list[_Line] = [line for line in lines if isinstance(line, _Spend) and epoch(line.at) >= start]
    kept += _held(lines)
    durations = [line for line in lines if isinstance(line, _Duration)]
    for backend in ("api", "chatgpt-web"):
        kept += [line for line in durations if line.backend == backend][-HISTORY:]
    kept += {line.feature: line for line in lines if isinstance(line, QuotaLine)}.values()
    kept += {line.backend: line for line in lines if isinstance(line, Rest)}.values()
    return kept


def _encoded(lines: list[_Line]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
