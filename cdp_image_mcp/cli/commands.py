"""Running a command: its function, signals, and what is said when it fails."""

import argparse
import importlib
import signal

import anyio

from cdp_image_mcp.cli.exit_codes import FAILED, STOPPED
from cdp_image_mcp.cli.follow import tell_failure
from cdp_image_mcp.cli.terminal import Terminal, UnheardError
from cdp_image_mcp.config import APP_NAME, PLACES, Settings
from cdp_image_mcp.mcp_server.fields import failure, known_error
from cdp_image_mcp.system.front import Front
from cdp_image_mcp.system.stopping import Stop
from cdp_image_mcp.system.tasks import background

TELLING = frozenset(("status", "config", "doctor"))
"""Commands whose own answer names every bad setting."""
REFUSING = frozenset(("generate", "login", "demo"))
"""Commands that end with the bad settings that are not harmless."""

FOLDERLESS = TELLING | {"install", "completion"}

SENDING = frozenset(("generate", "wait", "collect", "cancel"))
"""Commands under which a prompt may go out or be out."""


def run(parsed: argparse.Namespace, settings: Settings, front: Front | None = None) -> int:
    """Run the command and answer its exit code; every failure is told on standard error (or as JSON)."""
    terminal, parsed.front = Terminal(), front
    for problem in settings.problems:
        ends = parsed.command in REFUSING or (problem.variable in PLACES and parsed.command not in FOLDERLESS)
        if parsed.command not in TELLING and (problem.harmless or not ends):
            terminal.say(f"{problem.variable}: {problem.message}", "yellow")
    try:
        try:
            if parsed.command in REFUSING:
                settings.require_usable()
            elif parsed.command not in FOLDERLESS:
                settings.require_usable(*PLACES, sent="unknown" if parsed.command in SENDING else False)
            return anyio.run(_stoppable, parsed, settings, terminal)
        except UnheardError:
            raise
        except Exception as error:  # noqa: BLE001  it is told
            told = known_error(error, parsed.command)
            if parsed.command not in SENDING:
                told.submitted = told.spent = False
            return tell_failure(terminal, failure(told), as_json=getattr(parsed, "json", False))
    except UnheardError as unheard:
        if not isinstance(unheard.__cause__, BrokenPipeError):  # otherwise whoever read our output has gone
            why = f"Standard output cannot be written: {unheard.__cause__}."
            terminal.say(f"{why} '{APP_NAME} list' shows what was made.", "red")
        return FAILED


async def _stoppable(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    """Run the command; a signal cancels it, so that browsers are closed and records written before the process ends. So
    does it when what was started is killed, for nobody waits here any more."""
    parsed.stop = stop = Stop()
    front: Front | None = parsed.front
    code = FAILED
    async with stop.heard(), background() as group:
        with anyio.CancelScope() as stoppable:
            group.start_soon(stop.cancel, stoppable)
            group.start_soon(stop.note_end_of, front)
            # Loaded when it is run: ``config`` need not wait for what draws pictures.
            module, _, function = COMMANDS[parsed.command].partition(":")
            command = getattr(importlib.import_module(f"cdp_image_mcp.cli.{module}"), function)
            code = await command(parsed, settings, terminal)
    if stop.signal is not None:
        if stop.signal is not signal.SIGINT:
            terminal.say(f"Stopped by {stop.signal.name}.", "yellow")
        return STOPPED + stop.signal
    return code


COMMANDS = {
    "generate": "generate:command",
    "login": "account:login",
    "logout": "account:logout",
    "status": "overview:status",
    "config": "overview:config",
    "list": "pictures:list_pictures",
    "open": "pictures:open_picture",
    "wait": "pictures:wait",
    "cancel": "pictures:cancel",
    "collect": "pictures:collect",
    "gallery": "pictures:gallery",
    "clean": "pictures:clean",
    "doctor": "doctor:doctor",
    "demo": "demo:demo",
    "install": "install.command:install",
    "completion": "completion:completion",
}
