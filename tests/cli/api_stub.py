"""An images endpoint on 127.0.0.1 that answers as a test says."""

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.mcp_server.scripted import png


class Stub:
    """What came in and what goes out. Clear ``answering`` to hold answers back."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        """What each request gave as its key."""
        self.arrived = threading.Event()
        self.answering = threading.Event()
        self.answering.set()
        self.status = 200
        self.pictures: list[bytes] = [png(1024, 1024)]
        self.error: dict[str, Any] = {}
        self.url = ""

    def answer(self) -> tuple[int, bytes]:
        if self.status != 200:
            return self.status, json.dumps({"error": self.error}).encode()
        data = [{"b64_json": base64.b64encode(picture).decode()} for picture in self.pictures]
        return 200, json.dumps({"created": 1_790_000_000, "data": data, "size": "1024x1024"}).encode()


@contextmanager
def images_endpoint() -> Generator[Stub]:
    """A running endpoint; its address is in ``url``."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stub.keys.append(self.headers.get("Authorization"))
            stub.requests.append(json.loads(body))
            stub.arrived.set()
            stub.answering.wait(60)
            status, content = stub.answer()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield stub
    finally:
        stub.answering.set()
        server.shutdown()
        server.server_close()
        thread.join()
