"""What the commands do, each over the same studio that the server uses."""

import argparse
import json
import logging
import secrets
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.cli.exit_codes import DONE, FAILED, PERSON
from cdp_image_mcp.cli.follow import fields_of, follow, standing_code, tell_failure, tell_standing, tell_stopped
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import APP_NAME, Settings
from cdp_image_mcp.errors import ImageError, image_error_in
from cdp_image_mcp.library.gallery.gallery import Gallery
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.mcp_server.arguments import parse
from cdp_image_mcp.mcp_server.fields import failure
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Standing
from cdp_image_mcp.system.stopping import Stop
from cdp_image_mcp.system.turns import Turns

__all__ = ["run"]

logger = logging.getLogger(__name__)

WISHES = (
    "backend",
    "n",
    "size",
    "quality",
    "output_format",
    "background",
    "output_compression",
    "complexity",
    "mask",
    "conversation_mode",
    "continue_from",
    "timeout_seconds",
    "output_dir",
)

TELLING_PROBLEMS = frozenset(("generate", "login", "status", "doctor", "demo"))
"""Commands whose own answer names every bad setting."""

Command: TypeAlias = Callable[[argparse.Namespace, Settings, Terminal], Awaitable[int]]


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    """Run the command and answer its exit code; every failure is told on standard error (or as JSON)."""
    terminal = Terminal()
    for problem in () if parsed.command in TELLING_PROBLEMS else settings.problems:
        terminal.say(f"{problem.variable}: {problem.message}", "yellow")
    try:
        return anyio.run(_stoppable, partial(COMMANDS[parsed.command], parsed, settings, terminal), terminal)
    except BrokenPipeError:
        # Whoever read our output has gone; saying so would fail the same way.
        return FAILED
    except Exception as error:
        known = image_error_in(error)
        if known is None:
            logger.exception("%s failed", parsed.command)
            known = ImageError("internal", f"A fault in {APP_NAME} ({type(error).__name__}).", submitted="unknown")
        return tell_failure(terminal, failure(known), as_json=getattr(parsed, "json", False))


async def _stoppable(work: Callable[[], Awaitable[int]], terminal: Terminal) -> int:
    """Run ``work``; a signal cancels it, so that browsers are closed and records written before the process ends."""
    stop, code, failed = Stop(), FAILED, None
    async with stop.heard(), anyio.create_task_group() as group:
        group.start_soon(stop.cancel, group.cancel_scope)
        try:
            code = await work()
        except Exception as error:  # noqa: BLE001  raised again below, outside of the groups that would wrap it
            failed = error
        group.cancel_scope.cancel()
    if failed is not None:
        raise failed
    if stop.signal is not None:
        terminal.say(f"Stopped by {stop.signal.name}.", "yellow")
        return FAILED
    return code


# --- generate ---------------------------------------------------------------------------------------------------


def _arguments(parsed: argparse.Namespace) -> GenerateImage:
    prompt = sys.stdin.read() if parsed.prompt == "-" else parsed.prompt
    given: dict[str, Any] = {name: value for name in WISHES if (value := getattr(parsed, name)) is not None}
    for name in ("mask", "output_dir"):
        if name in given:
            given[name] = _absolute(given[name])
    if parsed.reference_images:
        given["reference_images"] = [_absolute(each) for each in parsed.reference_images]
    arguments, _ = parse(GenerateImage, given | {"prompt": prompt})
    return arguments


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


