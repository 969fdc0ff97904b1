"""The command as people and scripts use it: real processes against an endpoint on this machine."""

import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import psutil
import pytest

from cdp_image_mcp.cli.main import main
from cdp_image_mcp.cli.parser import make_parser
from tests.cli.api_stub import Stub
from tests.cli.running import LIMIT, command, ran


@pytest.mark.parametrize("arguments", [["list", "--json"], ["config"], []], ids=["list", "config", "serve"])
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_a_stream_that_was_closed_at_the_start_stops_nothing(
    closed: tuple[int, ...], arguments: list[str], environment: dict[str, str]
) -> None:
    closing = " ".join(f"{number}>&-" for number in closed)
    shell = ["sh", "-c", f'exec "$@" {closing}', "sh", *command(*arguments)]
    done = subprocess.run(shell, env=environment, input="", capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert bool(done.stdout) is (1 not in closed and bool(arguments))


def test_generate_prints_only_the_path_on_standard_output(with_key: dict[str, str], endpoint: Stub) -> None:
    done = ran(with_key, "generate", 'a "fox"\n\nin снег')
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.read_bytes() == endpoint.pictures[0]
    assert [request["prompt"] for request in endpoint.requests] == ['a "fox"\n\nin снег']


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are Unicode there")
def test_where_the_locale_knows_english_letters_alone_prompts_and_folders_of_others_are_understood(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path
) -> None:
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    there = with_key | {"GPT_IMAGE_OUTPUT_DIR": str(tmp_path / "Bücher")}
    assert ran(there, "generate", "ein Füchschen").returncode == 0
    done = ran(there | ascii_only, "generate", "лиса")
    assert (done.returncode, Path(done.stdout.strip()).is_file()) == (0, True), done.stderr
    assert [request["prompt"] for request in endpoint.requests] == ["ein Füchschen", "лиса"]
    listed = ran(there | ascii_only, "list", "--json")
    assert [line["prompt"] for line in json.loads(listed.stdout)] == ["лиса", "ein Füchschen"]


@pytest.mark.skipif(sys.platform != "linux", reason="localedef is glibc's")
@pytest.mark.parametrize("prompt", ["ein Füchschen", "лиса"])
def test_where_the_locale_has_another_encoding_folders_are_named_as_everywhere(
    with_key: dict[str, str], tmp_path: Path, prompt: str
) -> None:
    """Red Hat's language packs have such locales. Folders in their bytes were found by no other program."""
    made = [shutil.which("localedef") or "", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US")]
    subprocess.run(made, check=True, capture_output=True)
    latin = {"LC_ALL": "en_US", "LOCPATH": str(tmp_path)}
    asked = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"],
        env=os.environ | latin,
        check=True,
        capture_output=True,
        text=True,
    )
    assert asked.stdout.strip() == "iso8859-1"
    done = ran(with_key | latin, "generate", prompt)
    assert (done.returncode, Path(done.stdout.strip()).is_file()) == (0, True), done.stderr
    listed = ran(with_key, "list", "--json")
    assert [line["prompt"] for line in json.loads(listed.stdout)] == [prompt]


def test_the_first_picture_that_a_key_pays_for_says_so_and_no_other(with_key: dict[str, str]) -> None:
    first, second = ran(with_key, "generate", "a fox"), ran(with_key, "generate", "a hare")
    assert "\nOPENAI_API_KEY paid for this picture, because a key comes first" in first.stderr
    assert "OPENAI_API_KEY" not in second.stderr


def test_generate_answers_the_contract_as_json(with_key: dict[str, str]) -> None:
    done = ran(with_key, "generate", "a fox", "--json", "--quality", "high")
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"], told["requested"]["quality"]) == (0, "saved", "high")


def test_the_record_of_a_command_does_not_say_that_a_call_may_not_wait(with_key: dict[str, str]) -> None:
    done = ran(with_key, "generate", "a fox", "--quality", "high")
    record = json.loads((Path(done.stdout.strip()).parent / "metadata.json").read_text("utf-8"))
    assert (record["request"]["quality"], "wait_seconds" in record["request"]) == ("high", False)


def test_the_prompt_can_come_from_standard_input(with_key: dict[str, str], endpoint: Stub) -> None:
    done = ran(with_key, "generate", "-", input="a fox from a pipe\n")
    assert done.returncode == 0, done.stderr
    assert endpoint.requests[0]["prompt"] == "a fox from a pipe"


def test_a_dry_run_sends_nothing_and_writes_nothing(with_key: dict[str, str], endpoint: Stub, tmp_path: Path) -> None:
    done = ran(with_key, "generate", "a fox", "--size", "16:9", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["request"]["size"] == "16:9"
    assert endpoint.requests == []
    assert not list((tmp_path / "pictures").glob("2*"))


def test_a_dry_run_is_refused_as_the_run_itself_would_be(environment: dict[str, str]) -> None:
    limited = environment | {"GPT_IMAGE_DAILY_LIMIT": "1"}
    done = ran(limited, "generate", "a fox", "-n", "2", "--backend", "chatgpt-web", "--dry-run")
    assert done.returncode == 1, done.stdout
    assert "quota_reached" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["generate"], 2),
        (["generate", "a fox", "-n", "11"], 2),
        (["generate", "   "], 2),
        (["generate", "a fox", "--size", "big"], 2),
        (["paint", "a fox"], 2),
        (["generate", "a fox", "--continue-from", "0" * 32], 1),
        (["generate", "a fox", "--backend", "api"], 3),
    ],
)
def test_exit_codes_tell_usage_failure_and_person(environment: dict[str, str], arguments: list[str], code: int) -> None:
    done = ran(environment, *arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "arguments"),
    [
        ("GPT_IMAGE_OUTPUT_DIR", ["list"]),
        ("GPT_IMAGE_OUTPUT_DIR", ["gallery"]),
        ("GPT_IMAGE_OUTPUT_DIR", ["status"]),
        ("GPT_IMAGE_OUTPUT_DIR", ["clean"]),
        ("CHATGPT_WEB_PROFILE_DIR", ["logout", "--yes"]),
    ],
)
def test_a_folder_that_cannot_be_looked_at_is_named_and_nothing_is_said_to_be_sent(
    environment: dict[str, str], looking: dict[str, str], variable: str, arguments: list[str]
) -> None:
    """Another user's is such a one; a name that no file system takes is one for root too."""
    done = ran(environment | looking | {variable: "/" + 300 * "x"}, *arguments)
    assert done.returncode == 3, done.stderr
    assert "Failed (disk): " in done.stderr
    assert "xxx" in done.stderr
    assert "sent" not in done.stderr


