"""The README's clients, each with what ``install`` would write, from the table that ``install`` uses."""

from html import escape

from cdp_image_mcp.cli.install.blocks import block, link
from cdp_image_mcp.mcp_server.client.table import CLIENTS, NAME, Client

__all__ = ["clients"]


def clients() -> str:
    """One line each, which opens."""
    return "\n".join(map(_client, CLIENTS)) + "\n"


def _client(client: Client) -> str:
    entry = client.entry(NAME, [], client.env)
    files = list(client.files.values())
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
