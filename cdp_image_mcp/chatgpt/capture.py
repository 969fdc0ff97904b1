"""The bytes of a finished picture, taken off the network and checked against what the conversation says of it.

A file id alone does not make bytes final: previews were seen under the final picture's id. How sure bytes are:

============  ========================================================================================================
  sureness      What fits
============  ========================================================================================================
(none)        everything the conversation states
size          the exact size in bytes, but not the dimensions: those have been the ones that were asked for (``dalle``
              parts), a size is of the very bytes
dimensions    the dimensions, but not the stated size; or no size is stated and the page still draws
id            the file alone, or bytes that the page asked for while the file was said to be a preview
============  ========================================================================================================

The first two are taken at once. The others only when nothing of the file is on its way any more: *dimensions* after a
moment where no size is stated, or of the file that is shown in its place, which the size is not of; else, like *id*,
only after the conversation was loaded anew. Bytes that are one of the person's references are none, whoever says so.
"""

import hashlib
import logging
from collections.abc import Awaitable, Collection

import anyio
import msgspec

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.bodies import Body
from cdp_image_mcp.cdp.errors import CommandTimeout, DocumentLeft, NodeError, ScriptError
from cdp_image_mcp.chatgpt.network.turn import Pointer
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.page.layers import press
from cdp_image_mcp.chatgpt.page.pagereport import SeenImage
from cdp_image_mcp.chatgpt.watching.turnwatch import TurnWatch
from cdp_image_mcp.library.formats import ImageFacts
from cdp_image_mcp.library.imagefile import inspect

log = logging.getLogger(__name__)

GRACE = 3.0
"""Seconds to wait for surer bytes when others of the file are there."""
LOADING_SECONDS = 120.0
"""How long the page may be at loading a file."""
CAROUSEL_SECONDS = 3.0
"""How long the page may take to show other pictures after the press."""
SURENESS = ("id", "dimensions", "size", "")


class Captured(msgspec.Struct, frozen=True):
    """A picture's bytes, how they came (``network``, ``resource``, ``request``, ``blob``) and what they are."""

    data: bytes
    facts: ImageFacts
    way: str
    confidence: str
    """How sure they are, see above."""
    marked: bool = False
    """Of the file that is shown in its place, which the stated size is not of."""

    @property
    def sure(self) -> bool:
        return self.confidence in {"", "size"}

    @property
    def rank(self) -> tuple[int, bool, int]:
        return SURENESS.index(self.confidence), self.marked, len(self.data)


class Mismatch(Exception):  # noqa: N818 - it says what happened
    """Nothing that came is the finished picture; carries what was seen instead."""


class TheirOwn(Exception):  # noqa: N818 - it says what happened
    """It is one of the person's references."""


def check(
    data: bytes, pointer: Pointer, way: str, *, drawing: bool = False, early: bool = False, marked: bool = False
) -> Captured | str:
    """What bytes are worth; why they are none, if they are no whole picture. While the page still draws, bytes of no
    stated size may be a preview under the same id; ``early`` ones were asked for when that was all there was."""
    try:
        facts = inspect(data)
    except ValueError as error:
        return f"{len(data)} bytes by {way}: {error}"
    fits = not pointer.width or not pointer.height or (facts.width, facts.height) == (pointer.width, pointer.height)
    if pointer.size_bytes == len(data):
        confidence = "" if fits else "size"
    elif not fits or early:
        confidence = "id"
    else:
        confidence = "dimensions" if pointer.size_bytes or drawing else ""
    return Captured(data=data, facts=facts, way=way, confidence=confidence, marked=marked)


