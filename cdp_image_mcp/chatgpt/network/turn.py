"""What the network says about one turn of ours: the prompt we sent and everything that came of it."""

from typing import Literal, TypeAlias

import msgspec

StreamEnd: TypeAlias = Literal["whole", "cut"]
"""How the answer's own stream ended: with ``message_stream_complete`` or ``[DONE]``, or with neither."""


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """A picture's file. Sizes as the site told them, 0 where it did not."""

    file_id: str
    """``file_…`` or ``file-…``, without scheme; the same id as in the address of the picture."""
    shown_as: str = ""
    """The file that a page shows in its place: the same with a mark in it, whose size is not told."""
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    message_id: str = ""
    partial: bool = False
    """In a message: fewer rows are drawn than the picture has (read in the desktop page's code, 2026)."""
    final: bool = False
    """In a turn: no preview. Its message is finished, and the file was not replaced by another one."""


class ToolError(msgspec.Struct, frozen=True):
    """A tool that failed, in the site's own words: class name of the error (may be empty) and its text."""

    name: str
    text: str


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn as far as the network has told it. Only ids decide what belongs to it, never position or time."""

    user_message_id: str | None = None
    conversation_id: str | None = None
    """A UUID; interim ids (``WEB:…``, ``local-…``) are never given."""
    others: frozenset[str] = frozenset()
    """Conversations that were read and are not ours, while ours was not known."""
    known_files: frozenset[str] = frozenset()
    """The person's own and pictures of other turns. They never count as pictures, wherever they turn up."""
    pictures: tuple[Pointer, ...] = ()
    """Each file once, in the order they were first seen, previews with ``final`` False."""
    expected_count: int = 0
    """Pictures announced by tool calls and placeholders; 0 when nothing was announced. The site may give others."""
    drawing_started: bool = False
    """The picture tool was called, or a message carries its marks (``image_gen_*``) or its picture."""
    picture_promised: bool = False
    """``drawing_started``, or the stream calls the turn an image turn, which it says of the prompt, not of what is
    done with it: a question in return may follow."""
    tool_used: bool = False
    """Any tool call or tool message, also of search or Python."""
    running: bool = False
    """The site says that something is being made in this conversation (``async_status``, ``stream_status``)."""
    at_rest: bool = False
    """The site says that nothing is."""
    read_after: bool = False
    """The site says that the answer is over, and the conversation was read since: its pictures may still come."""
    handed_off: bool = False
    """The stream said it goes on elsewhere (websocket, or reading the conversation)."""
    stream_ended: StreamEnd | None = None
    topic_open: bool = False
    """A topic that the stream was handed to has spoken, and nobody has said that it is over."""
    turn_complete: bool = False
    """The site said the turn is over: the stream (if not handed off), its topic, or a completion notice."""
    conversation_read: bool = False
    """The conversation's JSON was read and contains our message."""
    nothing_follows: bool = False
    """Once the stream is over: no picture can follow the words of ``answered_text``, or what was blocked."""
    answered_text: str | None = None
    """The finished answer in words: assistant, to all, text, end of turn. Cards and tool texts are never it."""
    partial_text: str | None = None
    """Words of the assistant to all that are not (yet) an answer, bounded but not cleaned."""
    error: str | None = None
    """The error object of the stream, as one sentence."""
    tool_error: ToolError | None = None
    blocked: bool = False
    """Moderation: a blocked flag on a message of our turn."""
    empty_picture: bool = False
    """A finished picture message holds no picture: so does every placeholder, so it says little before a long wait."""
    card_waiting: bool = False
    """A card that holds a picture's place is still in the conversation, as last read."""
    paragen: bool = False
    """Two candidates are shown side by side and wait for a choice."""
    model: str | None = None
    unplaced_pictures: int = 0
    """Pictures of our conversation that no id ties to any turn yet: reading the conversation once would tell."""
    half_drawn: bool = False
    """A finished message's picture is said to lack rows: not believed until the conversation is at rest."""
    followed: bool = False
    """A person asked for something in our conversation since."""
    stale: bool = False
    """The site asked its own page to read the conversation again, and that has not been seen since."""

    @property
    def content(self) -> tuple[object, ...]:
        """What the turn holds, without what is said about it."""
        words = (self.answered_text, self.partial_text, self.error, self.tool_error, self.blocked)
        return self.pictures, self.expected_count, self.drawing_started, self.card_waiting, self.empty_picture, words

    @property
    def final_pictures(self) -> tuple[Pointer, ...]:
        return tuple(picture for picture in self.pictures if picture.final)

    @property
    def previews(self) -> tuple[Pointer, ...]:
        return tuple(picture for picture in self.pictures if not picture.final)
