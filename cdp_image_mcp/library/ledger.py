"""What was learnt of one account: quota as it was stated, when it may be asked again, what its owner was told."""

from functools import partial
from pathlib import Path
from typing import Literal

import anyio.to_thread
import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import epoch, now
from cdp_image_mcp.system.disk import finish, make_path, read_file, replace_file
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.presence import OWN_FOLDER

MAX_BYTES = 4 * 1024 * 1024


class Learnt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. Times are ISO 8601 with offset."""

    kind: Literal["quota", "rest", "told"]
    """Quota as the site stated it last; an account that had better not be asked for a while; what is said once."""
    about: str
    """The feature; whose account it is; what was said."""
    at: str
    reset_at: str | None = None
    """In a rest None says that it is over."""
    remaining: int | None = None
    code: str = ""
    """The error code that caused a rest: ``quota_reached``, ``rate_limited``, ``billing``."""


class Ledger:
    """One small file of JSON lines in ``place``, shared by all processes: the newest line about each thing, and lines
    of other programs as they are. Nothing here raises: what cannot be written counts in this process all the same, is
    told by :meth:`problems`, and goes into the file with the next line."""

    def __init__(self, place: Path) -> None:
        self.path = place / OWN_FOLDER / "learnt.jsonl"
        self._lock = LockFile(self.path.with_name(self.path.name + ".lock"))
        self._unwritten: dict[tuple[str, str], Learnt] = {}
        self._problems: list[str] = []

    async def set_quota(self, feature: str, remaining: int | None, reset_at: str | None = None) -> None:
        """Note the quota the site stated."""
        await self._note(Learnt(kind="quota", about=feature, remaining=remaining, reset_at=reset_at, at=now()))

    async def quota(self) -> list[Learnt]:
        """The newest statement per feature whose reset time has not passed."""
        lines = await self._lines("quota")
        return [line for line in lines if line.reset_at is None or epoch(line.reset_at) > epoch(now())]

    async def rest_until(self, who: str, code: str, reset_at: str | None) -> None:
        """``who`` had better not be asked before ``reset_at``."""
        await self._note(Learnt(kind="rest", about=who, code=code, reset_at=reset_at, at=now()))

    async def resting(self, who: str) -> Learnt | None:
        """Why and until when, None when ``who`` may be asked."""
        rests = [line for line in await self._lines("rest") if line.about == who]
        return next((rest for rest in rests if epoch(rest.reset_at) > epoch(now())), None)

    async def clear_rest(self, who: str) -> None:
        """It answered after all: forget its rest."""
        if await self.resting(who) is not None:
            await self.rest_until(who, "", None)

    async def tell_once(self, about: str) -> bool:
        """Whether it is to be told now; never again after that."""
        if any(line.about == about for line in await self._lines("told")):
            return False
        await self._note(Learnt(kind="told", about=about, at=now()))
        return True

    def problems(self) -> list[str]:
        """Sentences about what could not be read or written, of this process so far."""
        return list(dict.fromkeys(self._problems))

    async def _lines(self, kind: str) -> list[Learnt]:
        try:
            read = await anyio.to_thread.run_sync(self._read)
        except OSError as error:
            self._problems.append(f"{self.path} cannot be read: {error.strerror}.")
            read = []
        known = {_key(line): line for line, _ in read if line is not None}
        return [line for line in (known | self._unwritten).values() if line.kind == kind]

    async def _note(self, line: Learnt) -> None:
        self._unwritten[_key(line)] = line
        await finish(partial(self._write, dict(self._unwritten)))

    # What follows runs in threads.

    def _read(self) -> list[tuple[Learnt | None, bytes]]:
        """The lines that are ours to know, each as it stands there, and those that are not. Raises OSError: what is
        refused for a moment is not nothing, and would be written over."""
        try:
            raw, _ = read_file(self.path, MAX_BYTES)
        except FileNotFoundError:
            return []
        found: list[tuple[Learnt | None, bytes]] = []
        for text in raw.splitlines():
            try:
                found.append((msgspec.json.decode(text, type=Learnt), text))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                found.append((None, text))
        return found

    def _write(self, lines: dict[tuple[str, str], Learnt]) -> None:
        try:
            make_path(self.path.parent)
            with self._lock.held():
                # What a newer program says more in a line stays until something newer is known of the same thing.
                kept = [text for line, text in self._read() if line is None or _key(line) not in lines]
                texts = [*kept, *map(msgspec.json.encode, lines.values())]
                replace_file(self.path, b"".join(text + b"\n" for text in texts))
        except (OSError, ImageError) as error:
            self._problems.append(f"{self.path} cannot be written: {error}.")
            return
        for key, line in lines.items():
            if self._unwritten.get(key) is line:
                del self._unwritten[key]


def _key(line: Learnt) -> tuple[str, str]:
    return line.kind, line.about
