"""This installation: its settings, its records, and the clients that are to start it."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cdp_image_mcp.cli.checks.check import Check
from cdp_image_mcp.cli.install.changing import UnsafeChangeError
from cdp_image_mcp.cli.install.configuration import current_entry, file_of, is_there, local_entries
from cdp_image_mcp.cli.install.merging import WAITS, switched_off, too_short, variables_of
from cdp_image_mcp.cli.overview import in_force
from cdp_image_mcp.config import APP_NAME, PLACES, READ, WAIT, Settings, load
from cdp_image_mcp.mcp_server.client.table import CLIENTS, Client
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.system.disk import is_folder
from cdp_image_mcp.system.plaintext import clean


def configuration(settings: Settings) -> list[Check]:
    if settings.problems:
        return [
            Check(
                f"configuration, {problem.variable}",
                "warning" if problem.harmless else "failed",
                problem.message,
                f"Correct {problem.variable}.",
                person=not problem.harmless,
            )
            for problem in settings.problems
        ]
    # Values stay out: a proxy's password among the browser's arguments has no place in a pasted report.
    given = [line["variable"] for line in in_force(settings) if line["source"] == "environment"]
    told = f"Set: {', '.join(given)}." if given else "All variables at their defaults."
    return [Check("configuration", "ok", f"{told} '{APP_NAME} config' shows what they come to.")]


async def records(settings: Settings) -> Check:
    """What the index and the ledger of this installation complain about."""
    if not is_folder(settings.output_dir):
        return Check("records", "ok", "There are no pictures yet.")
    async with studio_apart(settings) as studio:
        await studio.library.rescan()
        told = await studio.status(None)
    problems: list[str] = told["problems"][len(settings.problems) :]
    if problems:
        advice = "Pictures are not touched by this. If it stays, report it with this output."
        return Check("records", "warning", clean(" ".join(problems), 1000), advice)
    return Check("records", "ok", "Index and ledger are whole.")


def clients() -> list[Check]:
    """Clients of this user whose entry starts no program or is switched off, or starts it with variables that are wrong
    or mean other places than those of the commands here."""
    found: list[Check] = []
    fine: list[str] = []
    for client in CLIENTS:
        path = file_of(client)
        if path is None or not is_there(path):
            continue
        try:
            entry = current_entry(client, path)
            everywhere = {} if entry is None else {"": entry}
            for folder, each in (everywhere | local_entries(client, path)).items():
                title, check = _checked(client, path, clean(folder, 300), each)
                if check is None:
                    fine.append(title)
                else:
                    found.append(check)
        except UnsafeChangeError as error:
            found.append(Check(f"client, {client.name}", "warning", f"{path}: {error}.", "Correct the file by hand."))
    told = f"Set up in {', '.join(fine)}." if fine else f"Set up in none yet; '{APP_NAME} install --list' shows them."
    return [Check("clients", "ok", told), *found]


def _checked(client: Client, path: Path, folder: str, entry: dict[str, Any]) -> tuple[str, Check | None]:
    """What an entry is to be called, and what is found in it; ``folder``: of the one project that it is for. Raises
    UnsafeChangeError."""
    variables = _given(variables_of(client, entry))
    others = _others(client, variables)
    inside = f" in {folder}" if folder else ""
    if wrongs := dict(_wrongs(client, entry, variables, others, local=bool(folder))):
        message = f"{path}{f' for {folder}' if folder else ''} {' It '.join(wrongs)}"
        message, advice = (clean(text, 1000) for text in (message, " ".join(wrongs.values())))
        return "", Check(f"client, {client.name}{inside}", "warning", message, advice)
    return f"{client.title}{inside}" + (f" ({', '.join(others)} otherwise than here)" if others else ""), None


REFERENCE = re.compile(r"\$\w|\$\{|%[^%]+%|\{env:")
"""To a variable that the client fills in."""


def _wrongs(
    client: Client, entry: dict[str, Any], variables: dict[str, str], others: list[str], *, local: bool
) -> Iterator[tuple[str, str]]:
    """What is wrong with an entry, and what to do about it."""
    if (wrong := _wrong(client, entry)) is not None:
        gone = f"Run '{client.local.removes}' in that folder." if local and client.local is not None else None
        yield f"names {wrong}.", gone or f"Run '{APP_NAME} install {client.name}'."
    if (off := switched_off(entry)) is not None:
        yield f"says {off}: {client.title} does not start it.", "Switch it on there."
    for problem in load(variables).problems:
        if problem.variable in variables:
            yield f"sets {problem.variable}: {problem.message}", f"Correct {problem.variable} there."
    if client.limit is not None and (told := too_short(entry, client.limit, variables.get(WAITS) or WAIT)) is not None:
        yield f"sets {told}", f"Lower {WAITS} there, or raise {client.limit.key}."
    for name in PLACES:
        if name in others:
            same = f"{name}={shlex.quote(variables[name])}" if variables[name].strip() else f"no {name}"
            yield f"sets another {name} than is in force here.", f"Give the commands here the same: {same}."


def _given(variables: dict[str, Any]) -> dict[str, str]:
    """Those whose value stands there; what a reference to a variable comes to, the client alone knows."""
    return {
        name: str(value) for name, value in variables.items() if value is not None and not REFERENCE.search(str(value))
    }


def _others(client: Client, variables: dict[str, str]) -> list[str]:
    """Names of the settings that are others there than here, but for what ``install`` itself gives this client."""
    here = load()
    return [
        name
        for name, value in variables.items()
        if name in READ and client.env.get(name) != value
        if getattr(load({name: value}), READ[name][0]) != getattr(here, READ[name][0])
    ]


def _wrong(client: Client, entry: dict[str, Any]) -> str | None:
    """The program of an entry, if it cannot be started; a name without a folder is looked for in the path."""
    command: Any = entry.get("cmd" if client.shape == "goose" else "command")
    program = command[0] if isinstance(command, list) and command else command  # type: ignore[reportUnknownVariableType]
    if not isinstance(program, str) or not program:
        return "no program"
    if REFERENCE.search(program):
        return None
    # Path.is_file raises for what may not be looked at (CPython 3.11 to 3.13).
    there = os.path.isfile(program) if Path(program).is_absolute() else shutil.which(program) is not None  # noqa: PTH113
    return None if there else f"the program {program}, which is not there"
