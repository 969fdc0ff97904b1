"""The five tools as clients and models see them, as they are listed."""

from typing import Any

import mcp_types as types
import msgspec

from cdp_image_mcp.mcp_server.arguments import (
    BackendStatus,
    BrowserVisibility,
    CancelImage,
    GenerateImage,
    WaitForImage,
    input_schema,
)

__all__ = ["ARGUMENTS", "TOOLS"]

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


def _annotations(title: str, *, reads: bool, destroys: bool, repeats: bool, outside: bool) -> types.ToolAnnotations:
    return types.ToolAnnotations(
        title=title, read_only_hint=reads, destructive_hint=destroys, idempotent_hint=repeats, open_world_hint=outside
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """Every key named here is required; back ends may add more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


STRING, TRUTH = {"type": "string"}, {"type": "boolean"}
STATUS_OUTPUT = _object(
    {
        "selected_backend": STRING,
        "default_backend": STRING,
        "statuses": {
            "type": "array",
            "items": _object(
                {
                    "backend": STRING,
                    "configured": TRUTH,
                    "ready": TRUTH,
                    "message": STRING,
                    "details": {"type": "object"},
                }
            ),
        },
    }
)
VISIBILITY_OUTPUT = _object(
    {
        "backend": STRING,
        "mode": STRING,
        "supported": TRUTH,
        "requested_action": STRING,
        "browser_open": TRUTH,
        "chat_ready": TRUTH,
        "hide_window": TRUTH,
        "hidden": TRUTH,
        "visible": TRUTH,
        "message": STRING,
    }
)

ARGUMENTS: dict[str, type[msgspec.Struct]] = {
    "generate_image": GenerateImage,
    "wait_for_image": WaitForImage,
    "cancel_image": CancelImage,
    "backend_status": BackendStatus,
    "browser_visibility": BrowserVisibility,
}

TOOLS: tuple[types.Tool, ...] = (
    # Not destructive: nothing that exists is changed. Not idempotent: each call is another picture.
    types.Tool(
        name="generate_image",
        title="Generate image",
        description=GENERATE,
        input_schema=input_schema(GenerateImage),
        annotations=_annotations("Generate image", reads=False, destroys=False, repeats=False, outside=True),
    ),
    # Not read-only: it may open a window for the person, and writes the picture's file.
    types.Tool(
        name="wait_for_image",
        title="Wait for image",
        description=WAIT,
        input_schema=input_schema(WaitForImage),
        annotations=_annotations("Wait for image", reads=False, destroys=False, repeats=True, outside=True),
    ),
    types.Tool(
        name="cancel_image",
        title="Cancel image",
        description=CANCEL,
        input_schema=input_schema(CancelImage),
        annotations=_annotations("Cancel image", reads=False, destroys=True, repeats=True, outside=True),
    ),
    types.Tool(
        name="backend_status",
        title="Backend status",
        description=STATUS,
        input_schema=input_schema(BackendStatus),
        output_schema=STATUS_OUTPUT,
        annotations=_annotations("Backend status", reads=True, destroys=False, repeats=True, outside=False),
    ),
    types.Tool(
        name="browser_visibility",
        title="Browser visibility",
        description=VISIBILITY,
        input_schema=input_schema(BrowserVisibility),
        output_schema=VISIBILITY_OUTPUT,
        annotations=_annotations("Browser visibility", reads=False, destroys=False, repeats=False, outside=True),
    ),
)
