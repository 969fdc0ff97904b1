"""Who is spoken to and in which era: probes and handshakes in every order that clients really send them."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.message import SessionMessage

from cdp_image_mcp import __version__
from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.client.greeting import discovered
from cdp_image_mcp.mcp_server.server import make_server
from tests.mcp_server.pipes import ENDS, HELLO, READY, Process, receive, send
from tests.mcp_server.scripted import ScriptedStudio, app_of

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def request(identity: Any, method: str, *, enveloped: bool = True) -> dict[str, Any]:
    params = {"_meta": ENVELOPE} if enveloped else {}
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}


PROBE = request("probe", "server/discover")
LIST = request("list", "tools/list")
OLD_LIST = request("old list", "tools/list", enveloped=False)


def environment(folder: Path) -> dict[str, str]:
    ours = ("OPENAI_", "GPT_", "CHATGPT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"GPT_IMAGE_OUTPUT_DIR": str(folder), "CHATGPT_WEB_PROFILE_DIR": str(folder / "profile")}


@pytest.fixture
def program(tmp_path: Path) -> Generator[Process]:
    """The installed program, as a client starts it."""
    with started(tmp_path, "-m", "cdp_image_mcp") as process:
        yield process


@contextmanager
def started(folder: Path, *arguments: str) -> Generator[Process]:
    command = [sys.executable, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(folder), stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def answers(process: Process, *messages: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """All messages at once, then the answers to those that want one, by id."""
    send(process, *messages)
    told = [receive(process) for message in messages if "id" in message]
    return {answer["id"]: answer for answer in told}


def test_a_handshake_right_behind_a_probe_is_served(program: Process) -> None:
    told = answers(program, PROBE, HELLO, READY, OLD_LIST)
    assert told["probe"]["result"]["supportedVersions"] == ["2026-07-28"]
    assert told[1]["result"]["protocolVersion"] == "2025-11-25"
    assert len(told["old list"]["result"]["tools"]) == 5


def test_a_handshake_after_the_answer_to_a_probe_is_served(program: Process) -> None:
    assert "result" in answers(program, PROBE)["probe"]
    told = answers(program, HELLO, READY, OLD_LIST)
    assert len(told["old list"]["result"]["tools"]) == 5


def test_a_probe_and_a_request_of_the_new_era_stay_in_it(program: Process) -> None:
    told = answers(program, PROBE, LIST)
    assert len(told["list"]["result"]["tools"]) == 5
    assert told["list"]["result"]["resultType"] == "complete"
    assert answers(program, request("again", "server/discover"))["again"]["result"] == told["probe"]["result"]
    assert answers(program, HELLO)[1]["error"]["code"] == -32022


def test_two_probes_leave_the_era_open(program: Process) -> None:
    told = answers(program, PROBE, PROBE | {"id": "second"}, HELLO, READY, OLD_LIST)
    assert told["probe"]["result"] == told["second"]["result"]
    assert len(told["old list"]["result"]["tools"]) == 5


def test_a_probe_for_a_version_of_tomorrow_leaves_the_era_open(program: Process) -> None:
    probe = json.loads(json.dumps(PROBE).replace("2026-07-28", "2027-07-28"))
    told = answers(program, probe, HELLO, READY, OLD_LIST)
    assert told["probe"]["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2027-07-28"}
    assert len(told["old list"]["result"]["tools"]) == 5


def test_a_request_of_the_new_era_after_the_handshake_is_served_as_the_handshake_said(program: Process) -> None:
    told = answers(program, PROBE, HELLO, READY, LIST)
    assert len(told["list"]["result"]["tools"]) == 5


def test_a_probe_after_the_handshake_changes_nothing(program: Process) -> None:
    told = answers(program, HELLO, READY, PROBE, OLD_LIST)
    assert "result" in told["probe"]
    assert len(told["old list"]["result"]["tools"]) == 5


@pytest.mark.parametrize(
    "params",
    [
        {"name": "backend_status", "arguments": '{"backend": "api"}'},
        {"name": "backend_status", "arguments": {"backend": "api"}, "_meta": {"progressToken": None}},
    ],
    ids=["arguments as text", "a progress token that is none"],
)
def test_a_call_that_a_client_has_wrapped_oddly_is_understood(program: Process, params: dict[str, Any]) -> None:
    call = {"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": params}
    told = answers(program, HELLO, READY, call)["call"]
    assert told["result"]["structuredContent"]["selected_backend"] == "api"


def test_an_empty_cursor_is_none(program: Process) -> None:
    told = answers(program, HELLO, READY, OLD_LIST | {"params": {"cursor": ""}})
    assert len(told["old list"]["result"]["tools"]) == 5


@pytest.mark.parametrize("first", [PROBE, HELLO, LIST], ids=["probe", "handshake", "request"])
def test_a_byte_order_mark_before_the_first_message_is_skipped(program: Process, first: dict[str, Any]) -> None:
    assert program.stdin is not None
    program.stdin.write(b"\xef\xbb\xbf")
    assert "result" in answers(program, first)[first["id"]]


@pytest.mark.parametrize(
    ("line", "identity", "code"),
    [
        (b"Content-Length: 60\r\n", None, types.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping"\n', None, types.PARSE_ERROR),
        (b"[" * 5000 + b"\n", None, types.PARSE_ERROR),
        (b"[]\n", None, types.INVALID_REQUEST),
        (b'{"id":7,"method":"ping"}\n', 7, types.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":"a","method":5}\n', "a", types.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/list","params":[]}\n', 7, types.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}\n', None, types.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}\n', None, types.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"tools/list"}\n', None, types.INVALID_REQUEST),
    ],
)
def test_what_is_no_message_is_answered_as_that_and_the_next_is_served(
    program: Process, line: bytes, identity: Any, code: int
) -> None:
    assert program.stdin is not None
    send(program, HELLO)
    assert receive(program)["id"] == 1
    program.stdin.write(line)
    send(program, OLD_LIST)
    told = {answer["id"]: answer for answer in (receive(program), receive(program))}
    assert told[identity]["error"]["code"] == code
    assert "result" in told["old list"]


@pytest.mark.parametrize(
    "line",
    [b"\r\n", b'{"jsonrpc":"2.0","method":"notifications/initialized","params":[]}\n', b'{"id":4,"result":null}\n'],
)
def test_what_waits_for_no_answer_gets_none(program: Process, line: bytes) -> None:
    assert program.stdin is not None
    send(program, HELLO)
    assert receive(program)["id"] == 1
    program.stdin.write(line)
    send(program, OLD_LIST)
    assert receive(program)["id"] == "old list"


def test_each_message_of_a_batch_is_answered(program: Process) -> None:
    assert program.stdin is not None
    send(program, HELLO)
    assert receive(program)["id"] == 1
    program.stdin.write(json.dumps([READY, OLD_LIST, request(5, "ping", enveloped=False), 12]).encode() + b"\n")
    program.stdin.flush()
    told = {answer["id"]: answer for answer in (receive(program) for _ in range(3))}
    assert "tools" in told["old list"]["result"]
    assert told[5]["result"] == {}
    assert told[None]["error"]["code"] == types.INVALID_REQUEST


def test_a_probe_is_answered_while_the_sdk_is_still_loading(tmp_path: Path) -> None:
    """The SDK's import waits here until it is allowed; by its own account it takes longer than some clients wait."""
    if sys.platform == "win32":
        pytest.skip("the import is held by a named pipe")
    os.mkfifo(tmp_path / "allowed")
    program = (
        "import sys\n"
        "class Held:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mcp':\n"
        f"            open({str(tmp_path / 'allowed')!r}, 'rb').read()\n"
        "sys.meta_path.insert(0, Held())\n"
        "from cdp_image_mcp.cli.main import main\n"
        "main([])\n"
    )
    with started(tmp_path, "-c", program) as process:
        assert "result" in answers(process, PROBE)["probe"]
        assert "result" in answers(process, PROBE | {"id": "second"})["second"]
        send(process, HELLO)
        (tmp_path / "allowed").write_bytes(b"")
        assert receive(process)["id"] == 1


