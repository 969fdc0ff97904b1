"""What counts as a picture's bytes, how sure that is, and when it is waited for surer ones."""

from collections.abc import Callable
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

import anyio
import msgspec
import pytest

from cdp_image_mcp.cdp.bodies import Body, Request
from cdp_image_mcp.cdp.errors import BodyUnavailable, DocumentLeft, StreamFailed
from cdp_image_mcp.chatgpt import capture
from cdp_image_mcp.chatgpt.capture import Capture, Captured, Carousel, Mismatch, TheirOwn
from cdp_image_mcp.chatgpt.network.turn import Pointer, Turn
from cdp_image_mcp.chatgpt.page.pagereport import PageReport, SeenImage
from cdp_image_mcp.chatgpt.watching.picturerequests import PictureRequests
from cdp_image_mcp.chatgpt.watching.turnwatch import TurnWatch
from fixtures.site.pictures import make_picture
from tests.chatgpt.talk import file_id

SIGNED = f"https://files.example/{file_id(1)}/raw?se=2026&sig=SECRET#SECRET"


def asked(url: str = SIGNED, *, ended: bool = True, **more: Any) -> Request:
    """A request of the page for a file."""
    how: dict[str, Any] = {"status": 200 if ended else None, "mime_type": "image/png" if ended else "", **more}
    return cast("Request", SimpleNamespace(url=url, ended=ended, loader_id="now", **how))


class Held:
    """Bodies of which ``contents`` can be read, by request; others not at all."""

    def __init__(self) -> None:
        self.contents: dict[int, bytes] = {}
        self.read_of: list[str] = []

    async def read(self, request: Request, *, accept: Callable[[bytes], bool]) -> Body:
        self.read_of.append(request.url)
        data = self.contents.get(id(request))
        if data is None or not accept(data):
            raise BodyUnavailable(request.url, ("network: evicted", "resource: not there"))
        return Body(data, "network")

    async def read_url(self, address: str, *, accept: Callable[[bytes], bool]) -> Body:
        assert not accept(b"")
        raise BodyUnavailable(address, ("resource: not there",))


