"""``completion SHELL``: a script that makes a shell complete what the parser takes. It is made from the parser and asks
the program nothing, so that pressing the tabulator costs nothing."""

import argparse
import shlex

from cdp_image_mcp.cli.exit_codes import DONE
from cdp_image_mcp.cli.parser import commands_of, make_parser
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import APP_NAME, Settings
from cdp_image_mcp.mcp_server.client.table import CLIENTS

FILES = frozenset(("FILE", "FOLDER"))


class _Option:
    """An option as argparse has it, with what follows it: None for a switch."""

    def __init__(self, action: argparse.Action) -> None:
        self.names = action.option_strings
        self.help = action.help or ""
        self.choices = [str(each) for each in action.choices or ()]
        self.takes = None if action.nargs == 0 else str(action.metavar or action.dest.upper())


class _Command:
    def __init__(self, name: str, parser: argparse.ArgumentParser) -> None:
        self.name = name
        self.help = (parser.description or "").rstrip(".")
        actions = [_Option(action) for action in parser._actions]  # noqa: SLF001  argparse has no other list of them
        self.options = [each for each in actions if each.names]
        self.names = [name for option in self.options for name in option.names]
        # What may stand there without a dash.
        self.words = [client.name for client in CLIENTS] if name == "install" else []
        self.words += [word for each in actions if not each.names for word in each.choices]


def script(shell: str) -> str:
    """The whole script for ``bash``, ``zsh`` or ``fish``."""
    commands = [_Command(name, parser) for name, parser in commands_of(make_parser()).items()]
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _bash(commands: list[_Command]) -> str:
    # Each option that takes something, one time: the same names take the same everywhere.
    taking = {tuple(each.names): each for command in commands for each in command.options if each.takes}.values()
    cases = "\n".join(
        f"        {each.name}) options={_quoted(each.names)}; words={_quoted(each.words)} ;;" for each in commands
    )
    values = "\n".join(
        f"        {'|'.join(option.names)}) {_bash_values(option.choices)}; return ;;"
        for option in taking
        if option.takes not in FILES
    )
    files = "|".join(name for option in taking if option.takes in FILES for name in option.names)
    return f"""# bash completion for {APP_NAME}, made by '{APP_NAME} completion bash'
_cdp_image_mcp() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} options= words= command= each
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $each in -*) ;; *) command=$each; break ;; esac
    done
    case $before in
        {files}) COMPREPLY=(); return ;;
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
    # With nothing to offer bash offers files, and knows best how they are written; bash 3.2 (macOS) always does.
    nothing = "compopt +o default 2>/dev/null; COMPREPLY=()"
    return f'COMPREPLY=($(compgen -W {_quoted(choices)} -- "$word"))' if choices else nothing


def _zsh(commands: list[_Command]) -> str:
    listed = "\n".join(f"        {shlex.quote(f'{each.name}:{each.help}')}" for each in commands)
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
        specs.append(shlex.quote(f"*:what:({' '.join(command.words)})"))
    lines = " \\\n            ".join(specs)
    return f"        {command.name}) _arguments -S \\\n            {lines} ;;"


def _zsh_spec(option: _Option, name: str) -> str:
    said = option.help.replace("[", "(").replace("]", ")").replace(":", " -")
    spec = f"*{name}[{said}]"
    if option.takes is not None:
        how = f"({' '.join(option.choices)})" if option.choices else "_files" if option.takes in FILES else " "
        spec += f":{option.takes}:{how}"
    return shlex.quote(spec)


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
    terminal.result(script(parsed.shell).rstrip("\n"))
    return DONE
