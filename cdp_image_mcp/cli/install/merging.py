"""Our entry over one that is there already: what the person has set stays, and of ours what goes with it."""

import json
from typing import Any

from cdp_image_mcp.cli.install.changing import UnsafeChangeError
from cdp_image_mcp.config import WAIT
from cdp_image_mcp.mcp_server.client.table import Client, Demand, Limit

WAITS = "GPT_IMAGE_WAIT_SECONDS"
OFF = {"disabled": True, "enabled": False}
"""What an entry says that its client is not to start, such as Cline's and Windsurf's, or Codex's, Goose's and Zed's."""


def variables_of(client: Client, entry: dict[str, Any]) -> dict[str, Any]:
    """The variables that an entry sets. Raises UnsafeChangeError where they are something else."""
    if not isinstance(found := entry.get(client.variables) or {}, dict):
        raise UnsafeChangeError(f"the {client.variables} of its entry there is no list of names with their values")
    return found  # type: ignore[reportUnknownVariableType]


def merged(
    client: Client, there: dict[str, Any] | None, ours: dict[str, Any], given: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """The entry, and what is to be said of it. What starts the program is ours, what the person has set stays, and
    ``given`` variables win. Of one that starts no program but names an address only the variables stay, and whether it
    is switched off: a client would take both for the one or the other."""
    starts = {"command", "args", "cmd"}
    before = there or {}
    stays = before.keys() - starts if starts & before.keys() else OFF.keys()
    kept = {name: value for name, value in before.items() if name in stays}
    theirs: dict[str, Any] = {**variables_of(client, before), **given}
    entry = {**ours, **kept, client.variables: {**ours[client.variables], **theirs}}
    if client.passes and isinstance(kept.get(client.passes), list):
        # Codex also takes a variable's name in a table.
        names = [each.get("name") if isinstance(each, dict) else each for each in kept[client.passes]]  # type: ignore[reportUnknownMemberType]
        entry[client.passes] = [*kept[client.passes], *(each for each in ours[client.passes] if each not in names)]
    off = switched_off(entry)
    said = [] if off is None else [f"{off} stays: {client.title} does not start the server; switch it on there."]
    if (demand := client.demand) is not None and demand.key not in kept:
        said += _demanded(entry, demand, ours, client.title)
    if (limit := client.limit) is not None:
        if WAITS in theirs:
            if (short := too_short(entry, limit, theirs[WAITS])) is not None:
                both = f"{short} Both stay: {client.title} gives such a call up before it is answered,"
                said.append(f"{both} and a model that asks again pays again. Lower the one or raise the other.")
        else:
            said += _fitted(entry, limit, ours, client.variables)
    return entry, said


def switched_off(entry: dict[str, Any]) -> str | None:
    """How the entry says that its client is not to start the server, where it does."""
    return next((_shown(entry, key) for key, off in OFF.items() if entry.get(key) is off), None)


def _demanded(entry: dict[str, Any], demand: Demand, ours: dict[str, Any], title: str) -> list[str]:
    """What a start without the server makes of the client is new to the person, and so is what a slow one makes."""
    said = [f"{demand.key} = true: no session of {title} starts any more where this program does not."]
    lasts = _number(entry.get(demand.startup))
    if lasts is not None and lasts < ours[demand.startup]:
        said.append(f"{_shown(entry, demand.startup)} is too short for that: it becomes {ours[demand.startup]}.")
        entry[demand.startup] = ours[demand.startup]
    return said


def too_short(entry: dict[str, Any], limit: Limit, wait: Any) -> str | None:
    """That the client gives a call up before it is answered, if its entry says so; ``wait`` as somebody wrote it."""
    lasts, waits = _number(entry.get(limit.key)), _read(wait)
    if lasts is None or waits is None or limit.needed(waits) <= lasts:
        return None
    return f"{_shown(entry, limit.key)}, which {WAITS} = {waits:g} does not fit into."


def _fitted(entry: dict[str, Any], limit: Limit, ours: dict[str, Any], variables: str) -> list[str]:
    """Limit and wait go together from here on. A call that is open beyond the limit is dropped by the client and not
    ended: the model repeats it, and a second picture is paid."""
    lasts, before = _number(entry.get(limit.key)), _shown(entry, limit.key)
    if lasts is not None and lasts < limit.needed(WAIT):
        entry[limit.key] = ours[limit.key]
        return [f"{before} is less than an answer may take: it becomes {ours[limit.key]}."]
    wait = _read(ours[variables].get(WAITS))
    if wait is None or (lasts is not None and limit.needed(wait) <= lasts):
        return []
    del entry[variables][WAITS]
    said = (
        f"{before} stays, and {WAITS} = {wait:g} is left out, which needs {limit.needed(wait):.0f} or more there. "
        f"Without it calls answer after {WAIT:g} s, if need be that the picture is still being made."
    )
    return [said]


def _number(value: Any) -> float | None:
    """None for what this program cannot read as one."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _shown(entry: dict[str, Any], key: str) -> str:
    return f"{key} = {json.dumps(entry.get(key), ensure_ascii=False, default=str)}"