class Capture:
    def __init__(self, watch: TurnWatch, pointer: Pointer, refused: Collection[str] = ()) -> None:
        """``refused``: SHA-256 of the person's references."""
        self._watch = watch
        self._pointer = pointer
        self._refused = refused
        self._tried: dict[int | str, str] = {}
        self._nameless: dict[str, Captured] = {}
        """What the page shows as a ``blob:``, by its address."""
        self._early: set[bytes] = set()
        """Digests of what the page had when the file was only said to be a preview."""
        self._best: Captured | None = None
        self._best_at = 0.0

    async def wait(self, seconds: float, *, last: bool) -> Captured:
        """Wait for the bytes, at most ``seconds``; longer while the page is loading them. ``last``: the conversation
        was loaded anew, and what is not sure will not become so. Raises Mismatch, TheirOwn, CDPError."""
        watch, carousel = self._watch, Carousel(self._watch)
        started = anyio.current_time()
        while True:
            news = watch.mark()
            if (sure := await self.here()) is not None:
                return sure
            loading = watch.pictures.loading(self._pointer.file_id)
            now = anyio.current_time()
            if self._best is not None and not loading and now - self._best_at >= GRACE:
                sized = self._pointer.size_bytes and not self._best.marked
                if last or (self._best.confidence == "dimensions" and not sized):
                    return self._best
                raise Mismatch(self._why())
            left = started + (LOADING_SECONDS if loading else seconds) - now
            if left <= 0:
                if last and self._best is not None:
                    return self._best
                raise Mismatch(self._why())
            if self._best is None and not loading and await carousel.bring(self._pointer):
                continue
            await watch.news_since(news, left if self._best is None else min(left, GRACE))

    async def here(self) -> Captured | None:
        """Sure bytes, if the page has them at this moment; waits for nothing. Raises TheirOwn, CDPError."""
        bodies, early = self._watch.tab.bodies, self._watch.pictures.early(self._pointer.file_id)
        marked = self._watch.pictures.ended(self._pointer.shown_as)
        for request in self._watch.pictures.ended(self._pointer.file_id):
            if id(request) not in self._tried:
                # By its request, not its address: what the browser holds of it need not be fetched a second time.
                reading = bodies.read(request, accept=self._is_whole)
                self._weigh(id(request), await self._read(reading, early=request in early, marked=request in marked))
        if self._best is None or not self._best.sure:
            await self._from_page()
        return self._best if self._best is not None and self._best.sure else None

    def _weigh(self, key: int | str, got: Captured | str) -> None:
        if isinstance(got, str):
            log.info("not the finished picture: %s", got)
            self._tried[key] = got
            return
        facts = got.facts
        stated = f"{self._pointer.width}x{self._pointer.height} and {self._pointer.size_bytes or 'no'} bytes"
        self._tried[key] = (
            f"{facts.width}x{facts.height}, {len(got.data)} bytes by {got.way}, the conversation says {stated}"
        )
        self._refuse_theirs(got)
        if self._best is None or got.rank > self._best.rank:
            self._best, self._best_at = got, anyio.current_time()

    def _refuse_theirs(self, got: Captured) -> None:
        if self._refused and hashlib.sha256(got.data).hexdigest() in self._refused:
            raise TheirOwn("it is the reference picture that was sent along")

    def _why(self) -> str:
        left = {
            f"page {blob}": f"{len(got.data)} bytes by {got.way} that may be another picture's"
            for blob, got in self._nameless.items()
        }
        return "; ".join((left | self._tried).values()) or "its bytes never came"

    def _is_whole(self, data: bytes) -> bool:
        return isinstance(check(data, self._pointer, ""), Captured)

    async def _read(self, reading: Awaitable[Body], *, early: bool = False, marked: bool = False) -> Captured | str:
        try:
            body = await reading
        except cdp.errors.BodyUnavailable as error:
            # Without the address: it is a key to the file, and this text goes into records and answers.
            return "; ".join(error.tried)
        if body.tried:
            log.info("the picture's bytes came by %s after: %s", body.way, "; ".join(body.tried))
        digest = hashlib.sha256(body.data).digest()
        if early:
            self._early.add(digest)  # whatever address shows them on the page
        early = digest in self._early
        drawing = self._watch.page.drawing
        return check(body.data, self._pointer, body.way, drawing=drawing, early=early, marked=marked)

    async def _from_page(self) -> None:
        """A picture that stands in our turn complete, though its request was never seen: from the memory cache, or as a
        ``blob:``. Not while a check is up: a ``blob:`` is read by script in the page."""
        watch, pointer = self._watch, self._pointer
        if watch.challenged or watch.pictures.loading(pointer.file_id):
            return
        for image in watch.page.images:
            key = f"page {image.file or image.blob}"
            if key in self._tried or image.blob in self._nameless or not (image.complete and self._may_be(image)):
                continue
            address = image.blob or await self._address(image)
            if address is None:
                continue
            marked = image.file is not None and image.file == pointer.shown_as
            got = await self._read(watch.tab.bodies.read_url(address, accept=self._is_whole), marked=marked)
            nameless = image.blob is not None and image.blob != pointer.file_id
            try:
                if nameless and isinstance(got, Captured):
                    self._refuse_theirs(got)
                    self._nameless[image.blob or ""] = got
                else:
                    self._weigh(key, got)
            except TheirOwn as theirs:
                if not nameless:
                    raise
                self._tried[key] = str(theirs)
                watch.disregard(image.blob or "")  # it names no file, so it says nothing of ours
        self._take_nameless()

    def _take_nameless(self) -> None:
        """A ``blob:`` names no file: among several pictures, known or shown, only a size that is stated of no other
        tells whose it is."""
        shown = [image.blob for image in self._watch.page.images if image.file is None and self._may_be(image)]
        pictures = self._watch.turn.pictures
        alone = len(shown) == 1 and len(pictures) < 2
        own_size = sum(one.size_bytes == self._pointer.size_bytes for one in pictures) < 2
        for blob, got in self._nameless.items():
            key, sized = f"page {blob}", bool(self._pointer.size_bytes) and own_size and not got.confidence
            if blob in shown and key not in self._tried and (sized or (alone and got.confidence != "id")):
                self._weigh(key, got)

    def _may_be(self, image: SeenImage) -> bool:
        pointer = self._pointer
        if image.file is not None or pointer.file_id.startswith("blob:"):
            return pointer.file_id in {image.file, image.blob} or pointer.shown_as == image.file
        fits = not pointer.width or (image.width, image.height) == (pointer.width, pointer.height)
        return image.blob is not None and fits and bool(pointer.size_bytes or len(self._watch.turn.pictures) < 2)

    async def _address(self, image: SeenImage) -> str | None:
        """The full address of a shown picture; it is signed and leaves this function only to be loaded. None when it is
        shown no more."""
        try:
            answer = await self._watch.tab.eye.ask(
                f"(() => {{ for (const img of witness.every('picture')) {{ const address = img.currentSrc || img.src;"
                f" if (address.includes({quoted(image.file)})) return address; }} return null; }})()"
            )
        except DocumentLeft:
            return None
        return answer if isinstance(answer, str) else None


