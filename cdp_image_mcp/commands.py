"""What the commands do, each over the same studio that the server uses."""

import argparse
import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from cdp_image_mcp.answer import describe, failure, status_of
from cdp_image_mcp.cli import DONE, FAILED, PERSON, USAGE
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import CODES, Code, ImageError
from cdp_image_mcp.plaintext import clean
from cdp_image_mcp.schema import GenerateImage, parse
from cdp_image_mcp.studio import News, Standing, Studio, open_studio
from cdp_image_mcp.terminal import Terminal

__all__ = ["run"]

PATIENT = 1800.0
"""Seconds of one wait; the command waits again until the generation has ended."""
WISHES = (
    "backend",
    "n",
    "size",
    "quality",
    "output_format",
    "background",
    "output_compression",
    "mask",
    "conversation_mode",
    "continue_from",
    "timeout_seconds",
    "output_dir",
)


def exit_code(code: Code) -> int:
    """The exit code of a failure."""
    if code == "invalid_input":
        return USAGE
    return PERSON if CODES[code].person else FAILED


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    """Run the command and answer its exit code; every failure is told on standard error (or as JSON)."""
    terminal = Terminal()
    try:
        return anyio.run(partial(COMMANDS[parsed.command], parsed, settings, terminal))
    except ImageError as error:
        return tell_failure(terminal, failure(error), as_json=getattr(parsed, "json", False))
    except KeyboardInterrupt:
        terminal.say("Stopped.", "yellow")
        return FAILED


def tell_failure(terminal: Terminal, fields: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        terminal.result(json.dumps(fields, ensure_ascii=False, indent=2))
    else:
        terminal.say(f"{terminal.colour('failed', 'red')}: {fields['message']} ({fields['code']})")
        spent = {True: "It was sent and counts.", "unknown": "It may have been sent and paid for."}
        if fields["submitted"] is not False:
            terminal.say(spent.get(fields["spent"], "It was sent; nothing was spent."))
        terminal.say(f"Next: {fields['next_step']}")
    return exit_code(fields["code"])


class _Watch:
    """Follows one generation on the terminal; its clock goes on between two news."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._news: News | None = None
        self._at = 0.0
        self._person_told = False

    async def __call__(self, news: News) -> None:
        self._news, self._at = news, time.monotonic()
        self._show()

    def _show(self) -> None:
        if self._news is not None:
            self._terminal.progress(self._news, self._news.elapsed + time.monotonic() - self._at)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as group:
            if self._terminal.live:
                group.start_soon(self._tick)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
                self._terminal.clear()

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(0.5)
            self._show()

    def person(self, standing: Standing) -> None:
        if not self._person_told and standing.record.state in {"needs_sign_in", "needs_verification"}:
            self._person_told = True
            what = "sign in" if standing.record.state == "needs_sign_in" else "pass the site's check"
            self._terminal.say(f"Please {what} in the browser window that is open; the picture then goes on.", "yellow")


async def _follow(studio: Studio, arguments: GenerateImage, terminal: Terminal) -> Standing:
    watch = _Watch(terminal)
    async with watch.running():
        standing = await studio.generate(arguments, watch)
        while not standing.record.finished:
            watch.person(standing)
            standing = await studio.wait(standing.record.generation_id, PATIENT, watch)
    return standing


def _arguments(parsed: argparse.Namespace) -> GenerateImage:
    prompt = sys.stdin.read() if parsed.prompt == "-" else parsed.prompt
    given: dict[str, Any] = {name: value for name in WISHES if (value := getattr(parsed, name)) is not None}
    for name in ("mask", "output_dir"):
        if name in given:
            given[name] = str(Path(given[name]).expanduser().absolute())
    if parsed.reference_images:
        given["reference_images"] = [str(Path(each).expanduser().absolute()) for each in parsed.reference_images]
    return parse(GenerateImage, given | {"prompt": prompt, "wait_seconds": PATIENT})


def tell_standing(terminal: Terminal, standing: Standing, *, as_json: bool) -> int:
    """The end of a generation: its paths (or JSON) on standard output, the rest on standard error."""
    record, status = standing.record, status_of(standing.record)
    if status == "failed":
        error = record.failure() or ImageError("internal", "The generation ended without a picture.")
        return tell_failure(terminal, failure(error, record.generation_id), as_json=as_json)
    fields = describe(standing)
    if as_json:
        terminal.result(json.dumps(fields, ensure_ascii=False, indent=2))
    else:
        for image in record.images:
            terminal.result(image.path)
        for missing in record.failures:
            terminal.say(f"picture {missing.index}: {clean(missing.message)} ({missing.code})", "yellow")
        met = fields.get("honoured", True)
        if met is not True and status != "cancelled":
            terminal.say(f"Not as asked: {', '.join(met)}; got {json.dumps(fields['actual'])}.", "yellow")
        if status == "cancelled":
            terminal.say("Cancelled.", "yellow")
    return DONE if status == "saved" else FAILED


async def _generate(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    arguments = _arguments(parsed)
    async with open_studio(settings) as studio:
        standing = await _follow(studio, arguments, terminal)
    return tell_standing(terminal, standing, as_json=parsed.json)


async def _status(_: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    async with open_studio(settings) as studio:
        fields = await studio.status(None)
    terminal.result(json.dumps(fields, ensure_ascii=False, indent=2, default=str))
    return DONE


COMMANDS = {"generate": _generate, "status": _status}
