"""The command line: arguments in, exit code out. Only ``serve`` loads the MCP SDK, and it loads nothing else."""

import gc
import logging
import os
import sys
from collections.abc import Sequence

import msgspec

from cdp_image_mcp import __version__
from cdp_image_mcp.cli.exit_codes import DONE
from cdp_image_mcp.cli.parser import parse
from cdp_image_mcp.config import API, APP_NAME, Problem, Settings, load
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.front import Front
from cdp_image_mcp.system.telling import tell


def _configure_log(settings: Settings, handler: logging.Handler) -> None:
    form = f"{APP_NAME} %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), format=form)


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
        from cdp_image_mcp.chatgpt.page import locators

        try:
            locators.load(settings.site_file)
        except ImageError as error:
            problems.append(Problem("CHATGPT_SITE_FILE", error.message.removeprefix("CHATGPT_SITE_FILE: ")))
            settings = msgspec.structs.replace(settings, site_file=None)
    # Path.is_file raises for what may not be looked at (CPython 3.11 to 3.13).
    if settings.chrome_path is not None and not os.path.isfile(settings.chrome_path):  # noqa: PTH113
        problems.append(
            Problem(
                "CHROME_PATH",
                f"{settings.chrome_path} is no program file; install Chrome or Edge, or correct the path.",
            )
        )
    return msgspec.structs.replace(settings, problems=(*settings.problems, *problems))


def _serve(front: Front | None) -> int:
    import anyio

    from cdp_image_mcp.mcp_server.client.logpipe import LogPipe
    from cdp_image_mcp.mcp_server.client.wire import Wire
    from cdp_image_mcp.mcp_server.ways import first_way

    if sys.stdin.isatty():
        tell(
            f"{APP_NAME} {__version__} serves MCP on standard input and output; clients start it by themselves.\n"
            f"For people: {APP_NAME} --help. Ctrl-C ends it.\n"
        )
    wire = Wire()  # a client's first question is answered while the rest is loaded
    settings = _settings()
    heard = LogPipe()
    _configure_log(settings, heard)
    for problem in settings.problems:
        heard.tell(f"{APP_NAME}: {problem.variable}: {problem.message}\n")
    # Clients keep this in their logs: what a question to the makers begins with.
    way, why = first_way(settings)
    heard.tell(f"{APP_NAME} {__version__} serves; pictures by {way} first ({why}), saved in {settings.output_dir}\n")
    # A tenth of the start is the collector looking at the SDK's classes again and again while they are made.
    gc.disable()
    from cdp_image_mcp.mcp_server.serving import serve

    gc.enable()
    gc.freeze()
    anyio.run(serve, settings, wire, front)
    return DONE


def main(arguments: Sequence[str] | None = None, *, front: Front | None = None) -> int:
    """Run one command and answer its exit code. ``front``: the process before this one, where there is one."""
    if os.environ.get("HOME") == "":
        del os.environ["HOME"]  # it would be the root of the disk
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsed = parse(given)
    if parsed.command in {None, "serve"}:
        return _serve(front)
    settings = _settings()
    _configure_log(settings, logging.StreamHandler(sys.stderr))
    from cdp_image_mcp.cli.commands import run

    return run(parsed, settings, front)
