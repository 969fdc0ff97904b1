"""Everything the network says about one conversation, whatever the order it is heard in."""

from cdp_image_mcp.chatgpt.turn import Turn

__all__ = ["Transcript"]


class Transcript:
    """Collects what stream, websocket, conversation JSON and the page's own request say; pure, no I/O, no clock.

    All ``feed_*`` calls return True when something about our turn may have changed (call :meth:`turn` again), take
    repetitions and garbage, and never raise. Memory is bounded.
    """

    def __init__(self, *, conversation_id: str | None = None, user_message_id: str | None = None) -> None:
        """Both ids may be given when a turn of an earlier run is collected."""

    def feed_request(self, body: bytes) -> bool:
        """The POST body of the turn as the page sent it. A body with another message id begins a new turn."""
        raise NotImplementedError

    def feed_stream(self, chunk: bytes) -> bool:
        """A piece of the answer to that POST (SSE), split anywhere."""
        raise NotImplementedError

    def stream_ended(self, ok: bool) -> bool:
        """The answer ended; ``ok`` False when the connection broke."""
        raise NotImplementedError

    def feed_socket(self, payload: str | bytes) -> bool:
        """One frame of the site's websocket."""
        raise NotImplementedError

    def feed_conversation(self, body: bytes) -> bool:
        """An answer of ``conversation/{id}`` or of the batch form."""
        raise NotImplementedError

    @property
    def conversation_id(self) -> str | None:
        raise NotImplementedError

    def turn(self) -> Turn:
        """The newest turn of ours as it stands."""
        raise NotImplementedError
