"""The four ways in which clients talk to models, reduced to what a script needs: which tools there are, what came of
the calls so far, and an answer that is words or one more call.

Sources: the vendors' API references (Anthropic Messages, OpenAI Responses and Chat Completions, Gemini
generateContent), 2026-11, and the requests of the clients themselves.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Got:
    """What the model was given as the result of one call."""

    text: str = ""
    pictures: list[str] = field(default_factory=list[str])
    """Their base64."""


@dataclass
class Asked:
    """One request to the model."""

    tools: dict[str, Json] = field(default_factory=dict[str, Json])
    """Full name (with its namespace, where there is one) to what was told of it."""
    results: dict[str, Got] = field(default_factory=dict[str, Got])
    """By the id of the call, in order."""
    words: str = ""
    """All that was said to the model in words, for clients whose notices are no results."""


@dataclass
class Use:
    """A call of a tool."""

    identity: str
    tool: str
    arguments: Json


Reply = str | Use
Event = tuple[str, Json]


def _parts(content: Any) -> list[Json]:
    """Content that may be one text or a list of parts."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts: list[Any] = content or []
    return [part for part in parts if isinstance(part, dict)]


def _data_url(url: str) -> str:
    return url.partition(";base64,")[2]


class Wire:
    """One of the ways."""

    paths: tuple[str, ...]
    """Ends of the addresses that are asked."""
    done = ""
    """What follows the last event of a stream."""

    def read(self, body: Json) -> Asked:
        raise NotImplementedError

    def events(self, reply: Reply) -> Iterator[Event]:
        """The answer as events of a stream, each with its name."""
        raise NotImplementedError

    def whole(self, reply: Reply) -> Json:
        """The answer in one piece."""
        raise NotImplementedError


class Messages(Wire):
    """Anthropic's."""

    paths = ("/v1/messages",)

    def read(self, body: Json) -> Asked:
        asked = Asked(tools={tool["name"]: tool for tool in body.get("tools", []) if "name" in tool})
        for message in body.get("messages", []):
            for part in _parts(message["content"]):
                if part["type"] == "text":
                    asked.words += part["text"] + "\n"
                elif part["type"] == "tool_result":
                    got = asked.results[part["tool_use_id"]] = Got()
                    for inner in _parts(part.get("content")):
                        got.text += inner.get("text", "")
                        if inner["type"] == "image":
                            got.pictures.append(inner["source"]["data"])
        return asked

    def _block(self, reply: Reply) -> Json:
        if isinstance(reply, str):
            return {"type": "text", "text": reply}
        return {"type": "tool_use", "id": reply.identity, "name": reply.tool, "input": reply.arguments}

    def whole(self, reply: Reply) -> Json:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [self._block(reply)],
            "stop_reason": "end_turn" if isinstance(reply, str) else "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 10},
        }

    def events(self, reply: Reply) -> Iterator[Event]:
        whole = self.whole(reply)
        yield "message_start", {"message": whole | {"content": [], "stop_reason": None}}
        if isinstance(reply, str):
            empty: Json = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": reply}
        else:
            empty = self._block(reply) | {"input": dict[str, Any]()}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(reply.arguments)}
        yield "content_block_start", {"index": 0, "content_block": empty}
        yield "content_block_delta", {"index": 0, "delta": delta}
        yield "content_block_stop", {"index": 0}
        ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield "message_delta", {"delta": ended, "usage": {"output_tokens": 10}}
        yield "message_stop", {}


