"""What a person types at ``generate``: words without quotes, files of any folder, and what comes out of a pipe."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from cdp_image_mcp.cli.exit_codes import exit_code
from cdp_image_mcp.cli.follow import _typed, tell_stopped  # pyright: ignore[reportPrivateUsage]
from cdp_image_mcp.cli.prompting import destination
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.record import now
from tests.cli.api_stub import Stub
from tests.cli.running import LIMIT, Typist, command, ran
from tests.library.making import a_record
from tests.mcp_server.scripted import png, saved


def prompts(endpoint: Stub) -> list[str]:
    return [request["prompt"] for request in endpoint.requests]


def piped(with_key: dict[str, str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command("generate", "-"), env=with_key, input=data, capture_output=True, timeout=LIMIT)


@pytest.mark.parametrize(
    ("words", "prompt"),
    [
        (["a", "red", "fox"], "a red fox"),
        (["a red fox"], "a red fox"),
        (["a", "red", "-n", "1", "fox"], "a red fox"),
        (["-n", "1", "a", "red", "fox"], "a red fox"),
        (["a", "--size", "1024x1024", "red", "--json", "fox"], "a red fox"),
        (["--", "-5", "degrees"], "-5 degrees"),
        (["a", "--size", "1024x1024", "--", "-x", "--json"], "a -x --json"),
        (["a", "fox", "--size", "1024x1024", "at", "-5", "degrees", "-", "in snow"], "a fox at -5 degrees - in snow"),
        (["a", "fox", "-n", "1", "- and a hare"], "a fox - and a hare"),
    ],
)
def test_a_prompt_needs_no_quotes(with_key: dict[str, str], endpoint: Stub, words: list[str], prompt: str) -> None:
    done = ran(with_key, "generate", *words)
    assert done.returncode == 0, done.stderr
    assert prompts(endpoint) == [prompt]


@pytest.mark.parametrize("words", [[], ["a", "fox", "--colour", "red"], ["-x", "a", "fox"]])
def test_what_is_not_understood_sends_nothing(with_key: dict[str, str], endpoint: Stub, words: list[str]) -> None:
    done = ran(with_key, "generate", *words)
    assert (done.returncode, done.stdout, endpoint.requests) == (2, "", [])
    assert "--help" in done.stderr


def test_an_empty_folder_name_is_no_folder(with_key: dict[str, str], endpoint: Stub) -> None:
    """As of a variable in a script that is not set."""
    done = ran(with_key, "generate", "a fox", "--output-dir", "")
    assert (done.returncode, endpoint.requests) == (2, []), done.stderr
    assert "output_dir" in done.stderr or "empty" in done.stderr


# --- where the picture goes ------------------------------------------------------------------------------------


def test_the_picture_is_put_where_a_person_says(with_key: dict[str, str], endpoint: Stub, tmp_path: Path) -> None:
    done = ran(with_key, "generate", "a fox", "-o", "fox.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'fox.png'}\n")
    assert (tmp_path / "fox.png").read_bytes() == endpoint.pictures[0]
    assert list((tmp_path / "pictures").glob("*/image-01.png"))


def test_a_folder_takes_the_picture_under_the_name_of_its_generation(with_key: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = ran(with_key, "generate", "a fox", "-o", str(tmp_path / "mine"))
    (made,) = (tmp_path / "mine").iterdir()
    assert done.stdout == f"{made}\n"
    assert made.name.endswith("-a-fox-image-01.png")


def test_several_pictures_are_numbered(with_key: dict[str, str], endpoint: Stub, tmp_path: Path) -> None:
    endpoint.pictures = [png(64, 64), png(65, 65)]
    done = ran(with_key, "generate", "a fox", "-n", "2", "-o", str(tmp_path / "fox.png"))
    assert done.stdout.splitlines() == [str(tmp_path / f"fox-{number}.png") for number in (1, 2)]


def test_a_script_learns_where_the_copies_lie(with_key: dict[str, str], tmp_path: Path) -> None:
    done = ran(with_key, "generate", "a fox", "-o", str(tmp_path / "fox.jpg"), "--json")
    told = json.loads(done.stdout)
    assert told["copies"] == [str(tmp_path / "fox.png")]  # whatever name it has by its bytes
    assert Path(told["image_path"]).parent.parent == tmp_path / "pictures"
    assert "copies" not in json.loads(ran(with_key, "generate", "a hare", "--json").stdout)


def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(given: BinaryIO, taken: BinaryIO) -> None:
        taken.write(given.read(3))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    image = saved(tmp_path, 1, b"whole picture", width=1, height=1)
    place = destination(str(tmp_path / "fox.png"))
    assert place is not None
    with pytest.raises(ImageError, match="is saved as"):
        place.put([image])
    assert not (tmp_path / "fox.png").exists()


def test_the_ending_of_a_name_asks_for_its_format_and_the_bytes_have_the_last_word(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path
) -> None:
    done = ran(with_key, "generate", "a fox", "-o", str(tmp_path / "fox.jpg"))
    assert endpoint.requests[0]["output_format"] == "jpeg"
    assert done.stdout == f"{tmp_path / 'fox.png'}\n"  # a PNG came all the same, and is called one


UNNAMEABLE = 300 * "x"
"""A name that no file system takes: what is asked of such a path fails, for root too."""


@pytest.mark.parametrize("option", ["-o", "-r", "--mask", "--output-dir"])
def test_a_home_of_nobody_is_told_before_anything_is_paid(
    with_key: dict[str, str], endpoint: Stub, option: str
) -> None:
    done = ran(with_key, "generate", "a fox", option, "~nobody-of-this-name/fox.png")
    assert (done.returncode, done.stdout, endpoint.requests) == (2, "", [])
    assert "Nothing was sent." in done.stderr


@pytest.mark.parametrize("option", ["-o", "-r", "--mask", "--output-dir"])
def test_a_working_folder_that_is_gone_is_told_before_anything_is_paid(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path, option: str
) -> None:
    (tmp_path / "gone").mkdir()
    leaving = ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *command("generate", "a fox", option, "fox.png")]
    done = subprocess.run(leaving, env=with_key, cwd=tmp_path / "gone", capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout, endpoint.requests) == (2, "", [])
    assert "Nothing was sent. fox.png is in the working folder, which is gone." in done.stderr


@pytest.mark.parametrize(
    "name", ["there.png", "missing/fox.png", "fox.txt", UNNAMEABLE, f"{UNNAMEABLE}/fox.png", "-", ""]
)
def test_a_place_that_would_not_do_is_told_before_anything_is_paid(
    with_key: dict[str, str], looking: dict[str, str], endpoint: Stub, tmp_path: Path, name: str
) -> None:
    (tmp_path / "there.png").write_bytes(b"mine")
    done = ran(with_key | looking, "generate", "a fox", "-o", name, cwd=tmp_path)
    assert (done.returncode, done.stdout, endpoint.requests) == (2, "", [])
    assert "Nothing was sent." in done.stderr
    assert (tmp_path / "there.png").read_bytes() == b"mine"


@pytest.fixture
def viewed(with_key: dict[str, str], tmp_path: Path) -> tuple[dict[str, str], Path]:
    """Variables under which pictures are opened by a viewer of ours, and where that writes what it was given."""
    viewer, seen = tmp_path / "bin" / "xdg-open", tmp_path / "seen"
    viewer.parent.mkdir()
    if sys.platform == "win32":
        pytest.skip("there are no named pipes there")
    os.mkfifo(seen)
    viewer.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    viewer.chmod(0o755)
    return with_key | {"PATH": f"{viewer.parent}{os.pathsep}{with_key['PATH']}"}, seen


def test_a_picture_is_opened_when_it_is_there(viewed: tuple[dict[str, str], Path], tmp_path: Path) -> None:
    environment, seen = viewed
    done = ran(environment, "generate", "a fox", "--open", "-o", str(tmp_path / "fox.png"))
    assert (done.returncode, seen.read_text()) == (0, str(tmp_path / "fox.png"))
    again = ran(environment | {"GPT_IMAGE_OPEN": "1"}, "generate", "a horse")
    assert seen.read_text() == again.stdout.strip()


def test_of_an_svg_that_a_server_sent_the_folder_is_opened(
    viewed: tuple[dict[str, str], Path], endpoint: Stub, tmp_path: Path
) -> None:
    """A browser would run what it holds, and nobody has seen it yet."""
    environment, seen = viewed
    endpoint.pictures = [b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>"]
    done = ran(environment | {"GPT_IMAGE_OPEN": "1"}, "generate", "a fox")
    assert (done.returncode, seen.read_text()) == (0, str(Path(done.stdout.strip()).parent))
    copied = ran(environment, "generate", "a horse", "--open", "-o", str(tmp_path / "horse.png"))
    assert (copied.stdout.strip(), seen.read_text()) == (str(tmp_path / "horse.svg"), str(tmp_path))


def test_without_a_viewer_the_path_is_enough(with_key: dict[str, str], tmp_path: Path) -> None:
    done = ran(with_key | {"PATH": str(tmp_path)}, "generate", "a fox", "--open")
    assert done.returncode == 0
    assert "Nothing here opens pictures" in done.stderr


# --- files a person names --------------------------------------------------------------------------------------


def test_files_of_any_folder_may_be_named_at_the_keyboard(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path
) -> None:
    pictures = [tmp_path / "data" / name for name in ("cat.png", "dog.png")]
    pictures[0].parent.mkdir()
    for path in pictures:
        path.write_bytes(png(64, 64))
    mask = tmp_path / "masks" / "mask.png"
    mask.parent.mkdir()
    mask.write_bytes(png(64, 64, alpha=True))
    named = [word for path in pictures for word in ("-r", str(path))]
    done = ran(with_key, "generate", "both", *named, "--mask", str(mask), "--dry-run")
    assert [each["path"] for each in json.loads(done.stdout)["request"]["reference_images"]] == list(map(str, pictures))
    done = ran(with_key, "generate", "a fox", "--output-dir", str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "elsewhere").glob("*/image-01.png"))


def test_a_link_that_a_person_names_leads_to_its_picture(with_key: dict[str, str], tmp_path: Path) -> None:
    links, data = tmp_path / "links", tmp_path / "data"
    links.mkdir()
    data.mkdir()
    for name in ("cat.png", "mask.png"):
        (data / name).write_bytes(png(64, 64, alpha=True))
        (links / name).symlink_to(data / name)
    names = ["-r", str(links / "cat.png"), "--mask", str(links / "mask.png")]
    done = ran(with_key, "generate", "a fox", *names, "--dry-run")
    assert done.returncode == 0, done.stderr
    request = json.loads(done.stdout)["request"]
    assert request["mask"]["path"] == str(data / "mask.png")


def test_the_folders_of_others_stay_closed_to_a_model(with_key: dict[str, str], tmp_path: Path) -> None:
    """What is typed opens nothing for the server that a client starts."""
    from cdp_image_mcp.config import load

    (tmp_path / "data").mkdir()
    assert tmp_path / "data" not in load(with_key).input_roots


# --- pipes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        "ein Füchschen, 狐".encode(),
        b"\xef\xbb\xbf" + "ein Füchschen, 狐".encode(),
        b"\xff\xfe" + "ein Füchschen, 狐".encode("utf-16-le"),
        b"\xfe\xff" + "ein Füchschen, 狐".encode("utf-16-be"),
        "ein Füchschen, 狐\r\n".encode("utf-16-le"),
        "ein Füchschen, 狐\n".encode("utf-16-be"),
    ],
    ids=["UTF-8", "with mark", "UTF-16 LE", "UTF-16 BE", "LE without mark", "BE without mark"],
)
@pytest.mark.parametrize("console", ["utf-8", "cp1252"])
def test_a_piped_prompt_is_read_in_whatever_unicode_it_comes(
    with_key: dict[str, str], endpoint: Stub, data: bytes, console: str
) -> None:
    done = piped(with_key | {"PYTHONIOENCODING": console}, data)
    assert done.returncode == 0, done.stderr
    assert prompts(endpoint) == ["ein Füchschen, 狐"]


def test_a_prompt_in_another_encoding_is_never_paid_for(with_key: dict[str, str], endpoint: Stub) -> None:
    done = piped(with_key, "ein Füchschen".encode("cp1252"))
    assert (done.returncode, endpoint.requests) == (2, [])
    assert b"neither UTF-8 nor UTF-16" in done.stderr


# --- a terminal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "typed"),
    [
        ("If not, call cancel_image with this generation_id.", "If not, call 'cdp-image-mcp cancel abcdef01'."),
        ("Look in the window (browser_visibility show).", "Look in the window (CHATGPT_WINDOW_MODE=visible)."),
    ],
)
def test_a_step_for_a_model_names_what_a_person_can_type(step: str, typed: str) -> None:
    assert _typed(step, "abcdef0123456789abcdef0123456789") == typed


def test_only_what_was_not_sent_counts_as_wrong_usage() -> None:
    assert (exit_code("invalid_input", False), exit_code("invalid_input", True)) == (2, 1)


def stopped_with(capsys: pytest.CaptureFixture[str], **more: Any) -> str:
    fields: dict[str, Any] = {"state": "interrupted", "finished_at": now(), "submitted": "unknown", "spent": "unknown"}
    record = a_record(facts={"turn_pressed": True}, **(fields | more))
    tell_stopped(Terminal(), Entry(record, Folder(Path("/nowhere")), alive=False))
    return capsys.readouterr().err


def test_what_is_not_known_to_have_been_sent_is_not_said_to_have_been(capsys: pytest.CaptureFixture[str]) -> None:
    told = stopped_with(capsys)
    assert "It may have been sent, and it may count. 'cdp-image-mcp collect' fetches the picture" in told
    assert "had been sent" not in told


def test_a_prompt_can_be_typed_line_by_line(with_key: dict[str, str], endpoint: Stub) -> None:
    person = Typist(with_key, "generate", "-")
    person.until("end it with Ctrl-D")
    person.types("a fox\nin the snow\n\x04")
    code, seen = person.end()
    assert (code, prompts(endpoint)) == (0, ["a fox\nin the snow"])
    assert "image-01.png" in seen


def test_ctrl_c_at_the_prompt_ends_at_once_and_nothing_was_sent(with_key: dict[str, str], endpoint: Stub) -> None:
    person = Typist(with_key, "generate", "-")
    person.until("end it with Ctrl-D")
    person.types("a fo\x03")
    code, seen = person.end()
    assert (code, endpoint.requests) == (130, [])
    assert "Traceback" not in seen


def test_ctrl_c_while_it_is_drawn_gives_the_shell_back_and_says_how_to_get_the_picture(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path
) -> None:
    endpoint.answering.clear()
    person = Typist(with_key, "generate", "a fox")
    assert endpoint.arrived.wait(LIMIT)
    person.types("\x03")
    code, seen = person.end()
    endpoint.answering.set()
    assert code == 130
    assert "saved in the background" in seen
    assert ran(with_key, "wait").returncode == 0
    assert len(endpoint.requests) == 1


def test_ctrl_c_at_a_picture_that_another_process_makes_says_that_it_goes_on(
    with_key: dict[str, str], endpoint: Stub
) -> None:
    """The same words again, after a first Ctrl-C that left the picture to be finished in the background."""
    endpoint.answering.clear()
    first = Typist(with_key, "generate", "a fox")
    assert endpoint.arrived.wait(LIMIT)
    first.types("\x03")
    first.end()
    second = Typist(with_key, "generate", "a fox")
    second.until("in another process")
    second.types("\x03")
    code, seen = second.end()
    endpoint.answering.set()
    (line,) = json.loads(ran(with_key, "list", "--json").stdout)
    assert code == 130
    assert "It goes on in another process." in seen
    assert f"wait {line['generation_id'][:8]}" in seen
    assert "lost" not in seen
    assert ran(with_key, "wait").returncode == 0
    assert len(endpoint.requests) == 1


def test_ctrl_z_leaves_no_picture_half_way_and_no_line_over_the_shells_own(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path
) -> None:
    """What makes the picture has a session of its own: it would go on beside a command that stands still."""
    endpoint.answering.clear()
    (tmp_path / "start").write_text("PS1='ready> '\n")
    bash = shutil.which("bash") or pytest.skip("bash is not here")
    person = Typist(with_key, program=[bash, "--rcfile", str(tmp_path / "start"), "--noprofile", "-i"])
    person.until("ready> ")
    person.types(f"{' '.join(command('generate', 'a', 'fox'))}; echo ended 'as' $?\n")
    assert endpoint.arrived.wait(LIMIT)
    person.types("\x1a")
    person.until("^Z")
    endpoint.answering.set()
    person.until("ended as ")
    person.types("exit\nexit\n")  # twice where something stands still
    _, seen = person.end()
    assert "ended as 0" in seen
    assert "image-01.png" in seen


def test_a_terminal_that_is_closed_while_it_is_drawn_takes_no_picture_with_it(
    with_key: dict[str, str], endpoint: Stub
) -> None:
    if sys.platform == "win32":
        pytest.skip("there are no terminals that hang up there")
    endpoint.answering.clear()
    person = Typist(with_key, "generate", "a fox")
    assert endpoint.arrived.wait(LIMIT)
    os.close(person.ours)
    assert person.process.wait(LIMIT) == 128 + signal.SIGHUP
    endpoint.answering.set()
    assert ran(with_key, "wait").returncode == 0
    assert len(endpoint.requests) == 1


def test_a_wide_message_leaves_no_rubbish_on_a_narrow_terminal() -> None:
    """Chinese takes two columns a letter: cut by letters, a line would wrap and could not be taken away again."""
    import io

    from cdp_image_mcp.cli.terminal import Terminal, width
    from cdp_image_mcp.studio.studio import News

    class Screen(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    err = Screen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        terminal = Terminal(io.StringIO(), err)
        patch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((30, 24)))
        terminal.progress(News("画一只在满月下的红色狐狸，旁边还有雪和松树", 3.0, None), 3.0)
        terminal.clear()
    drawn = err.getvalue().split("\r")
    assert width(drawn[1]) <= 29
    assert drawn[2] == " " * width(drawn[1])


# --- help ------------------------------------------------------------------------------------------------------


def commands() -> list[str]:
    from cdp_image_mcp.cli.parser import commands_of, make_parser

    return list(commands_of(make_parser()))


@pytest.mark.parametrize("name", commands())
def test_every_command_shows_two_examples_that_it_takes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from cdp_image_mcp.cli.parser import EXAMPLES, parse

    with pytest.raises(SystemExit) as ended:
        parse([name, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    for example in EXAMPLES[name]:
        assert f"cdp-image-mcp {example}".rstrip() in told
        words = re.split(r" (?:&&|>|\|) ", example)[0].split()
        assert parse(words).command in {name, None}


def test_a_signal_of_a_script_answers_as_a_shell_would(with_key: dict[str, str], endpoint: Stub) -> None:
    endpoint.answering.clear()
    with subprocess.Popen(command("generate", "a fox"), env=with_key, stderr=subprocess.DEVNULL) as process:
        assert endpoint.arrived.wait(LIMIT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 143
    endpoint.answering.set()
    assert ran(with_key, "wait").returncode == 0
