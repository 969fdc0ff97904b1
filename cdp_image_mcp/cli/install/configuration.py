"""One client's configuration file: what it would say with the server in it or without, shown before it is written."""

import difflib
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any, cast

import msgspec

from cdp_image_mcp.cli.install import jsonc, toml, yaml
from cdp_image_mcp.cli.install.changing import UnsafeChangeError
from cdp_image_mcp.cli.install.merging import merged
from cdp_image_mcp.config import UNFILLED
from cdp_image_mcp.mcp_server.client.table import NAME, Client
from cdp_image_mcp.system.disk import make_path, replace_file
from cdp_image_mcp.system.plaintext import clean

BYTE_ORDER_MARK = "\ufeff"
CONFIGURATION = "~/.config/"
KEY_LIKE = r"(?:key|token|secret|password|authorization)[\w-]*"
REFERENCE = rf"(?-i:{UNFILLED.pattern}|\$\{{[^}}\s\"']+\}})"
"""A value that is the client's to fill in, whole: passwords have dollars in them too."""
VALUE = (
    rf"""(?:"(?!{REFERENCE}")(?:[^"\\\n]|\\.)+"|'(?!{REFERENCE}')[^'\n]+'"""
    rf"""|(?!\d+,?$|true|false|null|{REFERENCE}["',\]\s]*$)[^\s"'\[{{|>#].*)"""
)
SECRET = re.compile(
    rf"""({KEY_LIKE}["']?[ \t]*[:=][ \t]*){VALUE}"""
    rf"""|(--?[\w-]*{KEY_LIKE}["']?,?[ \t]*(?:\n[-+ ][ \t]*(?:-[ \t]+)?)?){VALUE}"""
    rf"""|(\bBearer[ \t]+)(?!{REFERENCE}(?:["'\s]|$))[^\s"']+"""
    r"""|(://[^\s/@"':]*:)(?!\$\{[^}]*\}@)[^\s/"']+(?=@)""",
    re.IGNORECASE | re.MULTILINE,
)
"""A value, quoted or as YAML has it plain, that is no reference to a variable: behind a name that says what it is, as
the argument after such an option, also on the next line of a change; and what is in a header or an address."""
MOST = 20_000_000
"""Bytes; a file of settings that is larger is none."""


class Change(msgspec.Struct, frozen=True):
    """A file as it is and as it would be."""

    path: Path
    """Where links lead to: what is replaced is the file and not the link."""
    before: bytes | None
    """None where there is no file."""
    after: bytes
    entry: dict[str, Any] | None
    """What the file then says of the server."""
    there: dict[str, Any] | None
    """What it says of the server as it is."""

    def difference(self) -> str:
        """The change, as ``diff -u`` shows it; keys and passwords, also other servers', are left out."""
        old = (self.before or b"").decode("utf-8", "replace").splitlines(keepends=True)
        new = self.after.decode("utf-8", "replace").splitlines(keepends=True)
        name = str(self.path)
        lines = difflib.unified_diff(old, new, name if self.before is not None else "(no file)", name)
        shown = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
        return SECRET.sub(lambda found: f"{found[found.lastindex or 0]}…", shown)


def file_of(client: Client) -> Path | None:
    """Where the client of this user keeps its servers; None where a program cannot reach that."""
    name = client.files.get(sys.platform) or client.files.get("")
    if not name or runs_elsewhere(client):
        return None
    if name.startswith("%APPDATA%"):
        base = os.environ.get("APPDATA")
        return Path(base + name.removeprefix("%APPDATA%")) if base else None
    if client.home and (home := os.environ.get(client.home)):
        return Path(home) / Path(name).name
    # The XDG base directory specification: a path that is not absolute counts as none. A system with a file of its own
    # in the table is one where the client does not go by it.
    configuration = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if sys.platform not in client.files and name.startswith(CONFIGURATION) and configuration.is_absolute():
        return configuration / name.removeprefix(CONFIGURATION)
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no HOME, and no such user: containers run as any number
        return None


def runs_elsewhere(client: Client) -> bool:
    """Whether the client runs on another system than this program: behind WSL, SSH or a container."""
    return client.remote is not None and any(map(os.environ.get, client.remote.variables))


def where_of(client: Client) -> str:
    """What there is to say of the place beside the file, or where there is no file that a program can reach."""
    return client.remote.where if client.remote is not None and runs_elsewhere(client) else client.where


def is_there(path: Path) -> bool:
    """Whether there is such a file, a link in its place, or something that cannot be looked at."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # as in a folder of another user
        return True
    return True


def _read(path: Path) -> tuple[Path, bytes | None, str]:
    """The file behind a path, its bytes and its text. Raises UnsafeChangeError."""
    real, raw = Path(os.path.realpath(path)), None
    try:
        if not stat.S_ISREG(real.stat().st_mode):
            raise UnsafeChangeError("it is no file")
        raw = real.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UnsafeChangeError(f"it cannot be read ({error.strerror})") from None
    if raw is not None and len(raw) > MOST:
        raise UnsafeChangeError("it is larger than any file of settings")
    try:
        text = (raw or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise UnsafeChangeError("it is not written in UTF-8") from None
    return real, raw, text


def current_entry(client: Client, path: Path) -> dict[str, Any] | None:
    """What the client's file says of the server. Raises UnsafeChangeError."""
    _, _, text = _read(path)
    return _entry_in(client, text.removeprefix(BYTE_ORDER_MARK))


