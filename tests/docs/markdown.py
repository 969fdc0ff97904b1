"""Markdown tables, and the parts of a document that stand between markers."""

import re
from collections.abc import Iterable, Sequence

BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(<!-- /generated -->\n)", re.DOTALL)


def cell(text: object) -> str:
    """``text`` as one cell: no line breaks, no bare vertical bars."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell(each) for each in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def block_names(text: str) -> list[str]:
    """The names of the marked parts, in order."""
    return [match["name"] for match in BLOCK.finditer(text)]


def replace_blocks(text: str, bodies: dict[str, str]) -> str:
    """``text`` with the part between each pair of markers replaced; KeyError for a name that nobody makes."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{bodies[match['name']]}\n{match[4]}", text)
