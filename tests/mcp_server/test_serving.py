"""The server as a real process on real pipes: ends of input, signals, readers that do not read, stray output."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from mcp import Client, StdioServerParameters

from cdp_image_mcp.mcp_server.answer import LIMIT
from tests.mcp_server.pipes import ENDS, HELLO, READY, Process, ask, receive, send
from tests.web.program import environment

HOLD = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "generate_image", "arguments": {"prompt": "hold on"}},
}


def shake_hands(process: Process) -> None:
    send(process, HELLO)
    assert receive(process)["result"]["serverInfo"]["name"] == "cdp-image-mcp"
    send(process, READY)


@contextmanager
def started(folder: Path, *how: str) -> Generator[Process]:
    """A server over a scripted studio in that folder, after the handshake."""
    command = [sys.executable, "-m", "tests.mcp_server.served", str(folder), *how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            shake_hands(process)
            yield process
        finally:
            process.kill()


@pytest.fixture
def served(tmp_path: Path) -> Generator[Process]:
    with started(tmp_path) as process:
        yield process


FOX = {"name": "generate_image", "arguments": {"prompt": "a fox", "images": "preview"}}


def made_by_the_next(folder: Path) -> dict[str, Any]:
    """What a server that is started anew answers to the same wish."""
    with started(folder, "paints") as process:
        told: dict[str, Any] = json.loads(ask(process, 2, "tools/call", FOX)["result"]["content"][0]["text"])
    assert told["status"] == "saved"
    return told


def test_a_picture_whose_answer_is_stuck_in_a_full_pipe_when_its_client_dies_is_joined_by_the_next(
    tmp_path: Path,
) -> None:
    with started(tmp_path, "paints") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        send(process, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": FOX})
        assert process.stdout.read(1) == b"{"
        process.stdout.close()
        process.stdin.close()
        assert process.wait(ENDS) == 0
    assert made_by_the_next(tmp_path)["joined"] is True


def test_a_picture_whose_answer_was_read_counts_as_fetched_though_the_server_leaves_at_once(tmp_path: Path) -> None:
    with started(tmp_path, "paints") as process:
        assert process.stdin is not None
        assert "result" in ask(process, 2, "tools/call", FOX)
        process.stdin.close()
        assert process.wait(ENDS) == 0
    assert "joined" not in made_by_the_next(tmp_path)


def test_what_was_told_last_is_not_meant_by_a_call_without_an_id_that_follows_at_once(tmp_path: Path) -> None:
    """The answer does not wait for that to be noted."""
    bear = {"name": "generate_image", "arguments": {"prompt": "a bear", "wait_seconds": 0}}
    with started(tmp_path, "paints") as process:
        first = json.loads(ask(process, 2, "tools/call", bear)["result"]["content"][0]["text"])
        assert "result" in ask(process, 3, "tools/call", FOX)
        meant = ask(process, 4, "tools/call", {"name": "wait_for_image", "arguments": {}})
    assert json.loads(meant["result"]["content"][0]["text"])["generation_id"] == first["generation_id"]


def wait_held(process: Process) -> None:
    """A call is under way when a later one is answered before it."""
    send(process, HOLD)
    assert "result" in ask(process, 3, "ping")
    assert "result" in ask(process, 4, "tools/list")


def end(process: Process, tmp_path: Path) -> None:
    assert process.wait(ENDS) == 0
    assert (tmp_path / "closed").read_text() == "generate hold on"


def test_the_end_of_input_ends_the_server_in_order(served: Process, tmp_path: Path) -> None:
    wait_held(served)
    assert served.stdin is not None
    served.stdin.close()
    end(served, tmp_path)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_the_server_in_order_while_the_client_still_listens(
    served: Process, tmp_path: Path, name: str
) -> None:
    wait_held(served)
    served.send_signal(getattr(signal, name))
    end(served, tmp_path)


def test_signals_one_after_the_other_still_end_it_in_order(served: Process, tmp_path: Path) -> None:
    wait_held(served)
    for name in ("SIGINT", "SIGTERM", "SIGINT"):
        served.send_signal(getattr(signal, name))
    end(served, tmp_path)


@contextmanager
def opened_by_a_reader(pipe: Path) -> Generator[None]:
    """The writing end of a named pipe, from when the studio's end waits at the other: until then it cannot be opened
    without waiting, and a wait inside ``open`` would have no end if nobody ever came."""
    if sys.platform == "win32":
        pytest.skip("the studio's end is held up by a named pipe")
    until = time.monotonic() + ENDS
    while True:
        try:
            writing = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > until:
                raise
            time.sleep(0.02)
    try:
        yield
    finally:
        os.close(writing)


def test_a_second_signal_while_the_studio_closes_changes_nothing(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("the studio's end is held up by a named pipe")
    os.mkfifo(tmp_path / "hold-the-end")
    command = [sys.executable, "-m", "tests.mcp_server.served", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            send(process, HELLO)
            receive(process)
            send(process, READY)
            wait_held(process)
            process.send_signal(signal.SIGTERM)
            with opened_by_a_reader(tmp_path / "hold-the-end"):
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGINT)
            end(process, tmp_path)
        finally:
            process.kill()


SERVES_ALONE = """
import errno, os, sys
from cdp_image_mcp.__main__ import main