class Carousel:
    """A turn's pictures that the page has not mounted: it loads those only when somebody looks at them.

    Carousels that mount about two of a turn's pictures were seen in 2026-08. The control that brings the next ones
    stands in our own turn, and a press of it changes nothing but what is shown; what is pressed is said in
    ``locators.json`` (role ``picture_next``), and nothing else ever is. Turned for one picture at most once for each
    picture of the turn, which is once all round.
    """

    def __init__(self, watch: TurnWatch) -> None:
        self._watch = watch
        self._presses = 0
        self._stuck = False

    async def bring(self, pointer: Pointer) -> bool:
        """Press for the next pictures when this one is neither shown nor asked for. Whether others are shown now."""
        watch = self._watch
        if self._stuck or self._presses >= len(watch.turn.pictures) or not self._wanted(pointer):
            return False
        try:
            before: str = await watch.tab.eye.ask("witness.mounted()", reply=str)
            if not await press(watch.tab, "witness.pictureNext()"):
                return False
            self._presses += 1
            changed = await watch.tab.eye.until(f"witness.mounted() !== {quoted(before)}", CAROUSEL_SECONDS)
        except (CommandTimeout, DocumentLeft, NodeError, ScriptError) as error:
            log.info("the carousel could not be turned: %s", error)
            changed = False
        self._stuck = not changed
        return changed

    def _wanted(self, pointer: Pointer) -> bool:
        images = self._watch.page.images
        if len(self._watch.turn.pictures) < 2 or not images or self._watch.challenged:
            return False
        if any(image.file in {pointer.file_id, pointer.shown_as} for image in images):
            return False
        if self._watch.pictures.asked(pointer.file_id, self._watch.tab.loader_id):
            return False
        return all(self._loaded(image) for image in images)

    def _loaded(self, image: SeenImage) -> bool:
        """A hidden page paints nothing: there the network says that a picture is loaded."""
        if image.complete or image.file is None:
            return image.complete
        return any(request.ended for request in self._watch.pictures.of(image.file))
