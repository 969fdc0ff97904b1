"""Checks of everything a picture needs, each with what to do; nothing is sent, spent or signed in."""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp import __version__
from cdp_image_mcp.cli.exit_codes import DONE, FAILED
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import APP_NAME, VARIABLES, Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.system.plaintext import clean
from cdp_image_mcp.system.turns import Turns

__all__ = ["Check", "Probes", "examine", "tell"]

PACKAGES = ("mcp", "websockets", "httpx", "anyio", "msgspec", "platformdirs", "psutil")
WEB_ONLY = frozenset(("display", "browser", "profile", "window mode", "sign-in", "network, site"))
CONNECT_SECONDS = 4.0
LOW_DISK, NO_DISK = 1_000_000_000, 100_000_000
"""Bytes free: below the first a warning, below the second a failure; a picture takes 2 to 25 MB."""


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the report; ``advice`` says what to do when it is not ok."""

    name: str
    level: Literal["ok", "warning", "failed"]
    message: str
    advice: str = ""


@runtime_checkable
class Probes(Protocol):
    """A back end that can look in the page for everything it uses there, without sending anything."""

    async def probe(self) -> list[tuple[str, bool, str]]:
        """For each role (composer, send, …): its name, whether it was found, and how."""
        ...


async def examine(settings: Settings, *, probe: bool = False) -> list[Check]:
    """All checks in the order in which a person would look."""
    checks = [_versions(), *_configuration(settings)]
    checks.append(await _guarded("disk", lambda: anyio.to_thread.run_sync(_disk, settings)))
    checks.append(await _guarded("display", lambda: _display(settings)))
    checks.append(await _guarded("browser", lambda: _browser(settings)))
    checks.append(await _guarded("window mode", lambda: _window_mode(settings)))
    checks.append(await _guarded("profile", lambda: _profile(settings)))
    checks.append(_sign_in(settings))
    checks.append(_key(settings))
    if settings.backend != "api":
        checks.append(await _guarded("network, site", lambda: _network("network, site", settings.web_url)))
    if _api_usable(settings):
        checks.append(await _guarded("network, API", lambda: _network("network, API", settings.base_url)))
    if probe:
        checks.extend(await _probe(settings))
    return [_weighed(check, settings) for check in checks]


def _weighed(check: Check, settings: Settings) -> Check:
    """What only the browser way needs is no failure where pictures come from the API."""
    by_api = settings.backend == "api" or (settings.backend == "auto" and _api_usable(settings))
    if check.level == "failed" and by_api and check.name in WEB_ONLY:
        return msgspec.structs.replace(check, level="warning")
    return check


async def _guarded(name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    """A check that falls over is a finding, and the others still run."""
    try:
        return await check()
    except Exception as error:  # noqa: BLE001  whatever it is, it is told
        return _fallen_over(name, error)


def _fallen_over(name: str, error: Exception) -> Check:
    return Check(name, "failed", clean(f"{type(error).__name__}: {error}"), "Report this with the whole output.")


def _versions() -> Check:
    told = [f"{APP_NAME} {__version__}", f"Python {platform.python_version()}", platform.platform(terse=True)]
    missing: list[str] = []
    for package in PACKAGES:
        try:
            told.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return Check("versions", "failed", f"Not installed: {', '.join(missing)}.", f"Install {APP_NAME} again.")
    return Check("versions", "ok", ", ".join(told))


def _configuration(settings: Settings) -> list[Check]:
    if settings.problems:
        return [
            Check(f"configuration, {problem.variable}", "failed", problem.message, f"Correct {problem.variable}.")
            for problem in settings.problems
        ]
    # Names only: a key, or a proxy's password among the browser's arguments, has no place in a pasted report.
    given = [variable.name for variable in VARIABLES if os.environ.get(variable.name)]
    return [Check("configuration", "ok", f"Set: {', '.join(given)}." if given else "All variables at their defaults.")]


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _disk(settings: Settings) -> Check:
    place = _existing(settings.output_dir)
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Check(
            "disk", "failed", f"Nothing can be written to {place}.", "Correct GPT_IMAGE_OUTPUT_DIR or its rights."
        )
    free = shutil.disk_usage(place).free
    message = f"{free / 1e9:.1f} GB free at {settings.output_dir}."
    if free < NO_DISK:
        return Check("disk", "failed", message, "Free some space: pictures could not be saved.")
    if free < LOW_DISK:
        return Check("disk", "warning", message, "Free some space soon.")
    return Check("disk", "ok", message)


async def _display(settings: Settings) -> Check:
    """A browser that could have windows is started, and makes none: a variable alone does not make a display."""
    from cdp_image_mcp.cdp import LaunchError
    from cdp_image_mcp.cdp.errors import NoDisplay
    from cdp_image_mcp.chatgpt.window.windowmode import has_display
    from cdp_image_mcp.previews.canvas import short_lived

    advice = "Sign in once on this machine with a display (or X forwarding), or use the API back end."
    if not has_display():
        return Check("display", "warning", "There is no display: nobody can sign in or pass a check here.", advice)
    try:
        with anyio.fail_after(45):
            async with short_lived(settings, "hidden"):
                return Check("display", "ok", "Windows can be shown.")
    except NoDisplay as error:
        return Check("display", "failed", clean(f"{error}.", 1000), advice)
    except LaunchError:
        return Check("display", "ok", "A display is set; whether the browser starts is told below.")


async def _browser(settings: Settings) -> Check:
    """Found and really started once, without a window and on a throw-away profile."""
    from cdp_image_mcp.cdp import LaunchError, find_browser
    from cdp_image_mcp.cdp.launching.discovery import Machine, everyday_kind
    from cdp_image_mcp.previews.canvas import short_lived

    try:
        found = await anyio.to_thread.run_sync(lambda: find_browser(settings.chrome_path, profile=settings.profile_dir))
    except LaunchError as error:
        advice = "Install Google Chrome or Microsoft Edge, or set CHROME_PATH to the program file."
        return Check("browser", "failed", clean(str(error), 1000), advice)
    try:
        with anyio.fail_after(45):
            async with short_lived(settings) as browser:
                product = browser.version.product
    except LaunchError as error:
        advice = "See the reason above; as root a browser needs CHATGPT_CHROME_ARGS=--no-sandbox."
        return Check("browser", "failed", clean(f"{found.path} did not start: {error}", 1000), advice)
    if sys.platform == "darwin" and found.kind == everyday_kind(Machine.here()):
        advice = "Install another browser, such as Google Chrome for Testing or Edge; it is used from then on."
        told = f"{product} starts ({found.path}). It opens your links too, also while it runs here without a window."
        return Check("browser", "warning", told, advice)
    return Check("browser", "ok", f"{product} starts ({found.path}).")


async def _window_mode(settings: Settings) -> Check:
    from cdp_image_mcp.chatgpt.window.windowmode import WindowMemory

    choice = await WindowMemory(settings.profile_dir, settings.window_mode).choose()
    return Check("window mode", "ok", f"{settings.window_mode}; the next browser is {choice.mode}: {choice.why}.")


async def _profile(settings: Settings) -> Check:
    """Really written to, and really asked who holds it."""
    from cdp_image_mcp import cdp
    from cdp_image_mcp.cdp.errors import ProfileInUse, ProfileNotWritable
    from cdp_image_mcp.cdp.launching.profile import long_paths_allowed, prepare_profile, too_long

    profile = settings.profile_dir
    if not profile.exists():
        if not os.access(_existing(profile), os.W_OK):
            return Check("profile", "failed", f"{profile} cannot be made.", "Correct CHATGPT_WEB_PROFILE_DIR.")
        return Check("profile", "ok", f"{profile} will be made at the first use.")
    try:
        await anyio.to_thread.run_sync(
            lambda: prepare_profile(profile, cdp.find_browser(settings.chrome_path, profile=profile))
        )
        async with cdp.attach(profile) as browser:
            held = f", open in process {browser.pid} at this moment"
    except ProfileNotWritable as error:
        return Check("profile", "failed", clean(f"{error}."), "Correct CHATGPT_WEB_PROFILE_DIR, its owner and rights.")
    except ProfileInUse as error:
        return Check("profile", "failed", clean(f"{error}."), "Close that browser, then try again.")
    except cdp.CDPError:
        held = ""  # none runs; a browser that is not found has a line of its own
    if too_long(profile, platform=sys.platform, long_paths=long_paths_allowed()):
        advice = "Set CHATGPT_WEB_PROFILE_DIR to a shorter path, or let Windows take long ones (LongPathsEnabled)."
        return Check("profile", "warning", f"{profile} leaves the browser too little room for its own paths.", advice)
    if sys.platform != "win32" and profile.stat().st_mode & 0o077:
        advice = f"chmod 700 '{profile}': it holds the cookies of your account."
        return Check("profile", "warning", f"Other users of this machine can look into {profile}.", advice)
    return Check("profile", "ok", f"{profile}{held}.")


def _sign_in(settings: Settings) -> Check:
    """Only whether there ever was a sign-in can be told without asking the site; ``--probe`` asks."""
    profile = settings.profile_dir / "Default"
    if any((profile / name).exists() for name in ("Network/Cookies", "Cookies")):
        return Check("sign-in", "ok", "The profile has been used; whether it is signed in, --probe finds out.")
    advice = f"Run '{APP_NAME} login' once, or use the API back end."
    return Check("sign-in", "warning", "Nobody has signed in with this profile yet.", advice)


def _key(settings: Settings) -> Check:
    if settings.api_key:
        return Check("API key", "ok", f"OPENAI_API_KEY is set; model {settings.model} at {settings.base_url}.")
    from cdp_image_mcp.openai.profiles import choose_profile, key_missing

    try:
        if settings.backend != "chatgpt-web" and not key_missing(settings):
            name = choose_profile(settings).name
            return Check("API key", "ok", f"{name} wants none; model {settings.model} at {settings.base_url}.")
    except ImageError as error:
        return Check("API key", "failed", clean(error.message, 1000), "Correct OPENAI_COMPAT or OPENAI_BASE_URL.")
    if settings.backend == "api":
        return Check("API key", "failed", "OPENAI_API_KEY is not set.", "Set it, or GPT_IMAGE_BACKEND=chatgpt-web.")
    return Check("API key", "ok", "OPENAI_API_KEY is not set; pictures are made by ChatGPT in the browser.")


def _api_usable(settings: Settings) -> bool:
    """Whether requests to the API could be made as far as the key goes; what it is like has a check of its own."""
    from cdp_image_mcp.openai.profiles import key_missing

    try:
        return not key_missing(settings)
    except ImageError:
        return False


async def _network(name: str, address: str) -> Check:
    """Whether a connection can be opened; nothing is sent over it."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            await (await anyio.connect_tcp(host, port)).aclose()
    except (OSError, TimeoutError) as error:
        reason = clean(getattr(error, "strerror", None) or str(error)) or f"no answer within {CONNECT_SECONDS:g} s"
        proxied = any(os.environ.get(variable) for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"))
        advice = "Expected behind a proxy." if proxied else "Check the connection, a firewall or a proxy."
        return Check(name, "warning" if proxied else "failed", f"{host}:{port} cannot be reached: {reason}.", advice)
    return Check(name, "ok", f"{host}:{port} can be reached.")


async def _probe(settings: Settings) -> list[Check]:
    try:
        async with studio_apart(settings) as studio:
            backend = studio.backend("chatgpt-web")
            if not isinstance(backend, Probes):
                return [Check("probe", "failed", "This version's web back end cannot look into the page.")]
            async with Turns(settings.profile_dir).take():
                found = await backend.probe()
    except ImageError as error:
        return [Check("probe", "failed", clean(error.message, 1000), error.next_step)]
    except Exception as error:  # noqa: BLE001  the other findings are told all the same
        return [_fallen_over("probe", error)]
    advice = "The site may have changed: update, or set CHATGPT_SITE_FILE."
    return [
        Check(f"probe, {role}", "ok" if there else "warning", clean(how), "" if there else advice)
        for role, there, how in found
    ]


def tell(terminal: Terminal, checks: list[Check], *, as_json: bool) -> int:
    """The report on standard output; exit code 1 when anything failed."""
    failed = sum(check.level == "failed" for check in checks)
    if as_json:
        report: dict[str, Any] = {"ok": not failed, "checks": msgspec.to_builtins(checks)}
        terminal.result(json.dumps(report, ensure_ascii=False, indent=2))
        return FAILED if failed else DONE
    width = max(len(check.name) for check in checks)
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    for check in checks:
        advice = [f"To do: {check.advice}"] if check.advice else []
        texts = [" ".join(text.split()) for text in (check.message, *advice)]
        first, *rest = [line for text in texts for line in terminal.wrapped(text, width + 11)]
        level = terminal.colour_result(f"{check.level:<7}", colours[check.level])
        terminal.result(f"{level}  {check.name:<{width}}  {first}")
        for line in rest:
            terminal.result(f"{'':{width + 11}}{line}")
    warnings = sum(check.level == "warning" for check in checks)
    terminal.say(f"{len(checks)} checks: {failed} failed, {warnings} with a warning.", "red" if failed else "green")
    return FAILED if failed else DONE