def refused():
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

os.fork = refused
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("program", "name"),
    [(("-m", "cdp_image_mcp"), "SIGTERM"), (("-c", SERVES_ALONE), "end of input")],
    ids=["as it is", "no second process"],
)
def test_it_serves_and_ends_though_nobody_reads_its_standard_error(
    tmp_path: Path, program: tuple[str, ...], name: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    variables = {**os.environ, "GPT_IMAGE_OUTPUT_DIR": str(tmp_path), "OPENAI_API_KEY": "", "GPT_IMAGE_INLINE": "wrong"}
    with subprocess.Popen(
        [sys.executable, *program], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writing
    ) as process:
        os.close(writing)
        try:
            shake_hands(process)
            assert "result" in ask(process, 2, "tools/list")
            assert process.stdin is not None
            if name == "end of input":
                process.stdin.close()
            else:
                process.send_signal(signal.SIGTERM)
            assert process.wait(ENDS) == 0
        finally:
            process.kill()


def test_without_loop_signals_the_server_still_ends_in_order(tmp_path: Path) -> None:
    """The way of Windows, whose event loop takes no signal handlers."""
    program = (
        "import anyio, sys, pathlib, runpy\n"
        "def refuse(*signals): raise NotImplementedError\n"
        "anyio.open_signal_receiver = refuse\n"
        "from cdp_image_mcp.mcp_server.client.wire import Wire\n"
        "from tests.mcp_server.served import main\n"
        "anyio.run(main, pathlib.Path(sys.argv[1]), Wire())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            send(process, HELLO)
            receive(process)
            send(process, READY)
            wait_held(process)
            process.send_signal(signal.SIGTERM)
            end(process, tmp_path)
        finally:
            process.kill()


def test_a_client_that_never_reads_is_left_behind_by_a_signal(served: Process, tmp_path: Path) -> None:
    wait_held(served)
    for number in range(10, 60):
        send(served, {"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": {}})
    served.send_signal(signal.SIGTERM)
    end(served, tmp_path)


def test_a_client_that_never_reads_and_hangs_up_is_left_behind(served: Process, tmp_path: Path) -> None:
    wait_held(served)
    for number in range(10, 60):
        send(served, {"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": {}})
    assert served.stdin is not None
    served.stdin.close()
    end(served, tmp_path)


def test_half_lines_and_rubbish_are_survived(served: Process) -> None:
    assert served.stdin is not None
    served.stdin.write(b'{"jsonrpc": "2.0", "id": 5, "method": "pi')
    served.stdin.flush()
    served.stdin.write(b'ng"}\n\xff\xfe\x00 rubbish\n[]\n{}\nnull\n"\n' + b"[" * 100_000 + b"\n")
    served.stdin.flush()
    assert answer_to(served, 5)["result"] == {}
    assert ask_any(served, 6)["result"] == {}


def test_half_a_character_costs_that_letter_and_not_the_answer(served: Process) -> None:
    """Programs in JavaScript that cut a text within an emoji write it so."""
    assert served.stdin is not None
    call = {"name": "cancel_image", "arguments": {"generation_id": "\ud83d and \U0001f98a"}}
    send(served, {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": call})
    send(served, {"jsonrpc": "2.0", "id": 6, "method": "ping"})
    answers = {answer["id"]: answer["result"] for answer in (receive(served), receive(served))}
    assert answers[6] == {}
    assert "\ufffd and \U0001f98a" in json.loads(answers[5]["content"][0]["text"])["message"]


def test_a_folder_whose_name_is_no_utf8_does_not_bring_the_server_down(tmp_path: Path) -> None:
    """A disk of the nineties: whatever is said of a file in there has half a character in it."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    with started(folder) as process:
        listed = ask(process, 2, "resources/list")["result"]["resources"]
        (folder / "pictures" / "image-01.png").unlink()
        told = ask(process, 3, "resources/read", {"uri": listed[0]["uri"]})["error"]["message"]
        assert told.endswith("caf?/pictures/image-01.png cannot be read: No such file or directory")
        assert ask(process, 4, "ping")["result"] == {}


def ask_any(process: Process, number: int) -> dict[str, Any]:
    """The answer to a ping, past any error messages without an id."""
    send(process, {"jsonrpc": "2.0", "id": number, "method": "ping"})
    return answer_to(process, number)


def answer_to(process: Process, number: int) -> dict[str, Any]:
    """What is no message is answered without an id, and in no order with the answers to what is one."""
    while (answer := receive(process)).get("id") != number:
        assert "error" in answer, answer
    return answer


def test_a_line_of_ten_megabytes_is_answered(served: Process) -> None:
    answer = ask(served, 7, "tools/call", {"name": "generate_image", "arguments": {"prompt": "x" * 10_000_000}})
    assert answer["result"]["isError"] is True
    assert "invalid_input" in answer["result"]["content"][0]["text"]
    assert len(json.dumps(answer)) < LIMIT
    assert ask_any(served, 8)["result"] == {}


@pytest.mark.anyio
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_the_installed_command_serves_both_eras(tmp_path: Path, era: Any) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "GPT_", "CHATGPT_"))},
        "GPT_IMAGE_OUTPUT_DIR": str(tmp_path / "pictures"),
        "CHATGPT_WEB_PROFILE_DIR": str(tmp_path / "profile"),
    }
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "cdp_image_mcp"], env=environment)
    with anyio.fail_after(60):
        async with Client(parameters, mode=era) as connected:
            tools = await connected.list_tools()
            assert connected.instructions is not None
            refused = await connected.call_tool("generate_image", {"prompt": ""})
    assert len(tools.tools) == 5
    assert refused.is_error
    assert [path.name async for path in anyio.Path(tmp_path).iterdir()] == []


def test_starting_and_listing_loads_nothing_that_only_a_picture_needs(tmp_path: Path) -> None:
    program = (
        "import sys, anyio\n"
        "from cdp_image_mcp.config import load\n"
        "from cdp_image_mcp.mcp_server.serving import open_app\n"
        "from cdp_image_mcp.mcp_server.server import make_server\n"
        "from mcp import Client\n"
        "before = set(sys.modules)\n"
        "settings = load()\n"
        "async def main():\n"
        "    async with Client(make_server(lambda: open_app(settings)), mode='legacy') as client:\n"
        "        await client.list_tools()\n"
        "    print(*sorted(set(sys.modules) & {'httpx', 'websockets', 'sqlite3', 'psutil'}))\n"
        "anyio.run(main)\n"
    )
    environment = os.environ | {"GPT_IMAGE_OUTPUT_DIR": str(tmp_path / "pictures")}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr
    assert list(tmp_path.iterdir()) == []


@contextmanager
def of_users(folder: Path, level: str, errors: int) -> Generator[Process]:
    """The program as users have it, after the handshake; it is killed when it hangs."""
    variables = environment(folder, "https://chatgpt.com/", GPT_IMAGE_LOG=level)
    command = [sys.executable, "-m", "cdp_image_mcp"]
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
    ) as process:
        hanging = threading.Timer(ENDS, kill_both, (process.pid,))
        hanging.start()
        try:
            shake_hands(process)
            yield process
        finally:
            hanging.cancel()
            kill_both(process.pid)


def kill_both(front: int) -> None:
    """The server first, which is held by what nobody reads and would keep its pipes open."""
    with suppress(psutil.NoSuchProcess):
        for process in (*(found := psutil.Process(front)).children(), found):
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="what fills a pipe would wait there itself")
def test_a_client_that_never_reads_standard_error_is_answered_and_can_end_the_server(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with suppress(BlockingIOError):
        while True:
            os.write(theirs, bytes(4096))
    os.set_blocking(theirs, True)
    try:
        with of_users(tmp_path, "debug", theirs) as process:
            assert len(ask(process, 2, "tools/list")["result"]["tools"]) == 5
            process.terminate()
            assert process.wait(ENDS) == 0
    finally:
        os.close(ours)
        os.close(theirs)


def test_what_a_server_says_last_is_out_where_standard_error_is_read(tmp_path: Path) -> None:
    with of_users(tmp_path, "info", subprocess.PIPE) as process:
        process.terminate()
        assert process.wait(ENDS) == 0
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert "serves; pictures by" in said
    assert said.rstrip().endswith("stopped by SIGTERM")
