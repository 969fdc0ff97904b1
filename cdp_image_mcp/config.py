"""Settings from the environment, read once and checked; a bad value is told, never swallowed."""

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from configparser import Error as BadUserDirs
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
import platformdirs

from cdp_image_mcp.errors import Fact, ImageError
from cdp_image_mcp.request import LONGEST_WAIT

APP_NAME = "cdp-image-mcp"
SITE = "https://chatgpt.com/"
API = "https://api.openai.com/v1"
MODEL = "gpt-image-2"
"""Chosen again on 2026-11-26. For it: the one living model whose prices and tokens are known for every quality (2.6
costs three to four times as much at low and medium, says the one who measured), open to the most keys, at Azure and at
relays, with no end announced, and what users' budgets were set by. For gpt-image-2.6-flare: faster (8 to 12 s),
transparent backgrounds for certain, xhigh and max, complexity, gif and svg; LibreChat and others moved to 2.5 and 2.6.
So the default stays, a refusal names the models that can, and GPT_IMAGE_MODEL is in charge."""
WAIT = 45.0
"""Seconds a call waits before it answers ``working``: many clients give up after 60."""
BEARER = "Bearer "
UNFILLED = re.compile(r"(?i:bearer )?(\$\{?(env:)?[A-Z_][A-Z0-9_]*\}?|%[A-Z_][A-Z0-9_]*%|\{env:\w+\})")
"""The name of a variable in the place of its value. Gemini CLI and those made from it leave it where the shell has no
such variable (``resolveEnvVarsInString``, 2026-11), others never fill one in."""
PLACES = ("HOME", "GPT_IMAGE_OUTPUT_DIR", "CHATGPT_WEB_PROFILE_DIR")
"""Where one of these is bad, the folders in its place are not those of the user's wish, and may hold anything."""
QUOTES = "\"'`“”„‘’"
WindowMode: TypeAlias = Literal["auto", "headless", "hidden", "visible"]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a variable. ``message`` never repeats the value of a secret."""

    variable: str
    message: str
    harmless: bool = False
    """It is told, and nothing stops for it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the environment decides. Paths are absolute. ``api_key`` must never be printed."""

    backend: Literal["api", "chatgpt-web", "auto"] = "auto"
    model: str = MODEL
    moderation: str | None = None
    safety_identifier: str | None = None
    """A hash already: what the user wrote goes nowhere."""
    output_dir: Path
    wait_seconds: float = WAIT
    inline: Literal["preview", "full", "none"] = "preview"
    open_finished: bool = False
    input_roots: tuple[Path, ...] = ()
    fallback: Literal["before-submit", "never"] = "before-submit"
    daily_limit: int | None = None
    budget_usd: float | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    api_key: str | None = None
    bearer: bool = False
    """The key is a token from elsewhere: it travels as ``Authorization: Bearer`` also where keys do not."""
    base_url: str = API
    organization: str | None = None
    project: str | None = None
    compat: str | None = None
    api_version: str | None = None
    resend_unclear: bool = False
    """Send to the API again although the first try may have been paid."""
    web_url: str = SITE
    profile_dir: Path
    login_timeout: float = 900.0
    window_mode: WindowMode = "auto"
    chrome_args: tuple[str, ...] = ()
    debug_port: int = 0
    site_file: Path | None = None
    chrome_path: Path | None = None
    problems: tuple[Problem, ...] = ()

    def __repr__(self) -> str:
        """Without the key: a settings object that ends up in a log line must not carry it there."""
        return f"Settings(backend={self.backend!r}, api_key={'set' if self.api_key else 'unset'})"

    def require_usable(self, *named: str, sent: Fact = False) -> None:
        """Raise ImageError ``configuration`` when any variable was bad, or any of those that are ``named``. ``sent``:
        what is known of the generation that it is about."""
        bad = [problem for problem in self.problems if not problem.harmless]
        if problems := [problem for problem in bad if not named or problem.variable in named]:
            listed = " ".join(f"{problem.variable}: {problem.message}" for problem in problems)
            variables = [problem.variable for problem in problems]
            told = listed if sent else f"{listed} Nothing was sent."
            raise ImageError("configuration", told, submitted=sent, spent=sent, details={"variables": variables})


def _one_of(*allowed: str) -> Callable[[str], Any]:
    def parse(raw: str) -> str:
        if raw.lower() not in allowed:
            raise ValueError(f"{raw!r} is not one of {', '.join(allowed)}.")
        return raw.lower()

    return parse


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[str], Any]:
    kind = "a whole number" if whole else "a number"

    def parse(raw: str) -> float:
        try:
            value = int(raw) if whole else float(raw)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"{raw!r} is not {kind} from {low:g} to {high:g}.")
        return value

    return parse


def _absolute(raw: str) -> Path:
    try:
        path = Path(raw).expanduser()
    except RuntimeError:
        raise ValueError(f"{raw!r} names the home of a user who is not known here.") from None
    if "\0" in raw or not path.is_absolute():
        raise ValueError(f"{raw!r} is not an absolute path.")
    return _tellable(path)


def _program(raw: str, *, mac: bool = sys.platform == "darwin") -> Path:
    """On macOS people name the application; the program lies inside."""
    path = _absolute(raw)
    return path / "Contents" / "MacOS" / path.stem if mac and path.suffix == ".app" else path


def _tellable(path: Path) -> Path:
    """Records and answers are UTF-8, and a path on Linux may be any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{str(path)!r} is not UTF-8, and no record could name it.") from None
    return path


