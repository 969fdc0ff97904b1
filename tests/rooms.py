"""The imports of a package as text, by module and by room: what the rules of the house are held against."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path


def imports_of(package: Path) -> dict[str, set[str]]:
    """For each module below ``package`` the modules of the package that it imports, anywhere in it: late imports and
    those for type checkers count too."""
    files = {_module(package, path): path for path in package.rglob("*.py")}
    return {
        module: {
            found for name in _named(path, module) if (found := _known(name, files)) is not None and found != module
        }
        for module, path in files.items()
    }


def room_of(module: str) -> str:
    """The room a module lies in: ``cdp`` for ``package.cdp.page``, ``""`` for what lies in the root. A package itself
    is named as its module ``__init__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 else ""


def wrong_ways(imports: Mapping[str, set[str]], may: Mapping[str, set[str]]) -> list[str]:
    """Imports that lead from a room to one that ``may`` does not name for it. A room itself and the root are free."""
    return sorted(
        f"{module} imports {target}"
        for module, targets in imports.items()
        for target in targets
        if (to := room_of(target)) and to != room_of(module) and to not in may.get(room_of(module), set())
    )


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or round about (Tarjan's strongly connected components)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = low[module] = len(number)
        stack.append(module)
        for target in imports.get(module, ()):
            if target not in number:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], number[target])
        if low[module] == number[module]:
            at = stack.index(module)
            members = stack[at:]
            del stack[at:]
            if len(members) > 1:
                found.append(sorted(members))

    for module in imports:
        if module not in number:
            visit(module)
    return sorted(found)


def _module(package: Path, path: Path) -> str:
    return ".".join(path.relative_to(package.parent).with_suffix("").parts)


def _named(path: Path, module: str) -> Iterator[str]:
    here = module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _known(name: str, files: Mapping[str, Path]) -> str | None:
    """The module that an imported name belongs to: itself, or the one that defines it."""
    while name:
        for module in (name, f"{name}.__init__"):
            if module in files:
                return module
        name = name.rpartition(".")[0]
    return None
