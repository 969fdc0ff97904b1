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