def _path_list(raw: str) -> tuple[Path, ...]:
    return tuple(_absolute(part) for part in raw.split(os.pathsep) if part.strip())


def _switch(raw: str) -> bool:
    if raw.lower() in {"1", "true", "yes", "on"}:
        return True
    if raw.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"{raw!r} is not one of 1, true, yes, on, 0, false, no, off.")


def _hiding(raw: str) -> WindowMode:
    return "auto" if _switch(raw) else "visible"


def _arguments(raw: str, *, windows: bool = sys.platform == "win32") -> tuple[str, ...]:
    words = shlex.shlex(raw, posix=True, punctuation_chars=False)
    words.whitespace_split, words.commenters = True, ""
    if windows:
        words.escape = ""  # a backslash belongs to a path there
    try:
        words = list(words)
    except ValueError as error:
        raise ValueError(f"the quoting is not closed ({error}).") from None
    for word in words:
        plain = word.lstrip("-/" if windows else "-")  # Chromium takes a switch with one dash too
        if plain.lower().startswith(("user-data-dir", "remote-debugging", "remote-allow-origins")):
            raise ValueError(f"--{plain.split('=')[0]} is set by this program and cannot be given.")
        if plain == word:
            raise ValueError("not all of it are switches: a page would be opened. A value follows as --switch=VALUE.")
    return tuple(words)


def _base_address(raw: str) -> str:
    """Plain http is taken here: compatible servers run on people's own networks without certificates."""
    _unquoted(raw)
    try:
        parts = urlsplit(raw)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is not a usable address.") from None
    if not host or "@" in parts.netloc or parts.scheme not in {"http", "https"}:
        raise ValueError("it is not an http or https address without a user name or a secret before its host.")
    return raw.rstrip("/")


def _web_address(raw: str) -> str:
    """https anywhere, plain http only on this machine: the profile's cookies travel there."""
    parts = urlsplit(_base_address(raw))
    if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError("plain http is taken only for this machine (127.0.0.1, localhost, ::1).")
    return parts._replace(path=parts.path.rstrip("/") + "/").geturl()


def _unquoted(raw: str) -> None:
    if raw[0] in QUOTES or raw[-1] in QUOTES:
        raise ValueError("it stands in quotes, which became part of it.")


def _header_text(raw: str) -> str:
    """A key with a line break or a foreign letter cannot be a header; the value itself is never repeated."""
    _unquoted(raw)
    if not raw.isascii() or not raw.isprintable() or " " in raw:
        raise ValueError("it holds characters that a header cannot carry.")
    return raw


def _key(raw: str) -> str:
    """With ``Bearer `` before a token, in exactly this form; :func:`load` takes it off."""
    word, _, token = raw.partition(" ")
    if word.lower() != "bearer":
        return _header_text(raw)
    if not token:
        raise ValueError("no token stands behind Bearer.")
    return BEARER + _header_text(token.strip())


def _hashed(raw: str) -> str:
    return hashlib.sha256(raw.encode()).hexdigest()


READ: dict[str, tuple[str, Callable[[str], Any]]] = {
    "GPT_IMAGE_BACKEND": ("backend", _one_of("api", "chatgpt-web", "auto")),
    "GPT_IMAGE_MODEL": ("model", str),
    "GPT_IMAGE_MODERATION": ("moderation", _one_of("auto", "low")),
    "GPT_IMAGE_SAFETY_IDENTIFIER": ("safety_identifier", _hashed),
    "GPT_IMAGE_OUTPUT_DIR": ("output_dir", _absolute),
    "GPT_IMAGE_WAIT_SECONDS": ("wait_seconds", _number(0, LONGEST_WAIT)),
    "GPT_IMAGE_INLINE": ("inline", _one_of("preview", "full", "none")),
    "GPT_IMAGE_OPEN": ("open_finished", _switch),
    "GPT_IMAGE_INPUT_ROOTS": ("input_roots", _path_list),
    "GPT_IMAGE_FALLBACK": ("fallback", _one_of("before-submit", "never")),
    "GPT_IMAGE_DAILY_LIMIT": ("daily_limit", _number(0, 100_000, whole=True)),
    "GPT_IMAGE_BUDGET_USD": ("budget_usd", _number(0, 1_000_000)),
    "GPT_IMAGE_LOG": ("log_level", _one_of("debug", "info", "warning", "error")),
    "OPENAI_API_KEY": ("api_key", _key),
    "OPENAI_BASE_URL": ("base_url", _base_address),
    "OPENAI_ORG_ID": ("organization", _header_text),
    "OPENAI_PROJECT_ID": ("project", _header_text),
    "OPENAI_COMPAT": ("compat", str),
    "OPENAI_API_VERSION": ("api_version", str),
    "OPENAI_RESEND_UNCLEAR": ("resend_unclear", _switch),
    "CHATGPT_WEB_URL": ("web_url", _web_address),
    "CHATGPT_WEB_PROFILE_DIR": ("profile_dir", _absolute),
    "CHATGPT_WEB_LOGIN_TIMEOUT_SECONDS": ("login_timeout", _number(1, 86_400)),
    "CHATGPT_HIDE_WINDOW": ("window_mode", _hiding),
    "CHATGPT_WINDOW_MODE": ("window_mode", _one_of("auto", "headless", "hidden", "visible")),
    "CHATGPT_CHROME_ARGS": ("chrome_args", _arguments),
    "CHATGPT_DEBUG_PORT": ("debug_port", _number(0, 65_535, whole=True)),
    "CHATGPT_SITE_FILE": ("site_file", _absolute),
    "CHROME_PATH": ("chrome_path", _program),
}
"""The field of :class:`Settings` that each variable sets, and what reads it or raises ValueError. The later wins."""


