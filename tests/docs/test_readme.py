"""What the README says by hand is true of the code, as far as a test can see."""

import re
from typing import get_args

import pytest

from cdp_image_mcp.config import READ, WindowMode, load
from cdp_image_mcp.mcp_server.client.table import CLIENTS, NAME, Client
from tests.docs.documents import README, ROOT
from tests.docs.reference import command_list

TEXT = README.read_text("utf-8")
AGENTS = (ROOT / "AGENTS.md").read_text("utf-8")


def test_all_clients_that_were_promised_have_a_block() -> None:
    promised = {"claude-desktop", "claude-code", "codex", "cursor", "vscode", "windsurf", "zed", "gemini-cli", "cline"}
    promised |= {"goose", "lm-studio", "copilot-cli", "opencode", "qwen-code", "continue", "antigravity", "kiro"}
    promised |= {"roo-code", "jetbrains", "cherry-studio", "kilo"}
    assert promised <= set(re.findall("<!-- client: ([a-z-]+) -->", TEXT))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_block_starts_our_command_and_answers_before_the_client_gives_up(client: Client) -> None:
    entry = client.entry(NAME, [], client.env)
    command = next(entry[name] for name in ("command", "cmd") if name in entry)
    assert (command if isinstance(command, list) else [command, *entry["args"]]) == ["cdp-image-mcp"]
    variables = next(entry[name] for name in ("env", "envs", "environment") if name in entry)
    settings = load({name: value for name, value in variables.items() if "$" not in value})
    assert settings.problems == ()
    assert client.patience is None or settings.wait_seconds + 10 <= client.patience
    assert set(variables) <= READ.keys()


@pytest.mark.parametrize("text", [TEXT, AGENTS], ids=["README", "AGENTS"])
def test_only_variables_that_exist_are_named(text: str) -> None:
    named = set(re.findall(r"\b(?:GPT_IMAGE|CHATGPT|OPENAI|CHROME)_[A-Z_]+\b", text))
    assert named <= READ.keys()


def test_the_short_way_brings_what_the_block_brings() -> None:
    """``codex mcp add`` knows neither ``required`` nor ``env_vars``."""
    assert "<code>cdp-image-mcp install codex</code>" in TEXT
    assert "codex mcp add" not in TEXT


def test_no_line_of_a_block_is_wider_than_a_window() -> None:
    blocks = re.findall(r"<!-- client: .*?-->\n```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert max(len(line) for block in blocks for line in block.splitlines()) <= 100


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
    assert not re.search("<!-- client: |<!-- generated: (?!tools|clients)", closed)


def test_the_two_commands_come_first() -> None:
    first, second = re.findall(r"^sh tests/run.*$", TEXT, re.MULTILINE)[:2]
    assert first == 'sh tests/run demo "a lighthouse at dusk"'
    assert second == "sh tests/run"
    assert TEXT.index(first) < TEXT.index("pipx install")


def test_the_map_is_short_and_names_files_that_are_there() -> None:
    assert len(AGENTS.splitlines()) <= 100
    for name in re.findall(r"`([\w./-]+\.(?:py|json|js|md|toml))`", AGENTS):
        assert any((base / name).exists() for base in (ROOT, ROOT / "cdp_image_mcp")), name
