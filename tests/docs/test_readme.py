"""What the README says by hand is true of the code, as far as a test can see."""

import json
import re
import tomllib
from typing import Any, get_args

import pytest

from cdp_image_mcp.config import VARIABLES, WindowMode, load
from tests.docs.documents import README, ROOT
from tests.docs.reference import command_list

TEXT = README.read_text("utf-8")
AGENTS = (ROOT / "AGENTS.md").read_text("utf-8")
CLIENT = re.compile(r"<!-- client: (?P<name>[a-z-]+) -->\n```(?P<form>\w+)\n(?P<body>.*?)```", re.DOTALL)
CLIENTS = {match["name"]: (match["form"], match["body"]) for match in CLIENT.finditer(TEXT)}

OWN_LIMIT = {
    "claude-desktop": 60,
    "cursor": 60,
    "windsurf": 60,
    "lm-studio": 60,
    "vscode": float("inf"),
}
"""Seconds after which a client gives up when its block sets nothing; 60 where nothing better is known."""
MILLISECONDS = frozenset(("claude-code", "gemini-cli"))


def test_all_clients_that_were_promised_have_a_block() -> None:
    assert set(CLIENTS) == {*OWN_LIMIT, *MILLISECONDS, "codex", "zed", "cline", "goose"}


def entry(name: str) -> dict[str, Any]:
    """The server's own entry in a client's block, as that client would read it."""
    form, body = CLIENTS[name]
    if form == "yaml":
        return flat_yaml(body)
    read: dict[str, Any] = json.loads(body) if form == "json" else tomllib.loads(body)
    (servers,) = read.values()
    (server,) = servers.values()
    return server


def flat_yaml(body: str) -> dict[str, Any]:
    """Goose's block, which is one mapping with one mapping in it; no YAML reader is among our packages."""
    pairs = re.findall(r"^ +(\w+): *(.+)$", body, re.MULTILINE)
    fields: dict[str, Any] = {key: value.strip('"') for key, value in pairs if not key.isupper()}
    fields["env"] = {key: value.strip('"') for key, value in pairs if key.isupper()}
    fields["command"], fields["args"] = fields["cmd"], json.loads(fields["args"])
    return fields


def gives_up_after(name: str, server: dict[str, Any]) -> float:
    told = server.get("timeout", server.get("tool_timeout_sec"))
    if told is None:
        return OWN_LIMIT[name]
    return float(told) / (1000 if name in MILLISECONDS else 1)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_block_starts_our_command_and_answers_before_the_client_gives_up(name: str) -> None:
    server = entry(name)
    assert server["command"] == "cdp-image-mcp"
    assert server["args"] == []
    settings = load(server.get("env", {}))
    assert settings.problems == ()
    assert settings.wait_seconds + 10 <= gives_up_after(name, server)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_block_sets_only_variables_that_exist(name: str) -> None:
    assert set(entry(name).get("env", {})) <= {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("text", [TEXT, AGENTS], ids=["README", "AGENTS"])
def test_only_variables_that_exist_are_named(text: str) -> None:
    named = set(re.findall(r"\b(?:GPT_IMAGE|CHATGPT|OPENAI|CHROME)_[A-Z_]+\b", text))
    assert named <= {variable.name for variable in VARIABLES}


def test_only_commands_that_exist_are_named() -> None:
    named = set(re.findall(r"(?:`|^ *)cdp-image-mcp ([a-z]+)", TEXT, re.MULTILINE))
    assert named <= set(command_list())
    assert {"login", "doctor", "collect"} <= named


def test_every_window_mode_is_explained() -> None:
    for mode in get_args(WindowMode):
        assert f"| `{mode}` |" in TEXT


@pytest.mark.parametrize("page", ["README.md", "AGENTS.md", "CHANGELOG.md", "tests/bench/README.md"])
def test_links_inside_the_project_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    titles = re.findall("^#+ (.*)", text, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        elif "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_readme_is_read_in_five_minutes_with_its_details_closed() -> None:
    assert TEXT.count("<details>") == TEXT.count("</details>") == TEXT.count("<summary>")
    closed = re.sub(r"(?<=</summary>)(?:(?!<details>).)*?</details>", "", TEXT, flags=re.DOTALL)
    assert len(closed.splitlines()) <= 300
    assert not re.search("<!-- client: |<!-- generated: (?!tools)", closed)


def test_the_two_commands_come_first() -> None:
    first, second = re.findall(r"^sh tests/run.*$", TEXT, re.MULTILINE)[:2]
    assert first == 'sh tests/run demo "a lighthouse at dusk"'
    assert second == "sh tests/run"
    assert TEXT.index(first) < TEXT.index("pipx install")


def test_the_map_is_short_and_names_files_that_are_there() -> None:
    assert len(AGENTS.splitlines()) <= 100
    for name in re.findall(r"`([\w./-]+\.(?:py|json|js|md|toml))`", AGENTS):
        assert any((base / name).exists() for base in (ROOT, ROOT / "cdp_image_mcp")), name
