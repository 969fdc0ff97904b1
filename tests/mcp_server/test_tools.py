"""The tool list as clients and models read it. A change here is a change for everybody: renew the snapshot knowingly
with ``UPDATE_SNAPSHOTS=1``."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.mcp_server.client.greeting import INSTRUCTIONS
from cdp_image_mcp.mcp_server.tools import ARGUMENTS, TOOLS

SNAPSHOT = Path(__file__).with_name("tools.json")


def listed() -> dict[str, Any]:
    tools = [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in TOOLS]
    return {"instructions": INSTRUCTIONS, "tools": tools}


def test_the_tool_list_is_the_one_that_was_agreed_on() -> None:
    told = json.dumps(listed(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(told, encoding="utf-8")
    assert told == SNAPSHOT.read_text(encoding="utf-8")


def test_the_tool_list_costs_a_model_little() -> None:
    """About four characters a token; peers' lists run to 20,000 and more."""
    assert len(json.dumps(listed()["tools"])) < 9_000


def faults(tool: dict[str, Any]) -> list[str]:
    """What some vendor's model or its client could not read of a tool's list entry. Sources: gemini-cli#4400,
    opencode#40127 (Kimi), hyperdx#2967 (Grok), copilot-cli#4623; Claude Code cuts texts at 2 KB; names with a client's
    prefix have at most 64 characters."""
    schema = tool["inputSchema"]
    found = [] if re.fullmatch(r"[a-z_]{1,40}", tool["name"]) else ["its name"]
    if len(tool["description"]) > 1024:
        found.append("its description")
    if schema["type"] != "object" or schema["additionalProperties"] is not False:
        found.append("its root")
    for name, each in schema["properties"].items():
        kind = each.get("type")
        if not isinstance(kind, str) or (kind == "array" and not isinstance(each["items"].get("type"), str)):
            found.append(f"{name}: no single type")
        if not each.get("description") or len(each["description"]) > 1024:
            found.append(f"{name}: no description that fits")
        if each.get("enum") == [] or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
            found.append(f"{name}: empty or long")
    unread = ("anyOf", "oneOf", "allOf", "not", "if", "$ref", "$defs", "const", "pattern", "format")
    return found + [word for word in unread if f'"{word}"' in json.dumps(schema)]


@pytest.mark.parametrize("tool", listed()["tools"], ids=lambda tool: tool["name"])
def test_every_vendors_model_can_read_each_tool(tool: dict[str, Any]) -> None:
    assert faults(tool) == []
    assert len(re.split(r"[.;]\s", tool["description"])[0]) < 130
    assert tool["name"] in ARGUMENTS


def test_an_enum_without_a_type_would_be_found() -> None:
    """As msgspec makes it, and as nine of ours were served until 2026-11."""
    tool = json.loads(json.dumps(listed()["tools"][0]))
    del tool["inputSchema"]["properties"]["quality"]["type"]
    assert faults(tool) == ["quality: no single type"]


def test_limits_stand_in_words_too() -> None:
    """Codex and Copilot CLI pass the schema's own limits on to no model (seen 2026-11-26)."""
    for tool in listed()["tools"]:
        for name, schema in tool["inputSchema"]["properties"].items():
            told = schema["description"].replace(",", "")
            for limit in ("minimum", "maximum", "maxItems"):
                assert str(schema.get(limit, "")) in told, name
            for value in schema.get("enum", ()):
                assert value in told, name


def test_no_text_names_a_number_for_the_wait() -> None:
    """The user has set what the client can bear; a model that knows a number sets one itself."""
    assert "default 45" not in json.dumps(listed()).lower()
    for tool in listed()["tools"]:
        if wait := tool["inputSchema"]["properties"].get("wait_seconds"):
            assert "Leave out: set for this client." in wait["description"]


def test_a_tool_that_may_open_a_window_does_not_claim_to_read_only() -> None:
    hints = {tool["name"]: tool["annotations"]["readOnlyHint"] for tool in listed()["tools"]}
    assert [name for name, reads in hints.items() if reads] == ["backend_status"]


def test_only_tools_that_never_show_pictures_have_an_output_schema() -> None:
    assert [tool.name for tool in TOOLS if tool.output_schema is not None] == ["backend_status", "browser_visibility"]


def test_instructions_fit_and_tell_a_model_how_not_to_pay_twice() -> None:
    assert len(INSTRUCTIONS.encode()) < 2_000
    assert "never call generate_image again" in INSTRUCTIONS
    by_name = {tool.name: tool.description or "" for tool in TOOLS}
    assert "do not call generate_image again" in by_name["generate_image"]
    assert "costs nothing" in by_name["wait_for_image"]
    # For clients that pass no instructions on: Copilot CLI, Cline, Continue.
    assert "Tell the user image_path" in by_name["generate_image"]
    assert "call wait_for_image without an id" in by_name["generate_image"]


def test_the_names_and_arguments_of_the_contract() -> None:
    assert {tool.name: list(tool.input_schema.get("properties", {})) for tool in TOOLS} == {
        "generate_image": [
            *("prompt", "backend", "n", "size", "quality", "output_format", "background", "output_compression"),
            "complexity",
            *("reference_images", "mask", "conversation_mode", "continue_from", "timeout_seconds", "wait_seconds"),
            *("output_dir", "images"),
        ],
        "wait_for_image": ["generation_id", "wait_seconds", "images"],
        "cancel_image": ["generation_id"],
        "backend_status": ["backend"],
        "browser_visibility": ["action", "start_browser"],
    }