async def _generate(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    arguments = await anyio.to_thread.run_sync(_arguments, parsed)
    if parsed.dry_run:
        return await _dry_run(arguments, settings, terminal)
    return await generate(arguments, settings, terminal, as_json=parsed.json)


async def generate(arguments: GenerateImage, settings: Settings, terminal: Terminal, *, as_json: bool) -> int:
    """One generation from beginning to end on a terminal."""
    accepted: list[str] = []
    try:
        async with studio_apart(settings) as studio:
            standing = await follow(studio, arguments, terminal, accepted)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            entry = await Library(settings.output_dir).find(accepted[0]) if accepted else None
            tell_stopped(terminal, entry.record if entry is not None else None)
        raise
    return tell_standing(terminal, standing, as_json=as_json)


async def _dry_run(arguments: GenerateImage, settings: Settings, terminal: Terminal) -> int:
    """Every check that needs no network, and what would then happen."""
    async with studio_apart(settings) as studio:
        accepted = await studio.intake.accept(arguments, secrets.token_hex(16))
        today = {name: await studio.library.of_today(name) for name in ("api", "chatgpt-web")}
        studio.intake.admission(accepted)(today.__getitem__)
        first = accepted.requests[0]
        told: dict[str, Any] = {
            "dry_run": True,
            "backend": first.backend,
            "otherwise": [request.backend for request in accepted.requests[1:]],
            "output_root": str(accepted.parent or settings.output_dir),
            "request": {name: value for name, value in msgspec.to_builtins(first, enc_hook=str).items() if value},
        }
        if first.backend == "api":
            from cdp_image_mcp.openai import ApiBackend

            backend = ApiBackend(settings)
            backend.check(first)
            told |= {"model": settings.model, "estimate": backend.estimate(first)}
    terminal.say("Nothing was sent. This is what would be asked for:")
    terminal.result(json.dumps(told, ensure_ascii=False, indent=2))
    return DONE


# --- the others -------------------------------------------------------------------------------------------------


@runtime_checkable
class SignsIn(Protocol):
    """A back end at which a person signs in."""

    async def sign_in(self, opened: Callable[[], None] | None = None) -> Any:
        """Open the window, call ``opened``, wait for the person; the result's ``kind`` is ``ready`` when it worked,
        else its ``detail`` says why not."""
        ...


async def _login(_: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    settings.require_usable()
    async with studio_apart(settings) as studio:
        backend = studio.backend("chatgpt-web")
        if not isinstance(backend, SignsIn):
            raise ImageError("internal", "The web back end cannot sign in.")
        async with Turns(settings.profile_dir).take(on_position=partial(_tell_position, terminal)):
            arrival = await backend.sign_in(partial(_tell_sign_in, terminal))
    if arrival.kind == "ready":
        terminal.say("You are signed in.", "green")
        return DONE
    terminal.say(f"The window was closed, and ChatGPT is not ready yet: {arrival.detail}. Run this again.", "yellow")
    return PERSON


def _tell_sign_in(terminal: Terminal) -> None:
    from cdp_image_mcp.chatgpt.window.person import sign_in_text

    terminal.say(sign_in_text())
    terminal.say("Nothing is read from that window while you sign in. Ctrl-C gives up.", "dim")


def _tell_position(terminal: Terminal, position: int) -> None:
    if position:
        terminal.say(f"Waiting until the browser is free (place {position} in the queue).", "dim")


def _tell_person(terminal: Terminal, standing: Standing) -> None:
    said = standing.news.message if standing.news is not None else "Please act in the open browser window."
    terminal.say(said, "yellow")


async def _status(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    async with studio_apart(settings) as studio:
        fields = await studio.status(None)
    if parsed.json:
        terminal.result(json.dumps(fields, ensure_ascii=False, indent=2, default=str))
    else:
        _tell_status(terminal, fields)
    return DONE


def _tell_status(terminal: Terminal, fields: dict[str, Any]) -> None:
    for entry in fields["statuses"]:
        mark = "ready" if entry["ready"] else "configured" if entry["configured"] else "not set up"
        default = " (default)" if entry["backend"] == fields["default_backend"] else ""
        terminal.result(f"{entry['backend']}{default}: {mark}. {entry['message']}")
    for title in ("running", "newest"):
        lines: list[dict[str, Any]] = fields.get(title) or []
        terminal.result(f"{title}: {len(lines) or 'none'}")
        for line in lines:
            terminal.result(f"  {line['generation_id']}  {line['state']:<18} {line['prompt']!r}")
            terminal.result(f"  {'':32}  {line['output_dir']}")
    problems: list[str] = fields.get("problems") or []
    for problem in problems:
        terminal.result(f"problem: {problem}")


async def _collect(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    async with studio_apart(settings) as studio:
        terminal.say("Looking for pictures that the site finished and nobody fetched …")
        found = await studio.collect(partial(_tell_person, terminal))
    if parsed.json:
        terminal.result(json.dumps([fields_of(standing) for standing in found], ensure_ascii=False, indent=2))
    else:
        for standing in found:
            tell_standing(terminal, standing, as_json=False)
        terminal.say(f"{len(found)} looked at." if found else "There was nothing to collect.")
    return max((standing_code(standing) for standing in found), default=DONE)


async def _gallery(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    path = await Gallery(Library(settings.output_dir)).rebuild()
    terminal.result(str(path))
    if parsed.open and not await anyio.to_thread.run_sync(webbrowser.open, path.as_uri()):
        terminal.say("No browser could be opened; open the path by hand.", "yellow")
        return FAILED
    return DONE


async def _doctor(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    from cdp_image_mcp.cli.doctor import examine, tell

    return tell(terminal, await examine(settings, probe=parsed.probe), as_json=parsed.json)


async def _demo(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    from cdp_image_mcp.cli.demo import demonstrate

    return await demonstrate(parsed.prompt, settings, terminal, as_json=parsed.json)


COMMANDS: dict[str, Command] = {
    "generate": _generate,
    "login": _login,
    "status": _status,
    "collect": _collect,
    "gallery": _gallery,
    "doctor": _doctor,
    "demo": _demo,
}
