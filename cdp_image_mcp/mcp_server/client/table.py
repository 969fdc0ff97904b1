"""The clients that are known: where each keeps its servers and in what form, and what was seen of it.

One table for the README, for ``install``, for the tests with real clients, and for the server, which knows a client by
the name it announces. Sources: the clients' documents and sources of 2026, their users' reports, and about 160 runs of
nine of them against a scripted model on 2026-11-26 (Linux).
"""

import math
from typing import Any, Literal

import msgspec

NAME = "cdp-image-mcp"
"""Under this name the server stands in every client's file."""
Form = Literal["json", "toml", "yaml"]
LONG = {"GPT_IMAGE_WAIT_SECONDS": "300"}
"""For clients that wait longer than a picture takes: it then comes with the first answer."""
KEY_FROM_SHELL = {"OPENAI_API_KEY": "$OPENAI_API_KEY"}
"""For clients that keep variables with KEY in their name from the server, and put the shell's value in here."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One client. What is not said is as the protocol has it."""

    name: str
    title: str

    files: dict[str, str] = {}
    """The user's own file by ``sys.platform``, ``""`` for all others; ``~`` and ``%APPDATA%`` are filled in. Empty:
    there is none that a program could change."""
    home: str = ""
    """The variable that names another folder for that file."""
    where: str = ""
    """What the README says of the place, if the file does not say it all."""
    form: Form = "json"
    place: tuple[str, ...] = ("mcpServers",)
    """Keys that lead to the servers."""
    shape: Literal["usual", "opencode", "goose", "listed"] = "usual"
    extra: dict[str, Any] = {}
    """What stands beside command, arguments and variables."""
    env: dict[str, str] = {}
    short: str = ""
    """What to type by hand, where the client has a command for it."""
    patience: float = 60
    """Seconds after which a call with this block is given up; ``inf`` where no limit is known, 60 where nothing is."""
    note: str = "Its limit is not documented."

    announces: tuple[str, ...] = ()
    """``clientInfo.name``."""
    seen: str = ""
    """Version and date, where it was driven against a scripted model."""
    unseen: str = ""
    """Why pictures in answers are left out unless the caller asks for them."""
    takes_interim: bool = True
    """Whether it can read an ``InputRequiredResult``, the question of 2026-07-28."""

    def entry(self, command: str, arguments: list[str], env: dict[str, str]) -> dict[str, Any]:
        """The server's entry in this client's form."""
        match self.shape:
            case "opencode":
                return {"type": "local", "command": [command, *arguments], **self.extra, "environment": env}
            case "goose":
                started: dict[str, Any] = {"name": NAME, "enabled": True, "type": "stdio", "cmd": command}
                return {**started, "args": arguments, **self.extra, "envs": env}
            case "listed":
                return {"name": NAME, "command": command, "args": arguments, **self.extra, "env": env}
            case "usual":
                return {"command": command, "args": arguments, **self.extra, "env": env}


