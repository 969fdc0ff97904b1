"""The answers and events of the Chrome DevTools Protocol that the driver reads, as structs; commands are plain dicts.

Written by hand from the protocol's "tip of tree" (devtools-protocol r1684464, 2026-11) and what Chromium 156 sends.
Only fields that somebody reads are here; unknown ones are ignored, so a newer browser does no harm.
"""

from typing import Any, Literal

import msgspec

from cdp_image_mcp.cdp.errors import ScriptError


class CdpStruct(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Base of all: camelCase on the wire, what is not set is not sent."""


# ---- Target, Browser, SystemInfo


class TargetInfo(CdpStruct):
    target_id: str
    type: str
    url: str = ""
    opener_id: str | None = None


class TargetList(CdpStruct):
    target_infos: list[TargetInfo]


class AttachedToTarget(CdpStruct):
    session_id: str
    target_info: TargetInfo


class OfSession(CdpStruct):
    """Answer of Target.attachToTarget, and what Target.detachedFromTarget tells."""

    session_id: str


class OfTarget(CdpStruct):
    target_id: str


class InspectorDetached(CdpStruct):
    reason: str = ""


class BrowserVersion(CdpStruct):
    """``product`` is like ``Chrome/156.0.8078.79``; headless says HeadlessChrome in both fields."""

    product: str
    user_agent: str


class ProcessInfo(CdpStruct):
    type: str
    id: int


class ProcessList(CdpStruct):
    process_info: list[ProcessInfo]


class Bounds(CdpStruct):
    """Of a window, in device independent pixels."""

    left: int | None = None
    top: int | None = None
    width: int | None = None
    height: int | None = None
    window_state: Literal["normal", "minimized", "maximized", "fullscreen"] | None = None


class WindowForTarget(CdpStruct):
    window_id: int
    bounds: Bounds


# ---- Page


class NavigateReply(CdpStruct):
    loader_id: str | None = None
    error_text: str | None = None


class Frame(CdpStruct):
    id: str
    loader_id: str = ""
    url: str = ""
    parent_id: str | None = None


class FrameTree(CdpStruct):
    """Also what Page.frameNavigated tells."""

    frame: Frame


class FrameTreeReply(CdpStruct):
    frame_tree: FrameTree


class NavigatedWithinDocument(CdpStruct):
    frame_id: str
    url: str


class LifecycleEvent(CdpStruct):
    frame_id: str
    loader_id: str
    name: str


class DialogOpening(CdpStruct):
    type: str


class FileChooserOpened(CdpStruct):
    backend_node_id: int | None = None


class ResourceContent(CdpStruct):
    content: msgspec.Raw
    base64_encoded: bool


class CreateIsolatedWorldReply(CdpStruct):
    execution_context_id: int


# ---- Runtime


class RemoteObject(CdpStruct):
    subtype: str | None = None
    value: msgspec.Raw = msgspec.Raw()  # empty: undefined, or no JSON value (NaN, Infinity)
    object_id: str | None = None
    description: str | None = None

    def decoded(self, kind: Any) -> Any:
        """The JSON value, as ``kind``; what is none is None. Raises ScriptError for another kind."""
        try:
            if not bytes(self.value):
                return msgspec.convert(None, kind)
            return msgspec.json.decode(self.value, type=kind)
        except msgspec.DecodeError as error:
            raise ScriptError(f"the script gave something else than was asked for: {error}") from None


class ExceptionDetails(CdpStruct):
    text: str
    exception: RemoteObject | None = None

    @property
    def words(self) -> str:
        """What was thrown, as text."""
        thrown = self.exception
        return self.text if thrown is None else thrown.description or bytes(thrown.value).decode() or self.text


class EvaluateReply(CdpStruct):
    result: RemoteObject
    exception_details: ExceptionDetails | None = None

    @property
    def given(self) -> RemoteObject:
        """What the script gave. Raises ScriptError when it threw."""
        if self.exception_details is not None:
            raise ScriptError(self.exception_details.words)
        return self.result


class ExecutionContext(CdpStruct):
    id: int
    unique_id: str
    name: str = ""


class ContextCreated(CdpStruct):
    context: ExecutionContext


class BindingCalled(CdpStruct):
    name: str
    payload: str
    execution_context_id: int


# ---- DOM, Input


class ContentQuads(CdpStruct):
    quads: list[list[float]]


# ---- Network, IO


class NetworkRequest(CdpStruct):
    """``post_data`` as far as the event carries it (about 64 KiB)."""

    url: str
    method: str
    post_data: str | None = None
    has_post_data: bool = False

    @property
    def long(self) -> bool:
        """There is a body, and the event left it out."""
        return self.has_post_data and self.post_data is None


class NetworkResponse(CdpStruct):
    status: int
    headers: dict[str, str] = {}
    mime_type: str = ""


class RequestWillBeSent(CdpStruct):
    request_id: str
    request: NetworkRequest
    loader_id: str = ""
    redirect_response: NetworkResponse | None = None
    type: str = "Other"
    frame_id: str | None = None


class ResponseReceived(CdpStruct):
    request_id: str
    response: NetworkResponse
    type: str = "Other"
    frame_id: str | None = None


class DataReceived(CdpStruct):
    request_id: str
    data: bytes | None = None
    data_length: int = 0


class LoadingEnded(CdpStruct):
    """What Network.loadingFinished and loadingFailed tell; the first without the last two."""

    request_id: str
    error_text: str = ""
    canceled: bool = False


class ResponseBody(CdpStruct):
    """``body`` is base64 or text, told by ``base64_encoded``: read that first, then decode as bytes or str."""

    body: msgspec.Raw
    base64_encoded: bool


class StreamResourceContentReply(CdpStruct):
    buffered_data: bytes = b""


class WebSocketFrameBody(CdpStruct):
    opcode: int
    payload_data: str


class WebSocketFrameReceived(CdpStruct):
    response: WebSocketFrameBody


class LoadedResource(CdpStruct):
    success: bool
    net_error_name: str | None = None
    http_status_code: float | None = None
    stream: str | None = None


class LoadNetworkResourceReply(CdpStruct):
    resource: LoadedResource


class ReadReply(CdpStruct):
    data: msgspec.Raw
    eof: bool
    base64_encoded: bool = False


class ResolveBlobReply(CdpStruct):
    uuid: str


# ---- Emulation


class ScreenInfo(CdpStruct):
    left: int
    top: int
    width: int
    height: int


class ScreenInfos(CdpStruct):
    screen_infos: list[ScreenInfo]
