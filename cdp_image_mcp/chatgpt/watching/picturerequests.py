"""Which of the page's requests may bring which picture's bytes."""

from collections.abc import Iterable

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.chatgpt.address import file_id
from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.network.wire import remember

MOST_FILES = 500


class PictureRequests:
    """The page's requests for picture files, by file. They change as their answers come in; what is said of them here
    is of this moment."""

    def __init__(self) -> None:
        self._by_file: dict[str, list[Request]] = {}
        self._drawn: set[str] = set()
        self._early: dict[str, list[Request]] = {}
        self._shown_as: dict[str, str] = {}
        self._lies: dict[str, str] = {}
        """Files by addresses that do not name them."""

    def _file_of(self, request: Request) -> str | None:
        """The file that a request names, or that is known to lie where it goes."""
        return file_id(request.url) or self._lies.get(request.url)

    def names(self, request: Request) -> bool:
        """Whether a request is known to be for a file."""
        return self._file_of(request) is not None

    def lies(self, file: str, address: str, asked: Iterable[Request]) -> None:
        """The site said where a file lies. What was ``asked`` for there already is noted."""
        if address and file_id(address) is None:
            remember(self._lies, address, file, MOST_FILES)
            for request in asked:
                if request.url == address:
                    self.note(request)

    def note(self, request: Request) -> None:
        """A request for a file."""
        file = self._file_of(request)
        # The JSON that tells a picture's address names the file too, but is the page's alone to ask for.
        if file is None or request.url.partition("?")[0].endswith("/download"):
            return
        remember(self._by_file, file, [*self._by_file.get(file, []), request], MOST_FILES)

    def told(self, turn: Turn) -> None:
        """The site said which pictures are finished. What was asked for before may have brought a preview."""
        self._shown_as.update((picture.file_id, picture.shown_as) for picture in turn.pictures)
        for picture in turn.pictures:
            if not picture.final:
                self._drawn.add(picture.file_id)
            elif picture.file_id in self._drawn and picture.file_id not in self._early:
                self._early[picture.file_id] = self._by_file.get(picture.file_id, [])

    def early(self, file: str) -> list[Request]:
        """Those from when the file was only said to be a preview."""
        return self._early.get(file, [])

    def of(self, file: str) -> list[Request]:
        """Those that may bring the file's bytes, newest first, before those of what is shown in its place: whatever
        type they say but JSON. Read like a picture, that would be asked for a second time, as the way that is left when
        the first bytes are none."""
        asked = [*self._by_file.get(self._shown_as.get(file, ""), []), *self._by_file.get(file, [])]
        return [one for one in reversed(asked) if one.mime_type.partition(";")[0] != "application/json"]

    def ended(self, file: str) -> list[Request]:
        """Those whose answer is there, newest first."""
        return [request for request in self.of(file) if request.ended and request.status == 200]

    def loading(self, file: str) -> bool:
        """Whether the file's bytes are on their way."""
        return any(not request.ended for request in self.of(file))

    def asked(self, file: str, loader_id: str) -> bool:
        """Whether the present document has asked for the file."""
        return any(not request.ended or request.loader_id == loader_id for request in self.of(file))