class Watched:
    """What a capture asks of a watch."""

    def __init__(self) -> None:
        self.bodies = Held()
        self.pictures = PictureRequests()
        self.page = PageReport()
        self.turn = Turn()
        self.challenged = False
        self.news = anyio.Event()
        self.tab = SimpleNamespace(bodies=self.bodies, loader_id="now", eye=Carousels(turns=0))

    def give(self, data: bytes | None, request: Request | None = None) -> None:
        """The page asks for the file and is given bytes; None for ones that cannot be read."""
        request = request or asked()
        if request.ended and data is not None:
            self.bodies.contents[id(request)] = data
        self.pictures.note(request)

    def tell(self) -> None:
        self.news.set()
        self.news = anyio.Event()

    def mark(self) -> anyio.Event:
        return self.news

    async def news_since(self, mark: anyio.Event, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await mark.wait()


async def captured(
    watch: Watched, wanted: Pointer, seconds: float = 5, *, last: bool = False, refused: tuple[str, ...] = ()
) -> Captured:
    with anyio.fail_after(20):
        return await Capture(cast("TurnWatch", watch), wanted, refused).wait(seconds, last=last)


@pytest.mark.anyio
async def test_the_reason_names_each_way_and_never_the_signed_address() -> None:
    watch = Watched()
    watch.give(None)
    with pytest.raises(Mismatch) as caught:
        await captured(watch, pointer(1), 0.05)
    assert str(caught.value) == "network: evicted; resource: not there"


def test_errors_of_the_driver_say_the_place_without_its_key() -> None:
    for error in (BodyUnavailable(SIGNED, ("network: evicted",)), StreamFailed(SIGNED, "net::ERR_FAILED")):
        assert f"https://files.example/{file_id(1)}/raw" in str(error)
        assert "SECRET" not in str(error)
        assert "sig=" not in str(error)
    assert "SECRET" not in str(BodyUnavailable("data:image/png;base64,SECRET", ()))


def pointer(number: int, **more: Any) -> Pointer:
    return Pointer(file_id=file_id(number), message_id=f"leaf{number}", final=True, **more)


class Shown(Held):
    """A page whose only readable bytes are those of the one picture it shows as a ``blob:``."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data

    async def read_url(self, address: str, *, accept: Callable[[bytes], bool]) -> Body:
        assert address.startswith("blob:")
        assert accept(self.data)
        return Body(self.data, "blob")


@pytest.mark.anyio
@pytest.mark.parametrize("stated", [0, 7])
async def test_a_blob_among_several_pictures_is_only_the_one_whose_size_it_has(stated: int) -> None:
    data = make_picture("the first", size=(320, 240)).content
    first = pointer(1, width=320, height=240, size_bytes=len(data))
    second = pointer(2, width=320, height=240, size_bytes=stated)
    watch = Watched()
    watch.tab.bodies = Shown(data)
    watch.turn = Turn(pictures=(first, second))
    watch.page = PageReport(images=(SeenImage(blob="blob:1", width=320, height=240, complete=True),))
    assert (await captured(watch, first)).data == data
    with pytest.raises(Mismatch):
        await captured(watch, second, 0.05)


@pytest.mark.anyio
async def test_what_was_asked_for_while_the_file_was_a_preview_is_not_the_picture_however_the_page_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is stated of the file, and its preview had its name and its size."""
    monkeypatch.setattr(capture, "GRACE", 0.05)
    preview, final = (make_picture(words, size=(320, 240)).content for words in ("a preview", "the picture"))
    watch = Watched()
    watch.bodies = watch.tab.bodies = Shown(preview)
    watch.pictures.told(Turn(pictures=(msgspec.structs.replace(pointer(1), final=False),)))
    watch.give(preview, asked())
    watch.turn = Turn(pictures=(pointer(1),))
    watch.pictures.told(watch.turn)
    watch.page = PageReport(images=(SeenImage(blob="blob:1", width=320, height=240, complete=True),))
    with pytest.raises(Mismatch):
        await captured(watch, pointer(1), 0.5)
    watch.give(final, asked(f"{SIGNED}&again"))
    watch.pictures.told(watch.turn)
    assert (await captured(watch, pointer(1))).data == final


@pytest.mark.anyio
async def test_of_pictures_with_as_many_bytes_a_blob_is_none_but_the_one_whose_file_the_page_asked_for() -> None:
    """Taken for both, one of the two would be lost."""
    data = make_picture("the first", size=(320, 240)).content
    first, second = (pointer(number, width=320, height=240, size_bytes=len(data)) for number in (1, 2))
    watch = Watched()
    watch.tab.bodies = Shown(data)
    watch.turn = Turn(pictures=(first, second))
    watch.page = PageReport(images=(SeenImage(blob="blob:1", width=320, height=240, complete=True),))
    for each in (first, second):
        with pytest.raises(Mismatch):
            await captured(watch, each, 0.05, last=True)


class Blobs(Held):
    """A page that shows pictures as ``blob:`` addresses, each of which can be read."""

    def __init__(self, **shown: bytes) -> None:
        super().__init__()
        self.shown = {f"blob:{name}": data for name, data in shown.items()}

    async def read_url(self, address: str, *, accept: Callable[[bytes], bool]) -> Body:
        assert accept(self.shown[address])
        return Body(self.shown[address], "blob")

    @property
    def page(self) -> PageReport:
        return PageReport(
            images=tuple(SeenImage(blob=blob, width=320, height=240, complete=True) for blob in self.shown)
        )


ONE, OTHER = (make_picture(name, size=(320, 240)).content for name in ("one", "another"))


@pytest.mark.anyio
async def test_what_the_page_alone_shows_is_had_from_its_own_address() -> None:
    watch = Watched()
    watch.tab.bodies = blobs = Blobs(one=ONE, other=OTHER)
    watch.page = blobs.page
    for blob, data in blobs.shown.items():
        pointer = Pointer(file_id=blob, message_id="", final=True, width=320, height=240)
        assert (await captured(watch, pointer)).data == data


@pytest.mark.anyio
@pytest.mark.parametrize("order", [("one", "other"), ("other", "one")], ids=str)
async def test_of_two_blobs_that_nothing_tells_apart_none_is_the_one_picture_that_the_network_knows(
    order: tuple[str, str],
) -> None:
    """The other one's file is not known yet."""
    watch, data = Watched(), {"one": ONE, "other": OTHER}
    watch.tab.bodies = blobs = Blobs(**{name: data[name] for name in order})
    watch.page, wanted = blobs.page, pointer(1, width=320, height=240)
    watch.turn = Turn(pictures=(wanted,))
    with pytest.raises(Mismatch):
        await captured(watch, wanted, 0.05, last=True)
    stated = msgspec.structs.replace(wanted, size_bytes=len(ONE))
    assert len(ONE) != len(OTHER)
    assert (await captured(watch, stated)).data == ONE


@pytest.mark.anyio
@pytest.mark.parametrize("order", [("theirs", "ours"), ("ours", "theirs")], ids=str)
async def test_a_blob_beside_the_persons_own_is_ours(order: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    watch, data = Watched(), {"ours": ONE, "theirs": OTHER}
    watch.tab.bodies = blobs = Blobs(**{name: data[name] for name in order})
    watch.page, wanted = blobs.page, pointer(1, width=320, height=240)
    watch.turn = Turn(pictures=(wanted,))

    def disregard(shown: str) -> None:
        watch.page = watch.page.without({shown})

    monkeypatch.setattr(watch, "disregard", disregard, raising=False)
    assert (await captured(watch, wanted, refused=(sha256(OTHER).hexdigest(),))).data == ONE


class Carousels:
    """A page whose carousel can be turned ``turns`` times."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.asked = 0

    async def node(self, expression: str) -> Any:
        assert expression == "witness.pictureNext()"
        self.asked += 1
        return object() if self.turns else None

    async def ask(self, _expression: str, **_: Any) -> str:
        return ""

    async def until(self, _condition: str, _seconds: float) -> bool:
        return self.turns >= 0


@pytest.mark.anyio
async def test_the_carousel_is_turned_at_most_once_round_and_only_for_what_was_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def click(_: Any) -> None:
        pass

    monkeypatch.setattr("cdp_image_mcp.cdp.keyboard_mouse.click", click)

    def watched(*requests: Request, turns: int = 99, complete: bool = True, shown: int = 1) -> TurnWatch:
        watch = Watched()
        watch.tab.eye = Carousels(turns)
        watch.page = PageReport(images=(SeenImage(file=file_id(shown), complete=complete),))
        watch.turn = Turn(pictures=(pointer(1), pointer(2), pointer(3)))
        for request in requests:
            watch.pictures.note(request)
        return cast("TurnWatch", watch)

    def asked(number: int, loader: str, *, ended: bool) -> Request:
        request = SimpleNamespace(url=SIGNED.replace(file_id(1), file_id(number)), mime_type="image/png", ended=ended)
        request.loader_id = loader
        return cast("Request", request)

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


@pytest.mark.anyio
async def test_the_answer_that_tells_where_a_picture_lies_is_never_read_as_the_picture() -> None:
    data = make_picture("a picture", size=(320, 240)).content
    watch = Watched()
    tells = f"https://site.example/backend-api/files/{file_id(1)}"
    watch.give(data, asked(f"{tells}/download", mime_type="application/json"))
    watch.give(data, asked(tells, mime_type="application/json"))
    watch.give(data, asked(mime_type="text/plain"))
    assert (await captured(watch, pointer(1, width=320, height=240))).data == data
    assert watch.bodies.read_of == [SIGNED]


# How sure bytes are


DATA = make_picture("a picture", size=(320, 240)).content
# No two pictures of the stand-in are alike in bytes, but now and then in their number, which tells them apart here.
PREVIEWS = iter(lambda: make_picture("a preview", size=(320, 240)).content, b"")
PREVIEW = next(preview for preview in PREVIEWS if len(preview) != len(DATA))
SMALL = make_picture("a small preview", size=(160, 120)).content


@pytest.mark.parametrize(
    ("stated", "confidence"),
    [
        ({"width": 320, "height": 240, "size_bytes": len(DATA)}, ""),
        ({"width": 320, "height": 240}, ""),
        ({}, ""),
        ({"size_bytes": len(DATA)}, ""),
        ({"width": 1024, "height": 1024, "size_bytes": len(DATA)}, "size"),
        ({"width": 320, "height": 240, "size_bytes": 7}, "dimensions"),
        ({"width": 1024, "height": 1024, "size_bytes": 7}, "id"),
        ({"width": 1024, "height": 1024}, "id"),
    ],
)
def test_an_exact_size_outweighs_dimensions_and_both_a_bare_id(stated: dict[str, int], confidence: str) -> None:
    got = capture.check(DATA, pointer(1, **stated), "network")
    assert isinstance(got, Captured)
    assert got.confidence == confidence


@pytest.mark.anyio
async def test_bytes_of_the_stated_size_are_taken_at_once_whatever_dimensions_are_stated() -> None:
    watch = Watched()
    watch.give(DATA)
    got = await captured(watch, pointer(1, width=1024, height=1024, size_bytes=len(DATA)), 0.05)
    assert (got.data, got.confidence) == (DATA, "size")


@pytest.mark.anyio
async def test_a_preview_is_not_taken_while_the_file_itself_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "GRACE", 0.05)
    watch = Watched()
    wanted = pointer(1, width=320, height=240, size_bytes=len(DATA))
    final = asked(ended=False)
    watch.give(PREVIEW)
    watch.give(None, final)
    got: list[Captured] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                # Far beyond the grace, and beyond what is waited for a page that does nothing.
                got.append(await captured(watch, wanted, 0.1, last=True))

            group.start_soon(wait)
            await anyio.sleep(0.4)
            assert got == []
            final.ended, final.status, final.mime_type = True, 200, "image/png"  # type: ignore[misc]
            watch.bodies.contents[id(final)] = DATA
            watch.tell()
    assert (got[0].data, got[0].confidence) == (DATA, "")


@pytest.mark.anyio
async def test_where_a_size_is_stated_other_bytes_are_taken_only_after_the_conversation_was_loaded_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "GRACE", 0.05)
    watch = Watched()
    watch.give(PREVIEW)
    stated = pointer(1, width=320, height=240, size_bytes=len(DATA))
    with pytest.raises(Mismatch):
        await captured(watch, stated)
    assert (await captured(watch, stated, last=True)).confidence == "dimensions"
    watch.page = PageReport(drawing=True)
    assert (await captured(watch, pointer(1, width=320, height=240))).confidence == "dimensions"


@pytest.mark.anyio
async def test_what_is_shown_in_the_place_of_a_file_is_taken_unless_the_page_has_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "GRACE", 0.05)
    clean, marked = (make_picture(words, size=(320, 240)).content for words in ("a fox", "a fox with a mark"))
    told = pointer(1, width=320, height=240, size_bytes=len(clean), shown_as=file_id(2))
    watch = Watched()
    watch.pictures.told(Turn(pictures=(told,)))
    watch.give(marked, asked(f"https://files.example/{file_id(2)}/raw"))
    assert (await captured(watch, told)).data == marked
    watch.give(clean)
    assert (await captured(watch, told)).data == clean


@pytest.mark.anyio
@pytest.mark.parametrize("both", [False, True])
async def test_bytes_of_the_files_own_that_are_not_of_its_size_are_loaded_anew_though_a_marked_one_is_shown(
    monkeypatch: pytest.MonkeyPatch, both: bool
) -> None:
    monkeypatch.setattr(capture, "GRACE", 0.05)
    preview, marked = (make_picture(words, size=(320, 240)).content for words in ("half a fox, drawn", "a fox"))
    told = pointer(1, width=320, height=240, size_bytes=len(marked) + len(preview), shown_as=file_id(2))
    watch = Watched()
    watch.pictures.told(Turn(pictures=(told,)))
    watch.give(max(preview, marked, key=len))
    if both:
        least = min(preview, marked, key=len)
        watch.give(least, asked(f"https://files.example/{file_id(2)}/raw"))
        assert (await captured(watch, told)).data == least
    else:
        with pytest.raises(Mismatch):
            await captured(watch, told)


@pytest.mark.anyio
@pytest.mark.parametrize("first", ["the address", "the request"])
async def test_bytes_from_an_address_without_the_files_name_are_known_by_the_answer_that_told_it(first: str) -> None:
    data = make_picture("a fox", size=(320, 240)).content
    address, watch = "https://files.example/00000000-aa/raw?sig=1", Watched()
    request = asked(address)
    assert not watch.pictures.names(request)
    if first == "the address":
        watch.pictures.lies(file_id(1), address, [])
        assert watch.pictures.names(request)
        watch.give(data, request)
    else:
        watch.bodies.contents[id(request)] = data
        watch.pictures.lies(file_id(1), address, [asked("https://files.example/00000000-bb/raw"), request])
    assert (await captured(watch, pointer(1, width=320, height=240, size_bytes=len(data)))).data == data
    watch.pictures.lies(file_id(2), SIGNED, [asked()])
    assert not watch.pictures.of(file_id(2)), "that address names its file itself"


@pytest.mark.anyio
async def test_the_largest_whole_picture_of_the_file_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "GRACE", 0.05)
    watch = Watched()
    for data in (SMALL, DATA, SMALL):
        watch.give(data)
    stated = pointer(1, width=1024, height=1024, size_bytes=7)
    with pytest.raises(Mismatch, match="320x240"):
        await captured(watch, stated)
    got = await captured(watch, stated, last=True)
    assert (got.data, got.confidence) == (DATA, "id")


@pytest.mark.anyio
@pytest.mark.parametrize("shown", [False, True])
async def test_the_persons_own_reference_is_no_picture_whoever_says_so(shown: bool) -> None:
    watch, wanted = Watched(), pointer(1, width=320, height=240)
    if shown:  # and nobody told of a file: the page alone is the witness
        watch.tab.bodies = Shown(DATA)
        watch.page = PageReport(images=(SeenImage(blob="blob:1", width=320, height=240, complete=True),))
        wanted = msgspec.structs.replace(wanted, file_id="blob:1")
    else:
        watch.give(DATA)
    with pytest.raises(TheirOwn):
        await captured(watch, wanted, refused=(sha256(DATA).hexdigest(),))


@pytest.mark.anyio
async def test_what_the_network_has_is_taken_without_waiting() -> None:
    watch = Watched()
    with anyio.fail_after(30):
        assert await Capture(cast("TurnWatch", watch), pointer(1)).here() is None
        watch.give(DATA)
        got = await Capture(cast("TurnWatch", watch), pointer(1)).here()
    assert got is not None
    assert got.data == DATA


@pytest.mark.anyio
async def test_a_picture_whose_document_went_away_while_it_was_looked_at_waits_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make_picture("a picture", size=(320, 240)).content
    watch = Watched()
    watch.page = PageReport(images=(SeenImage(file=file_id(1), width=320, height=240, complete=True),))

    async def gone(_expression: str) -> None:
        watch.page = PageReport()
        watch.give(data)
        watch.tell()
        raise DocumentLeft("gone")

    monkeypatch.setattr(watch.tab.eye, "ask", gone)
    pointer = Pointer(file_id=file_id(1), message_id="m", final=True, width=320, height=240, size_bytes=len(data))
    assert (await captured(watch, pointer)).data == data
