"""``completion SHELL``: a script that makes a shell complete what the parser takes. It is made from the parser and asks
the program nothing, so that pressing the tabulator costs nothing."""

import argparse
import shlex

import msgspec

from cdp_image_mcp.cli.parser import commands_of, make_parser
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import APP_NAME, Settings
from cdp_image_mcp.mcp_server.client.table import CLIENTS

FILES = frozenset(("FILE", "FOLDER"))


class _Option(msgspec.Struct, frozen=True):
    names: list[str]
    help: str
    takes: str | None
    """None for a switch, else what follows it."""
    choices: list[str]


class _Command(msgspec.Struct, frozen=True):
    name: str
    help: str
    options: list[_Option]
    words: list[str]
    """What may stand there without a dash."""


def _commands() -> list[_Command]:
    return [_read(name, parser) for name, parser in commands_of(make_parser()).items()]


def _read(name: str, parser: argparse.ArgumentParser) -> _Command:
    options: list[_Option] = []
    words: list[str] = [client.name for client in CLIENTS] if name == "install" else []
    for action in parser._actions:  # noqa: SLF001  argparse has no other list of them
        choices = [str(each) for each in action.choices or ()]
        if not action.option_strings:
            words += choices
            continue
        takes = None if action.nargs == 0 else str(action.metavar or action.dest.upper())
        options.append(_Option(list(action.option_strings), action.help or "", takes, choices))
    return _Command(name, (parser.description or "").rstrip("."), options, words)


def script(shell: str) -> str:
    """The whole script for ``bash``, ``zsh`` or ``fish``."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](_commands())


def _names(command: _Command) -> list[str]:
    return [name for option in command.options for name in option.names]


def _bash(commands: list[_Command]) -> str:
    cases = "\n".join(
        f"        {each.name}) options={_quoted(_names(each))}; words={_quoted(each.words)} ;;" for each in commands
    )
    values = "\n".join(
        f"        {'|'.join(option.names)}) {_bash_values(option.choices)}; return ;;"
        for option in _once(commands)
        if option.takes not in FILES
    )
    files = "|".join(name for option in _once(commands) if option.takes in FILES for name in option.names)
    return f"""# bash completion for {APP_NAME}, made by '{APP_NAME} completion bash'
_cdp_image_mcp() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} options= words= command= each
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $each in -*) ;; *) command=$each; break ;; esac
    done
    case $before in
        {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
{values}
    esac
    case $command in
        "") options='--help --version'; words={_quoted([each.name for each in commands])} ;;
{cases}
    esac
    case $word in
        -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    esac
}}
complete -o default -F _cdp_image_mcp {APP_NAME}
"""


def _quoted(words: list[str]) -> str:
    return shlex.quote(" ".join(words))


def _bash_values(choices: list[str]) -> str:
    return f'COMPREPLY=($(compgen -W {_quoted(choices)} -- "$word"))' if choices else "COMPREPLY=()"


def _once(commands: list[_Command]) -> list[_Option]:
    """Each option that takes something, one time: the same names take the same everywhere."""
    found = {tuple(option.names): option for command in commands for option in command.options if option.takes}
    return list(found.values())


def _zsh(commands: list[_Command]) -> str:
    listed = "\n".join(f"        {_zsh_text(f'{each.name}:{each.help}')}" for each in commands)
    cases = "\n".join(_zsh_case(each) for each in commands)
    return f"""#compdef {APP_NAME}
# zsh completion for {APP_NAME}, made by '{APP_NAME} completion zsh'
_cdp_image_mcp() {{
    local -a commands
    commands=(
{listed}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case $words[2] in
{cases}
    esac
}}
# Called as a file of $fpath, or read by 'source'.
if [[ $funcstack[1] == _cdp* ]]; then _cdp_image_mcp "$@"; else compdef _cdp_image_mcp {APP_NAME}; fi
"""


def _zsh_case(command: _Command) -> str:
    specs = [_zsh_spec(option, name) for option in command.options for name in option.names]
    if command.words:
        specs.append(_zsh_text(f"*:what:({' '.join(command.words)})"))
    lines = " \\\n            ".join(specs)
    return f"        {command.name}) _arguments -S \\\n            {lines} ;;"


def _zsh_spec(option: _Option, name: str) -> str:
    said = option.help.replace("[", "(").replace("]", ")").replace(":", " -")
    spec = f"*{name}[{said}]"
    if option.takes is not None:
        how = f"({' '.join(option.choices)})" if option.choices else "_files" if option.takes in FILES else " "
        spec += f":{option.takes}:{how}"
    return _zsh_text(spec)


def _zsh_text(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(commands: list[_Command]) -> str:
    lines = [
        f"# fish completion for {APP_NAME}, made by '{APP_NAME} completion fish'",
        f"complete -c {APP_NAME} -f",
        f"complete -c {APP_NAME} -n __fish_use_subcommand -l version -d 'Say the version'",
    ]
    lines += [
        f"complete -c {APP_NAME} -n __fish_use_subcommand -a {each.name} -d {_fish_text(each.help)}"
        for each in commands
    ]
    for each in commands:
        here = f"complete -c {APP_NAME} -n '__fish_seen_subcommand_from {each.name}'"
        lines += [f"{here} {_fish_option(option)}" for option in each.options]
        if each.words:
            lines.append(f"{here} -a {_fish_text(' '.join(each.words))}")
    return "\n".join(lines) + "\n"


def _fish_option(option: _Option) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    takes: list[str] = []
    if option.takes is not None:
        takes = ["-r", "-F"] if option.takes in FILES else ["-x"]
        takes += ["-a", _fish_text(" ".join(option.choices))] if option.choices else []
    return " ".join([*names, *takes, "-d", _fish_text(option.help)])


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


async def completion(parsed: argparse.Namespace, _: Settings, terminal: Terminal) -> int:
    """The command."""
    terminal.result(script(parsed.shell).rstrip("\n"))
    return 0
