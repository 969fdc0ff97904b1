"""The ways by which a page learns what follows a stream, and how it loses them (field notes F3, F7)."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import httpx
import pytest
import uvicorn
import websockets
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from fixtures.site.server import WebSocketProtocol

from .visitor import Visit, Visitor, as_object, events

pytestmark = pytest.mark.anyio

QUICK: dict[str, Any] = {"generation": "october", "picture_delay_s": 0.01, "event_gap_s": 0.0, "size": (64, 64)}


class Listener:
    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._commands = 0

    async def command(self, **command: str) -> dict[str, Any]:
        self._commands += 1
        await self._socket.send(json.dumps([{"id": self._commands, "command": command}]))
        while True:
            for frame in await self._frames():
                if frame["type"] == "reply":
                    return frame

    async def until(self, kind: str) -> dict[str, Any]:
        """The first payload of this type, the kind of a turn's own item too."""
        while True:
            for frame in await self._frames():
                payload = frame.get("payload", {})
                if kind in (payload.get("type"), payload.get("payload", {}).get("type")):
                    return frame

    async def _frames(self) -> list[dict[str, Any]]:
        found: Any = json.loads(await self._socket.recv())
        return cast("list[dict[str, Any]]", found if isinstance(found, list) else [found])


@asynccontextmanager
async def listening(visitor: Visitor) -> AsyncGenerator[Listener]:
    answer = await visitor.get("/celsius/ws/user")
    async with websockets.connect(answer.json()["websocket_url"], proxy=None) as socket:
        yield Listener(socket)


async def test_the_websocket_says_that_a_conversation_began_and_that_its_turn_is_complete(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK) as visitor, listening(visitor) as listener:
            assert (await listener.command(type="connect"))["reply"] == {"type": "connect"}
            await listener.command(type="subscribe", topic_id="conversations", offset="0")
            await visitor.ask("A fox")
            chat = visitor.site.log.prompts[0].conversation_id
            created = await listener.until("conversation-created")
            assert created["topic_id"] == "conversations"
            assert created["payload"]["payload"] == {"conversation_id": chat}
            complete = (await listener.until("conversation-turn-complete"))["payload"]["payload"]
            assert complete == {
                "conversation_id": chat,
                "current_message_id": (await visitor.turns(chat))["current_node"],
            }


async def test_a_turns_own_topic_carries_its_stream_and_what_was_missed(visit: Visit) -> None:
    with anyio.fail_after(20):
        changes = QUICK | {"stream": "handoff", "websocket_form": "topic"}
        async with visit(**changes) as visitor, listening(visitor) as listener:
            said = [as_object(data) for _, data in events(await visitor.ask("A fox"))]
            handed = next(data for data in said if "options" in data)
            topic = next(way["topic_id"] for way in handed["options"] if way["type"] == "subscribe_ws_topic")
            await visitor.over()
            reply = (await listener.command(type="subscribe", topic_id=topic, offset="0"))["reply"]
            assert (reply["type"], reply["topic_id"]) == ("subscribe", topic)
            items = [frame["payload"]["payload"] for frame in reply["catchups"]]
            assert {frame["payload"]["type"] for frame in reply["catchups"]} == {"conversation-turn-stream"}
            assert items[-1] == {"type": "done"}
            (made,) = visitor.site.log.pictures()
            assert any(made.file_id in item["encoded_item"] for item in items[:-1])


@pytest.mark.parametrize(
    ("form", "stream"),
    [("key", "recorded"), ("type", "recorded"), ("topic", "handoff")],
)
async def test_an_error_is_told_in_three_forms(visit: Visit, form: str, stream: str) -> None:
    words = "The line was lost"
    with anyio.fail_after(20):
        changes = QUICK | {"stream": stream, "websocket_form": "topic", "error_form": form, "words": words}
        async with visit(**changes, answers=("turn_error",)) as visitor, listening(visitor) as listener:
            found = [as_object(data) for _, data in events(await visitor.ask("A fox"))]
            if form == "key":
                assert words in [data.get("error") for data in found]
            elif form == "type":
                assert {"type": "error", "message": words} in found
            else:
                exchange = next(data["turn_exchange_id"] for data in found if "turn_exchange_id" in data)
                topic = f"conversation-turn-{exchange}"
                await visitor.over()
                reply = await listener.command(type="subscribe", topic_id=topic, offset="0")
                assert reply["reply"]["catchups"][-1]["payload"]["payload"] == {"type": "error", "message": words}


async def test_resume_is_refused_and_the_websocket_gone_until_a_page_is_loaded(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, live_channel="resume_404") as visitor:
            await visitor.ask("A fox")
            body = {"conversation_id": await visitor.over(), "offset": 0}
            answer = await visitor.client.post("/backend-api/f/conversation/resume", json=body, headers=visitor.bearer)
            assert answer.status_code == 404
            assert answer.json()["detail"]["code"] == "tokenless_resume_unavailable"
            assert (await visitor.get("/celsius/ws/user")).status_code == 404
            await visitor.client.get("/", headers={"accept": "text/html"})
            assert (await visitor.get("/celsius/ws/user")).status_code == 200