def _own_folders(homes: tuple[Path, ...]) -> list[Path]:
    """Those three where and as this system has them: in another language, or moved into OneDrive. A desktop that has
    one switched off names the home itself, which is no folder for pictures. None is looked at: it may lie on a share
    that takes its time."""
    found: list[Path] = []
    for ask in (platformdirs.user_pictures_path, platformdirs.user_downloads_path, platformdirs.user_desktop_path):
        with suppress(OSError, ValueError, BadUserDirs):
            found.append(ask())
    return [one for one in found if one.is_absolute() and not any(home.is_relative_to(one) for home in homes)]


def _default_input_roots(output_dir: Path) -> tuple[Path, ...]:
    """Where people keep pictures. The working folder counts unless a client started us in ``/`` or in the home
    itself (seen: Claude Desktop starts servers in ``/``), which would open far more than a project."""
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no such user: containers run as any number
        return (output_dir,)
    homes = (home, Path(os.path.realpath(home)))  # HOME may name a link, and systems name the working folder without
    roots = [home / "Pictures", home / "Downloads", home / "Desktop", *_own_folders(homes), output_dir]
    with suppress(OSError):
        here = Path.cwd()
        holds_home = any(one.is_relative_to(name) for one in homes for name in (here, os.path.realpath(here)))
        if here != Path(here.anchor) and not holds_home:
            roots.append(here)
    return tuple(roots)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check all variables. Never raises for a bad value: it is listed in ``Settings.problems``."""
    environ = os.environ if environ is None else environ
    problems = list(_unknown(environ))
    read: dict[str, Any] = {}
    for name, (field, parse) in READ.items():
        if raw := environ.get(name, "").strip():
            if field == "api_key" and UNFILLED.fullmatch(raw):
                told = "the client filled in no key where its configuration names a variable. It counts as not set."
                problems.append(Problem(name, told, harmless=True))
                continue
            try:
                read[field] = parse(raw)
            except ValueError as error:
                problems.append(Problem(name, str(error)))
    if read.get("api_key", "").startswith(BEARER):
        read |= {"api_key": read["api_key"].removeprefix(BEARER), "bearer": True}
    if not {"output_dir", "profile_dir"} <= read.keys():
        try:
            data = _tellable(Path(platformdirs.user_data_dir(APP_NAME, appauthor=False)))
            if not data.is_absolute():  # counts as unset (XDG base directories); platformdirs 4.11.3 hands it on
                data = Path.home() / ".local" / "share" / APP_NAME
        except (RuntimeError, ValueError) as error:
            told = str(error) if isinstance(error, ValueError) else "it is not set, and this user has no home"
            told = told.removesuffix(".") + ": name GPT_IMAGE_OUTPUT_DIR and CHATGPT_WEB_PROFILE_DIR."
            problems.append(Problem("HOME", told))
            data = Path(os.sep)  # nobody works there
        read = {"output_dir": data / "output" / "chatgpt-images", "profile_dir": data / "profile", **read}
    read.setdefault("input_roots", _default_input_roots(read["output_dir"]))
    return Settings(**read, problems=tuple(problems))


def _unknown(environ: Mapping[str, str]) -> list[Problem]:
    """Names that look like ours and are not: a limit that was mistyped is not in force."""
    found: list[Problem] = []
    for name in sorted(set(environ) - set(READ)):
        if name.startswith(("GPT_IMAGE_", "CHATGPT_")):
            import difflib

            near = difflib.get_close_matches(name, READ, 1, 0.6)
            meant = f"; {near[0]} is one" if near else ""
            found.append(Problem(name, f"there is no such variable{meant}. It is not in force.", harmless=True))
    return found
