"""Generated parts of the documents say what the code says."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, README, ROOT, rendered
from tests.docs.markdown import block_names, cell, replace_blocks, table
from tests.docs.reference import BLOCKS, first_sentence, limits


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_generated_document_is_not_stale(path: Path) -> None:
    assert path.read_text("utf-8") == rendered(path), f"run: python -m tests.docs   ({path.relative_to(ROOT)})"


def test_the_readme_has_every_table_once() -> None:
    assert sorted(block_names(README.read_text("utf-8"))) == sorted(BLOCKS)


def test_every_marker_has_its_end() -> None:
    text = README.read_text("utf-8")
    assert len(re.findall("<!-- generated: ", text)) == len(re.findall("<!-- /generated -->", text)) == len(BLOCKS)
    assert text.count("<!-- best -->") == text.count("<!-- /best -->") == 1
    measured = (ROOT / "tests" / "bench" / "README.md").read_text("utf-8")
    assert measured.count("<!-- bench -->") == measured.count("<!-- /bench -->") == 1


def test_a_part_is_replaced_and_nothing_round_it() -> None:
    page = "a\n<!-- generated: x -->\nold\nold\n<!-- /generated -->\nb\n"
    once = replace_blocks(page, {"x": "new\n"})
    assert once == "a\n<!-- generated: x -->\n\nnew\n\n<!-- /generated -->\nb\n"
    assert replace_blocks(once, {"x": "new\n"}) == once


def test_a_part_nobody_makes_is_told() -> None:
    with pytest.raises(KeyError):
        replace_blocks("<!-- generated: y -->\n<!-- /generated -->\n", {"x": ""})


def test_a_cell_stays_a_cell() -> None:
    assert cell("a | b\nc") == "a \\| b c"
    assert table(("x", "y"), [("1", "2|3")]) == "| x | y |\n|---|---|\n| 1 | 2\\|3 |\n"


def test_limits_are_told_in_words() -> None:
    assert limits({"type": "integer", "minimum": 1, "maximum": 1800}) == "whole number, 1 to 1,800"
    assert limits({"type": "string", "minLength": 1, "maxLength": 32000}) == "text, 1 to 32,000 characters"
    assert limits({"type": "array", "maxItems": 16, "items": {"type": "string"}}) == "list of up to 16 texts"
    assert limits({"enum": ["a", "b"]}) == "`a`, `b`"


def test_a_first_sentence_ends_where_its_clause_does() -> None:
    assert first_sentence("Make one; costs money.\n\nMore.") == "Make one."
    assert first_sentence("Stop 3.5 of it. Then go.") == "Stop 3.5 of it."
    assert first_sentence("No end") == "No end."