def test_a_call_that_is_answered_may_be_cancelled_all_the_same(program: Process) -> None:
    """opencode 1.18.33 does so after every call (seen 2026-11-26)."""
    answers(program, HELLO, READY, OLD_LIST)
    late = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": OLD_LIST["id"]}}
    assert "result" in answers(program, late, OLD_LIST | {"id": "again"})["again"]


def test_a_client_that_dies_leaves_one_line_and_no_error(program: Process) -> None:
    """What SIGKILL leaves of a client: both pipes are cut at the same moment, with an answer still to come."""
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stderr is not None
    answers(program, HELLO, READY)
    program.stdout.close()
    send(program, OLD_LIST)
    assert program.wait(ENDS) == 0
    told = program.stderr.read().decode()
    assert "the client has gone" in told
    assert "Traceback" not in told


@pytest.mark.skipif(sys.platform != "linux", reason="only there a pipe can be made so small")
def test_pipes_that_somebody_has_set_not_to_wait_are_waited_for_all_the_same(tmp_path: Path) -> None:
    """The state belongs to the pipe: a wrapper that shares an end of it changes it for the server too."""
    import fcntl
    import termios

    asked, sending = os.pipe()
    receiving, told = os.pipe()
    for end in (asked, told):
        os.set_blocking(end, False)
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-m", "cdp_image_mcp"]
    with subprocess.Popen(command, env=environment(tmp_path), stdin=asked, stdout=told) as process:
        os.close(asked)
        os.close(told)
        try:
            with os.fdopen(sending, "wb") as to_it, os.fdopen(receiving, "rb") as from_it:
                to_it.write(json.dumps(HELLO).encode() + b"\n")
                to_it.flush()
                assert json.loads(from_it.readline())["id"] == 1
                to_it.write(b"".join(json.dumps(message).encode() + b"\n" for message in (READY, OLD_LIST)))
                to_it.flush()
                # The first part of a long answer is out, and the next finds the pipe full.
                while fcntl.ioctl(receiving, termios.FIONREAD, bytes(4)) == bytes(4):
                    os.sched_yield()
                assert len(json.loads(from_it.readline())["result"]["tools"]) == 5
            assert process.wait(ENDS) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("variables", "way"),
    [
        ({}, "chatgpt-web first (OPENAI_API_KEY is not set)"),
        ({"OPENAI_API_KEY": "sk-hidden"}, "api first (OPENAI_API_KEY is set)"),
        ({"OPENAI_API_KEY": "sk-hidden", "GPT_IMAGE_BACKEND": "chatgpt-web"}, "GPT_IMAGE_BACKEND=chatgpt-web"),
        ({"OPENAI_COMPAT": "localai", "OPENAI_BASE_URL": "http://127.0.0.1:8080/v1"}, "wants no key"),
    ],
)
def test_the_log_begins_with_version_way_and_place(tmp_path: Path, variables: dict[str, str], way: str) -> None:
    command = [sys.executable, "-m", "cdp_image_mcp"]
    ran = subprocess.run(
        command, env=environment(tmp_path) | variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=ENDS
    )
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith(f"cdp-image-mcp {__version__} serves; pictures by ")
    assert way in line
    assert str(tmp_path) in line
    assert "sk-hidden" not in line


