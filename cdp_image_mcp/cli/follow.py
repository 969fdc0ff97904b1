"""Following one generation on a terminal until it has ended, and saying how."""

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
import msgspec

from cdp_image_mcp.cli.exit_codes import DONE, FAILED, exit_code
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import APP_NAME
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.mcp_server.fields import failure_of, fields_of, status_of
from cdp_image_mcp.request import LONGEST_WAIT, PERSON_STATES
from cdp_image_mcp.studio.ending import sent_and_spent
from cdp_image_mcp.studio.studio import News, Standing, Studio
from cdp_image_mcp.system.plaintext import clean
from cdp_image_mcp.system.tasks import background, shielded

COMMANDS = {
    "wait_for_image": "wait",
    "generate_image": "generate",
    "cancel_image": "cancel",
    "backend_status": "list",
}
"""What a person types where a model calls a tool."""
TICK = 0.5
"""Seconds between two drawings of the progress line: its clock goes on between two news."""


class Begin(Protocol):
    """:meth:`Studio.generate` or :meth:`Studio.wait`, with all that they are to be given."""

    def __call__(self, *, held: AsyncExitStack) -> Awaitable[Standing]: ...


@asynccontextmanager
async def follow(studio: Studio, begin: Begin, terminal: Terminal, accepted: list[str]) -> AsyncGenerator[Standing]:
    """Where the generation ended that ``begin`` makes or finds; its id is put into ``accepted`` as soon as there is
    one. The block gives the answer to whoever asked. Only when it is left without a fault the generation counts as
    fetched, and nobody else joins it until then: what a full disk or a signal kept back, the same command is given."""
    async with AsyncExitStack() as held:
        try:
            standing = await _ended(studio, partial(begin, held=held), terminal, accepted)
        finally:
            terminal.clear()
        yield standing
        with shielded():  # it is told, whatever comes now
            await studio.fetched(standing)


async def _ended(
    studio: Studio, begin: Callable[[], Awaitable[Standing]], terminal: Terminal, accepted: list[str]
) -> Standing:
    watch, person_told = _Watch(studio, terminal), ""
    async with background() as group:
        if terminal.live:
            group.start_soon(watch.tick)
        standing = begun = await begin()
        watch.generation_id = identity = standing.record.generation_id
        accepted.append(identity)
        if begun.joined:
            told = "its end was told to nobody: it is told now"
            if not begun.record.finished:
                told = "this waits for its end"
            terminal.say(f"The same was asked for before, and {told}.", "yellow")
        while not standing.record.finished:
            if (state := standing.record.state) in PERSON_STATES and state != person_told:
                person_told = state
                tell_person(terminal, standing)
            standing = await studio.wait(identity, LONGEST_WAIT, watch)
    return msgspec.structs.replace(standing, joined=begun.joined, unmet=begun.unmet)


def tell_person(terminal: Terminal, standing: Standing) -> None:
    """What a person has to do now."""
    said = standing.news.message if standing.news is not None else "Please act in the open browser window."
    terminal.say(said, "yellow")


class _Watch:
    def __init__(self, studio: Studio, terminal: Terminal) -> None:
        self.generation_id = ""
        self._studio = studio
        self._terminal = terminal
        self._news: News | None = None
        self._at = 0.0

    async def __call__(self, news: News) -> None:
        self._news, self._at = news, time.monotonic()
        self._show()

    def _show(self) -> None:
        if self._news is not None:
            self._terminal.progress(self._news, self._news.elapsed + time.monotonic() - self._at)

    async def tick(self) -> None:
        while True:
            await anyio.sleep(TICK)
            # A listener hears every 5 s, as clients like it; a person sees more.
            if (news := self._studio.news(self.generation_id)) is not None:
                await self(news)
            else:
                self._show()


