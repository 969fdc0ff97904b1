"""Who holds a browser profile, and where that browser can be reached."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """The browser that holds a profile. ``pid`` is None where the system does not tell; ``here`` False means another host."""

    pid: int | None
    host: str
    here: bool


def read_holder(profile: Path) -> Holder | None:
    """The living browser that holds the profile, or one of another host; None when free (a stale lock is free)."""
    raise NotImplementedError


def read_endpoint(profile: Path) -> str | None:
    """The websocket address in the profile's DevToolsActivePort, which may be of an earlier browser; None without one."""
    raise NotImplementedError
