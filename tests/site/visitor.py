"""What a page does over HTTP, without a page."""

import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import httpx
import msgspec

from fixtures.site import Site


class Visitor:
    """Signed in by the ordinary way: a document sets the cookie, the session endpoint gives the token."""

    def __init__(self, site: Site, client: httpx.AsyncClient) -> None:
        self.site = site
        self.client = client
        self.token = ""

    async def arrive(self) -> None:
        page = await self.client.get("/", headers={"accept": "text/html"})
        page.raise_for_status()
        # The cookie is a secure one, which browsers send to the loopback address and httpx does not.
        for cookie in page.headers.get_list("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.client.headers["cookie"] = f"{name}={value}" if "session" in name else self.client.headers["cookie"]
        session = await self.session()
        self.token = session.get("accessToken", "")

    async def session(self) -> dict[str, Any]:
        return (await self.client.get("/api/auth/session")).json()

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def ask(self, text: str, **more: Any) -> bytes:
        """Sends a prompt and reads its whole stream."""
        message = {
            "id": str(uuid.uuid4()),
            "author": {"role": "user"},
            "content": {"content_type": "text", "parts": [text]},
            "metadata": {},
        }
        body = {"action": "next", "messages": [message], "parent_message_id": "client-created-root", **more}
        answer = await self.client.post("/backend-api/f/conversation", json=body, headers=self.bearer)
        return answer.content

    async def conversation(self, conversation_id: str) -> httpx.Response:
        return await self.client.get(f"/backend-api/conversation/{conversation_id}", headers=self.bearer)

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(f"/backend-api{path}", headers=self.bearer)

    async def turns(self, conversation_id: str, count: int = 10) -> dict[str, Any]:
        """The flat list, as the pages of October read it."""
        answer = await self.get(f"/conversations/{conversation_id}?num_turns={count}&include_has_versions=true")
        answer.raise_for_status()
        return answer.json()

    async def over(self) -> str:
        """Waits until the newest prompt's turn has ended on the server; its conversation."""
        conversation_id = self.site.log.prompts[-1].conversation_id
        turn = self.site.find_turn(conversation_id)
        if turn is not None:
            await turn.ended()
        return conversation_id

    async def link(self, file_id: str) -> str:
        answer = await self.client.get(f"/backend-api/files/download/{file_id}", headers=self.bearer)
        return answer.json()["download_url"]


def events(raw: bytes) -> list[tuple[str, Any]]:
    """Name and data of every event; data as JSON where it is JSON. A decoder of its own, on purpose."""
    found: list[tuple[str, Any]] = []
    text = raw.decode().replace("\r\n", "\n")
    for block in text.split("\n\n"):
        name, data = "", ""
        for line in block.split("\n"):
            key, _, value = line.partition(":")
            if key == "event":
                name = value.strip()
            elif key == "data":
                data += value.strip()
        if data:
            try:
                found.append((name, msgspec.json.decode(data)))
            except msgspec.DecodeError:
                found.append((name, data))
    return found


def as_object(value: Any) -> dict[str, Any]:
    """The value when it is an object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def decoded(found: list[tuple[str, Any]]) -> dict[int, Any]:
    """The documents that the deltas build, by channel."""
    documents: dict[int, Any] = {}
    path, operation, channel = "", "add", 0
    for _, event in found:
        delta = as_object(event)
        if "v" not in delta or "type" in delta:
            continue
        path, operation, channel = delta.get("p", path), delta.get("o", operation), delta.get("c", channel)
        parts: list[dict[str, Any]] = (
            delta["v"] if operation == "patch" else [{"p": "", "o": operation, "v": delta["v"]}]
        )
        for part in parts:
            documents[channel] = _changed(documents.get(channel), path + part.get("p", ""), part["o"], part["v"])
    return documents


def _changed(document: Any, path: str, operation: str, value: Any) -> Any:
    if not path:
        return value
    *upper, last = path[1:].split("/")
    target: Any = document
    for key in upper:
        target = target[int(key) if key.isdigit() else key]
    place: Any = int(last) if last.isdigit() else last
    if operation == "append" and isinstance(value, dict):
        target[place] = {**target.get(place, {}), **value}
    elif operation == "append":
        target[place] = target[place] + value
    else:
        target[place] = value
    return document


Visit = Callable[..., AbstractAsyncContextManager[Visitor]]
