"""The real program, as a client starts it: a process on stdio, with its own folders, against the stand-in site."""

import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec
import psutil
from mcp import Client, StdioServerParameters
from mcp.client.session import ElicitationFnT
from mcp.client.stdio import stdio_client
from mcp_types import CallToolResult, ImageContent, TextContent

from tests.browser import SWITCHES, chosen

__all__ = ["Answer", "Program", "environment", "profile_processes", "running_program", "words_of"]


def environment(folder: Path, site: str, **variables: str) -> dict[str, str]:
    """The variables of a program whose every file lies in ``folder``."""
    base = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return {
        **base,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "GPT_IMAGE_BACKEND": "chatgpt-web",
        "GPT_IMAGE_OUTPUT_DIR": str(folder / "output" / "chatgpt-images"),
        "GPT_IMAGE_WAIT_SECONDS": "60",
        "CHATGPT_WEB_URL": site,
        "CHATGPT_WEB_PROFILE_DIR": str(folder / "profile"),
        "CHATGPT_WINDOW_MODE": "headless",
        "CHATGPT_CHROME_ARGS": " ".join(SWITCHES),
        **chosen(),
        "GPT_IMAGE_LOG": "info",
        **variables,
    }


@dataclass
class Answer:
    """A tool's answer: its JSON, its pictures, whether it is an error."""

    data: dict[str, Any]
    pictures: list[ImageContent]
    is_error: bool
    size: int

    @property
    def status(self) -> str:
        return self.data["status"]

    @property
    def code(self) -> str | None:
        return self.data.get("code")

    def files(self) -> list[bytes]:
        return [Path(image["path"]).read_bytes() for image in self.data.get("images", [])]

    def record(self) -> dict[str, Any]:
        return msgspec.json.decode((Path(self.data["output_dir"]) / "metadata.json").read_bytes())


@dataclass
class Program:
    client: Client
    folder: Path
    messages: list[str] = field(default_factory=list[str])

    async def call(self, tool: str, **arguments: Any) -> Answer:
        async def note(progress: float, total: float | None, message: str | None) -> None:
            self.messages.append(message or "")

        with anyio.fail_after(arguments.get("wait_seconds", 120) + 30):
            result = await self.client.call_tool(tool, arguments, progress_callback=note)
        return answer_of(result)

    async def whole(self, answer: Answer) -> Answer:
        """What is listed once the turn at the site is over: a saved answer comes as soon as the asked picture is on
        disk, and what else the site draws is saved behind it."""
        if answer.status != "saved":
            return answer
        with anyio.fail_after(120):
            while answer.record()["facts"].get("turn_pressed") is not False:  # noqa: ASYNC110 - a file of another process
                await anyio.sleep(0.05)
        told = await self.call("wait_for_image", generation_id=answer.data["generation_id"], images="none")
        await noted(Path(answer.data["output_dir"]) / "metadata.json")
        return told

    async def generate(self, prompt: str, **arguments: Any) -> Answer:
        return await self.call("generate_image", prompt=prompt, **arguments)


async def noted(sidecar: Path) -> None:
    """Until the program has put down that its answer about an end is out, which it does behind the answer."""
    with anyio.fail_after(60):
        while not msgspec.json.decode(sidecar.read_bytes())["fetched"]:  # noqa: ASYNC110 - a file of another process
            await anyio.sleep(0.02)


def answer_of(result: CallToolResult) -> Answer:
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    pictures = [block for block in result.content if isinstance(block, ImageContent)]
    size = len(result.model_dump_json(by_alias=True))
    return Answer(msgspec.json.decode(texts[0]), pictures, bool(result.is_error), size)


@asynccontextmanager
async def running_program(
    folder: Path,
    site: str,
    *,
    mode: str = "legacy",
    variables: Mapping[str, str] | None = None,
    ask: ElicitationFnT | None = None,
) -> AsyncGenerator[Program]:
    """The server process and a client of the Python SDK; its standard error goes to ``folder/stderr``. A client with
    ``ask`` declares that it can ask its user, and asks by it."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "cdp_image_mcp"],
        env=environment(folder, site, **(variables or {})),
        cwd=folder,
    )
    with (folder / "stderr").open("a", encoding="utf-8") as log:
        async with Client(stdio_client(parameters, errlog=log), mode=mode, elicitation_callback=ask) as client:
            yield Program(client, folder)


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; empty for one that has just ended."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def profile_processes(folder: Path) -> list[psutil.Process]:
    """Processes that work on a profile below ``folder``."""
    return [each for each in psutil.process_iter() if any(str(folder) in word for word in words_of(each))]
