"""One message of a conversation, reduced to what judging a turn needs."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from cdp_image_mcp.chatgpt.network.turn import Pointer, ToolError
from cdp_image_mcp.chatgpt.network.wire import integer, items, moment, obj, read_json, text

LONGEST_TEXT = 34_000
"""Characters of a message that are kept: more than the longest prompt, which is looked for in the history."""

DONE = "finished_successfully"
UNFINISHED = {"", "in_progress"}

OTHER_TOOLS = (
    "api_tool",
    "automations",
    "bio",
    "browser",
    "canmore",
    "computer",
    "container",
    "file_search",
    "gcal",
    "gmail",
    "guardian_tool",
    "local",
    "msearch",
    "myfiles_browser",
    "python",
    "research_kickoff_tool",
    "user_settings",
    "web",
)
"""Tools whose image pointers are no generated pictures (pages of the user's files, screenshots, plots). The picture
tool's own name is opaque and changes (``dalle.text2im``, ``n7jupd_m``, ``t2uay3k.sj1i4kz``): it is never asked for."""

CALL_KEYS = {"batch_requests", "skipped_mainline", "transparent_background", "referenced_image_ids"}
"""Arguments only the picture tool has (recorded 2026-04 to 2026-09)."""

LASTING = ("parent", "exchange", "announced", "image_sign", "group", "model", "conversation", "created")
"""What of a message holds although a later telling leaves it out."""

_FILE_ID = re.compile(r"^(?:sediment|file-service)://(file[-_][A-Za-z0-9_-]{1,80})")
# Citation marks of the page are private-use characters around their payload.
_CITATION = re.compile("\ue200[^\ue201]*(?:\ue201|$)")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message. Empty strings stand for what was not told."""

    id: str
    role: str = ""
    recipient: str = ""
    kind: str = ""
    other_tool: bool = False
    """It comes from a tool that makes no pictures, or calls one."""
    status: str = ""
    end_turn: bool = False
    words: str = ""
    hidden: bool = False
    parent: str = ""
    exchange: str = ""
    tasks: tuple[str, ...] = ()
    assets: tuple[Pointer, ...] = ()
    replaced: tuple[Pointer, ...] = ()
    """Pictures that stood here before others took their place."""
    placeholder: str = ""
    """The picture task this message holds the place of."""
    image_sign: bool = False
    announced: int = 0
    """Pictures this tool call asks for; 0 when it is no picture call."""
    group: str = ""
    chosen: bool = False
    error: ToolError | None = None
    blocked: bool = False
    empty: bool = False
    """A finished picture message without a picture: a placeholder, or one that was taken away."""
    model: str = ""
    settled: bool = False
    """Read from a conversation that is at rest, or told as completed: no more changes are under way."""
    conversation: str = ""
    created: float | None = None
    """When it was written by the site's clock, seconds since 1970."""
    origins: frozenset[str] = frozenset()
    """Streams and topics it came by."""

    @property
    def finished(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def card(self) -> bool:
        """Whether it holds the place of pictures to come: it names their task, or is a tool's word that ends the turn
        (recorded 2026-04-24; a list of 2026-10-03 leaves out what names the task)."""
        closing = self.role == "tool" and self.end_turn and self.kind == "text" and not self.other_tool
        return bool(self.placeholder) or (closing and self.finished)

    @property
    def ties(self) -> tuple[object, ...]:
        """Everything its place depends on."""
        return (self.parent, self.exchange, self.tasks, self.role, self.hidden, self.origins)

    @property
    def call(self) -> bool:
        """Whether it is the assistant speaking to a tool."""
        return self.role == "assistant" and self.recipient not in {"", "all"}

    @property
    def speech(self) -> bool:
        """Whether it is the assistant speaking to the person, in words."""
        return (
            self.role == "assistant"
            and not self.call
            and self.kind in {"text", "multimodal_text"}
            and not self.hidden
            and not self.assets
            and bool(self.words.strip())
        )

    @property
    def answer(self) -> bool:
        """Whether it is the finished answer: only the assistant's own words to all can be (recorded 2026-04-24)."""
        return self.speech and self.status == DONE and self.end_turn

    def is_final(self, asset: Pointer, *, at_rest: bool) -> bool:
        return self.status == DONE and (self.settled or at_rest or not asset.partial)


def upwards(key: str, above: Callable[[str], str]) -> Iterator[str]:
    """The id of a message and those of its ancestors, each once, whatever the links say. ``above`` gives the parent,
    empty where that is not known."""
    passed: set[str] = set()
    while key and key not in passed:
        passed.add(key)
        yield key
        key = above(key)


def file_id_of(pointer: Any) -> str:
    """``file_…`` of ``sediment://file_…`` or of the older ``file-service://file-…``, else empty."""
    found = _FILE_ID.match(pointer) if isinstance(pointer, str) else None
    return found[1] if found else ""


def read_message(
    message: dict[str, Any], *, parent: str = "", conversation: str = "", origin: str = "", settled: bool = False
) -> Message | None:
    """The message of a message object, None when it has no id."""
    identity = text(message.get("id"))
    if not identity or len(identity) > 200:
        return None
    author, content, meta = obj(message.get("author")), obj(message.get("content")), obj(message.get("metadata"))
    role, tool = text(author.get("role")), text(author.get("name"))
    recipient, status = text(message.get("recipient")), text(message.get("status"))
    kind = text(content.get("content_type"))
    call = role == "assistant" and recipient not in {"", "all"}
    aside = text(message.get("channel")) in {"analysis", "commentary"}
    words, parts = _words(content), items(content.get("parts"))
    finished_picture = role == "tool" and status == DONE and kind == "multimodal_text" and _generated(meta)
    return Message(
        id=identity,
        role=role,
        recipient=recipient,
        kind=kind,
        other_tool=_other_tool(recipient if call else tool),
        status=status,
        end_turn=message.get("end_turn") is True,
        words=words,
        hidden=aside or meta.get("is_visually_hidden_from_conversation") is True,
        parent=parent or text(meta.get("parent_id")),
        exchange=text(meta.get("turn_exchange_id")),
        tasks=tuple(t for t in (text(meta.get(key)) for key in ("image_gen_task_id", "async_task_id")) if t),
        assets=_assets(content, generated=_generated(meta) or not _other_tool(tool)),
        placeholder=text(meta.get("image_gen_task_id")),
        image_sign=role != "user" and _generated(meta),
        announced=_announced(words, recipient) if call else 0,
        group=text(meta.get("image_gen_group_id")),
        chosen=bool(meta.get("selected_image_message_id") or meta.get("paragen_variant_choice")),
        error=_error(role, status, content, meta, words, is_error=message.get("is_error") is True),
        blocked=meta.get("output_blocked") is True,
        empty=finished_picture and not any(obj(part).get("asset_pointer") for part in parts),
        model=text(meta.get("resolved_model_slug")) or text(meta.get("model_slug")),
        settled=settled and status not in UNFINISHED,
        conversation=conversation,
        created=moment(message.get("create_time")),
        origins=frozenset((origin,)) if origin else frozenset(),
    )


def merged(old: Message, new: Message) -> Message:
    """What is known after hearing ``new`` about the same message; a late replay never undoes what was finished."""
    origins = old.origins | new.origins
    if old.finished and not new.finished:
        seen = {asset.file_id for asset in (*old.assets, *old.replaced)}
        late = tuple(asset for asset in new.assets if asset.file_id not in seen)
        return msgspec.structs.replace(
            old, origins=origins, parent=old.parent or new.parent, replaced=(*old.replaced, *late)
        )
    known = {asset.file_id for asset in new.assets}
    gone = {asset.file_id for asset in old.replaced}
    if new.assets and known <= gone:
        # An earlier state again: the pictures that took its place stay.
        new = msgspec.structs.replace(new, assets=old.assets)
        known = {asset.file_id for asset in new.assets}
    left = tuple(asset for asset in (*old.replaced, *old.assets) if asset.file_id not in known)
    return msgspec.structs.replace(
        new,
        replaced=left[-50:],
        origins=origins,
        tasks=tuple(dict.fromkeys((*old.tasks, *new.tasks))),
        **{name: getattr(new, name) or getattr(old, name) for name in LASTING},
        placeholder=new.placeholder or (old.placeholder if (new.words, new.assets) == (old.words, ()) else ""),
        settled=new.settled or (old.settled and new.finished),
    )


def _words(content: dict[str, Any]) -> str:
    parts = [part for part in items(content.get("parts")) if isinstance(part, str)]
    words = "\n".join(parts) if parts else text(content.get("text"))
    return _CITATION.sub("", words[:LONGEST_TEXT])


def _generated(meta: dict[str, Any]) -> bool:
    """Signs of the picture tool in metadata; the values may be false on a turn that does draw (2026-04-24)."""
    if meta.get("async_task_type") == "image_gen" or text(meta.get("async_task_id")).startswith("imagegen"):
        return True
    return any(key.startswith("image_gen_") and value is not None for key, value in meta.items())


def _other_tool(name: str) -> bool:
    return name.split(".", 1)[0] in OTHER_TOOLS


def _assets(content: dict[str, Any], *, generated: bool) -> tuple[Pointer, ...]:
    found: dict[str, Pointer] = {}
    for part in items(content.get("parts"))[:200]:
        pointer = obj(part)
        file_id = file_id_of(pointer.get("asset_pointer"))
        if not file_id or pointer.get("content_type", "image_asset_pointer") != "image_asset_pointer":
            continue
        meta = obj(pointer.get("metadata"))
        dalle, generation = obj(meta.get("dalle")), obj(meta.get("generation"))
        if not (generated or dalle or generation):
            continue
        width, height = integer(pointer.get("width")), integer(pointer.get("height"))
        shown_as = file_id_of(meta.get("watermarked_asset_pointer"))
        found[file_id] = Pointer(
            file_id=file_id,
            shown_as="" if shown_as == file_id else shown_as,
            width=width,
            height=height,
            size_bytes=integer(pointer.get("size_bytes")),
            partial=0 < integer(generation.get("height")) < height,
        )
    return tuple(found.values())


def _announced(words: str, recipient: str) -> int:
    """How many pictures a tool call asks for; 0 when it is not the picture tool's call, or not yet whole."""
    if _other_tool(recipient) or not words.rstrip().endswith("}"):
        return 0
    arguments = obj(read_json(words))
    batch = items(arguments.get("batch_requests"))
    drawing = arguments.keys() & CALL_KEYS or ("prompt" in arguments and arguments.keys() & {"n", "size"})
    if not drawing:
        return 0
    return min(len(batch) or integer(arguments.get("n")) or 1, 50)


def _error(
    role: str, status: str, content: dict[str, Any], meta: dict[str, Any], words: str, *, is_error: bool
) -> ToolError | None:
    """A failed tool: ``system_error`` with the exception's name, or a failed status (seen 2026-05 to 2026-08)."""
    if role not in {"tool", "assistant"}:
        return None
    failed = status in {"finished_failed", "finished_error", "failed"} or is_error or meta.get("is_error") is True
    if not failed and text(content.get("content_type")) not in {"system_error", "error"}:
        return None
    return ToolError(text(content.get("name"))[:200], words[:4000])
