"""``status`` and ``config``: what is ready and what is being made; the settings in force and where each comes from."""

import argparse
import os
from typing import Any

from cdp_image_mcp.cli.exit_codes import DONE
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import READ, Settings
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.mcp_server.ways import first_way
from cdp_image_mcp.system.plaintext import clean

SECRETS = frozenset(("OPENAI_API_KEY", "GPT_IMAGE_SAFETY_IDENTIFIER"))


def in_force(settings: Settings) -> list[dict[str, str]]:
    """Each variable with its value and where that comes from: ``environment``, ``default``, another variable that sets
    the same, or what is wrong; at last those that are not ours, though they look so."""
    wrong = {problem.variable: problem.message for problem in settings.problems}
    setting = {
        field: name for name, (field, _) in READ.items() if os.environ.get(name, "").strip() and name not in wrong
    }
    lines: list[dict[str, str]] = []
    for name, (field, _) in READ.items():
        by = setting.get(field)
        source = "default" if by is None else "environment" if by == name else f"by {by}"
        if (message := wrong.pop(name, None)) is not None:
            source = f"not taken: {message}"
        lines.append({"variable": name, "value": _told(name, getattr(settings, field)), "source": source})
    return lines + [
        {"variable": name, "value": "none", "source": f"not taken: {message}"} for name, message in wrong.items()
    ]


def _told(name: str, value: Any) -> str:
    if value is None or value == ():
        return "none"
    if name in SECRETS:
        return "…" + value[-4:] if len(value) > 20 else "set"
    if name == "CHATGPT_HIDE_WINDOW":
        return "0" if value == "visible" else "1"
    if isinstance(value, tuple):
        return (os.pathsep if name == "GPT_IMAGE_INPUT_ROOTS" else " ").join(map(str, value))  # type: ignore[reportUnknownArgumentType]
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else str(value)


async def config(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    way, why = first_way(settings)
    lines = in_force(settings)
    if parsed.json:
        terminal.json({"first_way": way, "because": why, "settings": lines})
        return DONE
    terminal.result(f"Pictures are made by {way} first: {why}.")
    name, value = (max(len(line[key]) for line in lines) for key in ("variable", "value"))
    for line in lines:
        source = line["source"]
        mark = "!" if source.startswith("not taken") else " " if source == "default" else "*"
        terminal.result(f"{mark} {line['variable']:<{name}}  {line['value']:<{min(value, 48)}}  {source}")
    return DONE


async def status(parsed: argparse.Namespace, settings: Settings, terminal: Terminal) -> int:
    async with studio_apart(settings) as studio:
        fields = await studio.status(None)
    if parsed.json:
        terminal.json(fields)
        return DONE
    way, why = _first_now(fields["statuses"], settings)
    for entry in fields["statuses"]:
        mark = "ready" if entry["ready"] else "configured" if entry["configured"] else "not set up"
        first = f" (first: {why})" if entry["backend"] == way else ""
        terminal.result(f"{entry['backend']}{first}: {mark}. {clean(entry['message'], 4000)}")
    for title in ("running", "newest"):
        lines: list[dict[str, Any]] = fields.get(title) or []
        terminal.result(f"{title}: {len(lines) or 'none'}")
        for line in lines:
            terminal.row(f"  {line['generation_id']}  {line['state']:<18} ", line["prompt"])
            terminal.result(f"  {'':32}  {line['output_dir']}")
    for problem in fields.get("problems") or ():
        terminal.result(f"problem: {clean(problem, 4000)}")
    return DONE


def _first_now(statuses: list[dict[str, Any]], settings: Settings) -> tuple[str, str]:
    """What :func:`first_way` says, or the other way while the first has said that it had better not be asked."""
    way, why = first_way(settings)
    if settings.backend != "auto" or settings.fallback == "never" or way != "api":
        return way, why
    resting = {entry["backend"]: rest["code"] for entry in statuses if (rest := entry["details"].get("resting"))}
    if way in resting and "chatgpt-web" not in resting:
        return "chatgpt-web", f"the API said {resting[way]}"
    return way, why
