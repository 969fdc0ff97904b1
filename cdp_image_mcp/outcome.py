"""How a generation ended, said on a terminal and as an exit code."""

import json
from typing import Any

from cdp_image_mcp.answer import describe, failure, failure_of, status_of
from cdp_image_mcp.cli import DONE, FAILED, PERSON, USAGE
from cdp_image_mcp.config import APP_NAME
from cdp_image_mcp.errors import CODES, Code
from cdp_image_mcp.plaintext import clean
from cdp_image_mcp.record import Record
from cdp_image_mcp.studio import Standing
from cdp_image_mcp.terminal import Terminal

__all__ = ["exit_code", "fields_of", "standing_code", "tell_failure", "tell_standing", "tell_stopped"]


def exit_code(code: Code) -> int:
    """The exit code of a failure."""
    if code == "invalid_input":
        return USAGE
    return PERSON if CODES[code].person else FAILED


def tell_failure(terminal: Terminal, fields: dict[str, Any], *, as_json: bool) -> int:
    """A failure as the contract's JSON on standard output, or in words on standard error."""
    if as_json:
        terminal.result(json.dumps(fields, ensure_ascii=False, indent=2))
        return exit_code(fields["code"])
    terminal.say(f"{terminal.colour('Failed', 'red')} ({fields['code']}): {fields['message']}")
    if fields["submitted"] is not False:
        spent = {True: "It was sent, and it counts.", False: "It was sent, and nothing was spent."}
        terminal.say(spent.get(fields["spent"], "It may have been sent and may count."))
    if isinstance(said := fields.get("details", {}).get("text"), str):
        terminal.say(f"The site said: {said}")
    terminal.say(f"Next: {fields['next_step']}")
    return exit_code(fields["code"])


def fields_of(standing: Standing) -> dict[str, Any]:
    """The contract's fields of how a generation ended, whichever way."""
    record = standing.record
    if status_of(record) != "failed":
        return describe(standing)
    return failure(failure_of(record), record.generation_id)


def standing_code(standing: Standing) -> int:
    """The exit code of how a generation ended. Only the whole order counts as done."""
    status = status_of(standing.record)
    if status == "failed":
        return exit_code(failure_of(standing.record).code)
    return DONE if status == "saved" else FAILED


def tell_standing(terminal: Terminal, standing: Standing, *, as_json: bool) -> int:
    """The end of a generation: its paths (or JSON) on standard output, the rest on standard error."""
    record, status, fields = standing.record, status_of(standing.record), fields_of(standing)
    if status == "failed":
        return tell_failure(terminal, fields, as_json=as_json)
    if as_json:
        terminal.result(json.dumps(fields, ensure_ascii=False, indent=2))
        return standing_code(standing)
    for image in record.images:
        terminal.result(image.path)
    for missing in record.failures:
        terminal.say(f"Picture {missing.index} is missing ({missing.code}): {clean(missing.message)}", "yellow")
    if fields.get("honoured", True) is not True and status == "saved":
        terminal.say(f"Not as asked: {', '.join(fields['honoured'])}. Got: {_told(fields['actual'])}.", "yellow")
    if status not in {"saved", "partial"}:
        terminal.say(f"{status.replace('_', ' ').capitalize()}.", "yellow")
    return standing_code(standing)


def _told(actual: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in actual.items())


def tell_stopped(terminal: Terminal, record: Record | None) -> None:
    """What became of a generation whose command was stopped."""
    if record is None:
        terminal.say("Nothing was sent.")
    elif record.images:
        for image in record.images:
            terminal.result(image.path)
    elif record.submitted is False:
        terminal.say("Nothing was sent and nothing was spent.")
    elif record.on_web:
        terminal.say(f"The prompt had been sent. '{APP_NAME} collect' fetches the picture when the site has made it.")
    else:
        terminal.say("The prompt had been sent to the API and may be charged; its picture is lost with the connection.")
