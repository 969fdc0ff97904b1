"""``install CLIENT``: the server into a client's configuration, shown and asked first; and out of it again."""

import argparse
import difflib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.cli.exit_codes import DONE, FAILED, PERSON, USAGE
from cdp_image_mcp.cli.install.changing import UnsafeChangeError
from cdp_image_mcp.cli.install.configuration import (
    REFERENCE,
    SECRET,
    Change,
    block,
    change_to,
    current_entry,
    file_of,
    is_there,
    keep,
    planned,
    runs_elsewhere,
    where_of,
    write,
)
from cdp_image_mcp.cli.install.merging import switched_off
from cdp_image_mcp.cli.overview import SECRETS
from cdp_image_mcp.cli.prompting import absolute
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import APP_NAME, READ, Settings, load
from cdp_image_mcp.mcp_server.client.table import BY_NAME, CLIENTS, NAME, Client
from cdp_image_mcp.system.tasks import shielded

OWN_COMMAND_SECONDS = 60.0
PUBLIC = READ.keys() - SECRETS
"""Of all others, such as a proxy, nobody here knows whether they hold a password."""


class _Wish(msgspec.Struct, frozen=True):
    """What is to be done with one client."""

    client: Client
    path: Path | None
    entry: dict[str, Any]
    given: dict[str, str]
    remove: bool


async def install(parsed: argparse.Namespace, _: Settings, terminal: Terminal) -> int:
    """Run the command and answer its exit code."""
    if parsed.list or parsed.client is None:
        return await anyio.to_thread.run_sync(_tell_clients, terminal)
    client = BY_NAME.get(parsed.client)
    if client is None:
        close = difflib.get_close_matches(parsed.client, [each.name for each in CLIENTS], n=3, cutoff=0.4)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        terminal.say(f"There is no client {parsed.client!r}.{meant} '{APP_NAME} install --list' shows all.", "red")
        return USAGE
    given = _variables(parsed.env, terminal)
    if given is None:
        return USAGE
    if not parsed.remove and (cache := passing_place()) is not None:
        if not parsed.print:
            terminal.say("Nothing was changed.", "red")
        terminal.say(
            f"This program runs from {cache}, a cache that is emptied at times; {client.title} could not start it "
            f"after that. Install it to stay (uv tool install or pipx install), then run '{APP_NAME} install "
            f"{client.name}' again.",
            "yellow",
        )
        if not parsed.print:
            return PERSON
    path = file_of(client) if parsed.file is None else absolute("file", parsed.file)
    wish = _Wish(client, path, client.entry(*program(), client.env | given), given, parsed.remove)
    if parsed.print:
        _tell_block(wish, terminal)
        return DONE
    return await _carry_out(wish, terminal, dry=parsed.dry_run, sure=parsed.yes, own=not parsed.file)


def program() -> tuple[str, list[str]]:
    """What starts this program, as a client is to start it: by its full path, for programs with windows often do not
    see the shell's ``PATH``."""
    called = Path(sys.argv[0])
    if called.stem == APP_NAME:
        found = shutil.which(sys.argv[0]) or str(called)
        return str(Path(found).absolute()), []
    return sys.executable, ["-m", "cdp_image_mcp"]


def passing_place() -> Path | None:
    """The cache that this installation lies in, as those of ``uvx`` do (uv 0.13.9, 2026-11), None where it stays; told
    by the tag of the Cache Directory Tagging Specification. Environments that have one of their own are no caches."""
    return next((each for each in Path(sys.prefix).parents if is_there(each / "CACHEDIR.TAG")), None)


def _variables(pairs: list[str], terminal: Terminal) -> dict[str, str] | None:
    """``NAME=VALUE`` each, checked as the server would check them; None after a complaint."""
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            terminal.say(f"--env takes NAME=VALUE, and not {pair!r}.", "red")
            return None
        # A value that refers to the shell's is the client's to fill in.
        problems = load({name: value}).problems if name in READ and "$" not in value else ()
        for problem in problems:
            terminal.say(f"{problem.variable}: {problem.message}", "red")
        if problems:
            return None
        if name not in READ:
            terminal.say(f"{name} is no variable of {APP_NAME}; it is passed on all the same.", "yellow")
        given[name] = value
    return given


def _tell_clients(terminal: Terminal) -> int:
    width = max(len(client.name) for client in CLIENTS)
    for client in CLIENTS:
        path = file_of(client)
        terminal.result(f"{client.name:<{width}}  {_state(client, path):<9}  {path or where_of(client)}")
    terminal.say(
        f"'{APP_NAME} install NAME' adds the server to one of them; it shows the change and asks first.", "dim"
    )
    return DONE


def _state(client: Client, path: Path | None) -> str:
    if path is None or not is_there(path):
        return ""
    try:
        entry = current_entry(client, path)
    except UnsafeChangeError:
        return "unclear"
    if entry is None:
        return "found"
    return "installed" if switched_off(entry) is None else "off"


def _tell_block(wish: _Wish, terminal: Terminal, *said: str) -> None:
    client = wish.client
    place = " ".join(str(part) for part in (wish.path, where_of(client)) if part)
    terminal.say(f"For {client.title}: {place}".rstrip(": "), "dim")
    for line in said:
        terminal.say(line)
    terminal.result(block(client, wish.entry).rstrip("\n"))


