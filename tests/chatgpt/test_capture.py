"""Why a picture's bytes could not be had is told without the address that opens it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.cdp.bodies import Body, Request
from cdp_image_mcp.cdp.errors import BodyUnavailable, StreamFailed
from cdp_image_mcp.chatgpt.capture import Mismatch, capture
from cdp_image_mcp.chatgpt.network.turn import Pointer, Turn
from cdp_image_mcp.chatgpt.page.carousel import Carousel
from cdp_image_mcp.chatgpt.page.pagereport import PageReport, SeenImage
from cdp_image_mcp.chatgpt.turnwatch import TurnWatch
from fixtures.site.pictures import make_picture
from tests.chatgpt.talk import file_id

SIGNED = f"https://files.example/{file_id(1)}/raw?se=2026&sig=SECRET#SECRET"


class Unreadable:
    """Bodies of which none can be read."""

    def __init__(self) -> None:
        request = SimpleNamespace(url=SIGNED, ended=True, status=200, mime_type="image/png")
        self.requests = [cast("Request", request)]

    async def read(self, request: Request, *, accept: Callable[[bytes], bool]) -> Any:
        assert not accept(b"")
        raise BodyUnavailable(request.url, ("network: evicted", "resource: not there"))


class Watched:
    """What ``capture`` asks of a watch."""

    def __init__(self) -> None:
        self.tab = SimpleNamespace(bodies=Unreadable())
        self.page = PageReport()
        self.turn = Turn()
        self.challenge = None

    def mark(self) -> anyio.Event:
        return anyio.Event()

    async def news_since(self, mark: anyio.Event, seconds: float | None) -> None:
        assert seconds is None
        await mark.wait()


@pytest.mark.anyio
async def test_the_reason_names_each_way_and_never_the_signed_address() -> None:
    watch = cast("TurnWatch", Watched())
    with anyio.fail_after(20), pytest.raises(Mismatch) as caught:
        await capture(watch, Pointer(file_id=file_id(1), message_id="leaf", final=True), 0.05)
    assert str(caught.value) == "network: evicted; resource: not there"


def test_errors_of_the_driver_say_the_place_without_its_key() -> None:
    for error in (BodyUnavailable(SIGNED, ("network: evicted",)), StreamFailed(SIGNED, "net::ERR_FAILED")):
        assert f"https://files.example/{file_id(1)}/raw" in str(error)
        assert "SECRET" not in str(error)
        assert "sig=" not in str(error)
        assert error.url == SIGNED
    assert "SECRET" not in str(BodyUnavailable("data:image/png;base64,SECRET", ()))


def pointer(number: int, **more: Any) -> Pointer:
    return Pointer(file_id=file_id(number), message_id=f"leaf{number}", final=True, **more)


class Shown:
    """A page whose only readable bytes are those of the one picture it shows as a ``blob:``."""

    requests: tuple[Request, ...] = ()

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read_url(self, _address: str, *, accept: Callable[[bytes], bool]) -> Body:
        assert accept(self.data)
        return Body(self.data, "blob")


@pytest.mark.anyio
@pytest.mark.parametrize("stated", [0, 7])
async def test_a_blob_among_several_pictures_is_only_the_one_whose_size_it_has(stated: int) -> None:
    data = make_picture("the first", size=(320, 240)).content
    first = pointer(1, width=320, height=240, size_bytes=len(data))
    second = pointer(2, width=320, height=240, size_bytes=stated)
    watch = Watched()
    watch.tab = SimpleNamespace(bodies=Shown(data), loader_id="now", eye=Carousels(turns=0))
    watch.turn = Turn(pictures=(first, second))
    watch.page = PageReport(images=(SeenImage(blob="blob:1", width=320, height=240, complete=True),))
    with anyio.fail_after(20):
        assert (await capture(cast("TurnWatch", watch), first, 5)).data == data
        with pytest.raises(Mismatch):
            await capture(cast("TurnWatch", watch), second, 0.05)


class Carousels:
    """A page whose carousel can be turned ``turns`` times."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.asked = 0

    async def node(self, expression: str) -> Any:
        assert expression == "witness.pictureNext()"
        self.asked += 1
        return object() if self.turns else None

    async def ask(self, expression: str, **_: Any) -> Any:
        return expression != "witness.mounted()" and self.turns >= 0


@pytest.mark.anyio
async def test_the_carousel_is_turned_at_most_once_round_and_only_for_what_was_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def click(_: Any) -> None:
        pass

    monkeypatch.setattr("cdp_image_mcp.chatgpt.page.carousel.human.click", click)

    def watched(*requests: SimpleNamespace, turns: int = 99, complete: bool = True, shown: int = 1) -> TurnWatch:
        tab = SimpleNamespace(bodies=SimpleNamespace(requests=requests), loader_id="now", eye=Carousels(turns))
        page = PageReport(images=(SeenImage(file=file_id(shown), complete=complete),))
        return cast(
            "TurnWatch",
            SimpleNamespace(
                tab=tab, page=page, challenge=None, turn=Turn(pictures=(pointer(1), pointer(2), pointer(3)))
            ),
        )

    def asked(number: int, loader: str, *, ended: bool) -> SimpleNamespace:
        return SimpleNamespace(
            url=SIGNED.replace(file_id(1), file_id(number)), mime_type="image/png", ended=ended, loader_id=loader
        )

    with anyio.fail_after(20):
        carousel = Carousel(watched())
        assert [await carousel.bring(pointer(3)) for _ in range(4)] == [True, True, True, False]
        assert await Carousel(watched(asked(3, "before", ended=True))).bring(pointer(3))
        assert await Carousel(watched(asked(1, "now", ended=True), complete=False)).bring(pointer(3))
        for kept in (
            watched(asked(3, "now", ended=True)),
            watched(asked(3, "before", ended=False)),
            watched(complete=False),
            watched(shown=3),
            watched(turns=0),
        ):
            assert not await Carousel(kept).bring(pointer(3))
        stuck = watched(turns=-1)
        carousel = Carousel(stuck)
        assert [await carousel.bring(pointer(3)) for _ in range(2)] == [False, False]
        assert cast("Carousels", stuck.tab.eye).asked == 1


class Asked:
    """Bodies that remember which of them were read."""

    def __init__(self, data: bytes) -> None:
        tells = SimpleNamespace(
            url=f"https://site.example/backend-api/files/{file_id(1)}/download", mime_type="application/json"
        )
        also = SimpleNamespace(url=f"https://site.example/backend-api/files/{file_id(1)}", mime_type="application/json")
        picture = SimpleNamespace(url=SIGNED, mime_type="text/plain")
        self.requests = [cast("Request", one) for one in (picture, also, tells)]
        for one in (picture, also, tells):
            one.ended, one.status = True, 200
        self.data = data
        self.read_of: list[str] = []

    async def read(self, request: Request, *, accept: Callable[[bytes], bool]) -> Body:
        self.read_of.append(request.url)
        assert accept(self.data)
        return Body(self.data, "network")


@pytest.mark.anyio
async def test_the_answer_that_tells_where_a_picture_lies_is_never_read_as_the_picture() -> None:
    data = make_picture("a picture", size=(320, 240)).content
    watch, bodies = Watched(), Asked(data)
    watch.tab = SimpleNamespace(bodies=bodies)
    with anyio.fail_after(20):
        got = await capture(cast("TurnWatch", watch), pointer(1, width=320, height=240), 5)
    assert got.data == data
    assert bodies.read_of == [SIGNED]