CLIENTS = (
    Client(
        name="claude-desktop",
        title="Claude Desktop",
        files={
            "darwin": "~/Library/Application Support/Claude/claude_desktop_config.json",
            "win32": "%APPDATA%/Claude/claude_desktop_config.json",
        },
        note="It gives up after one to four minutes and refuses answers above 1 MB; neither can be set.",
    ),
    Client(
        name="claude-code",
        title="Claude Code",
        files={"": "~/.claude.json"},
        home="CLAUDE_CONFIG_DIR",  # anthropics/claude-code #48448, 2026-04-15
        where="`.mcp.json` in a project",
        extra={"timeout": 900000},
        env={"GPT_IMAGE_WAIT_SECONDS": "100"},
        short=f"claude mcp add --scope user {NAME} -- {NAME}",
        patience=900,
        seen="2.1.332, 2026-11-26",
        note="`timeout` is in milliseconds. Calls of more than two minutes go to the background and come back without "
        "the picture, hence the 100 seconds; where it asks for tasks (its notes say since 2.1.319; `-p` did not), a "
        "call goes there at once and without a limit. `-p` needs `--allowedTools mcp__cdp-image-mcp`.",
    ),
    Client(
        name="codex",
        title="Codex (CLI and app)",
        files={"": "~/.codex/config.toml"},
        home="CODEX_HOME",  # developers.openai.com/codex/environment-variables, read 2026-11-27
        form="toml",
        place=("mcp_servers",),
        extra={
            "required": True,
            "startup_timeout_sec": 60,
            "tool_timeout_sec": 900,
            "env_vars": [
                *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
                "OPENAI_API_KEY",
            ],
        },
        env=LONG,
        short=f"codex mcp add {NAME} -- {NAME}",
        patience=900,
        seen="0.171.0, 2026-11-26",
        note="`required` makes it wait for the server instead of starting without its tools; `env_vars` lets the "
        "display for signing in and your key through. `codex exec` cannot ask and needs "
        '`default_tools_approval_mode = "approve"` in the block. The clock stops while you are asked to sign in.',
    ),
    Client(
        name="cursor",
        title="Cursor",
        files={"": "~/.cursor/mcp.json"},
        where="or `.cursor/mcp.json` in a project",
    ),
    Client(
        name="vscode",
        title="VS Code (Copilot)",
        files={
            "": "~/.config/Code/User/mcp.json",
            "darwin": "~/Library/Application Support/Code/User/mcp.json",
            "win32": "%APPDATA%/Code/User/mcp.json",
        },
        where="or `.vscode/mcp.json` in a project",
        place=("servers",),
        extra={"type": "stdio"},
        env=LONG,
        patience=math.inf,
        note="No limit is known.",
    ),
    Client(
        name="copilot-cli",
        title="Copilot CLI",
        files={"": "~/.copilot/mcp-config.json"},
        extra={"type": "local", "tools": ["*"]},
        env=KEY_FROM_SHELL,
        announces=("copilot-cli",),
        seen="1.0.102, 2026-11-26",
        takes_interim=False,
        note="Calls of 84 seconds were no trouble, so 60 is a guess. With a key of your own for its model it passes no "
        "picture on to the model; the path is there.",
    ),
    Client(
        name="gemini-cli",
        title="Gemini CLI",
        files={"": "~/.gemini/settings.json"},
        extra={"timeout": 900000},
        env=LONG | KEY_FROM_SHELL,
        patience=900,
        seen="0.61.0, 2026-11-26",
        note='`timeout` is in milliseconds. Without a terminal (`-p`) it offers no tools unless `"trust": true` stands '
        "in the block or `--approval-mode yolo` is given. It keeps XAUTHORITY from the server: add "
        '`"XAUTHORITY": "$XAUTHORITY"` where no window can be opened.',
    ),
    Client(
        name="opencode",
        title="opencode",
        files={"": "~/.config/opencode/opencode.json"},
        place=("mcp",),
        shape="opencode",
        extra={"enabled": True},
        seen="1.18.33, 2026-11-26",
        note="Calls of 84 seconds were no trouble; 60 are what its users report.",
    ),
    Client(
        name="cline",
        title="Cline",
        files={"": "~/.cline/data/settings/cline_mcp_settings.json"},
        extra={"timeout": 900},
        env=LONG,
        patience=900,
        announces=("@cline/core",),
        seen="CLI 3.0.65, 2026-11-26",
        unseen="Cline hands pictures to the model as text, cut to 8,000 characters (seen 2026-11-26), so they are left "
        "out; images: preview asks for them all the same.",
        note="`timeout` is in seconds; without it 60. It makes text of pictures, so answers hold the paths alone.",
    ),
    Client(
        name="qwen-code",
        title="Qwen Code",
        files={"": "~/.qwen/settings.json"},
        extra={"timeout": 900000},
        env=LONG | KEY_FROM_SHELL,
        patience=900,
        seen="0.24.4, 2026-11-26",
        note="`timeout` is in milliseconds. Without a terminal it declines every tool unless `--approval-mode yolo` is "
        "given.",
    ),
    Client(
        name="continue",
        title="Continue",
        files={"": "~/.continue/config.yaml"},
        form="yaml",
        shape="listed",
        announces=("continue-cli-client",),
        seen="CLI 1.5.47, 2026-11-26",
        unseen="Continue puts pictures into the text of the conversation and then drops the whole answer (seen "
        "2026-11-26), so they are left out; images: preview asks for them all the same.",
        note="It gives up after 60 seconds. It makes text of pictures, so answers hold the paths alone.",
    ),
    Client(
        name="kilo",
        title="Kilo Code CLI",
        files={"": "~/.config/kilo/kilo.json"},
        place=("mcp",),
        shape="opencode",
        extra={"enabled": True},
        seen="7.7.9, 2026-11-26",
        note="",
    ),
    Client(
        name="goose",
        title="Goose",
        files={"": "~/.config/goose/config.yaml", "win32": "%APPDATA%/Block/goose/config/config.yaml"},
        form="yaml",
        place=("extensions",),
        shape="goose",
        extra={"timeout": 900},
        env=LONG,
        patience=900,
        note="`timeout` is in seconds.",
    ),
    Client(
        name="zed",
        title="Zed",
        files={"": "~/.config/zed/settings.json", "win32": "%APPDATA%/Zed/settings.json"},
        place=("context_servers",),
        extra={"timeout": 600},
        env=LONG,
        patience=600,
        note="`timeout` is in seconds, at most 600; without it 60.",
    ),
    Client(name="windsurf", title="Windsurf", files={"": "~/.codeium/windsurf/mcp_config.json"}),
    Client(
        name="lm-studio",
        title="LM Studio",
        files={"": "~/.lmstudio/mcp.json"},
        note="It gives up after 60 seconds.",
    ),
    Client(name="antigravity", title="Antigravity", files={"": "~/.gemini/antigravity/mcp_config.json"}),
    Client(name="kiro", title="Kiro", files={"": "~/.kiro/settings/mcp.json"}),
    Client(
        name="roo-code",
        title="Roo Code",
        where="MCP Servers, Edit Global MCP; in a project `.roo/mcp.json`",
        note="Its limit is 60 seconds unless `timeout` says otherwise.",
    ),
    Client(
        name="jetbrains",
        title="JetBrains AI Assistant",
        where="Settings, Tools, AI Assistant, Model Context Protocol (MCP), Add, as JSON",
    ),
    Client(
        name="cherry-studio",
        title="Cherry Studio",
        where="Settings, MCP Servers, Add, Import from JSON",
    ),
)

BY_NAME = {client.name: client for client in CLIENTS}
BY_ANNOUNCEMENT = {announced: client for client in CLIENTS for announced in client.announces}


def known(session: Any) -> Client | None:
    """The client at the other end of an SDK session, if the name it announces is known."""
    params = session.client_params
    return None if params is None else BY_ANNOUNCEMENT.get(params.client_info.name)
