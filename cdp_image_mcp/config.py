"""Settings from the environment, read once and checked; a bad value is told, never swallowed."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec
import platformdirs

from cdp_image_mcp.errors import ImageError

__all__ = ["API", "APP_NAME", "VARIABLES", "Problem", "Settings", "Variable", "WindowMode", "load"]

APP_NAME = "cdp-image-mcp"
SITE = "https://chatgpt.com/"
API = "https://api.openai.com/v1"

WindowMode: TypeAlias = Literal["auto", "headless", "hidden", "visible"]
T = TypeVar("T")


class Problem(msgspec.Struct, frozen=True):
    """A variable whose value cannot be used. ``message`` never repeats the value of a secret."""

    variable: str
    message: str


class Variable(msgspec.Struct, frozen=True):
    """One line of the reference: name, default as text, what it takes."""

    name: str
    default: str
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "GPT_IMAGE_BACKEND", "auto", "`api`, `chatgpt-web` or `auto` (API first when a key is there or none is needed)."
    ),
    Variable("GPT_IMAGE_MODEL", "gpt-image-2", "Model of the API back end."),
    Variable("GPT_IMAGE_OUTPUT_DIR", "per-user data folder", "Absolute path of the output root."),
    Variable("GPT_IMAGE_WAIT_SECONDS", "45", "How long a call waits before it answers `working`, 0 to 1800."),
    Variable("GPT_IMAGE_INLINE", "preview", "Pictures in answers: `preview`, `full` or `none`."),
    Variable("GPT_IMAGE_OPEN", "0", "`1` opens a finished picture in the system's viewer."),
    Variable(
        "GPT_IMAGE_INPUT_ROOTS",
        "Pictures, Downloads, Desktop, output root, working folder",
        "Folders that reference pictures may come from, separated as in PATH.",
    ),
    Variable("GPT_IMAGE_FALLBACK", "before-submit", "Whether `auto` may change back end: `before-submit` or `never`."),
    Variable("GPT_IMAGE_DAILY_LIMIT", "none", "Most pictures a day through the web back end."),
    Variable("GPT_IMAGE_BUDGET_USD", "none", "Most dollars a day through the API back end."),
    Variable("GPT_IMAGE_LOG", "warning", "Log level on stderr: `debug`, `info`, `warning` or `error`."),
    Variable("OPENAI_API_KEY", "none", "Key of the API back end. Only ever read from the environment."),
    Variable("OPENAI_BASE_URL", API, "Address of the API or of a compatible server."),
    Variable("OPENAI_ORG_ID", "none", "Organization the API is billed to."),
    Variable("OPENAI_PROJECT_ID", "none", "Project the API is billed to."),
    Variable("OPENAI_COMPAT", "by host", "Profile of a compatible server."),
    Variable("OPENAI_API_VERSION", "none", "`api-version` for Azure."),
    Variable(
        "OPENAI_RESEND_UNCLEAR",
        "0",
        "`1` sends an API request again after a read timeout or a dropped answer. It can pay for one picture twice.",
    ),
    Variable("CHATGPT_WEB_URL", SITE, "Address of the site; others only https or on this machine."),
    Variable("CHATGPT_WEB_PROFILE_DIR", "per-user data folder", "Absolute path of the browser profile."),
    Variable("CHATGPT_WEB_LOGIN_TIMEOUT_SECONDS", "900", "How long a generation waits for a person, 1 to 86400."),
    Variable("CHATGPT_HIDE_WINDOW", "1", "`0` keeps the window visible (as CHATGPT_WINDOW_MODE=visible)."),
    Variable("CHATGPT_WINDOW_MODE", "auto", "`auto`, `headless`, `hidden` or `visible`."),
    Variable("CHATGPT_CHROME_ARGS", "none", "Extra switches for the browser, quoted as in a shell."),
    Variable("CHATGPT_DEBUG_PORT", "0", "Debugging port; 0 lets the browser choose (recommended)."),
    Variable("CHATGPT_SITE_FILE", "none", "JSON file that overrides locators, endpoints and wordings of the site."),
    Variable("CHROME_PATH", "found", "Program file of the browser; wins over discovery."),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the environment decides. Paths are absolute. ``api_key`` must never be printed."""

    backend: Literal["api", "chatgpt-web", "auto"] = "auto"
    model: str = "gpt-image-2"
    output_dir: Path
    wait_seconds: float = 45.0
    inline: Literal["preview", "full", "none"] = "preview"
    open_finished: bool = False
    input_roots: tuple[Path, ...] = ()
    fallback: Literal["before-submit", "never"] = "before-submit"
    daily_limit: int | None = None
    budget_usd: float | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    api_key: str | None = None
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

    def require_usable(self) -> None:
        """Raise ImageError ``configuration`` when any variable was bad."""
        if self.problems:
            listed = " ".join(f"{problem.variable}: {problem.message}" for problem in self.problems)
            raise ImageError("configuration", listed, details={"variables": [p.variable for p in self.problems]})


