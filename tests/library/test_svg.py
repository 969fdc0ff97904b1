"""SVG is told by its root, measured by what that says, and never run."""

import pytest

from cdp_image_mcp.library.formats import NotAPictureError
from cdp_image_mcp.library.imagefile import inspect

NAMESPACE = "xmlns='http://www.w3.org/2000/svg'"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (f"<svg {NAMESPACE} width='640' height='480'><rect/></svg>", (640, 480)),
        (f'<svg {NAMESPACE} width="640.4px" height="480px" viewBox="0 0 5 5"></svg>\n', (640, 480)),
        (f"<svg {NAMESPACE} viewBox='0 0 1024 1536'></svg>", (1024, 1536)),
        (f"<svg {NAMESPACE} viewBox='-8,-8, 32.5,16'></svg>", (32, 16)),
        (f"<svg {NAMESPACE} width='100%' height='50em' viewBox='0 0 24 12'></svg>", (24, 12)),
        (f"<svg {NAMESPACE} stroke-width='3' data-height='9'/>", (300, 150)),
        (f"<?xml version='1.0'?>\n<!-- made > by -->\n<svg {NAMESPACE}\n width='2' height='3'/>", (2, 3)),
        (
            f'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://w3.org/a">\n<svg {NAMESPACE} width="7"/>',
            (7, 150),
        ),
        (f"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg {NAMESPACE} width='7' height='8'></svg><!-- end -->", (7, 8)),
        (f"\ufeff  <svg {NAMESPACE} width='7' height='8'></svg>", (7, 8)),
    ],
)
def test_the_size_is_that_of_the_root(text: str, size: tuple[int, int]) -> None:
    facts = inspect(text.encode())
    assert (facts.mime_type, facts.extension) == ("image/svg+xml", "svg")
    assert (facts.width, facts.height) == size
    assert (facts.alpha, facts.c2pa) == (True, False)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"<svg {NAMESPACE} width='4' height='4'><path d='M0 0", "truncated"),
        (f"<svg {NAMESPACE} width='4'", "truncated"),
        ("<html><body><svg width='4'></svg></body></html>", "html"),
        ("<svgx/>", "html"),
        ("<?xml version='1.0'?><feed/>", "unknown"),
    ],
)
def test_what_is_cut_or_only_holds_one_is_no_picture(text: str, kind: str) -> None:
    with pytest.raises(NotAPictureError) as caught:
        inspect(text.encode())
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "inside",
    [
        *("", "<script>x()</script>", "<x:script xmlns:x='http://www.w3.org/2000/svg'>x()</x:script>"),
        *("<a href='&#106;avascript:x()'/>", "<iframe xmlns='http://www.w3.org/1999/xhtml' src='https://a.example/'/>"),
    ],
)
def test_of_each_is_told_that_a_browser_may_run_what_it_holds(inside: str) -> None:
    """Whatever is looked for can be written in another way."""
    facts = inspect(f"<svg {NAMESPACE} width='4' height='4'>{inside}</svg>".encode())
    assert ["may run what it holds" in note for note in facts.notes] == [True]


def test_a_long_and_hostile_beginning_takes_no_long_time() -> None:
    for start in (
        b"<?xml " * 20_000,
        b"<!--" + b"-" * 200_000,
        b"<!DOCTYPE svg [" * 20_000,
        b"<svg " + b" width='1'" * 50_000,
    ):
        with pytest.raises(NotAPictureError):
            inspect(start)


@pytest.mark.parametrize("page", ["<!-- a -->\n" * 10_000 + "<html>", "<svg></svg>" + "<!-- a --> " * 1_000 + "<p>"])
def test_many_comments_take_no_long_time(page: str) -> None:
    with pytest.raises(NotAPictureError):
        inspect(page.encode())


def test_a_side_that_no_number_holds_is_no_size() -> None:
    assert inspect(f'<svg width="{"9" * 400}" height="10"></svg>'.encode()).width == 300
