"""What a shell completes, asked of the shell itself where it is here."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cdp_image_mcp.cli.completion import script
from cdp_image_mcp.cli.parser import commands_of, make_parser
from cdp_image_mcp.mcp_server.client.table import CLIENTS
from tests.cli.running import Typist

COMMANDS = sorted(commands_of(make_parser()))


def bash(line: str) -> list[str]:
    """What bash offers at the end of ``line``."""
    words = line.split(" ")
    array = " ".join(f"'{word}'" for word in words)
    asked = f"""{script("bash")}
COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}
_cdp_image_mcp
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=30, check=True)
    return sorted(line for line in ran.stdout.splitlines() if line)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("cdp-image-mcp ", COMMANDS),
        ("cdp-image-mcp ge", ["generate"]),
        ("cdp-image-mcp install cl", ["claude-code", "claude-desktop", "cline"]),
        (
            "cdp-image-mcp install --",
            ["--dry-run", "--env", "--file", "--help", "--list", "--print", "--remove", "--yes"],
        ),
        ("cdp-image-mcp generate a fox --backend ", ["api", "auto", "chatgpt-web"]),
        ("cdp-image-mcp generate --size ", []),
        ("cdp-image-mcp completion ", ["bash", "fish", "zsh"]),
        ("cdp-image-mcp clean --d", ["--dry-run"]),
    ],
)
def test_bash_completes_commands_options_and_values(line: str, offered: list[str]) -> None:
    assert bash(line) == offered


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("generate -r my", ["generate", "-r", "my cat.png"]),
        ("generate -o pic", ["generate", "-o", "pictures/"]),
        ("generate --mask pictures/", ["generate", "--mask", "pictures/dog.png"]),
        ("generate --size ", ["generate", "--size"]),
        ("generate --backend ch", ["generate", "--backend", "chatgpt-web"]),
        ("inst", ["install"]),
    ],
)
def test_bash_itself_completes_a_line(line: str, words: list[str], tmp_path: Path) -> None:
    """Its own reading of lines: names with a space, folders, and no files where none belong."""
    version = subprocess.check_output(["bash", "-c", "echo $BASH_VERSINFO"], text=True)
    if line.endswith("--size ") and int(version) < 4:
        pytest.skip("macOS has a bash that cannot be told to offer nothing")
    (tmp_path / "my cat.png").touch()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "dog.png").touch()
    shown = "cdp-image-mcp() { printf '<%s>' \"$@\"; printf ' that is %s\\n' all; }"
    (tmp_path / ".script").write_text(f"{script('bash')}{shown}\ncd {tmp_path}; PS1='ready> '\n")
    (tmp_path / ".inputrc").write_text("set bell-style none\nset show-all-if-ambiguous on\n")
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "INPUTRC": str(tmp_path / ".inputrc")}
    bash = ["bash", "--rcfile", str(tmp_path / ".script"), "--noprofile", "-i"]
    person = Typist(environment, program=[shutil.which("bash") or "bash", *bash[1:]])
    person.until("ready> ")
    person.types(f"cdp-image-mcp {line}\t\n")
    person.until("that is all")
    person.types("exit\n")
    _, seen = person.end()
    assert "".join(f"<{word}>" for word in words) in seen
    assert ("my cat" in seen) is ("my cat.png" in words)  # what is offered is shown


@pytest.mark.parametrize(("shell", "check"), [("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_the_other_shells_read_their_scripts(
    shell: str, check: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    path = tmp_path_factory.mktemp("script") / "script"
    path.write_text(script(shell))
    subprocess.run([shell, *check, str(path)], check=True, timeout=30)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("cdp-image-mcp ge", ["generate"]),
        ("cdp-image-mcp install cl", ["claude-code", "claude-desktop", "cline"]),
        ("cdp-image-mcp logout --y", ["--yes"]),
    ],
)
def test_fish_completes_commands_options_and_values(line: str, offered: list[str], tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not here")
    path = tmp_path / "script"
    path.write_text(script("fish"))
    asked = ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout
    assert sorted(each.split("\t")[0] for each in told.splitlines()) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_every_command_option_and_client_is_in_the_script(shell: str) -> None:
    text = script(shell)
    for name, parser in commands_of(make_parser()).items():
        assert re.search(rf"\b{name}\b", text)
        for option in (name for action in parser._actions for name in action.option_strings if name.startswith("--")):
            assert (option if shell == "zsh" else f"-l {option[2:]} ") in text
    for client in CLIENTS:
        assert client.name in text
