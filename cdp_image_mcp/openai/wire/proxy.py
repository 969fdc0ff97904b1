"""The way out that the environment names: which proxy leads to an address, if any.

Read here and not by the HTTP library, which stops at one bad entry though another is used, knows neither networks nor
ports in ``NO_PROXY``, and sends requests for this very machine to the proxy (seen in httpx 0.28.1, 2026-11-26).
"""

import ipaddress
import os
import re
from contextlib import suppress
from fnmatch import fnmatchcase
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

SYSTEM = "the system's proxy settings"
PORTS = {"http": 80, "https": 443}


class Proxy(msgspec.Struct, frozen=True):
    """A proxy and where it was named. ``url`` may hold a password and is never shown."""

    url: str
    variable: str

    def __repr__(self) -> str:
        return f"Proxy({self.shown})"

    @property
    def shown(self) -> str:
        """``http://proxy.example:3128 (HTTPS_PROXY)``: for people, without user name and password."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].rstrip('/')} ({self.variable})"


def proxy_for(url: str) -> Proxy | None:
    """The proxy for ``url``; None: straight on. What lies on this machine is never asked by a proxy.
    Blocking: the system's own exceptions are compared after a look-up (``proxy_bypass`` on Windows and macOS)."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if _is_here(host):
        return None
    named = {kind: _named(kind) for kind in ("http", "https", "all")}
    if not any(named.values()):
        # As everywhere else, the system's own settings count where the environment has none.
        value = getproxies().get(parts.scheme)
        return _proxy(value, SYSTEM) if value and not proxy_bypass(host) else None
    found = named.get(parts.scheme) or named["all"]
    if found is None or _is_excepted(host, parts.port or PORTS.get(parts.scheme, 0)):
        return None
    return _proxy(*found)


def _named(kind: str) -> tuple[str, str] | None:
    """Value and variable. The small letters win, also when they are there and empty."""
    for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"):
        if name in os.environ:
            value = os.environ[name].strip()
            return (value, name) if value else None
    return None


def _proxy(value: str, variable: str) -> Proxy:
    """``socks://`` is how GNOME writes a SOCKS proxy; a value without a scheme is an HTTP one."""
    scheme, found, rest = value.partition("://")
    if not found:
        return Proxy(f"http://{value}", variable)
    return Proxy(f"socks5://{rest}" if scheme.lower() == "socks" else value, variable)


def number_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is written as, None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_here(host: str) -> bool:
    number = number_of(host)
    return number.is_loopback if number is not None else host == "localhost" or host.endswith(".localhost")


def _is_excepted(host: str, port: int) -> bool:
    value = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    return any(_covers(entry, host, port) for entry in re.split(r"[\s,;]+", value.lower()) if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of ``NO_PROXY`` means that host: a name with all below it, ``*``, a number or a network of
    either kind, IPv6 with or without brackets, each with or without a port."""
    entry = entry.rpartition("://")[2]
    bracketed = re.fullmatch(r"\[([^]]*)\](/\d+)?(?::(\d+))?", entry)
    plain = re.fullmatch(r"([^:]*):(\d+)", entry)
    if bracketed:
        entry, wanted = bracketed[1] + (bracketed[2] or ""), bracketed[3]
    else:
        entry, wanted = (plain[1], plain[2]) if plain else (entry, None)
    if wanted is not None and int(wanted) != port:
        return False
    number = number_of(host)
    if number is not None:
        with suppress(ValueError):
            return number in ipaddress.ip_network(entry, strict=False)
    name = entry.removeprefix("*.").strip(".")
    return host == name or host.endswith(f".{name}") or ("*" in entry and fnmatchcase(host, entry))
