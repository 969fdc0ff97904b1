"""``generate``: one generation from beginning to end on a terminal."""

import argparse
import secrets
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.cli.exit_codes import DONE, STOPPED
from cdp_image_mcp.cli.follow import follow, tell_standing, tell_stopped
from cdp_image_mcp.cli.pictures import shown
from cdp_image_mcp.cli.prompting import Destination, destination, prompt_of, typed_roots, wish
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import APP_NAME, Settings
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.system.front import Front
from cdp_image_mcp.system.tasks import shielded
from cdp_image_mcp.system.viewer import openable


async def command(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    place = await anyio.to_thread.run_sync(destination, parsed.output)
    arguments = wish(parsed, await prompt_of(parsed.prompt, terminal), place)
    settings = await anyio.to_thread.run_sync(typed_roots, arguments, settings)
    if parsed.dry_run:
        return await _dry_run(arguments, settings, terminal)
    code, picture = await _made(arguments, place, parsed, settings, terminal)
    if picture is not None and (parsed.open or settings.open_finished):
        await shown(openable(picture), terminal)
    return code


async def _made(
    arguments: GenerateImage,
    place: Destination | None,
    parsed: argparse.Namespace,
    settings: Settings,
    terminal: Terminal,
) -> tuple[int, Path | None]:
    """The exit code of how it ended, which is told, and the first picture. Stopped while its request is out, it goes on
    where there is a front to let go, else for a while."""
    told: tuple[int, Path | None] | None = None
    accepted: list[str] = []

    def goes_on() -> Callable[[], None] | None:
        if parsed.front is not None:
            return partial(_outlive, parsed, terminal, accepted)
        terminal.say("The request is out and may be paid for: its picture is waited for a few seconds more.", "yellow")
        return None

    try:
        async with (
            studio_apart(settings, goes_on) as studio,
            follow(studio, partial(studio.generate, arguments, seconds=0), terminal, accepted) as standing,
        ):
            images = standing.record.images
            copies = await anyio.to_thread.run_sync(place.put, images) if place is not None and images else []
            first = copies[0] if copies else Path(images[0].path) if images else None
            told = tell_standing(terminal, standing, as_json=parsed.json, copies=copies), first
    except anyio.get_cancelled_exc_class():
        if told is None:
            with shielded():
                entry = await Library(settings.output_dir).find(accepted[0]) if accepted else None
                tell_stopped(terminal, entry)
        raise
    return told


def _outlive(parsed: argparse.Namespace, terminal: Terminal, accepted: Sequence[str]) -> None:
    """Whoever stopped it has the shell back; what is paid for is finished and saved behind it."""
    command = " ".join((APP_NAME, "wait", *(each[:8] for each in accepted)))
    terminal.say(
        f"The request is out and may be paid for: its picture is fetched and saved in the background. "
        f"'{command}' waits for it.",
        "yellow",
    )
    front: Front = parsed.front
    front.let_go(STOPPED + (parsed.stop.signal or signal.SIGINT))


async def _dry_run(arguments: GenerateImage, settings: Settings, terminal: Terminal) -> int:
    """Every check that needs no network, and what would then happen."""
    async with studio_apart(settings) as studio:
        accepted = await studio.intake.accept(arguments, secrets.token_hex(16))
        today = {name: await studio.library.of_today(name) for name in ("api", "chatgpt-web")}
        studio.intake.admit(accepted, today.__getitem__)
        first = accepted.requests[0]
        told: dict[str, Any] = {
            "dry_run": True,
            "backend": first.backend,
            "otherwise": [request.backend for request in accepted.requests[1:]],
            "output_root": str(accepted.parent or settings.output_dir),
            "request": {name: value for name, value in msgspec.to_builtins(first, enc_hook=str).items() if value},
        }
        if first.backend == "api":
            from cdp_image_mcp.openai.estimate import estimate

            told |= {"model": settings.model, "estimate": estimate(settings, first)}
    terminal.say("Nothing was sent. This is what would be asked for:")
    terminal.json(told)
    return DONE
