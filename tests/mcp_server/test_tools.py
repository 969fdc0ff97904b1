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


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_each_tool_fits_what_the_narrowest_client_takes(tool: Any) -> None:
    schema: dict[str, Any] = tool.input_schema
    assert re.fullmatch(r"[a-z_]{1,40}", tool.name)
    assert len(tool.description.encode()) < 2_000
    assert len(re.split(r"[.;]\s", tool.description)[0]) < 130
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert not {"oneOf", "anyOf", "allOf", "$ref", "$defs"} & set(schema)
    assert "$ref" not in json.dumps(schema)
    assert tool.name in ARGUMENTS


def test_only_tools_that_never_show_pictures_have_an_output_schema() -> None:
    assert [tool.name for tool in TOOLS if tool.output_schema is not None] == ["backend_status", "browser_visibility"]


def test_instructions_fit_and_tell_a_model_how_not_to_pay_twice() -> None:
    assert len(INSTRUCTIONS.encode()) < 2_000
    assert "never call generate_image again" in INSTRUCTIONS
    by_name = {tool.name: tool.description or "" for tool in TOOLS}
    assert "do not call generate_image again" in by_name["generate_image"]
    assert "costs nothing" in by_name["wait_for_image"]


def test_the_names_and_arguments_of_the_contract() -> None:
    assert {tool.name: list(tool.input_schema.get("properties", {})) for tool in TOOLS} == {
        "generate_image": [
            *("prompt", "backend", "n", "size", "quality", "output_format", "background", "output_compression"),
            *("reference_images", "mask", "conversation_mode", "continue_from", "timeout_seconds", "wait_seconds"),
            *("output_dir", "images"),
        ],
        "wait_for_image": ["generation_id", "wait_seconds", "images"],
        "cancel_image": ["generation_id"],
        "backend_status": ["backend"],
        "browser_visibility": ["action", "start_browser"],
    }
