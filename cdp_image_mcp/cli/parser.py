"""All commands and options, each with two examples: what is typed, what ``--help`` says, what a shell completes."""

import argparse
import re
from typing import NoReturn

from cdp_image_mcp import __version__
from cdp_image_mcp.cli.exit_codes import EXIT_CODES
from cdp_image_mcp.config import APP_NAME
from cdp_image_mcp.mcp_server.client.table import CLIENTS

SHELLS = ("bash", "zsh", "fish")
EXITS = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + "."
ODD = re.compile(r"-(?!\d+\Z|\d*\.\d+\Z)[^ ]+")
"""What argparse takes for an option: neither a dash alone, nor a number, nor words with a space."""
EXAMPLES: dict[str, tuple[str, str]] = {
    "serve": ("", "serve"),
    "login": ("login", "login && cdp-image-mcp generate a red fox"),
    "logout": ("logout", "logout --yes"),
    "generate": (
        "generate a red fox under a full moon -o fox.png --open",
        "generate -r cat.png make it blue, with a hat -n 2",
    ),
    "list": ("list", "list -n 100 --json"),
    "open": ("open", "open 3fa1"),
    "wait": ("wait", "wait 3fa1 --json"),
    "cancel": ("cancel 3fa1", "cancel 3fa1c0de3fa1c0de3fa1c0de3fa1c0de"),
    "collect": ("collect", "collect --json"),
    "gallery": ("gallery --open", "gallery"),
    "clean": ("clean", "clean 3fa1 --dry-run"),
    "status": ("status", "status --json"),
    "config": ("config", "config --json"),
    "doctor": ("doctor", "doctor --probe --json"),
    "install": ("install claude-code", "install codex --env GPT_IMAGE_BACKEND=chatgpt-web --dry-run"),
    "demo": ("demo", "demo a lighthouse at dusk"),
    "completion": (
        "completion bash > ~/.local/share/bash-completion/completions/cdp-image-mcp",
        "completion fish | source",
    ),
}


class _Parser(argparse.ArgumentParser):
    """Says what to type instead, where it is nearly right."""

    def error(self, message: str) -> NoReturn:
        super().error(f"{message}\nTry '{self.prog} --help'.")


def _generate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("prompt", metavar="PROMPT", nargs="*", help="what to draw, also without quotes; - reads it from standard input")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="put the picture there too: a file, whose ending says the format, or a folder",
    )
    add("--open", action="store_true", help="open the picture when it is there, of an SVG its folder")
    add("-r", "--reference-images", "--reference", dest="reference_images", action="append", metavar="FILE",
        help="picture to edit or to build on; may be given up to 16 times, on the web 10")  # fmt: skip
    add("-n", "--n", type=int, metavar="COUNT", help="how many pictures, 1 to 10; each is paid for")
    add("--size", help="auto, WIDTHxHEIGHT or a ratio such as 16:9")
    add("--backend", choices=("api", "chatgpt-web", "auto"), help="default: GPT_IMAGE_BACKEND or auto")
    add("--quality", help="auto, low, medium, high, xhigh or max (API only)")
    add("--output-format", "--format", dest="output_format", help="png, jpeg, webp, gif or svg (API only)")
    add("--background", help="auto, opaque or transparent")
    add("--output-compression", type=int, metavar="0-100", help="for jpeg and webp (API only)")
    add("--complexity", help="low, medium or high (gpt-image-2.6, API only)")
    add("--mask", metavar="FILE", help="PNG with alpha, with a reference picture (API only)")
    add("--conversation-mode", choices=("new", "continue"), help="continue: go on from the last one")
    add("--continue-from", metavar="ID", help="generation id of the picture to change; ID/3 for the third of several")
    add("--timeout-seconds", "--timeout", dest="timeout_seconds", type=float, metavar="SECONDS",
        help="30 to 1800, default 420: ends a generation that has not been sent by then")  # fmt: skip
    add("--output-dir", metavar="FOLDER", help="make the generation's folder in there; default the output root")
    add("--dry-run", action="store_true", help="check everything and say what would happen; send nothing")


def _install_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("client", metavar="CLIENT", nargs="?", help=", ".join(client.name for client in CLIENTS))
    add("--list", action="store_true", help="the clients, and which of them have the server")
    add("--print", action="store_true", help="only print what has to stand there")
    add("--remove", action="store_true", help="take the server out again")
    add("--env", metavar="NAME=VALUE", action="append", default=[], help="a setting for the server; may be repeated")
    add("--file", metavar="FILE", help="another file than the user's own, such as a project's .mcp.json")
    add("--dry-run", action="store_true", help="show the change and make none")
    add("-y", "--yes", action="store_true", help="agree beforehand; nobody is asked")