async def test_resume_says_that_the_answer_is_stored_once_it_is(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**(QUICK | {"picture_delay_s": 0.2}), live_channel="resume_410") as visitor:
            await visitor.ask("A fox")
            body = {"conversation_id": visitor.site.log.prompts[0].conversation_id, "offset": 0}
            answer = await visitor.client.post("/backend-api/f/conversation/resume", json=body, headers=visitor.bearer)
            assert (answer.status_code, answer.json()) == (410, {"detail": {"errorCode": "persisted_final_available"}})
            assert len(visitor.site.log.pictures()) == 1


async def test_a_nameless_stream_ends_before_it_says_where_the_answer_will_be(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, stream="nameless") as visitor:
            assert events(await visitor.ask("A fox")) == [("delta_encoding", "v1")]
            chat = await visitor.over()
            listed = (await visitor.get("/conversations?offset=0&limit=28&order=updated")).json()["items"]
            assert listed[0]["id"] == chat
            assert len(visitor.site.log.pictures()) == 1


async def test_a_refused_prompt_is_refused_in_the_words_given(visit: Visit) -> None:
    words = "You're sending messages too quickly. Please slow down."
    with anyio.fail_after(20):
        async with visit(**QUICK, post_status=429, post_words=words) as visitor:
            assert json.loads(await visitor.ask("A fox")) == {"detail": {"message": words, "clears_in": 3600}}
            visitor.site.set(post_status=403, post_words="Unusual activity has been detected from your device.")
            assert json.loads(await visitor.ask("A fox"))["detail"].startswith("Unusual activity")
            assert [prompt.outcome for prompt in visitor.site.log.prompts] == ["status 429", "status 403"]


async def test_the_prompts_request_may_have_a_new_path(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK) as visitor:
            message = {"id": "m", "author": {"role": "user"}, "content": {"content_type": "text", "parts": ["A fox"]}}
            body = {"action": "next", "messages": [message]}
            await visitor.client.post("/backend-api/f/v2/conversation", json=body, headers=visitor.bearer)
            assert [prompt.text for prompt in visitor.site.log.prompts] == ["A fox"]


async def test_documents_after_a_prompt_may_be_refused_a_few_times(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, reload_status=502, reload_status_times=2) as visitor:
            page = {"accept": "text/html"}
            assert (await visitor.client.get("/", headers=page)).status_code == 200
            await visitor.ask("A fox")
            await visitor.over()
            assert [(await visitor.client.get("/", headers=page)).status_code for _ in range(3)] == [502, 502, 200]


async def test_a_check_may_stand_before_a_side_call_a_session_or_in_the_page_itself(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, analytics="mitigated") as visitor:
            side = await visitor.client.post("/ces/v1/t", json={"event": "page"})
            assert (side.status_code, side.headers["cf-mitigated"]) == (403, "challenge")
            assert (await visitor.get("/me")).status_code == 200
        async with visit(generation="october", challenge="session") as visitor:
            session = await visitor.client.get("/api/auth/session")
            assert (session.status_code, session.headers["cf-mitigated"]) == (403, "challenge")
            assert (await visitor.client.get("/", headers={"accept": "text/html"})).status_code == 200
        async with visit(generation="october", challenge="in_page") as visitor:
            document = await visitor.client.get("/", headers={"accept": "text/html"})
            assert (document.status_code, "cf-mitigated" in document.headers) == (200, False)
            assert "/cdn-cgi/challenge-platform/" in document.text
            await visitor.client.post("/__site/pass-challenge")
            assert "data-chatgpt-composer" in (await visitor.client.get("/", headers={"accept": "text/html"})).text


async def test_the_first_document_may_lack_its_script(visit: Visit) -> None:
    with anyio.fail_after(20):
        # Somebody who has not arrived yet: the visitor's own first document is not the one.
        async with visit(generation="october", account="guest", module_fails_once=True) as visitor:
            documents: list[httpx.Response] = [
                await visitor.client.get("/", headers={"accept": "text/html"}) for _ in range(2)
            ]
            assert ["data-chatgpt-composer" in document.text for document in documents] == [False, True]


async def test_a_site_that_ends_while_a_page_closes_its_websocket_ends_without_a_fault() -> None:
    async def accepting(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"

    config = uvicorn.Config(accepting, log_level="critical", lifespan="off", ws=WebSocketProtocol)
    config.load()
    page = ClientProtocol(parse_uri("ws://127.0.0.1/"))
    ours, theirs = socket.socketpair()
    with theirs, anyio.fail_after(20):
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        _, served = await loop.connect_accepted_socket(lambda: WebSocketProtocol(config, ServerState(), {}), ours)
        page.send_request(page.connect())
        served.data_received(b"".join(page.data_to_send()))
        page.receive_data(await loop.sock_recv(theirs, 65536))
        assert page.state is State.OPEN
        page.send_close(1000)
        served.data_received(b"".join(page.data_to_send()))
        served.shutdown()
        page.receive_data(await loop.sock_recv(theirs, 65536))
        assert page.close_rcvd is not None
        assert await loop.sock_recv(theirs, 1) == b""