class _Reader:
    """Reads variables one by one and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[Problem] = []

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        raw = self.environ.get(name, "").strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except ValueError as error:
            self.problems.append(Problem(name, str(error)))
            return default

    def text(self, name: str) -> str | None:
        return self.environ.get(name, "").strip() or None


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
    path = Path(raw).expanduser()
    if not path.is_absolute():
        raise ValueError(f"{raw!r} is not an absolute path.")
    return path


def _path_list(raw: str) -> tuple[Path, ...]:
    return tuple(_absolute(part) for part in raw.split(os.pathsep) if part.strip())


def _switch(raw: str) -> bool:
    if raw.lower() in {"1", "true", "yes", "on"}:
        return True
    if raw.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"{raw!r} is not one of 1, true, yes, on, 0, false, no, off.")


def _arguments(raw: str) -> tuple[str, ...]:
    try:
        words = shlex.split(raw)
    except ValueError as error:
        raise ValueError(f"the quoting is not closed ({error}).") from None
    for word in words:
        if word.startswith(("--user-data-dir", "--remote-debugging", "--remote-allow-origins")):
            raise ValueError(f"{word.split('=')[0]} is set by this program and cannot be given.")
    return tuple(words)


def _base_address(raw: str) -> str:
    """Plain http is taken here: compatible servers run on people's own networks without certificates."""
    try:
        parts = urlsplit(raw)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is not a usable address.") from None
    if not host or parts.username or parts.scheme not in {"http", "https"}:
        raise ValueError("it is not an http or https address without a user name.")
    return raw.rstrip("/")


def _web_address(raw: str) -> str:
    """https anywhere, plain http only on this machine: the profile's cookies travel there."""
    address = _base_address(raw)
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError("plain http is taken only for this machine (127.0.0.1, localhost, ::1).")
    return address + "/"


def _header_text(raw: str) -> str:
    """A key with a line break or a foreign letter cannot be a header; the value itself is never repeated."""
    if not raw.isascii() or not raw.isprintable() or " " in raw:
        raise ValueError("it holds characters that a header cannot carry.")
    return raw


def _default_input_roots(output_dir: Path) -> tuple[Path, ...]:
    """Where people keep pictures. The working folder counts unless a client started us in ``/`` or in the home
    itself (seen: Claude Desktop starts servers in ``/``), which would open far more than a project."""
    home = Path.home()
    roots = [home / "Pictures", home / "Downloads", home / "Desktop", output_dir]
    try:
        here = Path.cwd()
    except OSError:
        here = home
    if here not in {home, Path(here.anchor)} and home.is_relative_to(here) is False:
        roots.append(here)
    return tuple(roots)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check all variables. Never raises for a bad value: it is listed in ``Settings.problems``."""
    reader = _Reader(os.environ if environ is None else environ)
    data = Path(platformdirs.user_data_dir(APP_NAME, appauthor=False))
    output_dir = reader.read("GPT_IMAGE_OUTPUT_DIR", _absolute, data / "output" / "chatgpt-images")
    window_mode: WindowMode = reader.read(
        "CHATGPT_WINDOW_MODE", _one_of("auto", "headless", "hidden", "visible"), "auto"
    )
    if not reader.read("CHATGPT_HIDE_WINDOW", _switch, default=True) and not reader.text("CHATGPT_WINDOW_MODE"):
        window_mode = "visible"
    settings = Settings(
        backend=reader.read("GPT_IMAGE_BACKEND", _one_of("api", "chatgpt-web", "auto"), "auto"),
        model=reader.text("GPT_IMAGE_MODEL") or "gpt-image-2",
        output_dir=output_dir,
        wait_seconds=reader.read("GPT_IMAGE_WAIT_SECONDS", _number(0, 1800), 45.0),
        inline=reader.read("GPT_IMAGE_INLINE", _one_of("preview", "full", "none"), "preview"),
        open_finished=reader.read("GPT_IMAGE_OPEN", _switch, default=False),
        input_roots=reader.read("GPT_IMAGE_INPUT_ROOTS", _path_list, _default_input_roots(output_dir)),
        fallback=reader.read("GPT_IMAGE_FALLBACK", _one_of("before-submit", "never"), "before-submit"),
        daily_limit=reader.read("GPT_IMAGE_DAILY_LIMIT", _number(0, 100_000, whole=True), None),
        budget_usd=reader.read("GPT_IMAGE_BUDGET_USD", _number(0, 1_000_000), None),
        log_level=reader.read("GPT_IMAGE_LOG", _one_of("debug", "info", "warning", "error"), "warning"),
        api_key=reader.read("OPENAI_API_KEY", _header_text, None),
        base_url=reader.read("OPENAI_BASE_URL", _base_address, API),
        organization=reader.read("OPENAI_ORG_ID", _header_text, None),
        project=reader.read("OPENAI_PROJECT_ID", _header_text, None),
        compat=reader.text("OPENAI_COMPAT"),
        api_version=reader.text("OPENAI_API_VERSION"),
        resend_unclear=reader.read("OPENAI_RESEND_UNCLEAR", _switch, default=False),
        web_url=reader.read("CHATGPT_WEB_URL", _web_address, SITE),
        profile_dir=reader.read("CHATGPT_WEB_PROFILE_DIR", _absolute, data / "profile"),
        login_timeout=reader.read("CHATGPT_WEB_LOGIN_TIMEOUT_SECONDS", _number(1, 86_400), 900.0),
        window_mode=window_mode,
        chrome_args=reader.read("CHATGPT_CHROME_ARGS", _arguments, ()),
        debug_port=reader.read("CHATGPT_DEBUG_PORT", _number(0, 65_535, whole=True), 0),
        site_file=reader.read("CHATGPT_SITE_FILE", _absolute, None),
        chrome_path=reader.read("CHROME_PATH", _absolute, None),
    )
    return msgspec.structs.replace(settings, problems=tuple(reader.problems))
