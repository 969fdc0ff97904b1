"""A client's entry for the server as text, in the client's own form, whole and ready to be pasted."""

import json
from typing import Any
from urllib.parse import quote

from cdp_image_mcp.cli.install import toml, yaml
from cdp_image_mcp.mcp_server.client.table import NAME, Client

__all__ = ["block", "link", "nested"]


def nested(client: Client, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with all that stands round it."""
    value: Any = [entry] if client.shape == "listed" else {NAME: entry}
    for step in reversed(client.place):
        value = {step: value}
    return value


def block(client: Client, entry: dict[str, Any]) -> str:
    """What a file holds that has nothing but the server."""
    match client.form:
        case "json":
            return json.dumps(nested(client, entry), indent=2, ensure_ascii=False) + "\n"
        case "toml":
            return toml.shown((*client.place, NAME), entry)
        case "yaml":
            return yaml.put("", client.place[0], NAME, entry, listed=client.shape == "listed")


def link(client: Client, entry: dict[str, Any]) -> str:
    """An address that installs the server with a click; empty for clients without such addresses. Forms: Cursor's and
    LM Studio's documents, VS Code's ``vscode:mcp/install`` (2026)."""
    started = {name: entry[name] for name in ("command", "args", "env") if entry.get(name)}
    match client.link:
        case "cursor":
            return f"cursor://anysphere.cursor-deeplink/mcp/install?name={NAME}&config={_base64(started)}"
        case "lmstudio":
            return f"lmstudio://add_mcp?name={NAME}&config={_base64(started)}"
        case "vscode":
            return "vscode:mcp/install?" + quote(json.dumps({"name": NAME, **started}, separators=(",", ":")))
        case "":
            return ""


def _base64(value: dict[str, Any]) -> str:
    import base64

    return quote(base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode("ascii"))
