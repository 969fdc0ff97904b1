"""The house: who may import whom, how many modules share a room, and that nothing goes round in circles."""

from collections import Counter
from pathlib import Path

import pytest

import cdp_image_mcp
from tests.rooms import circles, imports_of, room_of, wrong_ways

PACKAGE = Path(cdp_image_mcp.__file__).parent
BELOW_STUDIO = {"library", "system"}
MAY: dict[str, set[str]] = {
    "": {"cli", "system"},  # __main__ starts it, and splits before that
    "cli": {"mcp_server", "previews", "studio", "chatgpt", "openai", "cdp", *BELOW_STUDIO},
    "mcp_server": {"previews", "studio", "chatgpt", "openai", "cdp", *BELOW_STUDIO},
    "previews": {"cdp", *BELOW_STUDIO},
    "studio": BELOW_STUDIO,
    "chatgpt": {"cdp", *BELOW_STUDIO},
    "openai": BELOW_STUDIO,
    "library": {"system"},
    "system": set(),
    "cdp": {"system"},
}
"""Downwards only. The studio knows back ends through ``request.py``; the edges build them and hand them in."""
MOST_IN_ROOT = 6
MOST_IN_A_ROOM = 15


def test_imports_lead_downwards() -> None:
    assert wrong_ways(imports_of(PACKAGE), MAY) == []


def test_an_import_upwards_is_found_wherever_it_stands(tmp_path: Path) -> None:
    package = tmp_path / "house"
    for name, text in {
        "__init__.py": "",
        "studio/__init__.py": "",
        "studio/runner.py": "def late() -> None:\n    from house.openai import client\n",
        "openai/__init__.py": "",
        "openai/client.py": "from house import studio\n",
        "cdp/__init__.py": "",
        "cdp/page.py": "from ..openai.client import x\n",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    assert wrong_ways(imports_of(package), MAY) == [
        "house.cdp.page imports house.openai.client",
        "house.openai.client imports house.studio.__init__",
        "house.studio.runner imports house.openai.client",
    ]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(imports_of(PACKAGE)) == []


def test_a_circle_is_found_round_three_corners() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_the_root_holds_at_most_six_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_IN_ROOT


@pytest.mark.parametrize("room", sorted(MAY.keys() - {""}))
def test_a_room_of_more_than_fifteen_modules_has_wings(room: str) -> None:
    counts = Counter(path.parent for path in (PACKAGE / room).rglob("*.py") if path.name != "__init__.py")
    assert {str(place.relative_to(PACKAGE)): count for place, count in counts.items() if count > MOST_IN_A_ROOM} == {}


def test_every_module_lies_in_a_room_that_the_rules_know() -> None:
    assert {room_of(module) for module in imports_of(PACKAGE)} <= MAY.keys()


def test_what_tests_share_lies_in_no_test_module() -> None:
    shared = [
        f"{module} imports {target}"
        for module, targets in imports_of(Path(__file__).parent).items()
        for target in targets
        if target.rpartition(".")[2].startswith("test_") or target.endswith(".conftest")
    ]
    assert shared == []
