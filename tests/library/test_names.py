"""Folder names are legal on three systems whatever the prompt, and never shared."""

import tempfile
import unicodedata
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdp_image_mcp.library.names import MAX_SLUG, folder_name, slug
from cdp_image_mcp.system.disk import make_folder

AT = datetime(2026, 11, 3, 4, 5, 6).astimezone()
FORBIDDEN = set('<>:"/\\|?*') | {chr(code) for code in range(32)} | {"\x7f"}
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³")}

anything = st.text(st.characters(codec=None), max_size=120)
"""Lone surrogates and unassigned code points included."""


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A red Fox, jumping!", "a-red-fox-jumping"),
        ("  ...  ", "image"),
        ("🦊🦊", "image"),
        ("犬の絵を描いて", "犬の絵を描いて"),
        ("नमस्ते दुनिया", "नमस्ते-दुनिया"),
        ("ÉCOLE e\u0301cole", "école-école"),
        ("شیر می\u200cخورد", "شیر-میخورد"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\CON", "c-windows-con"),
        ("x² ½ Ⅷ", "x"),
        ("\u0301\u0301mark first", "mark-first"),
    ],
)
def test_slugs_read_like_the_prompt(prompt: str, expected: str) -> None:
    assert slug(prompt) == unicodedata.normalize("NFC", expected)


def test_the_name_is_time_and_slug_and_then_a_number() -> None:
    assert folder_name("A fox", AT) == "20261103-040506-a-fox"
    assert folder_name("A fox", AT, 12) == "20261103-040506-a-fox-12"


def test_ten_thousand_characters_become_forty_two() -> None:
    assert len(slug("word " * 2000)) <= MAX_SLUG
    assert slug("x" * 10_000) == "x" * 42


def test_a_letter_is_never_parted_from_its_marks() -> None:
    piled = "a" * 41 + "e\u0323\u0302"  # NFC leaves at least one mark on its own for some letters
    for length in range(50):
        made = slug("q" * length + "q\u0323\u0307" * 10)
        assert not unicodedata.combining(made[0])
        assert made.count("\u0323") == made.count("\u0307")
    assert unicodedata.is_normalized("NFC", slug(piled))


def test_piled_up_marks_do_not_eat_the_name() -> None:
    assert slug("Z" + "\u0300\u0301\u0302" * 40 + " algo").endswith("-algo")


@given(anything, st.integers(1, 10_000))
@example("CON", 1)
@example("nul.txt", 1)
@example("com¹", 1)
@example("name. . .", 2)
@example("\U00016fe4" * 60, 1)
@example("İI" * 50, 1)
@example("가각" * 60, 1)
@example("\u1100\u1161\u11a8" * 40, 1)
@example("\ud800\udc00\udfff", 1)
def test_every_prompt_gives_a_name_that_is_legal_on_three_systems(prompt: str, attempt: int) -> None:
    name = folder_name(prompt, AT, attempt)

    assert not FORBIDDEN & set(name)
    assert name == name.strip(" .")
    assert name.split(".")[0].lower() not in DEVICES
    assert len(name.encode("utf-8")) <= 255
    assert len(name.encode("utf-16-le")) // 2 <= 255
    assert unicodedata.is_normalized("NFC", name)
    assert 1 <= len(slug(prompt)) <= MAX_SLUG
    # macOS counts and compares the decomposed form.
    assert len(unicodedata.normalize("NFD", name)) <= 255
    assert all(unicodedata.category(char)[0] in "LMN" or char == "-" for char in name)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "A", "é", "e\u0301", "ß", "SS", "İ", "...", "CON", "🦊"]), min_size=2, max_size=12)
)
def test_names_made_exclusively_never_collide(prompts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made: set[str] = set()
        for prompt in prompts:
            attempt = 1
            while True:
                path = Path(folder) / folder_name(prompt, AT, attempt)
                try:
                    make_folder(path)
                except FileExistsError:
                    attempt += 1
                else:
                    break
            made.add(path.name)
        assert len(made) == len(prompts)
        assert {path.name for path in Path(folder).iterdir()} == made
