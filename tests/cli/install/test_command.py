"""``install`` as a person types it."""

import json
import os
import pwd
import select
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.cli.checks.installation import clients
from cdp_image_mcp.cli.install.configuration import block, current_entry, file_of
from cdp_image_mcp.mcp_server.client.table import BY_NAME, CLIENTS
from tests.cli.running import Typist, ran
from tests.mcp_server.pipes import HELLO

SERVER = {"command": sys.executable, "args": ["-m", "cdp_image_mcp"]}
"""What starts the program that the tests run."""


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A home with nothing in it, and no client's own command in the path."""
    (tmp_path / "home").mkdir()
    path = os.pathsep.join((str(tmp_path / "bin"), "/usr/bin", "/bin"))
    return environment | {"HOME": str(tmp_path / "home"), "PATH": path, "APPDATA": ""}


def program(tmp_path: Path, name: str, script: str) -> None:
    """A client's own command."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    path = tmp_path / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_change_is_shown_asked_about_and_made_beside_a_copy(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "home" / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text('{\n  "mcpServers": {}\n}\n')
    person = Typist(environment, "install", "cursor")
    person.until("[y/N]")
    assert '+    "cdp-image-mcp": {' in person.seen.decode()
    assert json.loads(file.read_text()) == {"mcpServers": {}}
    person.types("y\n")
    code, seen = person.end()
    assert code == 0
    assert json.loads(file.read_text())["mcpServers"]["cdp-image-mcp"] == {**SERVER, "env": {}}
    assert str(file.with_name("mcp.json.before-cdp-image-mcp")) in seen
    assert "Restart Cursor." in seen


@pytest.mark.parametrize("keys", ["n\n", "\n", "\x04"])
def test_without_a_yes_nothing_is_changed(environment: dict[str, str], tmp_path: Path, keys: str) -> None:
    person = Typist(environment, "install", "cursor")
    person.until("[y/N]")
    person.types(keys)
    code, seen = person.end()
    assert code == 3
    assert "Nothing was changed." in seen
    assert list((tmp_path / "home").iterdir()) == []


def test_ctrl_c_at_the_question_changes_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    person = Typist(environment, "install", "cursor")
    person.until("[y/N]")
    person.types("\x03")
    code, _ = person.end()
    assert code == 130
    assert list((tmp_path / "home").iterdir()) == []


def test_where_nobody_can_be_asked_only_a_yes_beforehand_changes_anything(
    environment: dict[str, str], tmp_path: Path
) -> None:
    asked = ran(environment, "install", "windsurf", stdin=subprocess.DEVNULL)
    assert asked.returncode == 3
    assert list((tmp_path / "home").iterdir()) == []
    done = ran(environment, "install", "windsurf", "--yes", stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    again = ran(environment, "install", "windsurf", "--yes")
    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing to change" in again.stderr
    gone = ran(environment, "install", "windsurf", "--remove", "--yes")
    assert gone.returncode == 0
    file = tmp_path / "home" / ".codeium" / "windsurf" / "mcp_config.json"
    assert json.loads(file.read_text()) == {"mcpServers": {}}


@pytest.mark.parametrize(
    ("client", "variable", "file"),
    [
        ("codex", "CODEX_HOME", "config.toml"),
        ("claude-code", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("copilot-cli", "COPILOT_HOME", "mcp-config.json"),
        ("opencode", "XDG_CONFIG_HOME", "opencode/opencode.json"),
    ],
)
def test_a_client_whose_folder_the_user_has_moved_gets_the_server_there(
    environment: dict[str, str], tmp_path: Path, client: str, variable: str, file: str
) -> None:
    moved = tmp_path / "moved"
    done = ran(environment | {variable: str(moved)}, "install", client, "--yes")
    assert done.returncode == 0, done.stderr
    assert "cdp-image-mcp" in (moved / file).read_text()
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize(
    ("client", "platform", "moved"),
    [("zed", "darwin", False), ("zed", "linux", True), ("opencode", "darwin", True), ("goose", "darwin", True)],
)
def test_a_folder_that_was_moved_counts_on_the_systems_where_the_client_looks_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, platform: str, moved: bool
) -> None:
    """Zed on macOS looks into ``~/.config``, whatever ``XDG_CONFIG_HOME`` says."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "moved"))
    monkeypatch.setattr(sys, "platform", platform)
    row = BY_NAME.get(client)
    assert row is not None
    path = file_of(row)
    assert path is not None
    assert path.is_relative_to(tmp_path / "moved" if moved else tmp_path / "home" / ".config")


def test_a_dry_run_shows_the_change_and_makes_none(environment: dict[str, str], tmp_path: Path) -> None:
    done = ran(environment, "install", "goose", "--dry-run")
    assert done.returncode == 0
    assert "+  cdp-image-mcp:" in done.stdout
    assert list((tmp_path / "home").iterdir()) == []


def test_printing_gives_the_block_alone(environment: dict[str, str]) -> None:
    done = ran(environment, "install", "codex", "--print", "--env", "GPT_IMAGE_BACKEND=api")
    server = tomllib.loads(done.stdout)["mcp_servers"]["cdp-image-mcp"]
    assert server["command"] == sys.executable
    assert server["env"] == {"GPT_IMAGE_WAIT_SECONDS": "300", "GPT_IMAGE_BACKEND": "api"}
    assert ".codex/config.toml" in done.stderr