async def by_the_sdk(params: dict[str, Any] | None, folder: Path) -> dict[str, Any]:
    """The answer of the SDK's own server to ``server/discover``."""
    server = make_server(app_of(ScriptedStudio(Settings(output_dir=folder, profile_dir=folder))))
    sent, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    outgoing, received = anyio.create_memory_object_stream[SessionMessage](1)
    told: dict[str, Any] = {}
    with sent, received:
        async with anyio.create_task_group() as group:
            group.start_soon(server.run, incoming, outgoing, server.create_initialization_options())
            question = types.JSONRPCRequest(jsonrpc="2.0", id=1, method="server/discover", params=params)
            await sent.send(SessionMessage(question))
            answer = await received.receive()
            told = answer.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
            group.cancel_scope.cancel()
    return told


@pytest.mark.anyio
async def test_a_probe_is_answered_as_the_sdk_answers_it(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        told = await by_the_sdk(PROBE["params"], tmp_path)
    assert told["result"] == discovered(PROBE["params"])["result"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "meta",
    [
        None,
        {"progressToken": 1},
        ENVELOPE | {"io.modelcontextprotocol/protocolVersion": 7},
        ENVELOPE | {"io.modelcontextprotocol/protocolVersion": "2027-07-28"},
        {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
    ],
)
async def test_a_probe_that_cannot_be_answered_gets_the_sdks_code(meta: Any, tmp_path: Path) -> None:
    params = None if meta is None else {"_meta": meta}
    with anyio.fail_after(30):
        told = await by_the_sdk(params, tmp_path)
    assert told["error"]["code"] == discovered(params)["error"]["code"]


WRITES = """
from cdp_image_mcp.mcp_server.client.wire import Wire
wire = Wire()
import threading
import anyio, anyio.lowlevel, anyio.to_thread
import mcp_types as types
from mcp.shared.message import SessionMessage
hang = threading.Event()

async def main():
    limiter = anyio.to_thread.current_default_thread_limiter()
    async with wire.streams(lambda: None) as (incoming, outgoing), anyio.create_task_group() as group:
        for _ in range(int(limiter.total_tokens)):
            group.start_soon(anyio.to_thread.run_sync, hang.wait)
        while limiter.available_tokens:
            await anyio.lowlevel.checkpoint()
        await outgoing.send(SessionMessage(types.JSONRPCNotification(jsonrpc="2.0", method="told")))
        async for _ in incoming:
            hang.set()

anyio.run(main)
"""


def test_answers_go_out_while_all_threads_hang_on_a_disk(tmp_path: Path) -> None:
    with started(tmp_path, "-c", WRITES) as process:
        assert receive(process)["method"] == "told"
        send(process, READY)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(ENDS) == 0


LEAVES = """
from cdp_image_mcp.mcp_server.client.wire import Wire
import threading
wire = Wire()
wire.leave()
threading.Event().wait()
"""


def test_whoever_has_left_is_seen_to_end_though_it_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, "-c", LEAVES) as process:
        assert process.stdout is not None
        assert (process.stdout.read(), process.poll()) == (b"", None)
