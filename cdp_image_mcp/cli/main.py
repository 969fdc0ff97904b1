"""The command line: arguments in, exit code out. Only ``serve`` loads the MCP SDK, and it loads nothing else."""

import argparse
import gc
import logging
import sys
from collections.abc import Sequence

import msgspec

from cdp_image_mcp import __version__
from cdp_image_mcp.cli.exit_codes import DONE, EXIT_CODES
from cdp_image_mcp.config import API, APP_NAME, Problem, Settings, load
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.front import Front

__all__ = ["main", "make_parser"]

EPILOG = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + "."


def _generate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", metavar="PROMPT", help="what to draw; - reads it from standard input")
    parser.add_argument("--backend", choices=("api", "chatgpt-web", "auto"), help="default: GPT_IMAGE_BACKEND or auto")
    parser.add_argument("-n", "--n", type=int, metavar="COUNT", help="how many pictures, 1 to 10; each is paid for")
    parser.add_argument("--size", help="auto, WIDTHxHEIGHT or a ratio such as 16:9")
    parser.add_argument("--quality", help="auto, low, medium, high, xhigh or max (API only)")
    parser.add_argument(
        "--output-format", "--format", dest="output_format", help="png, jpeg, webp, gif or svg (API only)"
    )
    parser.add_argument("--background", help="auto, opaque or transparent")
    parser.add_argument("--output-compression", type=int, metavar="0-100", help="for jpeg and webp (API only)")
    parser.add_argument("--complexity", help="low, medium or high (gpt-image-2.6, API only)")
    parser.add_argument(
        "-r",
        "--reference-images",
        "--reference",
        dest="reference_images",
        action="append",
        metavar="FILE",
        help="picture to edit or to build on; may be given up to 16 times",
    )
    parser.add_argument("--mask", metavar="FILE", help="PNG with alpha, with a reference picture (API only)")
    parser.add_argument("--conversation-mode", choices=("new", "continue"), help="continue: go on from the last one")
    parser.add_argument("--continue-from", metavar="ID", help="generation id of the picture to change")
    parser.add_argument("--timeout-seconds", "--timeout", dest="timeout_seconds", type=float, metavar="SECONDS")
    parser.add_argument("--output-dir", metavar="FOLDER", help="inside an allowed folder; default the output root")
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything and say what would happen; send nothing"
    )


def make_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = argparse.ArgumentParser(
        prog=APP_NAME,
        description="Real pictures for any MCP client, and for the command line. Without a command: serve MCP on "
        "standard input and output, as clients start it.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"{APP_NAME} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, summary: str, *, json: bool = False) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=EPILOG
        )
        if json:
            made.add_argument("--json", action="store_true", help="the answer as JSON on standard output")
        return made

    command("serve", "serve MCP on standard input and output (the default)")
    command("login", "open the browser window and wait until you have signed in by hand")
    _generate_options(command("generate", "make a picture, save it and print its path", json=True))
    command("status", "show back ends, running and newest pictures", json=True)
    doctor = command("doctor", "check browser, profile, sign-in, display, key, network, disk and settings", json=True)
    doctor.add_argument("--probe", action="store_true", help="also look in the page for everything that is used there")
    demo = command("demo", "make a picture in a real browser at the bundled stand-in site; needs no account", json=True)
    demo.add_argument("prompt", metavar="PROMPT", nargs="?", default="a red fox under a full moon")
    gallery = command("gallery", "write the page of all pictures and print its path")
    gallery.add_argument("--open", action="store_true", help="open it in the default browser")
    command("collect", "fetch what the site finished for interrupted pictures", json=True)
    return parser


def _configure_log(settings: Settings) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=settings.log_level.upper(), format=f"{APP_NAME} %(levelname)s %(name)s: %(message)s"
    )


def _settings() -> Settings:
    """All variables checked, those too whose meaning only one part of the program knows. A bad one is left out, so
    that what can be told about the rest is still told."""
    settings = load()
    problems: list[Problem] = []
    if settings.base_url != API or settings.compat is not None:
        from cdp_image_mcp.openai.profiles import profile_problem

        if (problem := profile_problem(settings)) is not None:
            problems.append(problem)
    if settings.site_file is not None:
        from cdp_image_mcp.chatgpt import words
        from cdp_image_mcp.chatgpt.page import locators

        try:
            words.load(locators.load(settings.site_file).words or None)
        except ImageError as error:
            problems.append(Problem("CHATGPT_SITE_FILE", error.message.removeprefix("CHATGPT_SITE_FILE: ")))
            settings = msgspec.structs.replace(settings, site_file=None)
    if settings.chrome_path is not None and not settings.chrome_path.is_file():
        problems.append(
            Problem(
                "CHROME_PATH",
                f"{settings.chrome_path} is no program file; install Chrome or Edge, or correct the path.",
            )
        )
    return msgspec.structs.replace(settings, problems=(*settings.problems, *problems))


def _serve(front: Front | None) -> int:
    import anyio

    from cdp_image_mcp.mcp_server.client.wire import Wire
    from cdp_image_mcp.mcp_server.ways import first_way

    if sys.stdin is not None and sys.stdin.isatty():
        print(
            f"{APP_NAME} {__version__} serves MCP on standard input and output; clients start it by themselves.\n"
            f"For people: {APP_NAME} --help. Ctrl-C ends it.",
            file=sys.stderr,
        )
    wire = Wire()  # a client's first question is answered while the rest is loaded
    settings = _settings()
    _configure_log(settings)
    for problem in settings.problems:
        print(f"{APP_NAME}: {problem.variable}: {problem.message}", file=sys.stderr)
    # Clients keep this in their logs: what a question to the makers begins with.
    way, why = first_way(settings)
    print(
        f"{APP_NAME} {__version__} serves; pictures by {way} first ({why}), saved in {settings.output_dir}",
        file=sys.stderr,
    )
    # A tenth of the start is the collector looking at the SDK's classes again and again while they are made.
    gc.disable()
    from cdp_image_mcp.mcp_server.serving import serve

    gc.enable()
    gc.freeze()
    anyio.run(serve, settings, wire, front)
    return DONE


def main(arguments: Sequence[str] | None = None, *, front: Front | None = None) -> int:
    """Run one command and answer its exit code. ``front``: the process before this one, for a server."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsed = make_parser().parse_args(given)
    if parsed.command in {None, "serve"}:
        return _serve(front)
    settings = _settings()
    _configure_log(settings)
    from cdp_image_mcp.cli.commands import run

    return run(parsed, settings)