def test_a_file_that_cannot_be_changed_safely_is_left_and_the_block_printed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "home" / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text('{"mcpServers": ')
    done = ran(environment, "install", "cursor", "--yes")
    assert done.returncode == 3
    assert file.read_text() == '{"mcpServers": '
    assert "is left as it is: it is no JSON (line 1" in done.stderr
    assert json.loads(done.stdout)["mcpServers"]["cdp-image-mcp"]["command"] == sys.executable


def test_a_client_without_a_file_is_told_where_to_paste(environment: dict[str, str]) -> None:
    done = ran(environment, "install", "jetbrains")
    assert done.returncode == 3
    assert "AI Assistant" in done.stderr
    assert json.loads(done.stdout)["mcpServers"]["cdp-image-mcp"] == {**SERVER, "env": {}}


@pytest.mark.parametrize("variable", ["VSCODE_IPC_HOOK_CLI", "WSL_DISTRO_NAME"])
def test_where_the_client_runs_on_another_system_nothing_is_written_and_the_place_is_told(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """``code`` is another program there, and the file of that name is one that VS Code never reads."""
    program(tmp_path, "code", f"echo called >> {tmp_path / 'log'}")
    remote = environment | {variable: "/run/user/1000/vscode-ipc.sock"}
    place = "the file that 'MCP: Open Remote User Configuration' opens, or .vscode/mcp.json in a project"
    done = ran(remote, "install", "vscode", "--yes")
    assert done.returncode == 3, done.stderr
    assert "runs outside of this system" in done.stderr
    assert place in done.stderr
    assert json.loads(done.stdout)["servers"]["cdp-image-mcp"]["command"] == sys.executable
    gone = ran(remote, "install", "vscode", "--remove", "--yes")
    assert (gone.returncode, gone.stdout) == (3, "")
    assert f"Take cdp-image-mcp out by hand: {place}." in gone.stderr
    (line,) = [line for line in ran(remote, "install", "--list").stdout.splitlines() if line.startswith("vscode ")]
    assert line.endswith(place)
    assert not (tmp_path / "log").exists()
    assert list((tmp_path / "home").iterdir()) == []
    project = tmp_path / ".vscode" / "mcp.json"
    named = ran(remote, "install", "vscode", "--yes", "--file", str(project))
    assert named.returncode == 0, named.stderr
    assert "cdp-image-mcp" in json.loads(project.read_text())["servers"]
    with_entry("vscode", tmp_path / "home", command="/nowhere/at/all")
    monkeypatch.setenv("HOME", environment["HOME"])
    monkeypatch.setenv(variable, remote[variable])
    assert "client, vscode" not in {check.name for check in clients()}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["claude"], "Did you mean"),
        (["cursor", "--env", "GPT_IMAGE_BACKEND"], "--env takes NAME=VALUE"),
        (["cursor", "--env", "GPT_IMAGE_BACKEND=paint"], "GPT_IMAGE_BACKEND: 'paint' is not one of"),
    ],
)
def test_what_is_mistyped_changes_nothing(
    environment: dict[str, str], tmp_path: Path, words: list[str], told: str
) -> None:
    done = ran(environment, "install", *words, "--yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert list((tmp_path / "home").iterdir()) == []


def test_the_list_says_what_is_there_and_what_is_installed(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home" / ".cursor").mkdir()
    (tmp_path / "home" / ".cursor" / "mcp.json").write_text("{}")
    (tmp_path / "home" / ".codex").mkdir()
    (tmp_path / "home" / ".codex" / "config.toml").write_text("[broken")
    ran(environment, "install", "zed", "--yes")
    lines = {line.split()[0]: line.split()[1:] for line in ran(environment, "install", "--list").stdout.splitlines()}
    assert [lines[name][0] for name in ("cursor", "codex", "zed")] == ["found", "unclear", "installed"]
    assert lines["windsurf"] == [str(tmp_path / "home" / ".codeium" / "windsurf" / "mcp_config.json")]


def test_a_projects_own_file_can_be_named(environment: dict[str, str], tmp_path: Path) -> None:
    done = ran(environment, "install", "claude-code", "--file", str(tmp_path / ".mcp.json"), "--yes")
    assert done.returncode == 0, done.stderr
    server = json.loads((tmp_path / ".mcp.json").read_text())["mcpServers"]["cdp-image-mcp"]
    assert (server["command"], server["timeout"]) == (sys.executable, 900000)


def agreed_while_it_changes(environment: dict[str, str], file: Path, meanwhile: str) -> tuple[int, str]:
    """The exit code and what is seen, where the file of Claude Code is another between the question and the yes."""
    file.write_text('{"numStartups": 3}')
    person = Typist(environment, "install", "claude-code")
    person.until("[y/N]")
    file.write_text(meanwhile)
    person.types("y\n")
    return person.end()


def test_what_a_client_that_runs_writes_into_its_file_meanwhile_stays(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Claude Code keeps its state in the same file."""
    file = tmp_path / "home" / ".claude.json"
    code, seen = agreed_while_it_changes(environment, file, '{"numStartups": 4}')
    assert code == 0, seen
    said = json.loads(file.read_text())
    assert (said["numStartups"], said["mcpServers"]["cdp-image-mcp"]["timeout"]) == (4, 900000)
    assert file.with_name(".claude.json.before-cdp-image-mcp").read_text() == '{"numStartups": 4}'


def test_an_entry_that_a_person_changes_meanwhile_is_not_written_over(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "home" / ".claude.json"
    theirs = json.dumps({"mcpServers": {"cdp-image-mcp": {"command": "mine", "args": [], "env": {"MINE": "1"}}}})
    code, seen = agreed_while_it_changes(environment, file, theirs)
    assert code == 1, seen
    assert "what it says of cdp-image-mcp has been changed meanwhile; try again" in " ".join(seen.split())
    assert file.read_text() == theirs


# --- what the person had set ------------------------------------------------------------------------------------

LIMITS = {
    "claude-code": (".claude.json", "timeout", 60_000, 108_000, 900_000, "100"),
    "codex": (".codex/config.toml", "tool_timeout_sec", 60, 308, 900, "300"),
    "gemini-cli": (".gemini/settings.json", "timeout", 60_000, 308_000, 900_000, "300"),
    "cline": (".cline/data/settings/cline_mcp_settings.json", "timeout", 60, 308, 900, "300"),
    "qwen-code": (".qwen/settings.json", "timeout", 60_000, 308_000, 900_000, "300"),
    "goose": (".config/goose/config.yaml", "timeout", 60, 308, 900, "300"),
    "zed": (".config/zed/settings.json", "timeout", 60, 308, 600, "300"),
}
"""File, key of the limit, one too short for our wait, the shortest that is not, ours, and our wait."""


def entry_of(name: str) -> dict[str, Any]:
    """What the client's file in this home says of the server."""
    client = BY_NAME.get(name)
    assert client is not None
    path = file_of(client)
    assert path is not None
    entry = current_entry(client, path)
    assert entry is not None
    return entry


def with_entry(name: str, home: Path, **said: Any) -> Path:
    """A client's file in which the server stands already, as ``said``."""
    client = BY_NAME.get(name)
    assert client is not None
    file = home / client.files[""].removeprefix("~/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block(client, said))
    return file


@pytest.mark.parametrize("name", LIMITS)
def test_a_time_limit_that_a_person_has_set_stays_and_our_wait_stands_beside_it_only_where_it_fits(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A client drops a call at its limit and does not end it; a model that repeats it pays for a second picture."""
    monkeypatch.setenv("HOME", environment["HOME"])
    _, key, short, enough, ours, wait = LIMITS[name]
    command = "cmd" if name == "goose" else "command"
    variables = "envs" if name == "goose" else "env"
    for limit, written, waits, told in (
        (short, short, False, f"{key} = {short} stays, "),
        (enough - 1, enough - 1, False, f"{key} = {enough - 1} stays, "),
        (enough, enough, True, ""),
        (short // 2, ours, True, f"{key} = {short // 2} is less than an answer may take: it becomes {ours}."),
    ):
        with_entry(name, tmp_path / "home", **{command: "/old/place", "args": [], key: limit, variables: {"MINE": "1"}})
        done = ran(environment, "install", name, "--yes")
        assert done.returncode == 0, done.stderr
        entry = entry_of(name)
        assert entry[key] == written
        assert entry[variables].get("GPT_IMAGE_WAIT_SECONDS") == (wait if waits else None)
        assert entry[variables]["MINE"] == "1"
        assert told in done.stderr
        assert ("GPT_IMAGE_WAIT_SECONDS" in done.stderr) is not waits
        again = ran(environment, "install", name, "--yes")
        assert "nothing to change" in again.stderr


def test_a_limit_that_is_no_number_is_not_taken_for_a_long_one(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", environment["HOME"])
    with_entry("cline", tmp_path / "home", command="/old/place", args=[], timeout="900", env={})
    done = ran(environment, "install", "cline", "--yes")
    assert done.returncode == 0, done.stderr
    assert (entry_of("cline")["timeout"], entry_of("cline")["env"]) == ("900", {})
    assert 'timeout = "900" stays, ' in done.stderr


@pytest.mark.parametrize(("limit", "wait", "told"), [(60, "300", True), (60, "45", False), (20, "10", False)])
def test_a_wait_that_a_person_has_set_stays_and_is_told_of_where_the_limit_is_shorter(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, wait: str, told: bool
) -> None:
    monkeypatch.setenv("HOME", environment["HOME"])
    mine = {"GPT_IMAGE_WAIT_SECONDS": wait}
    with_entry("cline", tmp_path / "home", command="/old/place", args=[], timeout=limit, env=mine)
    done = ran(environment, "install", "cline", "--yes")
    assert done.returncode == 0, done.stderr
    assert (entry_of("cline")["timeout"], entry_of("cline")["env"]) == (limit, mine)
    again = ran(environment, "install", "cline", "--yes")
    for said in (done.stderr, again.stderr):
        assert ("pays again" in said) is told


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("cline", {"command": "/old/place", "disabled": True}, "disabled = true stays: Cline does not start"),
        ("codex", {"command": "/old/place", "enabled": False}, "enabled = false stays: Codex (CLI and app) does not"),
        ("goose", {"cmd": "/old/place", "enabled": False}, "enabled = false stays: Goose does not start"),
        (
            "opencode",
            {"type": "remote", "url": "https://127.0.0.1", "enabled": False},
            "enabled = false stays: opencode",
        ),
        ("cline", {"command": "/old/place", "disabled": False}, None),
        ("goose", {"cmd": "/old/place", "enabled": True}, None),
    ],
)
def test_what_a_person_has_switched_off_stays_off_and_is_not_told_as_set_up(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    said: dict[str, Any],
    told: str | None,
) -> None:
    """Who reads 'it stands already' would look for the fault everywhere but there."""
    monkeypatch.setenv("HOME", environment["HOME"])
    with_entry(name, tmp_path / "home", **said)
    key = "disabled" if "disabled" in said else "enabled"
    for _ in ("changed", "as it is"):
        done = ran(environment, "install", name, "--yes")
        assert done.returncode == 0, done.stderr
        assert entry_of(name)[key] is said[key]
        assert (told or "nothing else") in done.stderr + "nothing else"
        assert (" stays: " in done.stderr) is (told is not None)
    assert "nothing to change" in done.stderr
    (line,) = [
        line for line in ran(environment, "install", "--list").stdout.splitlines() if line.startswith(f"{name} ")
    ]
    assert line.split()[1] == ("off" if told else "installed")
    gone = ran(environment, "install", name, "--remove", "--yes")
    assert (gone.returncode, " stays: " in gone.stderr) == (0, False)


def test_names_that_a_person_lets_through_to_the_server_stay_beside_ours(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", environment["HOME"])
    theirs: list[Any] = ["MINE", "DISPLAY", {"name": "OPENAI_API_KEY", "source": "local"}]
    with_entry("codex", tmp_path / "home", command="/old/place", args=[], env_vars=theirs)
    done = ran(environment, "install", "codex", "--yes")
    assert done.returncode == 0, done.stderr
    passed = entry_of("codex")["env_vars"]
    assert passed[:3] == theirs
    assert {"OPENAI_BASE_URL", "GPT_IMAGE_BUDGET_USD", "HTTPS_PROXY"} <= set(passed[3:])
    assert {"DISPLAY", "OPENAI_API_KEY"}.isdisjoint(passed[3:])
    assert "nothing to change" in ran(environment, "install", "codex", "--yes").stderr


@pytest.mark.parametrize(
    ("said", "startup", "told"),
    [
        (None, 60, True),
        ({}, 60, True),
        ({"startup_timeout_sec": 10}, 60, True),
        ({"startup_timeout_sec": 90}, 90, True),
        ({"startup_timeout_sec": 10, "required": False}, 10, False),
        ({"startup_timeout_sec": 10, "required": True}, 10, False),
    ],
)
def test_who_gets_a_client_that_starts_only_with_the_server_is_told_and_the_server_gets_its_time(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any] | None,
    startup: int,
    told: bool,
) -> None:
    monkeypatch.setenv("HOME", environment["HOME"])
    if said is not None:
        with_entry("codex", tmp_path / "home", command="/old/place", args=[], **said)
    done = ran(environment, "install", "codex", "--yes")
    assert done.returncode == 0, done.stderr
    entry = entry_of("codex")
    assert entry["startup_timeout_sec"] == startup
    assert entry["required"] is (said or {}).get("required", True)
    assert ("required = true: no session of Codex" in done.stderr) is told
    assert ("startup_timeout_sec = 10 is too short" in done.stderr) is (said == {"startup_timeout_sec": 10})


@pytest.mark.parametrize("named", [False, True], ids=["the user's", "a file that is named"])
@pytest.mark.parametrize("old", [False, True], ids=["nothing there", "config.json there"])
def test_no_file_is_made_that_would_be_loaded_instead_of_all_that_the_person_has(
    environment: dict[str, str], tmp_path: Path, named: bool, old: bool
) -> None:
    """Continue loads a config.yaml in place of config.json, and none without a name and a version."""
    folder = tmp_path / "home" / ".continue"
    folder.mkdir()
    if old:
        (folder / "config.json").write_text('{"models": []}')
    before = sorted(folder.iterdir())
    done = ran(environment, "install", "continue", "--yes", *(["--file", str(folder / "mine.yaml")] if named else []))
    assert done.returncode == 3, done.stderr
    assert sorted(folder.iterdir()) == before
    assert "instead of config.json" in done.stderr
    assert "name, version and schema: v1" in done.stderr
    assert '- name: "cdp-image-mcp"' in done.stdout
    (folder / "config.yaml").write_text("name: Mine\nversion: 1.0.0\n")
    assert ran(environment, "install", "continue", "--yes").returncode == 0
    assert (folder / "config.yaml").read_text().startswith("name: Mine\nversion: 1.0.0\nmcpServers:\n")


# --- the client's own command ----------------------------------------------------------------------------------

CLAUDE = """echo "$@" >> {log}
case "$2" in add-json) cat > {file} <<END
{{"numStartups": 3, "mcpServers": {{"cdp-image-mcp": $6}}}}
END
esac"""


def test_the_clients_own_command_is_used_where_there_is_one(environment: dict[str, str], tmp_path: Path) -> None:
    """Claude Code keeps its state in the same file and writes it while it runs."""
    log, file = tmp_path / "log", tmp_path / "home" / ".claude.json"
    program(tmp_path, "claude", CLAUDE.format(log=log, file=file))
    file.write_text('{"numStartups": 3}')
    done = ran(environment, "install", "claude-code", "--yes")
    assert done.returncode == 0, done.stderr
    (line,) = log.read_text().splitlines()
    assert line.startswith("mcp add-json --scope user cdp-image-mcp {")
    assert json.loads(file.read_text())["mcpServers"]["cdp-image-mcp"]["timeout"] == 900000
    assert "By the client's own command: claude mcp add-json" in done.stderr
    other = ran(environment, "install", "claude-code", "--yes", "--env", "GPT_IMAGE_OPEN=1")
    assert other.returncode == 0, other.stderr
    assert [each.split()[1] for each in log.read_text().splitlines()] == ["add-json", "remove", "add-json"]


def test_what_the_own_command_cannot_say_is_put_in_afterwards(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "home" / ".codex" / "config.toml"
    file.parent.mkdir()
    adds = f'printf \'[mcp_servers.%s]\\ncommand = "%s"\\nargs = ["%s", "%s"]\\n\' "$3" "$5" "$6" "$7" > {file}'
    program(tmp_path, "codex", adds)
    done = ran(environment, "install", "codex", "--yes")
    assert done.returncode == 0, done.stderr
    assert "By the client's own command: codex mcp add" in done.stderr
    server = tomllib.loads(file.read_text())["mcp_servers"]["cdp-image-mcp"]
    assert (server["command"], server["args"]) == (sys.executable, ["-m", "cdp_image_mcp"])
    assert (server["required"], server["tool_timeout_sec"]) == (True, 900)
    assert "DISPLAY" in server["env_vars"]


@pytest.mark.parametrize(
    ("client", "command", "file", "theirs", "rewritten"),
    [
        (
            "codex",
            "codex",
            ".codex/config.toml",
            '[mcp_servers.files] # mine\ncommand = "npx"\nargs = []\nstartup_timeout_sec = 20\nmine = true\n',
            '[mcp_servers.files]\ncommand = "npx"\nstartup_timeout_sec = 20.0\n',
        ),
        (
            "vscode",
            "code",
            ".config/Code/User/mcp.json",
            '{\n    // mine\n    "theme": "dark",\n    "servers": {\n        "files": {"command": "npx"}\n    }\n}\n',
            '{"servers":{"files":{"command":"npx"}}}',
        ),
    ],
    ids=("Codex", "VS Code"),
)
def test_what_stands_in_the_file_is_given_to_no_command_that_writes_it_anew(
    environment: dict[str, str], tmp_path: Path, client: str, command: str, file: str, theirs: str, rewritten: str
) -> None:
    """As ``codex mcp add`` does with every server, and ``code --add-mcp`` with the whole file: comments go, and what
    they do not know."""
    path = tmp_path / "home" / file
    path.parent.mkdir(parents=True)
    path.write_text(theirs)
    program(tmp_path, command, f"cat > {path} <<'END'\n{rewritten}\nEND")
    done = ran(environment, "install", client, "--yes")
    assert done.returncode == 0, done.stderr
    before, after = ({line.rstrip(",") for line in text.splitlines()} for text in (theirs, path.read_text()))
    assert before <= after
    assert "cdp-image-mcp" in path.read_text()


def test_a_file_that_comes_to_be_before_the_yes_is_given_to_no_command_that_writes_it_anew(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "home" / ".codex" / "config.toml"
    file.parent.mkdir()
    program(tmp_path, "codex", f"echo > {file}")
    person = Typist(environment, "install", "codex")
    person.until("[y/N]")
    file.write_text(theirs := '# mine\nmodel = "gpt-5-codex"\n')
    person.types("y\n")
    code, seen = person.end()
    assert code == 0, seen
    assert file.read_text().startswith(theirs)
    assert "[mcp_servers.cdp-image-mcp]" in file.read_text()


def test_what_the_person_had_set_outlives_the_own_command(environment: dict[str, str], tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "home" / ".claude.json"
    program(tmp_path, "claude", CLAUDE.format(log=log, file=file))
    env = {"GPT_IMAGE_BACKEND": "api", "MINE": "1"}
    mine: Any = {"command": "/old/place", "args": [], "timeout": 60000, "env": env}
    file.write_text(json.dumps({"numStartups": 3, "mcpServers": {"cdp-image-mcp": mine}}))
    done = ran(environment, "install", "claude-code", "--yes", "--env", "GPT_IMAGE_BACKEND=auto")
    assert done.returncode == 0, done.stderr
    assert [each.split()[1] for each in log.read_text().splitlines()] == ["remove", "add-json"]
    server = json.loads(file.read_text())["mcpServers"]["cdp-image-mcp"]
    assert (server["command"], server["timeout"]) == (sys.executable, 60000)
    assert server["env"] == {"GPT_IMAGE_BACKEND": "auto", "MINE": "1"}


def test_an_entry_that_wins_in_one_project_is_told_and_left(environment: dict[str, str], tmp_path: Path) -> None:
    """``claude mcp add`` without a scope puts it there."""
    file = tmp_path / "home" / ".claude.json"
    mine: Any = {"cdp-image-mcp": {"command": "mine", "args": []}}
    projects: Any = {"/one": {"mcpServers": mine}, "/two": {"mcpServers": {}}}
    text = json.dumps({"projects": projects})
    file.write_text(text)
    wins = (
        "/one has an entry of its own, which wins there; 'claude mcp remove --scope local cdp-image-mcp' in that folder"
    )
    gone = ran(environment, "install", "claude-code", "--remove", "--yes")
    assert gone.returncode == 0, gone.stderr
    assert file.read_text() == text
    assert wins in gone.stderr
    assert "There is nothing of it" not in gone.stderr
    assert "/two" not in gone.stderr
    done = ran(environment, "install", "claude-code", "--yes")
    assert done.returncode == 0, done.stderr
    assert wins in done.stderr
    said = json.loads(file.read_text())
    assert said["projects"] == projects
    assert said["mcpServers"]["cdp-image-mcp"]["command"] == sys.executable
    again = ran(environment, "install", "claude-code", "--yes")
    assert wins in again.stderr
    assert "It stands already in" in again.stderr


def test_an_own_command_that_fails_half_way_takes_nothing_that_was_there(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "home" / ".claude.json"
    takes_out = f"echo '{{\"numStartups\": 3}}' > {file}"
    program(tmp_path, "claude", f'echo "$@" >> {tmp_path / "log"}\n[ "$2" = add-json ] && exit 4\n{takes_out}')
    mine: Any = {"command": "/old/place", "args": [], "timeout": 120000, "env": {"OPENAI_API_KEY": "sk-mine"}}
    before = json.dumps({"numStartups": 3, "mcpServers": {"cdp-image-mcp": mine}})
    file.write_text(before)
    done = ran(environment, "install", "claude-code", "--yes")
    assert done.returncode == 0, done.stderr
    assert [each.split()[1] for each in (tmp_path / "log").read_text().splitlines()] == ["remove", "add-json"]
    server = json.loads(file.read_text())["mcpServers"]["cdp-image-mcp"]
    assert (server["command"], server["timeout"]) == (sys.executable, 120000)
    assert server["env"] == {"GPT_IMAGE_WAIT_SECONDS": "100", "OPENAI_API_KEY": "sk-mine"}
    assert file.with_name(".claude.json.before-cdp-image-mcp").read_text() == before


def test_ctrl_c_between_two_commands_of_the_client_loses_no_entry(environment: dict[str, str], tmp_path: Path) -> None:
    file, begun, held = tmp_path / "home" / ".claude.json", tmp_path / "begun", tmp_path / "held"
    os.mkfifo(begun)
    os.mkfifo(held)
    beginning, letting_go = os.open(begun, os.O_RDWR), os.open(held, os.O_RDWR)
    takes_out = f"if [ $2 = remove ]; then echo '{{}}' > {file}; echo > {begun}; read it < {held}; fi"
    program(tmp_path, "claude", f"{takes_out}\n{CLAUDE.format(log=tmp_path / 'log', file=file)}")
    mine: Any = {"command": "/old/place", "args": [], "timeout": 120000, "env": {"OPENAI_API_KEY": "sk-mine"}}
    before = json.dumps({"mcpServers": {"cdp-image-mcp": mine}})
    file.write_text(before)
    person = Typist(environment, "install", "claude-code", "--yes")
    person.until(str(copy := file.with_name(".claude.json.before-cdp-image-mcp")))
    assert select.select([beginning], [], [], 60)[0]
    person.types("\x03")
    person.until("^C")
    os.write(letting_go, b"\n")
    code, seen = person.end()
    os.close(beginning)
    os.close(letting_go)
    assert code == 130, seen
    assert "is now in" in seen
    server = json.loads(file.read_text())["mcpServers"]["cdp-image-mcp"]
    assert (server["command"], server["env"]["OPENAI_API_KEY"]) == (sys.executable, "sk-mine")
    assert [each.split()[1] for each in (tmp_path / "log").read_text().splitlines()] == ["remove", "add-json"]
    assert copy.read_text() == before


@pytest.mark.parametrize(
    "given",
    [
        "OPENAI_API_KEY=sk-mine",
        "OPENAI_API_KEY=sk-$mine",
        "CHATGPT_CHROME_ARGS=--proxy-server=http://me:sesame@proxy:3128",
        "HTTPS_PROXY=http://me:sesame@proxy:3128",
        "HTTPS_PROXY=http://me:pa$word@proxy:3128",
        "HTTPS_PROXY=http://me:sesame@${HOST}:3128",
    ],
)
def test_what_may_be_secret_stands_in_no_command_line(environment: dict[str, str], tmp_path: Path, given: str) -> None:
    """Everybody on the machine can read what a program is started with."""
    program(tmp_path, "claude", CLAUDE.format(log=tmp_path / "log", file=tmp_path / "home" / ".claude.json"))
    done = ran(environment, "install", "claude-code", "--yes", "--env", given)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "log").exists()
    name, _, value = given.partition("=")
    assert value not in done.stdout + done.stderr
    written = json.loads((tmp_path / "home" / ".claude.json").read_text())
    assert written["mcpServers"]["cdp-image-mcp"]["env"][name] == value


def test_a_variable_that_the_client_fills_in_is_no_secret(environment: dict[str, str], tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "home" / ".claude.json"
    program(tmp_path, "claude", CLAUDE.format(log=log, file=file))
    key = "${OPENAI_API_KEY}"
    address = "https://me:${PASSWORD}@host/mcp"
    theirs = {"A_TOKEN": "${input:token}", "KEY": "$KEY", "H": "Bearer ${TOKEN}", "url": address}
    file.write_text(json.dumps({"mcpServers": {"files": {"env": theirs}}}, indent=1))
    done = ran(environment, "install", "claude-code", "--yes", "--env", f"OPENAI_API_KEY={key}")
    assert done.returncode == 0, done.stderr
    assert f'"OPENAI_API_KEY":"{key}"' in log.read_text()
    assert f'"OPENAI_API_KEY": "{key}"' in done.stdout
    assert "…" not in done.stdout


def test_an_own_command_that_fails_is_told_in_its_own_words(environment: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path, "claude", "echo 'Not logged in' >&2; exit 4")
    done = ran(environment, "install", "claude-code", "--yes")
    assert done.returncode == 1
    assert "claude said: Not logged in" in done.stderr


def test_the_written_command_starts_the_server(environment: dict[str, str], tmp_path: Path) -> None:
    ran(environment, "install", "cursor", "--yes")
    server = json.loads((tmp_path / "home" / ".cursor" / "mcp.json").read_text())["mcpServers"]["cdp-image-mcp"]
    started = subprocess.run(
        [server["command"], *server["args"]],
        input=json.dumps(HELLO) + "\n",
        env={"HOME": environment["HOME"], "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
    assert json.loads(started.stdout)["result"]["serverInfo"]["name"] == "cdp-image-mcp"


@pytest.mark.parametrize(
    ("tagged", "how", "code"),
    [("cache", "--yes", 3), ("cache", "--dry-run", 3), ("cache", "--print", 0), ("cache/environment", "--yes", 0)],
)
def test_what_runs_from_a_cache_is_written_into_no_clients_file(
    environment: dict[str, str], tmp_path: Path, tagged: str, how: str, code: int
) -> None:
    """As ``uvx --from . cdp-image-mcp install cursor`` does, and ``pipx run``; uv tags environments of every kind. Who
    asks to see it only, and may know better, sees it."""
    venv.create(tmp_path / "cache" / "environment", symlinks=True)
    (tmp_path / tagged / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    done = subprocess.run(
        [tmp_path / "cache" / "environment" / "bin" / "python", "-m", "cdp_image_mcp", "install", "cursor", how],
        env=environment | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    stays = tagged != "cache"
    assert (done.returncode, (tmp_path / "home" / ".cursor").exists()) == (code, stays), done.stderr
    assert ("a cache that is emptied at times" in done.stderr) is not stays
    assert ("Nothing was changed" in done.stderr) is (code == 3)
    assert ("mcpServers" in done.stdout) is (code == 0)


@pytest.mark.parametrize(
    ("client", "file", "text"),
    [
        ("goose", "goose/config.yaml", "extensions:\n  other:\n    envs:\n      A_TOKEN: hush sesame\n"),
        ("goose", "goose/config.yaml", "extensions:\n  other:\n    headers:\n      x-api-key: 'hush sesame'\n"),
        ("zed", "zed/settings.json", '{"context_servers": {"other": {"env": {\n"MY_PASSWORD": "hush $esame\'"\n}}}}'),
        (
            "zed",
            "zed/settings.json",
            '{"context_servers": {"other": {\n"args": ["--a-key", "hush", "--token=esame"]}}}',
        ),
        ("zed", "zed/settings.json", '{"context_servers": {"other": {"args": [\n"--api-key",\n"hush sesame"\n]}}}'),
        ("goose", "goose/config.yaml", "extensions:\n  other:\n    args:\n    - --api-key\n    - hush sesame\n"),
        ("goose", "goose/config.yaml", "extensions:\n  other:\n    uri: https://me:hush-sesame@host/mcp\n"),
        ("zed", "zed/settings.json", '{"context_servers": {"other": {\n"args": ["-H", "X: Bearer hush-sesame"]}}}'),
        ("zed", "zed/settings.json", '{"context_servers": {"other": {"env": {\n"MY_PASSWORD": "$hush-sesame"\n}}}}'),
        ("zed", "zed/settings.json", '{"context_servers": {"other": {\n"args": ["--token=$hush", "--key=$esame"]}}}'),
        ("zed", "zed/settings.json", '{"context_servers": {"other": {\n"args": ["-H", "X: Bearer $hush-sesame"]}}}'),
        ("goose", "goose/config.yaml", "extensions:\n  other:\n    envs:\n      A_TOKEN: $hush-sesame\n"),
        ("goose", "goose/config.yaml", "extensions:\n  other:\n    headers:\n      x-api-key: '${hush}sesame'\n"),
        ("goose", "goose/config.yaml", "extensions:\n  other:\n    uri: https://me:hu$h:sesame$@host/mcp\n"),
        ("goose", "goose/config.yaml", "extensions:\n  other:\n    uri: https://$me:hush@sesame@host/mcp\n"),
    ],
    ids=(
        "plain",
        "single quotes",
        "a dollar and a quotation mark",
        "arguments on a line",
        "arguments on lines of their own",
        "arguments as YAML has them",
        "in an address",
        "in a header",
        "a dollar",
        "dollars in arguments on a line",
        "a dollar in a header",
        "plain with a dollar",
        "more than what is filled in",
        "in an address with dollars",
        "in an address with an at",
    ),
)
def test_what_others_keep_secret_is_not_shown_whatever_way_it_is_written(
    environment: dict[str, str], tmp_path: Path, client: str, file: str, text: str
) -> None:
    path = tmp_path / "home" / ".config" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    done = ran(environment, "install", client, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "cdp-image-mcp" in done.stdout
    assert not any(word in done.stdout for word in ("hush", "esame"))


@pytest.mark.parametrize(("client", "file"), [("cursor", ".cursor/mcp.json"), ("codex", ".codex/config.toml")])
def test_a_key_is_written_and_shown_to_nobody(
    environment: dict[str, str], tmp_path: Path, client: str, file: str
) -> None:
    program(tmp_path, "codex", "echo called; exit 1")
    path = tmp_path / "home" / file
    path.parent.mkdir()
    if client == "cursor":
        path.write_text('{"mcpServers": {"other": {"command": "npx",\n "env": {"A_TOKEN": "others-secret"}\n}}}\n')
    done = ran(environment, "install", client, "--yes", "--env", "OPENAI_API_KEY=sk-mine")
    assert done.returncode == 0, done.stderr
    assert "sk-mine" in path.read_text()
    assert "sk-mine" not in done.stdout + done.stderr
    assert "others-secret" not in done.stdout + done.stderr
    assert "OPENAI_API_KEY" in done.stdout


def test_a_file_that_cannot_even_be_looked_at_is_told_and_hides_no_other_client(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of another user is such a place; a name that no file system takes is one for root too."""
    place = "/" + 300 * "x"
    listed = ran(environment | {"XDG_CONFIG_HOME": place}, "install", "--list")
    assert listed.returncode == 0, listed.stderr
    (line,) = [line.split() for line in listed.stdout.splitlines() if line.startswith("opencode")]
    assert line[1] == "unclear"
    monkeypatch.setenv("XDG_CONFIG_HOME", place)
    told = {check.name: check.message for check in clients()}
    assert "it cannot be read" in told["client, opencode"]


def test_a_file_that_is_a_circle_of_links_is_told_and_left(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "home" / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.symlink_to(file)
    done = ran(environment, "install", "cursor", "--yes")
    assert done.returncode == 3, done.stderr
    assert "is left as it is: it cannot be read (Too many levels of symbolic links)" in done.stderr
    assert file.is_symlink()
    listed = ran(environment, "install", "--list")
    assert [line.split()[1] for line in listed.stdout.splitlines() if line.startswith("cursor")] == ["unclear"]


def test_a_link_to_a_file_that_is_not_there_yet_leads_the_change_there(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Dotfiles of a new machine."""
    file = tmp_path / "home" / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.symlink_to(tmp_path / "dotfiles" / "mcp.json")
    done = ran(environment, "install", "cursor", "--yes")
    assert done.returncode == 0, done.stderr
    assert file.is_symlink()
    assert "cdp-image-mcp" in (tmp_path / "dotfiles" / "mcp.json").read_text()


def test_without_a_home_no_client_has_a_file_and_nothing_falls_over(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that runs as a number without a name."""

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_CONFIG_HOME", *(client.home for client in CLIENTS if client.home)):
        monkeypatch.delenv(name, raising=False)
    assert {file_of(client) for client in CLIENTS} == {None}
    assert [check.level for check in clients()] == ["ok"]


def test_an_empty_home_is_none_and_not_the_root_of_the_disk(environment: dict[str, str]) -> None:
    listed = ran(environment | {"HOME": ""}, "install", "--list")
    assert listed.returncode == 0, listed.stderr
    (line,) = [line.split() for line in listed.stdout.splitlines() if line.startswith("cursor")]
    assert line[-1] == str(Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cursor" / "mcp.json")


def test_servers_that_are_a_list_are_left_and_the_block_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "home" / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text('[[mcp_servers]]\nname = "files"\n')
    done = ran(environment, "install", "codex", "--yes")
    assert done.returncode == 3, done.stderr
    assert "is left as it is: " in done.stderr
    assert "cdp-image-mcp" in tomllib.loads(done.stdout)["mcp_servers"]
    assert file.read_text() == '[[mcp_servers]]\nname = "files"\n'


@pytest.mark.parametrize(
    ("client", "file", "text"),
    [
        ("cursor", ".cursor/mcp.json", '{"mcpServers": {"cdp-image-mcp": {"command": "x", "env": ["A=B"]}}}'),
        ("goose", ".config/goose/config.yaml", "extensions:\n  cdp-image-mcp:\n    cmd: x\n    enabled: True\n"),
        ("goose", ".config/goose/config.yaml", "extensions:\n  cdp-image-mcp:\n    cmd: x\n    envs: ~\n"),
    ],
)
def test_an_entry_by_hand_that_says_something_we_would_say_otherwise_is_left(
    environment: dict[str, str], tmp_path: Path, client: str, file: str, text: str
) -> None:
    path = tmp_path / "home" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    done = ran(environment, "install", client, "--yes")
    assert done.returncode == 3, done.stderr
    assert "is left as it is: " in done.stderr
    assert path.read_text() == text


def test_a_program_that_cannot_be_looked_at_is_one_that_is_not_there(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another user's home it is such a one; a name that no file system takes is one for root too."""
    file = Path(environment["HOME"]) / ".cursor" / "mcp.json"
    file.parent.mkdir()
    program = "/" + 300 * "x"
    file.write_text(json.dumps({"mcpServers": {"cdp-image-mcp": {"command": program}}}))
    monkeypatch.setenv("HOME", environment["HOME"])
    told = {check.name: check.message for check in clients()}
    assert "which is not there" in told["client, cursor"]


@pytest.mark.parametrize(("given", "code"), [("~/mine.json", 0), ("~nobody-of-this-name/mine.json", 2)])
def test_a_home_in_the_name_of_a_file_is_found_or_told(
    environment: dict[str, str], tmp_path: Path, given: str, code: int
) -> None:
    """Shells leave --file=~/mine.json as it is."""
    (tmp_path / "here").mkdir()
    done = ran(environment, "install", "cursor", f"--file={given}", "--yes", cwd=tmp_path / "here")
    assert done.returncode == code, done.stderr
    assert (tmp_path / "home" / "mine.json").exists() is (code == 0)
    assert list((tmp_path / "here").iterdir()) == []


def test_whatever_a_clients_own_command_says_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    """In the letters of another console; and it asks nobody, for nobody would see its question."""
    program(tmp_path, "claude", "read answer; printf 'caf\\351 %s\\n' \"$answer\" >&2; exit 4")
    done = ran(environment, "install", "claude-code", "--yes", input="typed by a person\n")
    assert done.returncode == 1, done.stderr
    assert "claude said: caf\N{REPLACEMENT CHARACTER}\n" in done.stderr.replace(" \n", "\n")


def test_a_value_that_is_no_utf8_is_written_into_no_file(environment: dict[str, str], tmp_path: Path) -> None:
    done = ran(environment, "install", "cursor", "--yes", "--env", "MINE=caf\udce9", errors="surrogateescape")
    assert done.returncode == 3, done.stderr
    assert "is left as it is: what belongs into it is not UTF-8" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "home").iterdir()) == []
