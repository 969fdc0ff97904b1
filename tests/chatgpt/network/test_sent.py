"""Whether what the page sent is what we typed."""

import pytest

from cdp_image_mcp.chatgpt.network.sent import like_text, read_request, same_text, same_words
from tests.chatgpt.talk import request

WANTED = "a poster for https://example.com/lighthouse, in blue and white"


@pytest.mark.parametrize(
    ("sent", "same", "like"),
    [
        (WANTED, True, True),
        (f"{WANTED}\n\n ", True, True),
        (WANTED.replace(" ", "\u00a0"), True, True),
        ("a poster for [example.com/lighthouse](https://example.com/lighthouse), in blue and white", False, True),
        ("a poster for example.com/lighthouse, in blue and white", False, True),
        ("make it brighter", False, False),
        ("a poster in blue", False, False),
        ("", False, False),
        (f"{WANTED} and then a story of forty words " + "about something else entirely " * 8, False, False),
    ],
)
def test_a_page_may_change_how_a_text_is_written_but_another_text_is_another(sent: str, same: bool, like: bool) -> None:
    assert same_text(sent, WANTED) == same
    assert like_text(sent, WANTED) == like


@pytest.mark.parametrize(
    ("sent", "same"),
    [
        (WANTED.replace(" ", "\u00a0"), True),
        ("a poster for [example.com/lighthouse](https://example.com/lighthouse), in blue and white", True),
        ("- a poster for example.com/lighthouse,\n- in blue and white", True),
        ("a poster for https://example.com/lighthouse, in blue and green", False),
        ("a poster for https://example.com/lighthouse, in white and blue", False),
        ("a big poster for https://example.com/lighthouse, in blue and white", False),
        ("", False),
    ],
)
def test_a_wish_with_one_word_changed_is_another(sent: str, same: bool) -> None:
    assert same_words(sent, WANTED) == same


def test_the_prompt_is_the_words_of_the_last_message_sent() -> None:
    read = read_request(request("a lighthouse\nat night", references=["file_00000000000000000000000000000001"]))
    assert read is not None
    assert read.text == "a lighthouse\nat night"
    assert read_request(b'{"partial_query":{"id":"x","author":{"role":"user"}}}') is None