def make_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = _Parser(
        prog=APP_NAME,
        description="Real pictures for any MCP client, and for the command line. Without a command: serve MCP on "
        "standard input and output, as clients start it.",
        epilog=EXITS,
    )
    parser.add_argument("--version", action="version", version=f"{APP_NAME} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, summary: str, *, json: bool = False) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog="Examples:\n" + "".join(f"  {APP_NAME} {each}".rstrip() + "\n" for each in EXAMPLES[name]) + EXITS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if json:
            made.add_argument("--json", action="store_true", help="the answer as JSON on standard output")
        return made

    def named(name: str, summary: str, *, needed: bool = False, json: bool = False) -> argparse.ArgumentParser:
        made = command(name, summary, json=json)
        what = "a generation id or its beginning" + ("" if needed else "; default the newest")
        made.add_argument("id", metavar="ID", nargs=None if needed else "?", help=what)
        return made

    def agreed(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("-y", "--yes", action="store_true", help="agree beforehand; nobody is asked")
        return made

    command("serve", "serve MCP on standard input and output (the default)")
    _install_options(command("install", "bring the server into a client's configuration; shows the change and asks"))
    command("login", "open the browser window and wait until you have signed in by hand")
    agreed(command("logout", "throw the browser profile away, and with it the sign-in; asks first"))
    _generate_options(command("generate", "make a picture, save it and print its path", json=True))
    listed = command("list", "show the newest pictures with state, age and path", json=True)
    listed.add_argument("-n", "--count", type=int, default=20, metavar="COUNT", help="how many at most, default 20")
    folder = named("open", "open a picture in the system's viewer")
    folder.add_argument("--folder", action="store_true", help="open its folder instead")
    named("wait", "wait for a picture that is being made, and print its path", json=True)
    named("cancel", "stop a picture that is being made; what is there stays", needed=True)
    command("collect", "fetch what the site finished for interrupted pictures", json=True)
    gallery = command("gallery", "write the page of all pictures and print its path")
    gallery.add_argument("--open", action="store_true", help="open it in the default browser")
    clean = agreed(command("clean", "take away previews and what broken runs left, never a picture unless named; asks"))
    clean.add_argument("id", metavar="ID", nargs="*", help="generations to delete with their pictures")
    clean.add_argument("--dry-run", action="store_true", help="show what would go and take nothing away")
    command("status", "show back ends, running and newest pictures", json=True)
    command("config", "show the settings in force and where each comes from", json=True)
    doctor = command("doctor", "check browser, profile, sign-in, display, key, network, disk and settings", json=True)
    doctor.add_argument(
        "--probe", action="store_true", help="also look in the page, and ask the API for its models (free)"
    )
    demo = command("demo", "make a picture in a real browser at the bundled stand-in site; needs no account", json=True)
    demo.add_argument("prompt", metavar="PROMPT", nargs="*", help="default: a red fox under a full moon")
    completion = command("completion", "print what makes a shell complete commands and options")
    completion.add_argument("shell", choices=SHELLS, help="the shell")
    return parser


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Each command's own parser. The parser's list of actions is argparse's own name."""
    (group,) = [action for action in parser._actions if action.dest == "command"]  # noqa: SLF001
    choices: dict[str, argparse.ArgumentParser] = group.choices  # type: ignore[reportAssignmentType]
    return choices


def parse(arguments: list[str]) -> argparse.Namespace:
    """Raises SystemExit with what is to be typed instead. Words of a prompt may stand on both sides of options; behind
    ``--`` everything is one."""
    takes_words, words = arguments[:1] in (["generate"], ["demo"]), list[str]()
    if takes_words and "--" in arguments:
        end = arguments.index("--")
        arguments, words = arguments[:end], arguments[end + 1 :]
    parser = make_parser()
    parsed, rest = parser.parse_known_args(arguments)
    if odd := [word for word in rest if not takes_words or ODD.fullmatch(word)]:
        commands_of(parser).get(parsed.command, parser).error(f"unrecognized arguments: {' '.join(odd)}")
    if takes_words:
        parsed.prompt = [*parsed.prompt, *rest, *words]
    if parsed.command == "generate" and not parsed.prompt:
        commands_of(parser)["generate"].error("say what to draw: generate a red fox")
    return parsed
