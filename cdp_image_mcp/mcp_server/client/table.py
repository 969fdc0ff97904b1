"""The clients that are known: where each keeps its servers and in what form, and what was seen of it, as data.

One table for the README, for ``install``, for the tests with real clients, and for the server, which knows a client by
the name it announces. Sources: the clients' documents and sources of 2026, their users' reports, and about 160 runs of
nine of them against a scripted model on 2026-11-26 (Linux).
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from cdp_image_mcp.config import READ

NAME = "cdp-image-mcp"
"""Under this name the server stands in every client's file."""
ANSWER_SECONDS = 8.0
"""How much longer than its wait a call may take until it has answered, previews included: clients that give up after
60 s are answered by then."""


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
HANDED_ON = (
    *READ,
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_CONNECTION"),
    *("XDG_DATA_HOME", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *(*PROXIES, *map(str.lower, PROXIES)),
)
"""What the server goes by: settings, a window, the user's folders, the way out. A key that arrives without the address
that it is for would go to OpenAI, and a limit of the day that does not arrive is not in force."""


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the client lets one call take, as its entry says it."""

    key: str
    per_second: int = 1
    """How many of its units are a second."""

    def needed(self, wait: float) -> float:
        """The least that lets a call answer which waits so many seconds."""
        return (wait + ANSWER_SECONDS) * self.per_second


class Demand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the client does not start without the server, as its entry says it."""

    key: str
    startup: str
    """The key for the seconds that the server then has."""


class Remote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the client may run on another system than the shell does: its files here are then none that it reads."""

    variables: tuple[str, ...]
    """Those of a shell of which this is so."""
    where: str
    """The place for the servers that are to run here."""


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the client's file also holds servers for one project alone, which win there over the user's own."""

    key: str
    """For the projects, by their folders."""
    removes: str
    """What to type in the project's folder."""


class Client(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One client. What is not said is as the protocol has it."""

    name: str
    title: str

    files: dict[str, str] = {}
    """The user's own file by ``sys.platform``, ``""`` for all others, where ``XDG_CONFIG_HOME`` counts; ``~`` and
    ``%APPDATA%`` are filled in. Empty: there is none that a program could change."""
    absent: str = ""
    """Why that file is not made where there is none, and what to do instead."""
    home: str = ""
    """The variable that names another folder for that file."""
    where: str = ""
    """What the README says of the place, if the file does not say it all."""
    remote: Remote | None = None
    form: Literal["json", "toml", "yaml"] = "json"
    place: tuple[str, ...] = ("mcpServers",)
    """Keys that lead to the servers."""
    local: Local | None = None
    shape: Literal["usual", "opencode", "goose", "listed"] = "usual"
    extra: dict[str, Any] = {}
    """What stands beside command, arguments and variables."""
    passes: str = ""
    """The key for the names of the shell's variables that are to reach the server, of a client that hands on next to
    none by itself."""
    demand: Demand | None = None
    env: dict[str, str] = {}
    """``GPT_IMAGE_WAIT_SECONDS`` for those that wait longer than a picture takes: it then comes with the first answer;
    ``OPENAI_API_KEY`` for those that keep variables with KEY in their name from the server, and fill the shell's in."""
    adds: tuple[str, ...] = ()
    """The client's own command that adds the server; ``{entry}`` is the entry as JSON, ``{named}`` the same with its
    name inside."""
    removes: tuple[str, ...] = ()
    rewrites: bool = False
    """Whether those commands write all else in the file anew too, without its comments and what they do not know."""
    short: str = ""
    """What to type instead, where a command brings all that a block does."""
    limit: Limit | None = None
    """What sets the time limit of a call, for those with such a key in the entry."""
    patience: float | None = 60
    """Seconds after which a call with this block is given up; None where no limit is known, 60 where nothing is."""
    note: str = "Its limit is not documented."

    announces: tuple[str, ...] = ()
    """``clientInfo.name``."""
    seen: str = ""
    """Version and date, where it was driven against a scripted model."""
    unseen: str = ""
    """Why pictures in answers are left out unless the caller asks for them."""
    takes_interim: bool = True
    """Whether it can read an ``InputRequiredResult``, the question of 2026-07-28."""
    source: str = ""
    """Where what is beyond its documents was read, and when."""

    @property
    def variables(self) -> str:
        """The key for the variables that the server is started with."""
        return {"opencode": "environment", "goose": "envs"}.get(self.shape, "env")

    def entry(self, command: str, arguments: list[str], env: dict[str, str]) -> dict[str, Any]:
        """The server's entry in this client's form."""
        extra = self.extra | ({self.passes: list(HANDED_ON)} if self.passes else {})
        match self.shape:
            case "opencode":
                started: dict[str, Any] = {"type": "local", "command": [command, *arguments]}
            case "goose":
                started = {"name": NAME, "enabled": True, "type": "stdio", "cmd": command, "args": arguments}
            case "listed":
                started = {"name": NAME, "command": command, "args": arguments}
            case "usual":
                started = {"command": command, "args": arguments}
        return {**started, **extra, self.variables: env}


CLIENTS = msgspec.json.decode(Path(__file__).with_name("clients.json").read_bytes(), type=tuple[Client, ...])
"""The rows of ``clients.json``."""
BY_NAME = {client.name: client for client in CLIENTS}
BY_ANNOUNCEMENT = {announced: client for client in CLIENTS for announced in client.announces}


def known(session: Any) -> Client | None:
    """The client at the other end of an SDK session, if the name it announces is known."""
    params = session.client_params
    return None if params is None else BY_ANNOUNCEMENT.get(params.client_info.name)
