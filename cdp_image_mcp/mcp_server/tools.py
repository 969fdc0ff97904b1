"""The five tools as clients and models see them, as they are listed."""

from typing import Any

import mcp_types as types
import msgspec

from cdp_image_mcp.mcp_server.arguments import (
    BackendStatus,
    BrowserVisibility,
    CancelImage,
    WaitForImage,
    input_schema,
)
from cdp_image_mcp.studio.asked import GenerateImage

# Claude Code cuts each description at 2 KB; the first sentence must carry the meaning.
GENERATE = """\
Make a new picture from a prompt (or from reference pictures) and save it on the user's machine; costs money or \
plan quota.

Answers with status saved, image_path and a small preview, or, when it takes longer, with status working and a \
generation_id. Then call wait_for_image with that id until it is saved; do not call generate_image again, which \
would make and cost a second picture. If an answer was lost, call wait_for_image without an id first. Tell the user \
image_path; markdown shows the picture where the user's program renders it. Leave backend out unless the user asked \
for one: auto uses the OpenAI API when a key is set, else the user's own ChatGPT in a browser. For a change to an \
earlier picture give continue_from.\
"""

WAIT = """\
Wait for a picture that generate_image started, and collect it; costs nothing and can be repeated.

Call this when an answer said working, needs_sign_in or needs_verification, or when an answer was lost, as often as \
needed. Without generation_id it takes the newest unfinished picture, else the newest one. Also finds pictures of \
earlier sessions and after a crash. May open the browser window in which the user is to sign in.\
"""

CANCEL = """\
Stop a picture that is being made; pictures already saved stay. Only when the user no longer wants it: what was \
sent may already be paid for.\
"""

STATUS = """\
Show which ways of making pictures are ready, what is running, and the newest pictures with their ids.

Also tells limits known so far and configuration problems. Starts and changes nothing.\
"""

VISIBILITY = """\
Show, hide or report the browser window in which ChatGPT is used, for example so that the user can sign in by hand.\
"""


def tool(
    name: str,
    title: str,
    description: str,
    arguments: type[msgspec.Struct],
    *,
    looks: bool = False,
    destroys: bool = False,
    repeats: bool = False,
    **more: Any,
) -> types.Tool:
    """A tool with all four annotations; one that only ``looks`` changes nothing."""
    hints = types.ToolAnnotations(
        title=title,
        read_only_hint=looks,
        destructive_hint=destroys,
        idempotent_hint=looks or repeats,
        open_world_hint=not looks,
    )
    schema = input_schema(arguments)
    return types.Tool(name=name, title=title, description=description, input_schema=schema, annotations=hints, **more)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """Every key named here is required; back ends may add more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


STRING, TRUTH = {"type": "string"}, {"type": "boolean"}
STATUS_OUTPUT = _object(
    {
        **dict.fromkeys(("selected_backend", "default_backend"), STRING),
        "statuses": {
            "type": "array",
            "items": _object(
                {"backend": STRING, **dict.fromkeys(("configured", "ready"), TRUTH)}
                | {"message": STRING, "details": {"type": "object"}}
            ),
        },
    }
)
VISIBILITY_OUTPUT = _object(
    {"backend": STRING, "mode": STRING, "supported": TRUTH, "requested_action": STRING}
    | dict.fromkeys(("browser_open", "chat_ready", "hide_window", "hidden", "visible"), TRUTH)
    | {"message": STRING}
)

_TABLE: tuple[tuple[str, str, str, type[msgspec.Struct], dict[str, Any]], ...] = (
    # Not destructive: nothing that exists is changed. Not idempotent: each call is another picture.
    ("generate_image", "Generate image", GENERATE, GenerateImage, {}),
    # Not read-only: it may open a window for the person, and writes the picture's file.
    ("wait_for_image", "Wait for image", WAIT, WaitForImage, {"repeats": True}),
    ("cancel_image", "Cancel image", CANCEL, CancelImage, {"destroys": True, "repeats": True}),
    ("backend_status", "Backend status", STATUS, BackendStatus, {"looks": True, "output_schema": STATUS_OUTPUT}),
    ("browser_visibility", "Browser visibility", VISIBILITY, BrowserVisibility, {"output_schema": VISIBILITY_OUTPUT}),
)
ARGUMENTS = {name: arguments for name, _, _, arguments, _ in _TABLE}
TOOLS = tuple(tool(name, title, told, arguments, **more) for name, title, told, arguments, more in _TABLE)
