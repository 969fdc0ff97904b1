"""A model on this machine that follows a script: it makes the calls it was given, one after the other, and says at the
end what came of the last one."""

import json
import re
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.clients.wires import WIRES, Asked, Got, Reply, Use, Wire

TOOLS = ("generate_image", "wait_for_image", "cancel_image", "backend_status", "browser_visibility")
SEARCHES = ("ToolSearch", "tool_search")
"""Clients' own tools that bring others into reach."""


@dataclass
class Call:
    """One step of the script."""

    tool: str
    arguments: Mapping[str, Any] | Callable[[list[Got]], Mapping[str, Any]] = field(default_factory=dict[str, Any])


def fact(text: str, name: str) -> str | None:
    """A text of our answer's JSON, however often the client has escaped it or where it was cut."""
    found = re.search(rf'\\*"{name}\\*":\s*\\*"(.*?)\\*"', text)
    return found and found[1]


@dataclass
class Model:
    """``asked`` holds every request with tools; ``got`` what came of the script's calls so far, in order."""

    script: list[Call] = field(default_factory=list[Call])
    url: str = ""
    asked: list[Asked] = field(default_factory=list[Asked])
    got: list[Got] = field(default_factory=list[Got])
    elsewhere: list[str] = field(default_factory=list[str])
    """What was asked for and is not here."""
    words: str = ""

    def play(self, *script: Call) -> None:
        """From now on follow this."""
        self.script, self.got, self.asked, self.words = list(script), [], [], ""

    def listed(self) -> dict[str, dict[str, Any]]:
        """Our tools as the last request told of them."""
        seen = [_ours(asked.tools) for asked in self.asked]
        return max(seen, key=len, default=dict[str, dict[str, Any]]())

    def reply(self, asked: Asked) -> Reply:
        """What to say to one request."""
        if not asked.tools:
            return "ok"  # a title, a summary: not the conversation
        self.asked.append(asked)
        self.words = asked.words
        ours = {identity: got for identity, got in asked.results.items() if not identity.startswith("search")}
        self.got = list(ours.values())
        if len(self.got) >= len(self.script):
            return _last_words(self.got)
        step = self.script[len(self.got)]
        arguments = step.arguments(self.got) if callable(step.arguments) else step.arguments
        identity = f"call_{len(self.got)}"
        if (tool := _ours(asked.tools).get(step.tool)) is not None:
            return Use(identity, tool["full"], dict(arguments))
        search = next((name for name in SEARCHES if name in asked.tools), None)
        if search is None:
            return "There is no tool for pictures here."
        searching = f"search_{len(self.got)}"
        if searching not in asked.results:
            return Use(searching, search, {"query": step.tool, "max_results": 10})
        named = re.search(rf"[\w-]*{step.tool}\b", asked.results[searching].text)
        if named and "tool_call" in asked.tools:
            return Use(identity, "tool_call", {"name": named[0], "arguments": dict(arguments)})
        return Use(identity, f"mcp__cdp-image-mcp__{step.tool}", dict(arguments))


def _ours(tools: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        tool: told | {"full": full}
        for full, told in tools.items()
        for tool in TOOLS
        if re.search(rf"(^|\W|_){tool}$", full)
    }


LAST_WORDS = ("Nothing was to be done.", "The picture is saved:", "No picture yet:")


def _last_words(got: list[Got]) -> str:
    nothing, saved, unsaved = LAST_WORDS
    if not got:
        return nothing
    path = fact(got[-1].text, "image_path")
    return f"{saved} {path}" if path else f"{unsaved} {got[-1].text[:300]}"


def _wire_for(path: str) -> Wire | None:
    return next((wire for wire in WIRES if path.endswith(wire.paths)), None)


@contextmanager
def running_model() -> Generator[Model]:
    """Serve a model on a free port of 127.0.0.1."""
    model = Model()
    deciding = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, json.dumps({"object": "list", "data": [{"id": "scripted", "object": "model"}]}))

        def do_POST(self) -> None:
            path = self.path.partition("?")[0]
            text = self.rfile.read(int(self.headers.get("content-length", 0)))
            wire = _wire_for(path)
            if wire is None:
                model.elsewhere.append(path)
                self._send(404, json.dumps({"error": {"message": "not here", "type": "not_found_error"}}))
                return
            body = json.loads(text)
            with deciding:
                reply = model.reply(wire.read(body))
            if not (body.get("stream") or ":stream" in path):
                self._send(200, json.dumps(wire.whole(reply)))
                return
            lines = ""
            for name, data in wire.events(reply):
                lines += f"event: {name}\n" if name else ""
                lines += f"data: {json.dumps({'type': name} | data if name else data)}\n\n"
            self._send(200, lines + wire.done, "text/event-stream")

        def _send(self, status: int, text: str, kind: str = "application/json") -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