class Responses(Wire):
    """OpenAI's newer one. Codex puts a server's tools into a namespace."""

    paths = ("/responses",)

    def read(self, body: Json) -> Asked:
        asked = Asked()
        for tool in body.get("tools", []):
            if tool["type"] == "namespace":
                asked.tools |= {f"{tool['name']}/{inner['name']}": inner for inner in tool["tools"]}
            elif "name" in tool:
                asked.tools[tool["name"]] = tool
        for item in _parts(body["input"]):
            if item.get("type") == "function_call_output":
                got = asked.results[item["call_id"]] = Got()
                for part in _parts(item["output"]):
                    got.text += part.get("text", "")
                    if part["type"] == "input_image":
                        got.pictures.append(_data_url(part["image_url"]))
        return asked

    def _item(self, reply: Reply) -> Json:
        if isinstance(reply, str):
            text: Json = {"type": "output_text", "text": reply, "annotations": []}
            return {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": [text]}
        space, _, name = reply.tool.rpartition("/")
        called = {"type": "function_call", "id": f"f_{reply.identity}", "call_id": reply.identity, "name": name}
        called |= {"arguments": json.dumps(reply.arguments), "status": "completed"}
        return called | ({"namespace": space} if space else {})

    def whole(self, reply: Reply) -> Json:
        usage = {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20}
        usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        told = {"id": "r_1", "object": "response", "created_at": 1, "model": "scripted", "status": "completed"}
        return told | {"output": [self._item(reply)], "usage": usage}

    def events(self, reply: Reply) -> Iterator[Event]:
        whole, item = self.whole(reply), self._item(reply)
        yield "response.created", {"response": whole | {"output": [], "status": "in_progress", "usage": None}}
        nothing: Json = {"content": []} if isinstance(reply, str) else {"arguments": ""}
        begun = item | nothing | {"status": "in_progress"}
        yield "response.output_item.added", {"output_index": 0, "item": begun}
        where = {"output_index": 0, "item_id": item["id"]}
        if isinstance(reply, str):
            where["content_index"] = 0
            empty: Json = {"type": "output_text", "text": "", "annotations": []}
            yield "response.content_part.added", where | {"part": empty}
            yield "response.output_text.delta", where | {"delta": reply}
            yield "response.output_text.done", where | {"text": reply}
        else:
            yield "response.function_call_arguments.delta", where | {"delta": item["arguments"]}
            yield "response.function_call_arguments.done", where | {"arguments": item["arguments"]}
        yield "response.output_item.done", {"output_index": 0, "item": item}
        yield "response.completed", {"response": whole}


class Chat(Wire):
    """OpenAI's older one, which most others imitate. A result's pictures follow as a message of the user's."""

    paths = ("/chat/completions",)
    done = "data: [DONE]\n\n"

    def read(self, body: Json) -> Asked:
        asked = Asked(tools={tool["function"]["name"]: tool["function"] for tool in _parts(body.get("tools"))})
        last = Got()
        for message in body["messages"]:
            if message["role"] == "tool":
                last = asked.results[message["tool_call_id"]] = Got()
            for part in _parts(message.get("content")):
                if part["type"] == "image_url":
                    last.pictures.append(_data_url(part["image_url"]["url"]))
                elif message["role"] == "tool":
                    last.text += part.get("text", "")
        return asked

    def _message(self, reply: Reply) -> Json:
        if isinstance(reply, str):
            return {"role": "assistant", "content": reply}
        function = {"name": reply.tool, "arguments": json.dumps(reply.arguments)}
        called = {"index": 0, "id": reply.identity, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [called]}

    def whole(self, reply: Reply) -> Json:
        ended = "stop" if isinstance(reply, str) else "tool_calls"
        choice: Json = {"index": 0, "message": self._message(reply), "finish_reason": ended}
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        told: Json = {"id": "c_1", "object": "chat.completion", "created": 1, "model": "scripted"}
        return told | {"choices": [choice], "usage": usage}

    def events(self, reply: Reply) -> Iterator[Event]:
        whole = self.whole(reply) | {"object": "chat.completion.chunk"}
        ended = "stop" if isinstance(reply, str) else "tool_calls"
        begun = {"index": 0, "delta": self._message(reply), "finish_reason": None}
        yield "", whole | {"choices": [begun], "usage": None}
        yield "", whole | {"choices": [{"index": 0, "delta": {}, "finish_reason": ended}]}


class Gemini(Wire):
    """Google's. Calls have names and no ids: the results come in their order."""

    paths = (":streamGenerateContent", ":generateContent")

    def read(self, body: Json) -> Asked:
        told = [tool for each in body.get("tools", []) for tool in each.get("functionDeclarations", [])]
        asked, last = Asked(tools={tool["name"]: tool for tool in told}), Got()
        for content in body.get("contents", []):
            for part in content.get("parts", []):
                if (response := part.get("functionResponse")) is not None:
                    text = "\n".join(
                        each if isinstance(each, str) else json.dumps(each) for each in response["response"].values()
                    )
                    last = asked.results[response.get("id") or str(len(asked.results))] = Got(text)
                    last.pictures += [
                        each["inlineData"]["data"] for each in response.get("parts", []) if "inlineData" in each
                    ]
                elif "inlineData" in part:
                    last.pictures.append(part["inlineData"]["data"])
        return asked

    def whole(self, reply: Reply) -> Json:
        if isinstance(reply, str):
            part: Json = {"text": reply}
        else:
            part = {"functionCall": {"id": reply.identity, "name": reply.tool, "args": reply.arguments}}
        candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"}

    def events(self, reply: Reply) -> Iterator[Event]:
        yield "", self.whole(reply)


WIRES = (Messages(), Responses(), Chat(), Gemini())
