"""This installation: its settings, its records, and the clients that are to start it."""

import os
import shutil
from pathlib import Path
from typing import Any

from cdp_image_mcp.cli.checks.check import Check
from cdp_image_mcp.cli.install.changing import UnsafeChangeError
from cdp_image_mcp.cli.install.configuration import current_entry, file_of, is_there
from cdp_image_mcp.cli.overview import in_force
from cdp_image_mcp.config import APP_NAME, Settings
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
    """Clients of this user that name a program which is not there."""
    found: list[Check] = []
    fine: list[str] = []
    for client in CLIENTS:
        path = file_of(client)
        if path is None or not is_there(path):
            continue
        try:
            entry = current_entry(client, path)
        except UnsafeChangeError as error:
            found.append(Check(f"client, {client.name}", "warning", f"{path}: {error}.", "Correct the file by hand."))
            continue
        if entry is None:
            continue
        if (wrong := _wrong(client, entry)) is None:
            fine.append(client.title)
            continue
        advice = f"Run '{APP_NAME} install {client.name}'."
        found.append(Check(f"client, {client.name}", "warning", f"{path} names {wrong}.", advice))
    told = f"Set up in {', '.join(fine)}." if fine else f"Set up in none yet; '{APP_NAME} install --list' shows them."
    return [Check("clients", "ok", told), *found]


def _wrong(client: Client, entry: dict[str, Any]) -> str | None:
    """The program of an entry, if it cannot be started; a name without a folder is looked for in the path."""
    command: Any = entry.get("cmd" if client.shape == "goose" else "command")
    program = command[0] if isinstance(command, list) and command else command  # type: ignore[reportUnknownVariableType]
    if not isinstance(program, str) or not program:
        return "no program"
    if "$" in program or "%" in program:
        return None  # the client fills it in
    # Path.is_file raises for what may not be looked at (CPython 3.11 to 3.13).
    there = os.path.isfile(program) if Path(program).is_absolute() else shutil.which(program) is not None  # noqa: PTH113
    return None if there else f"the program {program}, which is not there"
