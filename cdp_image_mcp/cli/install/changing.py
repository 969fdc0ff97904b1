"""What all forms of configuration share: a change is made only where everything else provably stays."""

import copy
from typing import Any, cast


class UnsafeChangeError(Exception):
    """The file is left as it is; the text says why, to be put behind the file's name."""


def same(before: Any, after: Any, path: tuple[str, ...], value: Any) -> bool:
    """Whether ``after`` is ``before`` with ``value`` at ``path`` (None: with nothing there), and nothing else."""
    wanted = copy.deepcopy(before)
    place: dict[str, Any] = wanted
    for step in path[:-1]:
        inner: Any = place.setdefault(step, {}) if value is not None else place.get(step, {})
        if not isinstance(inner, dict):
            return False
        place = cast("dict[str, Any]", inner)
    if value is None:
        place.pop(path[-1], None)
    else:
        place[path[-1]] = value
    return wanted == after


def merged(there: dict[str, Any] | None, ours: dict[str, Any], given: dict[str, str]) -> dict[str, Any]:
    """Our entry over one that is there already: what starts the program is ours, what the person has set stays, and
    ``given`` variables win. Of one that starts no program but names an address only the variables stay: a client would
    take both for the one or the other."""
    variables = next(name for name in ("env", "envs", "environment") if name in ours)
    starts = {"command", "args", "cmd"}
    before = there or {}
    if not isinstance(before.get(variables) or {}, dict):
        raise UnsafeChangeError(f"the {variables} of its entry there is no list of names with their values")
    kept = {name: value for name, value in before.items() if name not in starts} if starts & before.keys() else {}
    return {**ours, **kept, variables: {**ours[variables], **(before.get(variables) or {}), **given}}
