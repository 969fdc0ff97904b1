"""What registries and installers read: the MCP registry's ``server.json``, the ``manifest.json`` of an MCPB bundle, and
the plugin and marketplace files of Claude Code.

Forms: https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json, and manifest version 0.4 of the
npm package @anthropic-ai/mcpb 2.1.2 (its type ``uv`` is called experimental there). Read 2026-11-23.
The plugin's two files pass ``claude plugin validate`` of 2.1.332 (2026-11-27).
"""

from typing import Any

from cdp_image_mcp import __version__
from cdp_image_mcp.mcp_server.client.table import BY_NAME
from cdp_image_mcp.mcp_server.client.table import NAME as SERVER_NAME
from cdp_image_mcp.mcp_server.tools import TOOLS
from tests.docs.reference import first_sentence
from tests.docs.variables import VARIABLES

NAME = "io.github.cdp-image-mcp/cdp-image-mcp"
"""In the registry. Whoever publishes needs to own the GitHub name before the slash; it also stands in the README."""
SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
SUMMARY = "Real pictures, saved as files, by your own ChatGPT in Chrome or by the OpenAI images API"
"""The registry takes at most 100 characters."""
AUTHOR = {"name": "The cdp-image-mcp founders"}
SECRETS = frozenset(("OPENAI_API_KEY",))

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_api_key": (
        "OPENAI_API_KEY",
        {"type": "string", "title": "OpenAI API key (optional)", "sensitive": True},
    ),
    "backend": ("GPT_IMAGE_BACKEND", {"type": "string", "title": "Back end", "default": "auto"}),
    "output_dir": ("GPT_IMAGE_OUTPUT_DIR", {"type": "directory", "title": "Folder for pictures"}),
    "budget_usd": ("GPT_IMAGE_BUDGET_USD", {"type": "string", "title": "Most dollars a day (API)"}),
    "daily_limit": ("GPT_IMAGE_DAILY_LIMIT", {"type": "string", "title": "Most pictures a day (web)"}),
    "chrome_path": ("CHROME_PATH", {"type": "file", "title": "Browser program"}),
}
"""What an installer asks for: name there, variable, form of the question."""


def registry_entry() -> dict[str, Any]:
    """``server.json``."""
    inputs: list[dict[str, Any]] = []
    for each in VARIABLES:
        entry: dict[str, Any] = {"name": each.name, "description": each.meaning.replace("`", ""), "isRequired": False}
        if each.name in SECRETS:
            entry["isSecret"] = True
        inputs.append(entry)
    return {
        "$schema": SERVER_SCHEMA,
        "name": NAME,
        "title": "Pictures by ChatGPT",
        "description": SUMMARY,
        "version": __version__,
        "packages": [
            {
                "registryType": "pypi",
                "identifier": "cdp-image-mcp",
                "version": __version__,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "environmentVariables": inputs,
            }
        ],
    }


def bundle_manifest() -> dict[str, Any]:
    """``manifest.json`` of a bundle that holds this checkout; the host brings uv and Python."""
    meanings = {each.name: each.meaning.replace("`", "") for each in VARIABLES}
    questions: dict[str, Any] = {}
    for name, (variable, question) in SETTINGS.items():
        # Without a default the host would hand the bare placeholder through; an empty variable counts as not set.
        questions[name] = {"description": meanings[variable], "required": False, "default": "", **question}
    return {
        "manifest_version": "0.4",
        "name": "cdp-image-mcp",
        "display_name": "Pictures by ChatGPT",
        "version": __version__,
        "description": SUMMARY,
        "author": AUTHOR,
        "license": "MIT",
        "keywords": ["image-generation", "chatgpt", "openai"],
        "server": {
            "type": "uv",
            "entry_point": "cdp_image_mcp/__main__.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--no-dev", "--directory", "${__dirname}", "cdp-image-mcp"],
                "env": {variable: f"${{user_config.{name}}}" for name, (variable, _) in SETTINGS.items()},
            },
        },
        "tools": [{"name": tool.name, "description": first_sentence(tool.description or "")} for tool in TOOLS],
        "compatibility": {"platforms": ["darwin", "linux", "win32"], "runtimes": {"python": ">=3.11"}},
        "user_config": questions,
    }


def plugin() -> dict[str, Any]:
    """``plugin.json``: the server as ``install claude-code`` writes it, and the skill beside it. It asks for no key:
    plugins' questions lose keys (claude-code#39455), and one in the shell reaches the server all the same."""
    client = BY_NAME.get("claude-code")
    if client is None:
        raise ValueError("the plugin is Claude Code's")
    return {
        "name": SERVER_NAME,
        "version": __version__,
        "description": SUMMARY,
        "author": AUTHOR,
        "license": "MIT",
        "keywords": ["image-generation", "chatgpt", "openai"],
        "mcpServers": {SERVER_NAME: client.entry(SERVER_NAME, [], client.env)},
    }


def marketplace() -> dict[str, Any]:
    """``marketplace.json`` of the folder that is the plugin as well: ``claude plugin marketplace add ./.mcp``."""
    entry = {"name": SERVER_NAME, "source": "./", "description": SUMMARY, "category": "media"}
    return {"name": f"{SERVER_NAME}-plugins", "owner": AUTHOR, "plugins": [entry]}
