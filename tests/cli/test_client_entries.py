"""What ``doctor`` finds in the entries of clients: variables that are wrong there, or mean other places than here."""

import json
from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.cli.checks.check import Check
from cdp_image_mcp.cli.checks.installation import clients
from cdp_image_mcp.config import load


@pytest.fixture
def found(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is found where a client's file has that entry, by names of checks."""
    home = tmp_path / "home"
    for name, value in (environment | {"HOME": str(home)}).items():
        monkeypatch.setenv(name, value)
    program = tmp_path / "cdp-image-mcp"
    program.touch()

    def checked(file: str, entry: dict[str, Any]) -> dict[str, Check]:
        path = home / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.endswith(".toml"):
            variables = "".join(f"{name} = {json.dumps(value)}\n" for name, value in entry.pop("env", {}).items())
            lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in entry.items())
            server = f'[mcp_servers.cdp-image-mcp]\ncommand = "{program}"\n{lines}'
            path.write_text(f"{server}[mcp_servers.cdp-image-mcp.env]\n{variables}")
        else:
            path.write_text(json.dumps({"mcpServers": {"cdp-image-mcp": {"command": str(program)} | entry}}))
        return {check.name: check for check in clients()}

    return checked


CURSOR = ".cursor/mcp.json"
CLAUDE = ".claude.json"


def test_an_entry_that_claude_code_keeps_for_one_project_is_checked_too(found: Any, tmp_path: Path) -> None:
    """``claude mcp add`` without a scope puts it there, and there it wins."""
    assert found(CLAUDE, {})["clients"].message == "Set up in Claude Code."
    good: Any = {"command": str(tmp_path / "cdp-image-mcp"), "args": []}
    bad: Any = {"command": "/old/place", "args": []}
    file = Path.home() / CLAUDE
    file.write_text(json.dumps({"projects": {"/one": {"mcpServers": {"cdp-image-mcp": good}}, "/two": {}, "/x": None}}))
    assert [check.message for check in clients()] == ["Set up in Claude Code in /one."]
    file.write_text(json.dumps({"projects": {"/one": {"mcpServers": {"cdp-image-mcp": bad}}}}))
    check = {check.name: check for check in clients()}["client, claude-code in /one"]
    assert check.level == "warning"
    assert check.message == f"{file} for /one names the program /old/place, which is not there."
    assert "claude mcp remove --scope local cdp-image-mcp" in check.advice
    assert "install" not in check.advice


def test_a_variable_that_is_wrong_in_a_clients_file_is_told_as_the_server_would(found: Any) -> None:
    """The server says it where nobody looks: in the client's log."""
    checks = found(CURSOR, {"env": {"GPT_IMAGE_BUDGET_USD": "five", "GPT_IMAGE_DAYLY_LIMIT": "3"}})
    check = checks["client, cursor"]
    assert check.level == "warning"
    assert "GPT_IMAGE_BUDGET_USD: 'five'" in check.message
    assert "GPT_IMAGE_DAYLY_LIMIT: there is no such variable; GPT_IMAGE_DAILY_LIMIT is one" in check.message
    assert check.message.startswith(str(Path.home() / CURSOR))
    assert "GPT_IMAGE_BUDGET_USD" in check.advice


@pytest.mark.parametrize("variable", ["GPT_IMAGE_OUTPUT_DIR", "CHATGPT_WEB_PROFILE_DIR"])
def test_a_place_that_the_commands_here_do_not_look_at_is_told(found: Any, tmp_path: Path, variable: str) -> None:
    """``list`` would show none of its pictures, ``login`` would sign another profile in."""
    checks = found(CURSOR, {"env": {variable: str(tmp_path / "elsewhere")}})
    check = checks["client, cursor"]
    assert check.level == "warning"
    assert variable in check.message
    assert f"{variable}={tmp_path / 'elsewhere'}" in check.advice