def test_a_browser_that_cannot_be_looked_at_is_a_bad_setting(environment: dict[str, str]) -> None:
    done = ran(environment | {"CHROME_PATH": "/" + 300 * "x"}, "list")
    assert done.returncode == 0, done.stderr
    assert "xxx is no program file" in done.stderr


def test_a_refusal_is_told_in_words_and_as_json(with_key: dict[str, str], endpoint: Stub) -> None:
    endpoint.status, endpoint.error = 400, {"code": "moderation_blocked", "message": "Not this.", "type": "user_error"}
    words = ran(with_key, "generate", "a fox")
    told = json.loads(ran(with_key, "generate", "a fox", "--json").stdout)
    assert words.returncode == 1
    assert "Failed (refused)" in words.stderr
    assert "In its words: Not this." in words.stderr  # which were no site's
    assert "Next: " in words.stderr
    assert (told["status"], told["code"]) == ("failed", "refused")


@pytest.mark.parametrize(
    ("variables", "how"),
    [({}, "or over 'ssh -X'"), ({"DISPLAY": ":9", "CHATGPT_WINDOW_MODE": "headless"}, "CHATGPT_WINDOW_MODE left out")],
)
def test_who_cannot_sign_in_here_is_told_how_it_can_be_done(
    environment: dict[str, str], variables: dict[str, str], how: str
) -> None:
    """To run the very command again that has just failed is no advice."""
    done = ran(environment | variables, "login")
    assert done.returncode == 3, done.stderr
    (advice,) = [line for line in done.stderr.splitlines() if line.startswith("Next: ")]
    assert how in advice


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (400, "moderation_blocked", "It was sent, and it may count."),
        (500, "server_error", "It may have been sent, and nothing was spent."),
        (401, "invalid_api_key", "Nothing was sent and nothing was spent."),
    ],
)
def test_a_failure_says_what_is_known_of_sending_and_of_spending(
    with_key: dict[str, str], endpoint: Stub, status: int, code: str, told: str
) -> None:
    endpoint.status, endpoint.error = status, {"code": code, "message": "Not this.", "type": "user_error"}
    done = ran(with_key | {"GPT_IMAGE_BACKEND": "api"}, "generate", "a fox")
    assert told in done.stderr.splitlines()


