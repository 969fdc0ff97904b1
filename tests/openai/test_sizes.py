"""Size rules: what a model takes, and the nearest of it to a ratio."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_image_mcp.openai.sizes import ANY, FIXED, FREE, SizeRule, nearest, wrong_size
from cdp_image_mcp.request import parse_ratio, parse_size, ratio_of

SIDES = st.integers(1, 999)


@given(SIDES, SIDES, st.sampled_from([FREE, FIXED, ANY]))
def test_a_ratio_always_becomes_a_legal_size(across: int, down: int, rule: SizeRule) -> None:
    wide, high = nearest(rule, across, down)
    assert wrong_size(rule, wide, high) is None
    assert wrong_size(FREE, wide, high) is None
    assert nearest(rule, down, across) == (high, wide) or wide == high or rule == FIXED


@given(st.integers(1, 48), st.integers(1, 48))
def test_a_ratio_that_can_be_met_exactly_is(across: int, down: int) -> None:
    exact = Fraction(across, down)
    legal = [(w, h) for w in range(16, 1537, 16) for h in range(16, 1537, 16) if Fraction(w, h) == exact]
    if any(wrong_size(FREE, *size) is None for size in legal):
        assert Fraction(*nearest(FREE, across, down)) == exact


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ("1:1", (1024, 1024)),
        ("3:2", (1536, 1024)),
        ("2:3", (1024, 1536)),
        ("16:9", (1536, 864)),
        ("9:16", (864, 1536)),
        ("4:3", (1408, 1056)),
        ("2:1", (1536, 768)),
        ("3:1", (1536, 512)),
        ("21:9", (1456, 624)),
        ("32:18", (1536, 864)),
    ],
)
def test_common_ratios_become_the_sizes_people_expect(ratio: str, size: tuple[int, int]) -> None:
    parsed = parse_ratio(ratio)
    assert parsed is not None
    assert nearest(FREE, *parsed) == size


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_free_sizes_are_legal_when_every_limit_holds_and_only_then(wide: int, high: int) -> None:
    legal = (
        wide % 16 == 0
        and high % 16 == 0
        and max(wide, high) <= 3840
        and max(wide, high) <= 3 * min(wide, high)
        and 655_360 <= wide * high <= 8_294_400
    )
    assert (wrong_size(FREE, wide, high) is None) == legal


@pytest.mark.parametrize("size", [(1024, 640), (3840, 2160), (2160, 3840), (2048, 2048), (1536, 864), (1024, 1024)])
def test_sizes_that_were_really_made_are_legal(size: tuple[int, int]) -> None:
    assert wrong_size(FREE, *size) is None


@pytest.mark.parametrize("size", [(1792, 936), (1024, 624), (4096, 1024), (2560, 512), (3840, 2176), (0, 16)])
def test_sizes_the_vendor_refuses_are_not(size: tuple[int, int]) -> None:
    assert wrong_size(FREE, *size)


def test_older_models_take_three_sizes() -> None:
    assert wrong_size(FIXED, 1536, 1024) is None
    assert wrong_size(FIXED, 1536, 864)
    assert nearest(FIXED, 16, 9) == (1536, 1024)


def test_words_are_neither_sizes_nor_ratios() -> None:
    assert parse_size("auto") is None
    assert parse_ratio("auto") is None
    assert parse_size("1024 x 1024") is None
    assert (ratio_of("1536x1024"), ratio_of("3:2"), ratio_of("auto")) == (1.5, 1.5, None)
    assert ratio_of("0x16") is None
    assert ratio_of("16:0") is None
