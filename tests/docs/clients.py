"""The README's clients, each with what ``install`` would write, from the table that ``install`` uses."""

import json
from base64 import b64encode
from html import escape
from typing import Any
from urllib.parse import quote

from cdp_image_mcp.cli.install.configuration import block
from cdp_image_mcp.mcp_server.client.table import CLIENTS, NAME, Client


def clients() -> str:
    """One line each, which opens."""
    return "\n".join(map(_client, CLIENTS)) + "\n"


def _client(client: Client) -> str:
    entry = client.entry(NAME, [], client.env)
    files = list(dict.fromkeys(client.files.values()))
    shown = client.short or (files[0] if files else client.where)
    places = ", ".join(f"`{file}`" for file in files)
    place = ", ".join(part for part in (places, client.where) if part)
    seen = f"Driven with a scripted model: {client.seen}." if client.seen else "Not run by us."
    lines = [
        f"<details><summary><b>{client.title}</b>: <code>{escape(shown.replace('`', ''))}</code></summary>",
        "",
        f"{place}. {client.note} {seen}".replace("  ", " "),
        "",
        f"<!-- client: {client.name} -->",
        f"```{client.form}",
        block(client, entry).rstrip("\n"),
        "```",
        "",
    ]
    if address := link(client, entry):
        lines += [f"Or open this address: `{address}`", ""]
    return "\n".join([*lines, "</details>"])


def link(client: Client, entry: dict[str, Any]) -> str:
    """An address that installs the server with a click; empty for clients without such addresses. Forms: Cursor's and
    LM Studio's documents, VS Code's ``vscode:mcp/install`` (2026)."""
    started = {name: entry[name] for name in ("command", "args", "env") if entry.get(name)}
    match client.name:
        case "cursor":
            return f"cursor://anysphere.cursor-deeplink/mcp/install?name={NAME}&config={_base64(started)}"
        case "lm-studio":
            return f"lmstudio://add_mcp?name={NAME}&config={_base64(started)}"
        case "vscode":
            return "vscode:mcp/install?" + quote(json.dumps({"name": NAME, **started}, separators=(",", ":")))
        case _:
            return ""


def _base64(value: dict[str, Any]) -> str:
    return quote(b64encode(json.dumps(value, separators=(",", ":")).encode()).decode("ascii"))