def test_fewer_pictures_than_asked_for_are_printed_and_count_as_failed(with_key: dict[str, str]) -> None:
    done = ran(with_key, "generate", "a fox", "-n", "2")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert "Picture 2 is missing" in done.stderr


def stopped(variables: dict[str, str], endpoint: Stub, number: int) -> tuple[int, str, str]:
    """A generation that gets this signal when its request is at the server, which does not answer yet: exit code, what
    it printed and what it said."""
    endpoint.answering.clear()
    with subprocess.Popen(
        command("generate", "a fox"), env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert endpoint.arrived.wait(LIMIT)
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out, err


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stopped_generation_gives_the_shell_back_and_saves_behind_it_what_may_be_paid(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path, name: str
) -> None:
    code, out, err = stopped(with_key, endpoint, getattr(signal, name))
    assert (code, out) == (128 + getattr(signal, name), "")
    assert "saved in the background" in err
    record = json.loads(next((tmp_path / "pictures").glob("*/metadata.json")).read_text())
    endpoint.answering.set()
    waited = ran(with_key, "wait", record["generation_id"][:8])
    assert (waited.returncode, len(endpoint.requests)) == (0, 1)
    assert Path(waited.stdout.strip()).is_file()
    assert f"wait {record['generation_id'][:8]}" in err
    # It was told: the same words again are another picture.
    again = ran(with_key, "generate", "a fox")
    assert (again.returncode, len(endpoint.requests)) == (0, 2)


NO_MORE_PROCESSES = """
import os

def refused():
    raise BlockingIOError(11, "Resource temporarily unavailable")

os.fork = refused
"""


@pytest.mark.parametrize("refused", [False, True])
def test_where_no_process_can_go_on_behind_it_a_stopped_generation_waits_a_little_for_what_may_be_paid(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path, refused: bool
) -> None:
    """As on Windows always."""
    (tmp_path / "sitecustomize.py").write_text(NO_MORE_PROCESSES)
    alone = with_key | {"PYTHONPATH": str(tmp_path)}
    endpoint.answering.clear()
    if refused:
        endpoint.status, endpoint.error = 401, {"code": "invalid_api_key", "message": "Not this."}
    with subprocess.Popen(
        command("generate", "a fox"), env=alone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert endpoint.arrived.wait(LIMIT)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert any("waited for a few seconds more" in line for line in process.stderr)
        endpoint.answering.set()
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    if refused:
        assert (out, "Nothing was sent and nothing was spent." in err, "lost" in err) == ("", True, False)
    else:
        assert Path(out.strip()).read_bytes() == endpoint.pictures[0]


@pytest.mark.parametrize("refused", [False, True])
def test_the_same_words_after_a_stop_tell_what_became_of_the_first_and_say_so(
    with_key: dict[str, str], endpoint: Stub, refused: bool
) -> None:
    stopped(with_key, endpoint, signal.SIGINT)
    if refused:
        endpoint.status = 400
        endpoint.error = {
            "code": "moderation_blocked",
            "message": "Not this.",
            "moderation_details": {"moderation_stage": "output"},
        }
    endpoint.answering.set()
    again = ran(with_key, "generate", "a fox", "--json")
    assert (again.returncode, len(endpoint.requests)) == (int(refused), 1)
    told = json.loads(again.stdout)
    assert (told["status"], told["joined"]) == ("failed" if refused else "saved", True)
    assert "asked for before" in again.stderr
    assert "asked for before" not in ran(with_key, "generate", "a fox").stderr
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("finished", [False, True])
def test_the_same_words_after_a_kill_are_the_same_picture(
    with_key: dict[str, str], endpoint: Stub, finished: bool
) -> None:
    """Agents kill a command that takes them too long, wait for its output to end, and run it again."""
    code, out, _ = stopped(with_key, endpoint, signal.SIGKILL)
    assert (code, out) == (-signal.SIGKILL, "")
    endpoint.answering.set()
    if finished:
        assert "saved" in (json.loads(ran(with_key, "list", "--json").stdout)[0]["state"] for _ in range(99))
    again = json.loads(ran(with_key, "generate", "a fox", "--json").stdout)
    assert (again["status"], again.get("joined"), len(endpoint.requests)) == ("saved", True, 1)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_what_whoever_started_it_had_ignored_stops_nothing(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path, name: str
) -> None:
    """``nohup cdp-image-mcp generate … &`` and a terminal that is closed; a script's ``&`` and its Ctrl-C."""
    number = int(getattr(signal, name))
    ignoring = ["sh", "-c", f'trap "" {number}; exec "$@"', "sh", *command("generate", "a fox")]
    endpoint.answering.clear()
    with subprocess.Popen(ignoring, env=with_key, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert endpoint.arrived.wait(LIMIT)
        it.send_signal(number)
        for half in psutil.Process(it.pid).children():
            half.send_signal(number)
        endpoint.answering.set()
        out, err = it.communicate(timeout=LIMIT)
    assert it.returncode == 0, err
    assert out.strip().endswith("image-01.png")


@pytest.mark.parametrize("then", ["nothing", "SIGTERM"])
def test_a_picture_is_saved_though_nobody_reads_what_is_said_about_it(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path, then: str
) -> None:
    """``cdp-image-mcp generate … 2>&1 | head -1``, and a terminal that was closed."""
    endpoint.answering.clear()
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(command("generate", "a fox"), env=with_key, stdout=subprocess.DEVNULL, stderr=writing) as it:
        os.close(writing)
        assert endpoint.arrived.wait(LIMIT)
        if then != "nothing":
            it.send_signal(getattr(signal, then))
            assert it.wait(LIMIT) == 128 + getattr(signal, then)
        endpoint.answering.set()
        assert ran(with_key, "wait").returncode == 0
        assert it.wait(LIMIT) == (0 if then == "nothing" else 128 + getattr(signal, then))
    assert len(endpoint.requests) == 1


LOADS_FOR_EVER = """
import sys, time

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "cdp_image_mcp.cli.main":
            print("loading", flush=True)
            time.sleep(1000)

sys.meta_path.insert(0, Finder())
"""


def test_ctrl_c_before_anything_has_begun_ends_a_command_without_a_word(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """It loads for half a second, on a slow disk for several: people see no lines of ours then."""
    (tmp_path / "sitecustomize.py").write_text(LOADS_FOR_EVER)
    slow = environment | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        command("list"), env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out, err) == (-signal.SIGINT, "", "")


STOPPED_AT_THE_FORK = """
import os, signal

fork = os.fork

def interrupted():
    if pid := fork():
        os.kill(os.getpid(), signal.SIGINT)
    return pid

os.fork = interrupted
"""


def test_ctrl_c_at_the_moment_in_which_generate_splits_stops_both_halves(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STOPPED_AT_THE_FORK)
    done = ran(with_key | {"PYTHONPATH": str(tmp_path)}, "generate", "a fox")
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "")
    assert endpoint.requests == []


CLOSES_SLOWLY = """
import sys, anyio
from cdp_image_mcp.cli import overview
from cdp_image_mcp.cli.main import main

async def work(*_):
    print("working", flush=True)
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            print("closing", flush=True)
            await anyio.to_thread.run_sync(sys.stdin.readline)
            print("closed", flush=True)

overview.status = work
sys.exit(main(["status"]))
"""


def test_more_signals_while_a_command_closes_change_nothing(environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLOSES_SLOWLY],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        hanging = threading.Timer(LIMIT, process.kill)
        hanging.start()
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "closing\n"
            for name in ("SIGINT", "SIGTERM", "SIGINT"):
                process.send_signal(getattr(signal, name))
            out, err = process.communicate("\n", timeout=LIMIT)
        finally:
            hanging.cancel()
            process.kill()
    assert (process.returncode, out) == (130, "closed\n")
    assert "Traceback" not in err


def test_a_terminal_shows_a_line_that_is_drawn_over_and_leaves_it_clean(
    with_key: dict[str, str], endpoint: Stub
) -> None:
    if sys.platform == "win32":
        pytest.skip("no pseudo-terminal there")
    endpoint.answering.clear()
    ours, theirs = pty.openpty()
    named = command("generate", "a fox", "--backend", "api")
    with subprocess.Popen(named, env=with_key, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while seen.count(b"\r") < 3:
            seen += os.read(ours, 4096)
        endpoint.answering.set()
        out, _ = process.communicate(timeout=LIMIT)
        try:
            while block := os.read(ours, 4096):
                seen += block
        except OSError:
            pass  # Linux ends a pseudo-terminal with EIO
        os.close(ours)
    assert process.returncode == 0
    assert out.decode().strip().endswith("image-01.png")
    assert b"\n" not in seen
    assert seen.endswith(b" \r")


def test_the_line_fits_the_terminal_on_which_it_is_drawn_though_the_path_goes_into_a_pipe(
    with_key: dict[str, str], endpoint: Stub
) -> None:
    """``path=$(cdp-image-mcp generate …)`` in a narrow window: a line that wraps cannot be drawn over."""
    if sys.platform == "win32":
        pytest.skip("no pseudo-terminal there")
    endpoint.answering.clear()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 14, 0, 0))
    plain = {name: value for name, value in with_key.items() if name != "COLUMNS"}
    with subprocess.Popen(command("generate", "a fox"), env=plain, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        assert endpoint.arrived.wait(LIMIT)
        seen = b""
        while "…".encode() not in seen or seen.count(b"\r") < 5:
            seen += os.read(ours, 4096)
        endpoint.answering.set()
        process.communicate(timeout=LIMIT)
        os.close(ours)
    lines = seen.decode().split("\r")
    assert max(map(len, lines)) <= 13


def test_colours_only_on_terminals_that_want_them(environment: dict[str, str]) -> None:
    def on_terminal(extra: dict[str, str]) -> bytes:
        if sys.platform == "win32":
            pytest.skip("no pseudo-terminal there")
        ours, theirs = pty.openpty()
        subprocess.run(command("generate", "  "), env=environment | extra, stderr=theirs, timeout=LIMIT)
        os.close(theirs)
        seen = os.read(ours, 65536)
        os.close(ours)
        return seen

    assert b"\x1b[31m" in on_terminal({})
    assert b"\x1b" not in on_terminal({"NO_COLOR": "1"})
    assert b"\x1b" not in on_terminal({"TERM": "dumb"})
    assert "\x1b" not in ran(environment, "generate", "  ").stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_cannot_say_everything_is_no_reason_to_fall_over(
    with_key: dict[str, str], encoding: str, tmp_path: Path
) -> None:
    odd = with_key | {"PYTHONIOENCODING": encoding, "GPT_IMAGE_OUTPUT_DIR": str(tmp_path / "рисунки")}
    done = subprocess.run(command("generate", "狐 🦊"), env=odd, capture_output=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"image-01.png" in done.stdout


def test_bad_settings_are_told_by_every_command(environment: dict[str, str]) -> None:
    done = ran(environment | {"GPT_IMAGE_BACKEND": "paint"}, "generate", "a fox")
    assert done.returncode == 3
    assert done.stderr.count("GPT_IMAGE_BACKEND: 'paint' is not one of") == 1
    told = ran(environment | {"GPT_IMAGE_BACKEND": "paint"}, "generate", "a fox", "--json")
    assert json.loads(told.stdout)["details"]["variables"] == ["GPT_IMAGE_BACKEND"]
    assert told.stderr.count("GPT_IMAGE_BACKEND") <= 1
    unused = ran(environment | {"GPT_IMAGE_BACKEND": "paint"}, "gallery")
    assert unused.returncode == 0
    assert unused.stderr.count("GPT_IMAGE_BACKEND") == 1
    served = ran(environment | {"GPT_IMAGE_BACKEND": "paint"}, stdin=subprocess.DEVNULL)
    assert served.returncode == 0
    assert "GPT_IMAGE_BACKEND" in served.stderr


@pytest.mark.parametrize(
    "arguments", [["generate", "a fox", "--dry-run"], ["generate", "a fox"], ["config"], ["status"], ["list"]], ids=str
)
def test_a_limit_that_was_mistyped_is_told_once_by_every_command(
    with_key: dict[str, str], arguments: list[str]
) -> None:
    """It stops nothing, and is not in force."""
    done = ran(with_key | {"GPT_IMAGE_BUGET_USD": "1"}, *arguments)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert told.count("GPT_IMAGE_BUGET_USD") == 1
    assert "GPT_IMAGE_BUDGET_USD is one" in told


def test_serving_on_a_terminal_says_so(environment: dict[str, str]) -> None:
    if sys.platform == "win32":
        pytest.skip("no pseudo-terminal there")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("serve"), env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        os.close(theirs)
        os.close(ours)
        process.communicate(timeout=LIMIT)
    assert b"serves MCP on standard input and output" in first


def test_status_marks_the_way_that_auto_takes_now(with_key: dict[str, str], endpoint: Stub) -> None:
    assert "api (first: OPENAI_API_KEY is set): " in ran(with_key, "status").stdout
    endpoint.status, endpoint.error = 429, {"code": "insufficient_quota", "message": "You exceeded", "type": "x"}
    assert ran(with_key, "generate", "a fox", "--backend", "api").returncode == 3
    assert "chatgpt-web (first: the API said billing): " in ran(with_key, "status").stdout


def test_status_is_words_for_people_and_json_for_scripts(with_key: dict[str, str]) -> None:
    assert ran(with_key, "generate", "a fox").returncode == 0
    words = ran(with_key, "status")
    told = json.loads(ran(with_key, "status", "--json").stdout)
    assert words.returncode == 0, words.stderr
    assert "api (first: OPENAI_API_KEY is set): ready" in words.stdout
    assert "saved              a fox\n" in words.stdout
    assert [entry["backend"] for entry in told["statuses"]] == ["api", "chatgpt-web"]


def test_collecting_with_nothing_left_says_so(environment: dict[str, str]) -> None:
    done = ran(environment, "collect")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing to collect" in done.stderr
    assert json.loads(ran(environment, "collect", "--json").stdout) == []


def test_the_key_appears_nowhere(with_key: dict[str, str], endpoint: Stub, tmp_path: Path) -> None:
    endpoint.status, endpoint.error = 401, {"message": "Incorrect API key provided: sk-only-a-test", "code": "x"}
    loud = with_key | {"GPT_IMAGE_LOG": "debug"}
    asked = ["generate", "a fox", "--backend", "api"]
    came = {" ".join(words): ran(loud, *words) for words in (asked, ["status", "--json"], ["doctor", "--json"])}
    # It was there to be shown: the key went out, and the words that came back with it are told.
    assert [done.returncode for done in came.values()] == [3, 0, 0]
    assert endpoint.keys == ["Bearer sk-only-a-test"]
    assert "Incorrect API key provided: " in came[" ".join(asked)].stderr
    assert "HTTP 401" in came[" ".join(asked)].stderr
    for done in came.values():
        assert "sk-only-a-test" not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "metadata.json" in {path.name for path in files}
    for path in files:
        assert b"sk-only-a-test" not in path.read_bytes(), path


def test_help_and_version_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["--help"], ["generate", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    assert "Exit codes: 0 done; 1 failed" in " ".join(capsys.readouterr().out.split())


def test_every_wish_of_the_tool_can_be_given() -> None:
    from cdp_image_mcp.studio.asked import GenerateImage

    taken = vars(make_parser().parse_args(["generate", "a fox"]))
    # How long a call waits and what it shows are matters of an MCP answer; a command waits to the end.
    assert set(GenerateImage.__struct_fields__) - {"wait_seconds", "images"} <= set(taken)