def local_entries(client: Client, path: Path) -> dict[str, dict[str, Any]]:
    """What the client's file says of the server for single projects, by their folders. Raises UnsafeChangeError."""
    if client.local is None:
        return {}
    _, _, text = _read(path)
    projects = _at(jsonc.read(text.removeprefix(BYTE_ORDER_MARK)), (client.local.key,))
    if not isinstance(projects, dict):
        return {}
    entries = {name: _at(each, (*client.place, NAME)) for name, each in cast("dict[str, Any]", projects).items()}
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict)}


def _entry_in(client: Client, text: str) -> dict[str, Any] | None:
    if client.form == "yaml":
        return yaml.read_entry(text, client.place[0], NAME, listed=client.shape == "listed")
    found = _at(jsonc.read(text) if client.form == "json" else toml.read(text), (*client.place, NAME))
    if found is not None and not isinstance(found, dict):
        raise UnsafeChangeError(f"{NAME} is something else than a server there")
    return found  # type: ignore[reportUnknownVariableType]


def _at(found: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None  # type: ignore[reportUnknownMemberType]
    return found  # type: ignore[reportUnknownVariableType]


def planned(
    client: Client, path: Path, entry: dict[str, Any] | None, given: dict[str, str]
) -> tuple[Change | None, list[str]]:
    """The change that brings ``entry`` in (None: takes it out), None where there is nothing to change; and what is to
    be said of it. ``given`` variables win over those that stand there. Raises UnsafeChangeError."""
    there, said = current_entry(client, path), list[str]()
    if entry is not None:
        entry, said = merged(client, there, entry, given)
    return change_to(client, path, entry), [*said, *_beside(client, path)]


def _beside(client: Client, path: Path) -> list[str]:
    return [
        f"{clean(folder, 300)} has an entry of its own, which wins there; '{client.local.removes}' in that folder "
        "takes it out."
        for folder in local_entries(client, path)
        if client.local is not None
    ]


def change_to(client: Client, path: Path, entry: dict[str, Any] | None) -> Change | None:
    """The change to that very entry, whatever stands there."""
    real, raw, text = _read(path)
    if raw is None and entry is not None and client.absent:
        raise UnsafeChangeError(client.absent)
    mark = BYTE_ORDER_MARK if text.startswith(BYTE_ORDER_MARK) else ""
    plain = text.removeprefix(mark)
    there = _entry_in(client, plain)
    if there == entry:
        return None
    try:
        return Change(real, raw, (mark + _edited(client, plain, entry)).encode(), entry, there)
    except UnicodeEncodeError:  # of a value or a folder's name, which may be any bytes here
        raise UnsafeChangeError("what belongs into it is not UTF-8") from None


def block(client: Client, entry: dict[str, Any]) -> str:
    """What a file holds that has nothing but the server, ready to be pasted."""
    return _edited(client, "", entry)


def _edited(client: Client, text: str, entry: dict[str, Any] | None) -> str:
    match client.form:
        case "json":
            return jsonc.edited(text, (*client.place, NAME), entry)
        case "toml":
            return toml.edited(text, (*client.place, NAME), entry)
        case "yaml":
            return yaml.edited(text, client.place[0], NAME, entry, listed=client.shape == "listed")


def keep(change: Change) -> Path | None:
    """Put a copy of the file as it was beside it; the copy's path, if there was a file. A copy from before the server
    came in stays while the server is in it. Raises OSError."""
    if change.before is None:
        return None
    copy = change.path.with_name(f"{change.path.name}.before-{NAME}")
    if change.there is not None and is_there(copy):
        copy = copy.with_name(f"{copy.name}-changed")
    _put(copy, change.before, change.path.stat())
    return copy


def _put(path: Path, data: bytes, like: os.stat_result) -> None:
    """With the rights and, for root, the owner of the file as it was."""
    replace_file(path, data)
    path.chmod(like.st_mode & 0o777)
    if sys.platform != "win32" and os.geteuid() == 0:
        os.chown(path, like.st_uid, like.st_gid)


def write(change: Change) -> None:
    """Make the change, in one step. Raises UnsafeChangeError when the file is no longer what was shown, OSError."""
    _, now, _ = _read(change.path)
    if now != change.before:
        raise UnsafeChangeError("it has been changed meanwhile; try again")
    if change.before is None:
        make_path(change.path.parent)
        replace_file(change.path, change.after)
        return
    _put(change.path, change.after, change.path.stat())
