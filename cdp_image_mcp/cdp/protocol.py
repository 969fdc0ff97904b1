"""The answers and events of the Chrome DevTools Protocol that the driver reads, as structs; commands are plain dicts.

Written by hand from the protocol's "tip of tree" (devtools-protocol r1684464, 2026-11) and what Chromium 156 sends.
Only fields that somebody reads are here; unknown ones are ignored, so a newer browser does no harm.
"""

from typing import Literal

import msgspec


class Wire(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Base of all: camelCase on the wire, what is not set is not sent."""


# ---- Target, Browser, SystemInfo


class TargetInfo(Wire):
    target_id: str
    type: str
    url: str = ""
    opener_id: str | None = None


class TargetList(Wire):
    target_infos: list[TargetInfo]


class AttachToTargetReply(Wire):
    session_id: str


class AttachedToTarget(Wire):
    session_id: str
    target_info: TargetInfo


class DetachedFromTarget(Wire):
    session_id: str
    target_id: str | None = None


class TargetDestroyed(Wire):
    target_id: str


class CreateTargetReply(Wire):
    target_id: str


class InspectorDetached(Wire):
    reason: str = ""


class BrowserVersion(Wire):
    """``product`` is like ``Chrome/156.0.8078.79``; headless says HeadlessChrome in both fields."""

    product: str
    user_agent: str

    @property
    def headless(self) -> bool:
        """Without any window."""
        return "Headless" in self.product or "Headless" in self.user_agent


class ProcessInfo(Wire):
    type: str
    id: int


class ProcessList(Wire):
    process_info: list[ProcessInfo]


class Bounds(Wire):
    """Of a window, in device independent pixels."""

    left: int | None = None
    top: int | None = None
    width: int | None = None
    height: int | None = None
    window_state: Literal["normal", "minimized", "maximized", "fullscreen"] | None = None


class WindowForTarget(Wire):
    window_id: int
    bounds: Bounds


# ---- Page


class NavigateReply(Wire):
    frame_id: str
    loader_id: str | None = None
    error_text: str | None = None


class Frame(Wire):
    id: str
    loader_id: str = ""
    url: str = ""
    parent_id: str | None = None


class FrameTree(Wire):
    frame: Frame


class FrameTreeReply(Wire):
    frame_tree: FrameTree


class FrameNavigated(Wire):
    frame: Frame


class NavigatedWithinDocument(Wire):
    frame_id: str
    url: str


class LifecycleEvent(Wire):
    frame_id: str
    loader_id: str
    name: str


class DialogOpening(Wire):
    type: str


class FileChooserOpened(Wire):
    backend_node_id: int | None = None


class ResourceContent(Wire):
    content: msgspec.Raw
    base64_encoded: bool


class CreateIsolatedWorldReply(Wire):
    execution_context_id: int


# ---- Runtime


class RemoteObject(Wire):
    type: str
    subtype: str | None = None
    value: msgspec.Raw = msgspec.Raw()  # empty: undefined, or no JSON value
    unserializable_value: str | None = None
    object_id: str | None = None
    description: str | None = None


class ExceptionDetails(Wire):
    text: str
    exception: RemoteObject | None = None


class EvaluateReply(Wire):
    result: RemoteObject
    exception_details: ExceptionDetails | None = None


class ExecutionContext(Wire):
    id: int
    unique_id: str
    name: str = ""


class ContextCreated(Wire):
    context: ExecutionContext


class BindingCalled(Wire):
    name: str
    payload: str
    execution_context_id: int


# ---- DOM, Input


class ContentQuads(Wire):
    quads: list[list[float]]


# ---- Network, IO


class NetworkRequest(Wire):
    url: str
    method: str
    post_data: str | None = None
    has_post_data: bool = False


class NetworkResponse(Wire):
    status: int
    headers: dict[str, str] = {}
    mime_type: str = ""


class RequestWillBeSent(Wire):
    request_id: str
    request: NetworkRequest
    loader_id: str = ""
    redirect_response: NetworkResponse | None = None
    type: str = "Other"
    frame_id: str | None = None


class ResponseReceived(Wire):
    request_id: str
    response: NetworkResponse
    type: str = "Other"
    frame_id: str | None = None


class DataReceived(Wire):
    request_id: str
    data: bytes | None = None


class LoadingFinished(Wire):
    request_id: str


class LoadingFailed(Wire):
    request_id: str
    error_text: str = ""
    canceled: bool = False
    blocked_reason: str | None = None


class ResponseBody(Wire):
    """``body`` is base64 or text, told by ``base64_encoded``: read that first, then decode as bytes or str."""

    body: msgspec.Raw
    base64_encoded: bool


class StreamResourceContentReply(Wire):
    buffered_data: bytes = b""


class WebSocketFrameBody(Wire):
    opcode: int
    payload_data: str


class WebSocketFrameReceived(Wire):
    response: WebSocketFrameBody


class LoadedResource(Wire):
    success: bool
    net_error_name: str | None = None
    http_status_code: float | None = None
    stream: str | None = None


class LoadNetworkResourceReply(Wire):
    resource: LoadedResource


class ReadReply(Wire):
    data: msgspec.Raw
    eof: bool
    base64_encoded: bool = False


class ResolveBlobReply(Wire):
    uuid: str


# ---- Emulation


class ScreenInfo(Wire):
    left: int
    top: int
    width: int
    height: int


class ScreenInfos(Wire):
    screen_infos: list[ScreenInfo]
