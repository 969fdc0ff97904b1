"""The page's requests for picture files, noted by file as they begin."""

from collections import OrderedDict

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.chatgpt.address import file_id

__all__ = ["PictureRequests"]

MOST_FILES = 500


class PictureRequests:
    """Requests change as their answers come in; what is said of them here is of this moment."""

    def __init__(self) -> None:
        self._by_file: OrderedDict[str, list[Request]] = OrderedDict()

    def note(self, request: Request) -> None:
        """A request that names a file."""
        file = file_id(request.url)
        # The JSON that tells a picture's address names the file too, but is the page's alone to ask for.
        if file is None or request.url.partition("?")[0].endswith("/download"):
            return
        self._by_file.setdefault(file, []).append(request)
        if len(self._by_file) > MOST_FILES:
            self._by_file.popitem(last=False)

    def of(self, file: str) -> list[Request]:
        """Those that may bring the file's bytes, newest first: whatever type they say but JSON. Read like a picture,
        that would be asked for a second time, as the way that is left when the first bytes are none."""
        asked = self._by_file.get(file, [])
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