def tell_failure(terminal: Terminal, fields: dict[str, Any], *, as_json: bool) -> int:
    """A failure as the contract's JSON on standard output, or in words on standard error."""
    if as_json:
        terminal.json(fields)
        return exit_code(fields["code"], fields["submitted"])
    terminal.say(f"{terminal.colour('Failed', 'red')} ({fields['code']}): {fields['message']}")
    if fields["submitted"] is not False or ("generation_id" in fields and "othing was sent" not in fields["message"]):
        terminal.say(sent_and_spent(fields["submitted"], fields["spent"]))
    if isinstance(said := fields.get("details", {}).get("text"), str):
        terminal.say(f"In its words: {said}")
    terminal.say(f"Next: {_typed(fields['next_step'], fields.get('generation_id', ''))}")
    return exit_code(fields["code"], fields["submitted"])


def _typed(step: str, generation_id: str) -> str:
    """A step that was written for a model, as a person at a terminal takes it."""

    def command(found: re.Match[str]) -> str:
        named = f" {generation_id[:8]}" if found[2] and generation_id else ""
        return f"'{APP_NAME} {COMMANDS[found[1]]}{named}'"

    step = re.sub(rf"\b({'|'.join(COMMANDS)})\b( with (?:this|that) generation_id)?", command, step)
    step = step.removeprefix("Tell the user once: ").replace("browser_visibility show", "CHATGPT_WINDOW_MODE=visible")
    spoken = re.sub(r"\b([Aa])sk the user to (.)", lambda it: it[2].upper() if it[1] == "A" else it[2], step)
    return spoken if spoken == step else re.sub(r"\b(or|and|and then) to (?=[a-z])", r"\1 ", spoken)


def standing_code(standing: Standing) -> int:
    """The exit code of how a generation ended. Only the whole order counts as done."""
    status = status_of(standing.record)
    if status == "failed":
        failed = failure_of(standing.record)
        return exit_code(failed.code, failed.submitted)
    return DONE if status == "saved" else FAILED


def tell_standing(
    terminal: Terminal, standing: Standing, *, as_json: bool, copies: Sequence[Path] | None = None
) -> int:
    """The end of a generation: its paths (or JSON) on standard output, the rest on standard error. ``copies`` are
    named in the place of the pictures they were made of."""
    record, status, fields = standing.record, status_of(standing.record), fields_of(standing)
    if status == "failed":
        return tell_failure(terminal, fields, as_json=as_json)
    if as_json:
        terminal.json(fields | ({"copies": [str(path) for path in copies]} if copies else {}))
        return standing_code(standing)
    for path in copies or [image.path for image in record.images]:
        terminal.result(str(path))
    for missing in record.failures:
        terminal.say(f"Picture {missing.index} is missing ({missing.code}): {clean(missing.message)}", "yellow")
    if fields.get("honoured", True) is not True and status == "saved":
        got = ", ".join(f"{name} {value}" for name, value in fields["actual"].items())
        terminal.say(f"Not as asked: {', '.join(fields['honoured'])}. Got: {got}.", "yellow")
    for note in standing.notes:
        terminal.say(_typed(note, record.generation_id), "yellow")
    if status not in {"saved", "partial"}:
        terminal.say(f"{status.replace('_', ' ').capitalize()}.", "yellow")
        if status == "cancelled":
            terminal.say(sent_and_spent(record.submitted, record.spent))
    return standing_code(standing)


def tell_stopped(terminal: Terminal, entry: Entry | None) -> None:
    """What became of a generation whose command was stopped."""
    if entry is None:
        terminal.say("Nothing was sent.")
        return
    record = entry.record
    for image in record.images:
        terminal.result(image.path)
    if entry.alive:
        command = f"{APP_NAME} wait {record.generation_id[:8]}"
        terminal.say(f"It goes on in another process. '{command}' waits for it.")
    elif record.images:
        if record.collectable:
            terminal.say(f"Another may be at the site: '{APP_NAME} collect' fetches it.")
    elif (error := record.failure()) is not None and error.code != "cancelled":
        terminal.say(f"{clean(error.message)} {sent_and_spent(record.submitted, record.spent)}")
    elif record.submitted is False:
        terminal.say(sent_and_spent(False, False))
    elif record.on_web:
        fetch = f"'{APP_NAME} collect' fetches the picture when the site has made it."
        terminal.say(f"{sent_and_spent(record.submitted, record.spent)} {fetch}")
    else:
        terminal.say(f"{sent_and_spent(record.submitted, record.spent)} Its picture is lost with the connection.")
