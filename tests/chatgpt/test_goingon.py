"""Whether the picture that is gone on from is shown to the site once more: not where it is told to stand last."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.chatgpt.goingon import at_site, with_picture
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import MOST_REFERENCES, AtSite, ImageRequest, Reference
from tests.chatgpt.talk import (
    CONVERSATION,
    FOREIGN,
    USER,
    call,
    conversation,
    file_id,
    picture,
    prompt,
    site_at,
    window,
)

pytestmark = pytest.mark.anyio

SITE = site_at("https://chatgpt.com/")
NAMED = Reference(cast("Any", None), "image/png", 1, 1, 1, "1" * 64)
THEIRS = Reference(cast("Any", None), "image/png", 1, 1, 1, "2" * 64)
LATER, OTHER = prompt("make it green", "later"), prompt("another beginning", "other", metadata={"parent_id": "root"})
AGAIN = picture("again", file_id(2), parent="call")
OURS = (prompt(), call(), picture())
PLURAL = f"conversations/{CONVERSATION}?num_turns=10"


def asking(**more: Any) -> ImageRequest:
    asked = ImageRequest(
        prompt="make it blue",
        backend="chatgpt-web",
        continue_url=SITE.conversation(CONVERSATION),
        continue_number=1,
        continue_image=NAMED,
        continue_at=AtSite(USER, file_id(1)),
    )
    return msgspec.structs.replace(asked, **more)


class Page:
    """A page, and the conversations that it has read, oldest first."""

    def __init__(self, *read: tuple[str, bytes | None], stood: bool = False, last: bool | Exception = False) -> None:
        self.site, self.stood, self.eye, self._last = SITE, stood, self, last
        self.here = [
            SimpleNamespace(
                url=f"https://chatgpt.com/backend-api/{path}", method="GET", status=200, ended=True, body=body
            )
            for path, body in read
        ]

    async def answer(self, request: Any) -> bytes | None:
        return request.body

    async def ask(self, expression: str, **_: Any) -> bool:
        assert USER in expression
        assert file_id(1) in expression
        if isinstance(self._last, Exception):
            raise self._last
        return self._last


async def shown(page: Page, request: ImageRequest | None = None) -> Sequence[Reference]:
    return (await with_picture(cast("Tab", page), request or asking())).reference_images


@pytest.mark.parametrize("form", [conversation, window])
async def test_a_picture_that_stands_last_in_what_the_page_read_is_not_shown_again(form: Any) -> None:
    before = (prompt("earlier", "u0"), picture("p0", file_id(9), parent="u0"))
    others = ("conversations/batch", conversation(LATER, identity=FOREIGN))
    older = (f"conversations/{CONVERSATION}/messages?before=x", window(LATER, identity=""))
    assert await shown(Page((PLURAL, form(*before, LATER)), (PLURAL, form(*before, *OURS)), older, others)) == ()


@pytest.mark.parametrize(
    "read",
    [
        conversation(*OURS, LATER),
        window(*OURS, LATER),
        conversation(*OURS, AGAIN),
        window(prompt(), call(), AGAIN),
        conversation(*OURS, OTHER),
        window(OTHER),
        window(*OURS, current_node=None),
        b"[]",
        None,
    ],
    ids=[
        *("asked since", "asked since, flat", "drawn again", "drawn again, flat", "on another branch"),
        *("on another branch, flat", "without its end", "unknown", "not to be had"),
    ],
)
async def test_a_picture_that_does_not_stand_last_or_may_not_is_shown(read: bytes | None) -> None:
    page = Page((PLURAL, conversation(*OURS)), (PLURAL, read)) if read is None else Page((PLURAL, read))
    assert await shown(page) == (NAMED,)


async def test_a_row_that_tells_of_no_messages_takes_nothing_from_what_was_read_before_it() -> None:
    row = msgspec.json.encode([{"id": CONVERSATION, "async_status": None, "current_node": "leaf"}])
    assert await shown(Page((PLURAL, conversation(*OURS)), (PLURAL, row))) == ()


async def test_a_page_that_read_nothing_or_a_picture_that_the_site_is_not_known_to_have_last_tells_nothing() -> None:
    assert await shown(Page()) == (NAMED,)
    last = Page((PLURAL, conversation(*OURS)))
    assert await shown(last, asking(continue_at=None, reference_images=(THEIRS,))) == (NAMED, THEIRS)


@pytest.mark.parametrize(("last", "expected"), [(True, ()), (False, (NAMED,)), (DocumentLeft("gone"), (NAMED,))])
async def test_a_page_that_stood_there_is_asked_for_what_it_shows(last: Any, expected: Any) -> None:
    assert await shown(Page((PLURAL, conversation(*OURS, LATER)), stood=True, last=last)) == expected


async def test_an_answer_in_words_is_gone_on_from_without_a_picture() -> None:
    assert await shown(Page(), asking(continue_number=None, continue_image=None, continue_at=None)) == ()


@pytest.mark.parametrize(
    ("more", "field"),
    [({"continue_image": None}, "continue_from"), ({"reference_images": (THEIRS,) * MOST_REFERENCES}, "reference")],
)
async def test_a_picture_that_would_have_to_be_shown_and_cannot_be_is_told_before_anything_is_sent(
    more: dict[str, Any], field: str
) -> None:
    assert await shown(Page((PLURAL, conversation(*OURS))), asking(**more)) == more.get("reference_images", ())
    with pytest.raises(ImageError) as caught:
        await shown(Page((PLURAL, conversation(*OURS, LATER))), asking(**more))
    assert (caught.value.code, caught.value.submitted) == ("invalid_input", False)
    assert caught.value.details["field"].startswith(field)


@pytest.mark.parametrize("read", [(), ((PLURAL, conversation(*OURS, LATER)),)], ids=["nothing was read", "it was read"])
async def test_a_picture_that_cannot_be_shown_is_said_to_be_somewhere_only_as_far_as_it_was_seen(read: Any) -> None:
    with pytest.raises(ImageError, match="is gone from its folder and is not seen to stand last in its conversation"):
        await shown(Page(*read), asking(continue_image=None))


def test_of_an_address_in_a_record_only_the_conversation_is_gone_on_in() -> None:
    for stored in (f"c/{CONVERSATION}?q=ten%20cats", f"g/g-0123456789-fox/c/{CONVERSATION}#x"):
        asked = at_site(SITE, asking(continue_url=SITE.home + stored))
        assert asked.continue_url == SITE.conversation(CONVERSATION)


@pytest.mark.parametrize("named", ["../?q=x", "", "WEB:7d3e4b8a", f"{CONVERSATION}/../../?q=x"])
def test_what_is_no_id_makes_no_address_of_a_conversation(named: str) -> None:
    with pytest.raises(ValueError, match="no conversation"):
        SITE.conversation(named)
