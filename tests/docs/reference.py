"""The README's tables, each from the place in the code that decides it."""

from typing import Any, get_args

from cdp_image_mcp.cli.exit_codes import EXIT_CODES
from cdp_image_mcp.cli.parser import commands_of, make_parser
from cdp_image_mcp.errors import CODES
from cdp_image_mcp.mcp_server.tools import TOOLS
from cdp_image_mcp.openai.models import MODELS
from cdp_image_mcp.openai.profiles import PROFILES, EditForm
from tests.docs.clients import clients
from tests.docs.markdown import table
from tests.docs.variables import VARIABLES

EDITS: dict[EditForm, str] = {
    "json": "JSON, pictures as data URLs",
    "multipart": "form parts",
    "image": "form parts, all of them called `image`",
    "input_references": "`input_references`",
    "ref_images": "`ref_images`",
}
KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
}
YES = {True: "yes", False: "no"}


def first_sentence(text: str) -> str:
    """Up to the first full stop or semicolon that ends a clause."""
    words = " ".join(text.split())
    ends = [place for mark in (". ", "; ") if (place := words.find(mark)) >= 0]
    return (words[: min(ends)] if ends else words).rstrip(".") + "."


def limits(schema: dict[str, Any]) -> str:
    """What an argument takes, in words: its type with the bounds that its schema sets."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = KINDS[schema["type"]]
    if kind == "list":
        return f"list of up to {schema['maxItems']} texts"
    if "minimum" in schema:
        return f"{kind}, {schema['minimum']:,} to {schema['maximum']:,}"
    if "maxLength" in schema:
        return f"{kind}, {schema['minLength']:,} to {schema['maxLength']:,} characters"
    return kind


def _default(name: str, schema: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    value = schema.get("default")
    if value is None or value == []:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def variables() -> str:
    rows = ((f"`{each.name}`", each.default, each.meaning) for each in VARIABLES)
    return table(("variable", "default", "meaning"), rows)


def tools() -> str:
    rows = ((f"`{tool.name}`", first_sentence(tool.description or "")) for tool in TOOLS)
    return table(("tool", "what it does"), rows)


def arguments() -> str:
    parts: list[str] = []
    for tool in TOOLS:
        schema = tool.input_schema
        rows = [
            (f"`{name}`", limits(each), _default(name, each, schema["required"]), each.get("description", ""))
            for name, each in schema["properties"].items()
        ]
        parts.append(f"`{tool.name}`\n\n" + table(("argument", "takes", "default", "meaning"), rows))
    return "\n".join(parts)


def codes() -> str:
    rows = (
        (f"`{code}`", rule.meaning, "yes" if rule.retryable else "no", rule.next_step) for code, rule in CODES.items()
    )
    return table(("code", "meaning", "trying again can help", "next step"), rows)


def command_list() -> dict[str, str]:
    """Each command with what its own ``--help`` says first."""
    return {name: parser.description or "" for name, parser in commands_of(make_parser()).items()}


def commands() -> str:
    rows = ((f"`cdp-image-mcp {name}`", meaning) for name, meaning in command_list().items())
    return table(("command", "what it does"), rows)


def exit_codes() -> str:
    return table(("exit code", "meaning"), EXIT_CODES.items())


def servers() -> str:
    if set(EDITS) != set(get_args(EditForm)):
        raise ValueError("every way to send reference pictures needs its words")
    rows = (
        (
            f"`{each.name}`",
            ", ".join(f"`{host}`" for host in each.hosts) or "only by `OPENAI_COMPAT`",
            EDITS[each.form],
            YES[each.masks],
            f"{each.source}, {each.seen}",
        )
        for each in PROFILES.values()
    )
    return table(("profile", "chosen for the host", "reference pictures go as", "masks", "known from"), rows)


def models() -> str:
    rows = (
        (
            f"`{each.name}`",
            ", ".join(each.qualities),
            YES[each.transparent],
            each.ends or "",
            f"{each.source}, {each.seen}",
        )
        for each in MODELS.values()
    )
    return table(("model", "quality", "transparent", "the vendor stops it on", "known from"), rows)


BLOCKS = {
    "clients": clients,
    "variables": variables,
    "tools": tools,
    "arguments": arguments,
    "codes": codes,
    "commands": commands,
    "exit-codes": exit_codes,
    "servers": servers,
    "models": models,
}
"""The name between the markers, and what makes the part."""
