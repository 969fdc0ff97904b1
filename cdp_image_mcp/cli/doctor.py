"""``doctor``: checks of everything a picture needs, each with what to do; nothing is sent for money or signed in."""

import argparse
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

import msgspec
from anyio.to_thread import run_sync

from cdp_image_mcp.cli.account import tell_position
from cdp_image_mcp.cli.checks import installation, machine, services
from cdp_image_mcp.cli.checks.check import Check, guarded
from cdp_image_mcp.cli.exit_codes import DONE, FAILED, PERSON
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.ways import first_way

WEB_ONLY = frozenset(("display", "browser", "profile", "window mode", "sign-in", "network, site", "probe"))
COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


async def _checks(settings: Settings, terminal: Terminal, *, probe: bool) -> AsyncGenerator[Check]:
    """All checks in the order in which a person would look, each as soon as it is made."""
    yield machine.versions()
    for check in installation.configuration(settings):
        yield check
    way, why = first_way(settings)
    yield Check("way", "ok", f"Pictures are made by {way} first: {why}.")
    later: list[tuple[str, Callable[[], Awaitable[Check]]]] = [
        ("disk", lambda: run_sync(machine.disk, "disk", settings.output_dir, "GPT_IMAGE_OUTPUT_DIR")),
        ("records", partial(installation.records, settings)),
        ("display", partial(machine.display, settings)),
        ("browser", partial(machine.browser, settings)),
        ("window mode", partial(machine.window_mode, settings)),
        ("profile", partial(machine.profile, settings)),
        ("sign-in", lambda: run_sync(services.sign_in, settings)),
        ("API key", lambda: run_sync(services.key, settings)),
    ]
    if settings.backend != "api":
        later.append(("network, site", partial(services.site_line, settings)))
    if first_way(msgspec.structs.replace(settings, backend="auto"))[0] == "api":  # as far as the key goes
        later.append(("network, API", partial(services.api_line, settings)))
    open_api = False
    for name, check in later:
        found = await guarded(name, check)
        open_api = open_api or (name == "network, API" and found.level != "failed")
        yield found
    for check in await run_sync(installation.clients):
        yield check
    if probe and settings.backend != "api":
        for check in await services.probe(settings, partial(tell_position, terminal)):
            yield check
    if probe and open_api:
        yield await guarded("probe, API", partial(services.api_line, settings, with_key=True))


async def doctor(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    """The command: 1 when anything failed that is no person's to mend, 3 when something has to wait for a person."""
    checks: list[Check] = []
    by_api = first_way(settings)[0] == "api"
    async for check in _checks(settings, terminal, probe=parsed.probe):
        if by_api and check.name in WEB_ONLY:
            # What only the browser way needs is no failure where pictures come from the API.
            level = "warning" if check.level == "failed" else check.level
            check = msgspec.structs.replace(check, level=level, person=False)  # noqa: PLW2901
        checks.append(check)
        if not parsed.json:
            _tell(terminal, check)
    failed = [check for check in checks if check.level == "failed"]
    people = [check for check in checks if check.person and check.level != "ok"]
    code = FAILED if any(not check.person for check in failed) else PERSON if people else DONE
    if parsed.json:
        terminal.json({"ok": code == DONE, "checks": msgspec.to_builtins(checks)})
        return code
    warnings = sum(check.level == "warning" for check in checks)
    colour = "red" if failed else "yellow" if people else "green"
    terminal.say(f"{len(checks)} checks: {len(failed)} failed, {warnings} with a warning.", colour)
    return code


NAMES = 22
"""Columns of a check's name: lines come one by one, before the longest is known."""


def _tell(terminal: Terminal, check: Check) -> None:
    advice = [f"To do: {check.advice}"] if check.advice else []
    texts = [" ".join(text.split()) for text in (check.message, *advice)]
    first, *rest = [line for text in texts for line in terminal.wrapped(text, NAMES + 11)]
    level = terminal.colour(f"{check.level:<7}", COLOURS[check.level], result=True)
    terminal.result(f"{level}  {check.name:<{NAMES}}  {first}")
    for line in rest:
        terminal.result(f"{'':{NAMES + 11}}{line}")
