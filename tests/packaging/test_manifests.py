"""The registry's ``server.json`` and the bundle's ``manifest.json``: valid, and true."""

import json
import re
import tomllib
from typing import Any

import pytest
from jsonschema import Draft7Validator

from cdp_image_mcp import __version__
from cdp_image_mcp.cli.main import main
from cdp_image_mcp.config import READ, load
from cdp_image_mcp.errors import CODES
from cdp_image_mcp.mcp_server.tools import TOOLS
from tests.docs.documents import README, ROOT
from tests.docs.manifests import SERVER_SCHEMA, SETTINGS

SERVER: dict[str, Any] = json.loads((ROOT / ".mcp" / "server.json").read_text("utf-8"))
MANIFEST: dict[str, Any] = json.loads((ROOT / ".mcp" / "manifest.json").read_text("utf-8"))
BUNDLE_SCHEMA: dict[str, Any] = json.loads(
    (ROOT / "fixtures" / "schemas" / "mcpb-manifest-v0.4.schema.json").read_text("utf-8")
)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_one_version_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "cdp_image_mcp/__init__.py"
    with pytest.raises(SystemExit):
        main(["--version"])
    told = capsys.readouterr().out.split()[-1]
    (package,) = SERVER["packages"]
    assert {newest[1], told, SERVER["version"], package["version"], MANIFEST["version"]} == {__version__}


def problems(manifest: dict[str, Any]) -> list[str]:
    Draft7Validator.check_schema(BUNDLE_SCHEMA)
    return [error.message for error in Draft7Validator(BUNDLE_SCHEMA).iter_errors(manifest)]  # pyright: ignore[reportUnknownMemberType]


def test_the_bundle_manifest_is_valid_against_the_vendors_schema() -> None:
    assert problems(MANIFEST) == []


@pytest.mark.parametrize("key", ["name", "version", "server", "author"])
def test_the_schema_would_miss_a_part(key: str) -> None:
    assert problems({name: value for name, value in MANIFEST.items() if name != key})


def test_the_bundle_starts_a_file_that_is_there_with_every_setting_defaulted() -> None:
    """A host replaces ``${user_config.x}`` only for settings with a value or a default; what is left over would reach
    the server as the placeholder's own text."""
    assert (ROOT / MANIFEST["server"]["entry_point"]).is_file()
    environment: dict[str, str] = MANIFEST["server"]["mcp_config"]["env"]
    questions: dict[str, Any] = MANIFEST["user_config"]
    used = [re.fullmatch(r"\$\{user_config\.(\w+)\}", value) for value in environment.values()]
    assert [match[1] for match in used if match] == list(questions) == list(SETTINGS)
    assert set(environment) <= READ.keys()
    answered = {name: questions[match[1]]["default"] for name, match in zip(environment, used, strict=True) if match}
    assert load(answered).problems == ()
    assert load(answered) == load({})
    assert questions["openai_api_key"]["sensitive"] is True


def test_the_bundle_lists_the_tools() -> None:
    assert [tool["name"] for tool in MANIFEST["tools"]] == [tool.name for tool in TOOLS]


def test_the_registry_entry_keeps_the_rules_of_its_schema() -> None:
    """The rules of server.schema.json, 2025-12-11, that an entry like ours can break."""
    assert SERVER["$schema"] == SERVER_SCHEMA
    assert set(SERVER) <= {"$schema", "name", "title", "description", "version", "packages", "repository", "websiteUrl"}
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", SERVER["name"])
    assert 3 <= len(SERVER["name"]) <= 200
    assert 1 <= len(SERVER["description"]) <= 100
    assert 1 <= len(SERVER["title"]) <= 100
    (package,) = SERVER["packages"]
    assert (package["registryType"], package["transport"]) == ("pypi", {"type": "stdio"})
    assert package["identifier"] == PROJECT["project"]["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])


def test_the_registry_entry_names_every_variable_and_marks_the_key_as_secret() -> None:
    (package,) = SERVER["packages"]
    inputs: list[dict[str, Any]] = package["environmentVariables"]
    assert [each["name"] for each in inputs] == [*READ]
    assert [each["name"] for each in inputs if each.get("isSecret")] == ["OPENAI_API_KEY"]
    assert all(set(each) <= {"name", "description", "isRequired", "isSecret"} for each in inputs)


def test_the_readme_carries_the_marker_that_the_registry_looks_for() -> None:
    assert f"<!-- mcp-name: {SERVER['name']} -->" in README.read_text("utf-8")


def test_the_plugin_starts_the_server_and_lies_in_the_marketplace_of_its_own_folder() -> None:
    folder = ROOT / ".mcp" / ".claude-plugin"
    plugin: dict[str, Any] = json.loads((folder / "plugin.json").read_text("utf-8"))
    market: dict[str, Any] = json.loads((folder / "marketplace.json").read_text("utf-8"))
    (listed,) = market["plugins"]
    assert (listed["name"], listed["source"]) == (plugin["name"], "./")
    assert plugin["version"] == __version__
    assert plugin["mcpServers"]["cdp-image-mcp"]["command"] in PROJECT["project"]["scripts"]


def test_the_skill_is_short_and_names_only_what_there_is() -> None:
    skill = (ROOT / ".mcp" / "skills" / "pictures" / "SKILL.md").read_text("utf-8")
    head, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", skill, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    assert len(skill.splitlines()) <= 60
    assert re.search("^name: pictures$", head, re.MULTILINE)
    assert 0 < len(re.findall("^description: (.*)$", head, re.MULTILINE)[0]) <= 1024
    tools = {tool.name for tool in TOOLS}
    arguments = {name for tool in TOOLS for name in tool.input_schema["properties"]}
    states = {"saved", "partial", "working", "needs_sign_in", "needs_verification"}
    answers = {"status", "generation_id", "image_path", "markdown", "next", "failures", "honoured", "actual"}
    failing = {"next_step", "reset_at"} | set(CODES)
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", body))
    assert named <= tools | arguments | states | answers | failing
    assert tools - {"browser_visibility"} <= named
