"""The bytes of a finished picture, taken off the network and checked against what the conversation says of it.

A file id alone does not make bytes final: previews were seen under the final picture's id. So bytes count only when
they are a whole file whose dimensions are those of the finished message; of several such the one with the stated size
is taken.
"""

import logging

import anyio
import msgspec

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.chatgpt.network.turn import Pointer
from cdp_image_mcp.chatgpt.page.carousel import Carousel
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.page.pagereport import SeenImage
from cdp_image_mcp.chatgpt.picturerequest import carries, may_carry
from cdp_image_mcp.chatgpt.turnwatch import TurnWatch
from cdp_image_mcp.library.imagefile import ImageFacts, inspect

__all__ = ["Captured", "Mismatch", "capture"]

log = logging.getLogger(__name__)

SIZE_GRACE = 3.0
"""Seconds to wait for bytes of the stated size when others of the right dimensions are there."""


class Captured(msgspec.Struct, frozen=True):
    """A picture's bytes, how they came (``network``, ``resource``, ``request``, ``blob``) and what they are."""

    data: bytes
    facts: ImageFacts
    way: str
    exact: bool
    """The size in bytes is the one the conversation states (or it states none)."""


class Mismatch(Exception):  # noqa: N818 - it says what happened
    """Nothing that came is the finished picture; carries what was seen instead."""


async def capture(watch: TurnWatch, pointer: Pointer, seconds: float) -> Captured:
    """Wait for the picture's bytes, at most ``seconds``. Raises Mismatch, CDPError."""
    tried: dict[int, str] = {}
    fallback: Captured | None = None
    fallback_at = 0.0
    carousel = Carousel(watch)
    with anyio.move_on_after(seconds):
        while True:
            news = watch.mark()
            for request in _requests(watch, pointer.file_id):
                if id(request) in tried:
                    continue
                got = await _read(watch, request, pointer)
                if isinstance(got, str):
                    tried[id(request)] = got
                    log.info("not the finished picture: %s", got)
                elif got.exact:
                    return got
                else:
                    tried[id(request)] = "dimensions fit, size differs"
                    fallback, fallback_at = got, anyio.current_time()
            if fallback is None and (shown := await _from_page(watch, pointer)) is not None:
                fallback, fallback_at = shown, anyio.current_time()
                if shown.exact:
                    return shown
            if fallback is not None and anyio.current_time() - fallback_at >= SIZE_GRACE:
                return fallback
            if fallback is None and await carousel.bring(pointer):
                continue
            await watch.news_since(news, SIZE_GRACE if fallback is not None else None)
    if fallback is not None:
        return fallback
    raise Mismatch("; ".join(tried.values()) or "its bytes never came")


def _requests(watch: TurnWatch, wanted: str) -> list[Request]:
    """Ended requests for the file's bytes, newest first."""
    found = [
        request
        for request in watch.tab.bodies.requests
        if request.ended and request.status == 200 and may_carry(request, wanted)
    ]
    return found[::-1]


def check(data: bytes, pointer: Pointer, way: str, *, drawing: bool = False) -> Captured | str:
    """Whether bytes are the finished picture; else why not. While the page still draws, bytes of no stated size may
    be a preview under the same id: they do not count as exact."""
    try:
        facts = inspect(data)
    except ValueError as error:
        return f"{len(data)} bytes by {way}: {error}"
    if pointer.width and pointer.height and (facts.width, facts.height) != (pointer.width, pointer.height):
        stated = f"{pointer.width}x{pointer.height}"
        return f"{facts.width}x{facts.height} by {way}, the conversation says {stated}"
    exact = pointer.size_bytes == len(data) or (pointer.size_bytes == 0 and not drawing)
    return Captured(data=data, facts=facts, way=way, exact=exact)


async def _read(watch: TurnWatch, request: Request, pointer: Pointer) -> Captured | str:
    def fits(data: bytes) -> bool:
        return isinstance(check(data, pointer, ""), Captured)

    try:
        body = await watch.tab.bodies.read(request, accept=fits)
    except cdp.errors.BodyUnavailable as error:
        # Without the address: it is a key to the file, and this text goes into records and answers.
        return "; ".join(error.tried)
    if body.tried:
        log.info("the picture's bytes came by %s after: %s", body.way, "; ".join(body.tried))
    return check(body.data, pointer, body.way, drawing=watch.page.drawing)


async def _from_page(watch: TurnWatch, pointer: Pointer) -> Captured | None:
    """A picture that stands in our turn complete and with the right dimensions, though its request was never seen:
    from the memory cache, or as a ``blob:``."""
    if watch.challenge is not None:
        return None  # a ``blob:`` is read by script in the page
    if any(carries(request, pointer.file_id) and not request.ended for request in watch.tab.bodies.requests):
        return None
    for image in watch.page.images:
        if not _shows(image, pointer):
            continue
        address = image.blob or await _address(watch, image)
        if address is None:
            continue
        try:
            body = await watch.tab.bodies.read_url(
                address, accept=lambda data: isinstance(check(data, pointer, ""), Captured)
            )
        except cdp.errors.BodyUnavailable as error:
            log.info("the shown picture could not be read: %s", "; ".join(error.tried))
            continue
        got = check(body.data, pointer, body.way)
        # A ``blob:`` names no file: among several pictures only the stated size tells whose it is.
        foreign = image.file is None and len(watch.turn.pictures) > 1
        if isinstance(got, Captured) and not (foreign and pointer.size_bytes != len(body.data)):
            return got
    return None


def _shows(image: SeenImage, pointer: Pointer) -> bool:
    if not image.complete:
        return False
    if image.file is not None and image.file != pointer.file_id:
        return False
    if image.file is None and image.blob is None:
        return False
    return not pointer.width or (image.width, image.height) == (pointer.width, pointer.height)


async def _address(watch: TurnWatch, image: SeenImage) -> str | None:
    """The full address of a shown picture; it is signed and leaves this function only to be loaded."""
    answer = await watch.tab.eye.ask(
        f"(() => {{ for (const img of witness.every('picture')) {{ const address = img.currentSrc || img.src;"
        f" if (address.includes({quoted(image.file)})) return address; }} return null; }})()"
    )
    return answer if isinstance(answer, str) else None
