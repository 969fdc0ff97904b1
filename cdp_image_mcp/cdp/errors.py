"""Everything the driver raises.

Protocol error codes and wordings: Chromium 156, 2026-11. -32000 covers many cases told apart only by their wording.
"""

# ruff: noqa: N818 - an exception here says what happened (PageCrashed); "Error" behind it would add nothing

from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCUMENT_GONE = (
    "Inspected target navigated or closed",
    "Cannot find context with specified id",
    "Execution context was destroyed",
    "uniqueContextId not found",
)


def _last(lines: Sequence[str]) -> str:
    return "".join(("; its last lines:", *(f"\n  {line}" for line in lines))) if lines else ""


class CDPError(Exception):
    """Base of everything the driver raises."""


class ProtocolError(CDPError):
    """The browser answered a command with an error."""

    def __init__(self, code: int, message: str, data: Any = None, method: str = "") -> None:
        super().__init__(f"{method}: {message} ({code})" + (f": {data}" if data else ""))
        self.code = code
        self.message = message

    @property
    def unknown_method(self) -> bool:
        """The browser is too old for the method, or it belongs to another kind of session."""
        return self.code == -32601

    @property
    def between_documents(self) -> bool:
        """The page is just taking another's place (Chromium 156, 2026-11-27); nothing was done."""
        return "Not attached to an active page" in self.message

    @property
    def document_gone(self) -> bool:
        """The document that the command was for is gone, or went while it ran; another may be there."""
        return any(wording in self.message for wording in DOCUMENT_GONE)


class ScriptError(CDPError):
    """A script in the page threw; what it says is the page's own text and therefore data, not advice."""

    def __init__(self, description: str) -> None:
        super().__init__(f"a script in the page failed: {description}")


class NavigationError(CDPError):
    """The address could not be loaded; the text is Chrome's ``net::ERR_…``."""


class CommandTimeout(CDPError, TimeoutError):
    """The browser did not answer a command in time. It may still carry the command out."""

    def __init__(self, method: str, seconds: float) -> None:
        super().__init__(f"{method} was not answered within {seconds:g} s; it may still have been carried out")
        self.method = method


class Hanging(CDPError):
    """A browser or a page is there and answers nothing."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} has answered nothing for {seconds:g} s")


class EventTimeout(CDPError, TimeoutError):
    """An awaited event did not come in time."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} did not come within {seconds:g} s")


class EventOverflow(CDPError):
    """A queue was not read while it filled up; it is closed, nothing was dropped silently."""


class SubscriptionClosed(CDPError):
    """``close`` was called on the subscription while it was being read."""

    def __init__(self) -> None:
        super().__init__("this subscription was closed by its owner")


class SessionClosed(CDPError):
    """The target was closed or the session detached from it."""

    def __init__(self, reason: str, method: str = "") -> None:
        super().__init__((f"{method}: " if method else "") + f"the page's session is closed: {reason}")
        self.reason = reason
        self.method = method


class PageCrashed(CDPError):
    """The page's renderer died. Only Page.navigate and Page.reload are answered until the page is loaded again."""

    def __init__(self, method: str = "") -> None:
        super().__init__((f"{method}: " if method else "") + "the page crashed; reload it or navigate to go on")


class BrowserGone(CDPError, ConnectionError):
    """The connection to the browser ended.

    ``stderr`` holds the browser's last lines if this process started it and did not ask for the end.
    """

    def __init__(self, message: str, *, stderr: Sequence[str] = ()) -> None:
        super().__init__(message + _last(stderr))
        self.stderr = stderr
        self.message = message


class DocumentLeft(CDPError):
    """The document that a world was made in is gone, or was never looked into: judge the present one, then make it."""


class NodeError(CDPError):
    """An element cannot be used as asked: it left the page, or has no box on screen."""


class ClickBlocked(NodeError):
    """Another element lies over the point to click; nothing was clicked."""


class ClickMissed(NodeError):
    """The page was pressed where the element is, and each time nothing of it reached the element."""


class FileError(CDPError):
    """A file for an upload cannot be used. Chrome itself accepts such paths silently and fails later."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}; nothing was given to the page")


def _place(url: str) -> str:
    """An address as a message may carry it: what follows ``?`` or ``#`` is often a key to the file, and a ``data:``
    address is the file itself."""
    return "data:" if url.startswith("data:") else url.partition("#")[0].partition("?")[0]


class BodyUnavailable(CDPError):
    """No way gave the bytes. ``tried`` lists each way with the reason it failed, in order."""

    def __init__(self, url: str, tried: Sequence[str]) -> None:
        super().__init__(f"no bytes for {_place(url)}: " + "; ".join(tried))
        self.tried = tuple(tried)


class StreamFailed(CDPError):
    """A live stream ended in an error after the bytes given so far."""

    def __init__(self, url: str, error_text: str) -> None:
        super().__init__(f"the stream of {_place(url)} ended: {error_text}")


class LaunchError(CDPError):
    """The browser could not be had."""


class BrowserNotFound(LaunchError):
    """No browser at any place, or none at the place that was given."""


class BrowserFailed(LaunchError):
    """The browser started and gave up, could not be executed, or did not open its port in time."""

    def __init__(self, reason: str, *, exit_code: int | None = None, stderr: Sequence[str] = ()) -> None:
        code = f" (exit code {exit_code})" if exit_code is not None else ""
        super().__init__(reason + code + _last(stderr))


class DebuggingForbidden(LaunchError):
    """A policy of this computer keeps the browser from being driven, this time and every time."""


class ProfileInUse(LaunchError):
    """Another browser holds the profile."""

    def __init__(self, profile: Path, reason: str) -> None:
        super().__init__(f"the browser profile {profile} is in use: {reason}")


class ProfileNotWritable(LaunchError):
    """The profile folder cannot be made or written."""

    def __init__(self, profile: Path, reason: str) -> None:
        super().__init__(f"the browser profile {profile} cannot be written: {reason}")


class NoDisplay(LaunchError):
    """A window was asked for and there is no display."""

    def __init__(self, detail: str = "neither DISPLAY nor WAYLAND_DISPLAY is set") -> None:
        super().__init__(f"no display for a browser window ({detail}). Start from a desktop session, or run headless")


class NeedsNoSandbox(LaunchError):
    """Chrome refuses to run as root without --no-sandbox."""

    def __init__(self) -> None:
        super().__init__(
            "the browser does not run as root with its sandbox. Run as an ordinary user, or, in a container you trust, "
            "add --no-sandbox to the browser's arguments"
        )