def test_what_else_is_set_otherwise_there_is_named_without_its_value(found: Any) -> None:
    """A key in the client's file alone is an ordinary way to set this up, and no fault."""
    key = "sk-only-in-the-file-of-the-client"
    checks = found(CURSOR, {"env": {"OPENAI_API_KEY": key, "GPT_IMAGE_DAILY_LIMIT": "3"}})
    assert list(checks) == ["clients"]
    assert checks["clients"].level == "ok"
    assert "Cursor (OPENAI_API_KEY, GPT_IMAGE_DAILY_LIMIT otherwise than here)" in checks["clients"].message
    assert key not in checks["clients"].message


@pytest.mark.parametrize("same", ["{here}", "{here}/", "${{HOME}}/pictures", "%HOME%/pictures", None])
def test_what_is_the_same_or_filled_in_by_the_client_is_nothing_to_tell(
    found: Any, environment: dict[str, str], same: str | None
) -> None:
    value = same if same is None else same.format(here=environment["GPT_IMAGE_OUTPUT_DIR"])
    checks = found(CURSOR, {"env": {"GPT_IMAGE_OUTPUT_DIR": value}})
    assert list(checks) == ["clients"]
    assert checks["clients"].message == "Set up in Cursor."


def test_a_program_whose_place_the_client_fills_in_is_not_looked_for(found: Any) -> None:
    checks = found(CURSOR, {"command": "%ProgramFiles(x86)%\\Python\\cdp-image-mcp.exe"})
    assert checks["clients"].message == "Set up in Cursor."


def test_a_place_that_is_named_though_it_is_the_one_of_all_is_nothing_to_tell(
    found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPT_IMAGE_OUTPUT_DIR")
    checks = found(CURSOR, {"env": {"GPT_IMAGE_OUTPUT_DIR": str(load().output_dir)}})
    assert checks["clients"].message == "Set up in Cursor."


def test_an_empty_variable_of_the_client_takes_the_one_here_away(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT_IMAGE_DAILY_LIMIT", "3")
    checks = found(CURSOR, {"env": {"GPT_IMAGE_DAILY_LIMIT": ""}})
    assert "GPT_IMAGE_DAILY_LIMIT otherwise than here" in checks["clients"].message


@pytest.mark.parametrize(("limit", "wait", "told"), [(60, "120", True), (200, "120", False), (20, None, True)])
def test_a_time_limit_that_the_wait_does_not_fit_into_is_told(
    found: Any, limit: int, wait: str | None, *, told: bool
) -> None:
    """Codex drops such a call, and a model that asks again pays again."""
    env = {} if wait is None else {"GPT_IMAGE_WAIT_SECONDS": wait}
    checks = found(".codex/config.toml", {"tool_timeout_sec": limit, "env": env})
    assert ("client, codex" in checks) is told
    if told:
        check = checks["client, codex"]
        assert check.level == "warning"
        assert f"tool_timeout_sec = {limit}" in check.message
        assert "GPT_IMAGE_WAIT_SECONDS" in check.advice


@pytest.mark.parametrize(
    ("file", "switch", "told"),
    [
        (CURSOR, {"disabled": True}, "says disabled = true: Cursor does not start it."),
        (".codex/config.toml", {"enabled": False}, "says enabled = false: Codex (CLI and app) does not start it."),
        (CURSOR, {"disabled": False}, None),
        (".codex/config.toml", {"enabled": True}, None),
    ],
)
def test_an_entry_that_is_switched_off_is_not_fine(
    found: Any, file: str, switch: dict[str, Any], told: str | None
) -> None:
    checks = found(file, switch)
    name = "cursor" if file == CURSOR else "codex"
    if told is None:
        assert list(checks) == ["clients"]
        return
    check = checks[f"client, {name}"]
    assert (check.level, check.message) == ("warning", f"{Path.home() / file} {told}")
    assert check.advice == "Switch it on there."
    assert "Set up in none yet" in checks["clients"].message


@pytest.mark.parametrize("variables", [["A=B"], "A=B", 3])
def test_variables_that_are_no_table_break_nothing(found: Any, variables: Any) -> None:
    checks = found(CURSOR, {"env": variables})
    assert "client, cursor" in checks
    assert "env" in checks["client, cursor"].message
