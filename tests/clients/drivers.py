"""How each client is started against the scripted model. What stands in its file for our server is the block that the
README gives (``mcp_server/client/table.py``)."""

import json
import platform
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdp_image_mcp.cli.install.configuration import block
from cdp_image_mcp.mcp_server.client.table import BY_NAME, Client
from tests.clients.world import World
from tests.mcp_server.npm import Packages

SYSTEM = f"{sys.platform}-{'arm64' if platform.machine() in {'arm64', 'aarch64'} else 'x64'}"
"""As npm packages name it."""
PROGRAM = str(Path(sysconfig.get_path("scripts")) / "cdp-image-mcp")
JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Driver:
    """One client. Filled in are ``{url}``, the model's address, ``{prompt}``, what is said, and ``{home}``."""

    name: str
    package: str
    program: str
    """What npm calls it, or the script inside of the package that does."""
    command: tuple[str, ...]
    variables: dict[str, str]
    settings: JsonObject | str = ""
    """What stands in the same file beside our block."""
    first: tuple[str, ...] = ()
    """What is run once before the first run."""
    lists: tuple[str, ...] = ()
    """The client's command that connects to its servers without any account."""
    connected: str = ""
    """What that prints then, for clients that every run of the suite asks: one that speaks as in 2026-07-28, one that
    shakes hands."""

    @property
    def client(self) -> Client:
        """Its row of the one table."""
        client = BY_NAME.get(self.name)
        assert client is not None, self.name
        return client

    @property
    def version(self) -> str:
        """As the table says."""
        found = re.search(r"\d[\d.]*\d", self.client.seen)
        assert found is not None, self.name
        return found[0]

    def started(self, packages: Packages) -> list[str]:
        """The client's program."""
        inside = packages.folder / "node_modules" / self.program
        if "/" not in self.program:
            return packages.program(self.program)
        return [packages.node, str(inside)] if inside.suffix else [str(inside)]

    def prepare(self, world: World, url: str, env: dict[str, str], program: str = PROGRAM) -> None:
        """Write its configuration: the README's block with ``env`` added, and where its model is."""
        file = world.home / self.client.files[""].removeprefix("~/")
        entry = self.client.entry(program, [], self.client.env | env)
        file.parent.mkdir(parents=True, exist_ok=True)
        ours = block(self.client, entry)
        if isinstance(self.settings, str):
            file.write_text(self.settings.replace("{url}", url) + "\n" + ours)
        else:
            file.write_text(json.dumps(filled(self.settings, url) | json.loads(ours), indent=2))

    def line(self, world: World, url: str, prompt: str) -> list[str]:
        """The arguments of one run without a terminal."""
        return [filled(each, url, **{"{prompt}": prompt, "{home}": str(world.home)}) for each in self.command]

    def environment(self, world: World, url: str) -> dict[str, str]:
        return {name: filled(value, url, **{"{home}": str(world.home)}) for name, value in self.variables.items()}


def filled(value: Any, url: str = "", **given: str) -> Any:
    """``value`` with its places filled in."""
    text = json.dumps(value)
    for place, word in {"{url}": url, **given}.items():
        text = text.replace(place, json.dumps(word)[1:-1])
    return json.loads(text)


CODEX = """\
model = "gpt-5.1-codex"
model_provider = "scripted"
[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""
CONTINUE = """\
name: scripted
version: 1.0.0
schema: v1
models:
  - name: scripted
    provider: openai
    model: gpt-5.1
    apiBase: {url}/v1
    apiKey: scripted
    roles: [chat]
    capabilities: [tool_use, image_input]
"""

DRIVERS = (
    Driver(
        name="claude-code",
        package="@anthropic-ai/claude-code",
        program="@anthropic-ai/claude-code/cli-wrapper.cjs",
        command=("-p", "{prompt}", "--model", "claude-sonnet-4-5", "--allowedTools", "mcp__cdp-image-mcp"),
        variables={
            "ANTHROPIC_BASE_URL": "{url}",
            "ANTHROPIC_API_KEY": "scripted",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        },
        settings={},
        lists=("mcp", "list"),
        connected="Connected",
    ),
    Driver(
        name="codex",
        package="@openai/codex",
        program="codex",
        command=("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "{prompt}"),
        variables={},
        settings=CODEX,
    ),
    Driver(
        name="gemini-cli",
        package="@google/gemini-cli",
        program="gemini",
        command=("-m", "gemini-2.5-pro", "--approval-mode", "yolo", "-p", "{prompt}"),
        variables={
            "GOOGLE_GEMINI_BASE_URL": "{url}",
            "GEMINI_API_KEY": "scripted",
            "GEMINI_TELEMETRY_ENABLED": "false",
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
        },
        settings={
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": False},
            "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
        },
        lists=("mcp", "list"),
        connected="Connected",
    ),
    Driver(
        name="opencode",
        package="opencode-ai",
        program=f"opencode-{SYSTEM}/bin/opencode",
        command=("run", "-m", "scripted/scripted", "{prompt}"),
        variables={"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
        settings={
            "autoupdate": False,
            "share": "disabled",
            "provider": {
                "scripted": {
                    "npm": "@ai-sdk/openai-compatible",
                    "name": "scripted",
                    "options": {"baseURL": "{url}/v1", "apiKey": "scripted"},
                    "models": {
                        "scripted": {
                            "name": "scripted",
                            "tool_call": True,
                            "attachment": True,
                            "modalities": {"input": ["text", "image"], "output": ["text"]},
                        }
                    },
                }
            },
            "model": "scripted/scripted",
            "small_model": "scripted/scripted",
        },
    ),
    Driver(
        name="copilot-cli",
        package="@github/copilot",
        program="copilot",
        command=("--disable-builtin-mcps", "--allow-all-tools", "--no-color", "-p", "{prompt}"),
        variables={
            "COPILOT_OFFLINE": "true",
            "COPILOT_PROVIDER_BASE_URL": "{url}/v1",
            "COPILOT_MODEL": "scripted",
            "COPILOT_PROVIDER_TYPE": "openai",
            "COPILOT_PROVIDER_API_KEY": "scripted",
        },
        settings={},
    ),
    Driver(
        name="cline",
        package="cline",
        program="cline/bin/cline",
        command=("-P", "openai", "-m", "scripted", "--auto-approve", "true", "{prompt}"),
        first=("auth", "-p", "openai", "-b", "{url}/v1", "-k", "scripted", "-m", "scripted"),
        variables={"CLINE_NO_AUTO_UPDATE": "1", "CLINE_TELEMETRY_DISABLED": "1"},
        settings={},
    ),
    Driver(
        name="qwen-code",
        package="@qwen-code/qwen-code",
        program="qwen",
        command=("--auth-type", "openai", "-m", "qwen3-vl-plus", "--approval-mode", "yolo", "-p", "{prompt}"),
        variables={"OPENAI_BASE_URL": "{url}/v1", "OPENAI_MODEL": "qwen3-vl-plus"},
        settings={
            "privacy": {"usageStatisticsEnabled": False},
            "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
        },
    ),
    Driver(
        name="continue",
        package="@continuedev/cli",
        program="cn",
        command=("--config", "{home}/.continue/config.yaml", "--auto", "-p", "{prompt}"),
        variables={"CONTINUE_TELEMETRY_ENABLED": "0", "CONTINUE_CLI_ENABLE_TELEMETRY": "0"},
        settings=CONTINUE,
    ),
)