async def _carry_out(wish: _Wish, terminal: Terminal, *, dry: bool, sure: bool, own: bool) -> int:
    client = wish.client
    if wish.path is None:
        why = f"The servers of {client.title} stand in no file that a program could change."
        if runs_elsewhere(client):
            here = "WSL, a container or a system reached by SSH"
            why = f"{client.title} runs outside of this system ({here}), and its own file is there."
        terminal.say(why, "yellow")
        return _by_hand(wish, terminal)
    try:
        entry = None if wish.remove else wish.entry
        change, said = await anyio.to_thread.run_sync(planned, client, wish.path, entry, wish.given)
    except UnsafeChangeError as error:
        terminal.say(f"{wish.path} is left as it is: {error}.", "yellow")
        return _by_hand(wish, terminal)
    if change is not None:
        terminal.result(change.difference().rstrip("\n"))
    for line in said:
        terminal.say(line, "yellow")
    if change is None:
        nothing = "Beside that there is nothing of it in" if said else "There is nothing of it in"
        terminal.say(f"{nothing if wish.remove else 'It stands already in'} {wish.path}; nothing to change.", "green")
        return DONE
    commands = await anyio.to_thread.run_sync(_own_commands, wish, change) if own else []
    for command in commands:
        shown = shlex.join([Path(command[0]).name, *command[1:]])
        terminal.say(f"By the client's own command: {shown}")
    if dry:
        terminal.say("Nothing was changed (--dry-run).")
        return DONE
    if not sure and not await terminal.agreed(f"Change {change.path}?"):
        terminal.say("Nothing was changed.")
        return PERSON
    return await _change(wish, change, terminal, own=bool(commands))


def _by_hand(wish: _Wish, terminal: Terminal) -> int:
    if wish.remove:
        terminal.say(f"Take {NAME} out by hand: {wish.path or where_of(wish.client)}.")
        return PERSON
    _tell_block(wish, terminal, "Put this in by hand:")
    return PERSON


async def _change(wish: _Wish, shown: Change, terminal: Terminal, *, own: bool) -> int:
    try:
        # Once begun it is seen through, Ctrl-C or not: between two commands the person's entry is in the copy alone.
        with shielded():
            change = await anyio.to_thread.run_sync(_as_agreed, wish, shown)
            if change is not None:
                copy = await anyio.to_thread.run_sync(keep, change)
                if copy is not None:
                    terminal.say(f"The file as it was: {copy}", "dim")
                await anyio.to_thread.run_sync(_make, wish, change, own)
    except UnsafeChangeError as error:
        terminal.say(f"{shown.path} is left as it is: {error}.", "red")
        return FAILED
    except (OSError, subprocess.SubprocessError) as error:
        terminal.say(f"It could not be changed: {error}", "red")
        return FAILED
    done = "is taken out of" if wish.remove else "is now in"
    terminal.say(f"{NAME} {done} {shown.path}. Restart {wish.client.title}.", "green")
    return DONE


def _as_agreed(wish: _Wish, shown: Change) -> Change | None:
    """The change that was shown, made to the file as it is now, for some clients write their own state into it while
    they run; None where somebody has made it. Raises UnsafeChangeError."""
    change = change_to(wish.client, shown.path, shown.entry)
    if change is not None and change.there != shown.there:
        raise UnsafeChangeError(f"what it says of {NAME} has been changed meanwhile; try again")
    return change


def _make(wish: _Wish, change: Change, own: bool) -> None:
    rest: Change | None = change
    if commands := _own_commands(wish, change) if own else []:
        failure: Exception | None = None
        try:
            for command in commands:
                _run(command)
        except (OSError, subprocess.SubprocessError) as error:
            failure = error
        # What the client's own command cannot say, and what it took away of what the person had set.
        rest = change_to(wish.client, change.path, change.entry)
        if failure is not None and rest is not None and rest.before == change.before:
            raise failure
    if rest is not None:
        write(rest)


def _own_commands(wish: _Wish, change: Change) -> list[list[str]]:
    """The client's own commands that make the change, where the client is here and has some that lose nothing."""
    client = wish.client
    wanted = client.removes if wish.remove else client.adds
    found = shutil.which(wanted[0]) if wanted else None
    if found is None or found.lower().endswith((".cmd", ".bat")):
        return []  # a batch file would take the quotation marks of an entry apart
    if client.rewrites and (change.before or b"").strip():
        return []
    if any(_may_be_secret(name, value) for name, value in wish.given.items()):
        return []  # everyone on the machine can read what a program is started with
    command, arguments = program()
    filled = {
        "{entry}": [msgspec.json.encode(wish.entry).decode()],
        "{named}": [msgspec.json.encode({"name": NAME} | wish.entry).decode()],
        "{command}": [command, *arguments],
    }
    line = [found, *(part for word in wanted[1:] for part in filled.get(word, [word]))]
    if wish.remove or not client.removes or change.there is None:
        return [line]
    return [[found, *client.removes[1:]], line]


def _may_be_secret(name: str, value: str) -> bool:
    """Only a value that is a reference as a whole is none in a variable of which nobody here knows what it holds."""
    return SECRET.search(value) is not None or (name not in PUBLIC and re.fullmatch(REFERENCE, value) is None)


def _run(command: list[str]) -> None:
    ran = subprocess.run(  # noqa: S603  the client's own program, its words from the table
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=OWN_COMMAND_SECONDS,
        check=False,
        # Ctrl-C at the terminal is ours to hear, and does not end it with the file half written.
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    if ran.returncode:
        said = (ran.stderr or ran.stdout).strip().splitlines()
        raise OSError(f"{Path(command[0]).name} said: {said[-1] if said else f'exit code {ran.returncode}'}")
