"""The commands about pictures that are there or being made, the settings, and the sign-in."""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.cdp import LaunchOptions, launch
from cdp_image_mcp.cli import account
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.config import READ, Settings
from cdp_image_mcp.library.folder import SIDECAR, Folder
from cdp_image_mcp.library.index import NAME
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.presence import OWN_FOLDER
from cdp_image_mcp.system.turns import Turns
from fixtures.images_api import png
from tests.browser import SWITCHES, found_browser
from tests.cli.api_stub import Stub
from tests.cli.running import LIMIT, Typist, command, ran
from tests.library.making import DEAD, a_record, create, finished
from tests.people.screen import open_screen


def made(with_key: dict[str, str], *prompts: str) -> list[dict[str, Any]]:
    """Pictures, the oldest first."""
    told = [ran(with_key, "generate", prompt, "--json") for prompt in prompts]
    return [json.loads(each.stdout) for each in told]


# --- list and open ---------------------------------------------------------------------------------------------


def test_the_newest_pictures_are_listed_with_state_age_and_path(with_key: dict[str, str]) -> None:
    fox, horse = made(with_key, "a fox", "a horse")
    listed = ran(with_key, "list")
    lines = listed.stdout.splitlines()
    assert [line.split()[0] for line in lines[::2]] == [horse["generation_id"][:8], fox["generation_id"][:8]]
    assert "saved" in lines[0]
    assert lines[0].endswith(" s  a horse")
    assert [line.strip() for line in lines[1::2]] == [horse["image_path"], fox["image_path"]]
    (told,) = json.loads(ran(with_key, "list", "-n", "1", "--json").stdout)
    assert (told["generation_id"], told["path"]) == (horse["generation_id"], horse["image_path"])
    assert 0 <= told["age_seconds"] < LIMIT
    # More than any database counts is as many as there are.
    assert len(json.loads(ran(with_key, "list", "-n", str(10**30), "--json").stdout)) == 2


def test_a_folder_that_was_deleted_hides_none_of_the_others(with_key: dict[str, str]) -> None:
    fox, horse = made(with_key, "a fox", "a horse")
    shutil.rmtree(horse["output_dir"])
    for words in (["list", "-n", "1"], ["wait"]):
        assert fox["image_path"] in ran(with_key, *words).stdout


def test_a_folder_that_came_back_is_in_the_next_list(with_key: dict[str, str], tmp_path: Path) -> None:
    fox, horse = made(with_key, "a fox", "a horse")
    folder = Path(fox["output_dir"])
    folder.rename(tmp_path / "away")
    assert fox["generation_id"][:8] not in ran(with_key, "list").stdout
    (tmp_path / "away").rename(folder)
    listed = [line.strip() for line in ran(with_key, "list").stdout.splitlines()[1::2]]
    assert listed == [horse["image_path"], fox["image_path"]]


@pytest.mark.parametrize("command", ["list", "status"])
def test_a_prompt_in_a_list_cannot_move_the_cursor(with_key: dict[str, str], command: str) -> None:
    """A model has written it, perhaps from a page that somebody else wrote."""
    made(with_key, "a \x1b[2J\x1b]0;title\x07red \u202efox")
    done = ran(with_key, command)
    assert done.returncode == 0, done.stderr
    assert "a red fox" in done.stdout
    assert not set(done.stdout) & set("\x1b\x07\u202e")


@pytest.mark.parametrize("edited", ["generation_id", "path"])
def test_what_another_wrote_into_a_record_cannot_move_the_cursor_either(with_key: dict[str, str], edited: str) -> None:
    fox, horse = made(with_key, "a fox", "a horse")
    sidecar = Path(horse["output_dir"]) / SIDECAR
    record = json.loads(sidecar.read_bytes())
    (record if edited == "generation_id" else record["images"][0])[edited] += "\x1b[2J"
    sidecar.write_text(json.dumps(record))
    done = ran(with_key, "list")
    assert (done.returncode, "\x1b" in done.stdout + done.stderr) == (0, False), done
    assert [line.strip() for line in done.stdout.splitlines()[1::2]] == [fox["image_path"]]


def test_an_empty_list_is_no_failure(environment: dict[str, str]) -> None:
    done = ran(environment, "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads(ran(environment, "list", "--json").stdout) == []


def test_a_picture_is_opened_by_the_beginning_of_its_id_and_else_the_newest(
    with_key: dict[str, str], tmp_path: Path
) -> None:
    fox, horse = made(with_key, "a fox", "a horse")
    seen = tmp_path / "seen"
    if sys.platform == "win32":
        pytest.skip("there are no named pipes there")
    os.mkfifo(seen)
    viewer = tmp_path / "bin" / "xdg-open"
    viewer.parent.mkdir()
    viewer.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    viewer.chmod(0o755)
    here = with_key | {"PATH": f"{viewer.parent}{os.pathsep}{with_key['PATH']}"}
    for words, path in (
        (["open"], horse["image_path"]),
        (["open", fox["generation_id"][:6].upper()], fox["image_path"]),
        (["open", "--folder"], horse["output_dir"]),
    ):
        done = ran(here, *words)
        assert (done.returncode, done.stdout, seen.read_text()) == (0, f"{path}\n", path)
    # Who shares the folder can write its records, and a program into it: a viewer would start that.
    sidecar, program = Path(horse["output_dir"]) / SIDECAR, Path(horse["image_path"]).with_suffix(".desktop")
    sidecar.write_text(sidecar.read_text("utf-8").replace(Path(horse["image_path"]).name, program.name), "utf-8")
    program.write_text("[Desktop Entry]\nExec=true\n")
    done = ran(here, "open")
    assert (done.stdout, seen.read_text()) == (f"{program}\n", horse["output_dir"])


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("ffff", 1, "There is no generation ffff."),
        ("ab", 2, "at least 4 characters"),
        ("caf\udce9s", 1, "There is no generation caf"),
    ],
)
def test_an_id_that_names_nothing_is_told(with_key: dict[str, str], name: str, code: int, told: str) -> None:
    done = ran(with_key, "open", name)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


@pytest.mark.parametrize(("fresh", "code"), [(False, "disk"), (True, "not_found")], ids=["known", "index made anew"])
def test_a_picture_whose_record_cannot_be_read_is_never_told_as_none(
    with_key: dict[str, str], fresh: bool, code: str
) -> None:
    (fox,) = made(with_key, "a fox")
    sidecar = Path(fox["output_dir"]) / SIDECAR
    sidecar.write_bytes(b'{"version": 1, "generation')
    if fresh:
        shutil.rmtree(sidecar.parents[1] / OWN_FOLDER)
    listed = ran(with_key, "list")
    assert (listed.returncode, listed.stdout) == (0, "")
    assert f"The record {sidecar} cannot be read" in listed.stderr
    assert "Nothing" not in listed.stderr
    for words in (["wait"], ["wait", fox["generation_id"][:8]]):
        told = json.loads(ran(with_key, *words, "--json").stdout)
        assert f"The record {sidecar} cannot be read" in told["message"]
        assert (told["code"], told["submitted"], told["spent"]) == (code, "unknown", "unknown"), words


@pytest.mark.anyio
async def test_a_picture_on_a_drive_that_is_away_is_never_told_as_none(
    environment: dict[str, str], tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    record = a_record(state="saved", submitted=True, spent=True)
    folder = await create(Library(tmp_path / "pictures"), record, drive)
    drive.rename(tmp_path / "away")
    listed, waited = await anyio.to_thread.run_sync(
        lambda: (ran(environment, "list"), ran(environment, "wait", record.generation_id[:31], "--json"))
    )
    assert f"lies in {folder.path}, which is not there now" in listed.stderr
    assert "Nothing" not in listed.stderr
    told = json.loads(waited.stdout)
    assert (told["code"], told["submitted"], told["spent"]) == ("disk", "unknown", "unknown")


@pytest.mark.anyio
async def test_a_beginning_that_fits_one_that_cannot_be_read_as_well_names_neither(
    environment: dict[str, str], tmp_path: Path
) -> None:
    library = Library(tmp_path / "pictures")
    first, second = (a_record(generation_id=f"3fa1{end}" + 27 * "0", state="failed") for end in "ab")
    readable, other = await create(library, first), await create(library, second)
    (other.path / SIDECAR).write_bytes(b"{")
    done = await anyio.to_thread.run_sync(lambda: ran(environment, "clean", "3fa1", "--yes"))
    assert (done.returncode, readable.path.exists()) == (2, True)
    assert "Several begin with 3fa1" in done.stderr


def test_a_picture_that_is_not_there_any_more_is_told(with_key: dict[str, str]) -> None:
    (fox,) = made(with_key, "a fox")
    Path(fox["image_path"]).unlink()
    done = ran(with_key, "open")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{fox['image_path']} is not there any more" in done.stderr


# --- wait and cancel -------------------------------------------------------------------------------------------


def test_a_picture_of_another_process_can_be_waited_for_and_stopped(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path
) -> None:
    endpoint.answering.clear()
    with subprocess.Popen(command("generate", "a fox"), env=with_key, stderr=subprocess.DEVNULL) as maker:
        assert endpoint.arrived.wait(LIMIT)
        (line,) = json.loads(ran(with_key, "list", "--json").stdout)
        with subprocess.Popen(command("wait", "--json"), env=with_key, stdout=subprocess.PIPE) as waiter:
            stopped = ran(with_key, "cancel", line["generation_id"])
            out, _ = waiter.communicate(timeout=LIMIT)
        assert maker.wait(LIMIT) == 1
    assert (stopped.returncode, stopped.stderr) == (0, "Cancelled.\nIt was sent, and it may count.\n")
    told = json.loads(out)
    assert (told["status"], told["submitted"], told["spent"]) == ("cancelled", True, "unknown")
    again = ran(with_key, "cancel", line["generation_id"])
    assert again.returncode == 0


def test_stopping_what_has_ended_changes_nothing_and_says_so(with_key: dict[str, str]) -> None:
    (fox,) = made(with_key, "a fox")
    done = ran(with_key, "cancel", fox["generation_id"][:8])
    assert (done.returncode, done.stdout) == (0, f"{fox['image_path']}\n")
    assert "It had ended already: saved." in done.stderr


def test_waiting_for_a_picture_that_is_there_prints_its_path(with_key: dict[str, str]) -> None:
    (fox,) = made(with_key, "a fox")
    assert ran(with_key, "wait").stdout == f"{fox['image_path']}\n"


# --- an answer that cannot be written --------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no disk that is always full")
def test_a_full_disk_behind_the_answer_is_told_and_the_same_command_is_given_the_picture(
    with_key: dict[str, str], endpoint: Stub
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("generate", "a fox", "--json"),
            env=with_key,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIMIT,
        )
    assert done.returncode == 1
    assert "Standard output cannot be written: [Errno 28] No space left on device." in done.stderr
    assert "Traceback" not in done.stderr
    (line,) = json.loads(ran(with_key, "list", "--json").stdout)
    assert line["state"] == "saved"
    again = ran(with_key, "generate", "a fox", "--json")
    assert (again.returncode, json.loads(again.stdout)["image_path"]) == (0, line["path"]), again.stderr
    assert len(endpoint.requests) == 1


def test_what_nobody_read_is_given_to_the_same_command(with_key: dict[str, str], endpoint: Stub) -> None:
    listening, telling = os.pipe()
    os.close(listening)
    try:
        done = subprocess.run(command("generate", "a fox"), env=with_key, stdout=telling, timeout=LIMIT)
    finally:
        os.close(telling)
    again = ran(with_key, "generate", "a fox")
    assert (done.returncode, again.returncode, len(endpoint.requests)) == (1, 0, 1)
    assert Path(again.stdout.strip()).is_file()


def test_a_picture_that_could_not_be_put_where_it_was_wanted_is_put_there_by_the_same_command(
    with_key: dict[str, str], endpoint: Stub, tmp_path: Path
) -> None:
    (wanted := tmp_path / "art" / "fox.png").parent.mkdir()
    words = ("generate", "a fox", "-o", str(wanted))
    endpoint.answering.clear()
    with subprocess.Popen(command(*words), env=with_key, stderr=subprocess.PIPE, text=True) as maker:
        assert endpoint.arrived.wait(LIMIT)
        wanted.parent.rmdir()
        wanted.parent.write_bytes(b"in the way")
        endpoint.answering.set()
        _, told = maker.communicate(timeout=LIMIT)
    assert "it need not be made again" in told
    wanted.parent.unlink()
    wanted.parent.mkdir()
    again = ran(with_key, *words)
    assert (again.returncode, again.stdout, len(endpoint.requests)) == (0, f"{wanted}\n", 1), again.stderr
    assert wanted.is_file()


@pytest.mark.parametrize("words", [["config"], ["wait", "ffff", "--json"]])
def test_who_no_longer_listens_is_told_nothing(environment: dict[str, str], words: list[str]) -> None:
    listening, telling = os.pipe()
    os.close(listening)
    try:
        done = subprocess.run(
            command(*words), env=environment, stdout=telling, stderr=subprocess.PIPE, text=True, timeout=LIMIT
        )
    finally:
        os.close(telling)
    assert (done.returncode, done.stderr) == (1, "")


# --- clean -----------------------------------------------------------------------------------------------------


def test_cleaning_takes_away_what_can_be_made_again_and_never_a_picture(
    with_key: dict[str, str], tmp_path: Path
) -> None:
    (fox,) = made(with_key, "a fox")
    other = png(64, 64)
    folder = Path(fox["output_dir"])
    rubbish = [
        folder / "preview-01.jpg",
        folder / ".metadata.json.77-1.part",
        tmp_path / "pictures" / ".cdp-image-mcp" / ".ledger.json.77-1.part",
    ]
    for path in rubbish:
        path.write_bytes(b"x" * 1000)
    rubbish.append(folder / ".image.79-1.part")  # its process died after it had given it its name
    rubbish[-1].write_bytes(Path(fox["image_path"]).read_bytes())
    for path in rubbish:
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    foreign = [tmp_path / "pictures" / ".taxes.part", tmp_path / ".film.mkv.part"]
    for path in foreign:
        path.write_bytes(b"not ours")
        os.utime(path, (0, 0))
    young = folder / ".metadata.json.78-1.part"
    young.write_bytes(b"being written")
    whole = folder / ".image.79-2.part"  # its process died before it had its name: paid for, and nowhere else
    whole.write_bytes(other)
    os.utime(whole, (time.time() - 3600, time.time() - 3600))
    shown = ran(with_key, "clean", "--dry-run")
    assert sorted(shown.stdout.splitlines()) == sorted(map(str, rubbish))
    assert all(path.exists() for path in rubbish)
    assert ran(with_key, "clean").returncode == 1  # nobody was asked
    assert all(path.exists() for path in rubbish)
    assert ran(with_key, "clean", "--yes").returncode == 0
    assert not any(path.exists() for path in rubbish)
    assert all(path.exists() for path in foreign)
    assert young.exists()
    assert whole.exists()
    assert Path(fox["image_path"]).exists()
    assert "nothing to take away" in ran(with_key, "clean", "--yes").stderr
    collected = ran(with_key, "collect")
    assert collected.stdout.splitlines() == [fox["image_path"], str(folder / "image-02.png")]
    assert (folder / "image-02.png").read_bytes() == other
    assert not whole.exists()


@pytest.mark.anyio
async def test_cleaning_looks_into_other_output_folders_too_and_there_only_at_what_is_ours(
    environment: dict[str, str], tmp_path: Path
) -> None:
    root, art = tmp_path / "pictures", tmp_path / "project" / "art"
    library, record = Library(root), a_record()
    ours = (await create(library, record, art)).path
    await finished(library, Folder(ours), record)
    mine = [ours / "preview-1 final.png", ours / "preview-02.jpg", ours / "preview-01.psd", ours / ".notes.part"]
    theirs = [art / "website", art / "20260101-000000-holiday", root / "album", root / "cut"]
    for folder in (ours, *theirs):
        folder.mkdir(exist_ok=True)
        for name in ("preview-01.jpg", ".metadata.json.77-1.part", ".preview-01.jpg.77-2.part"):
            (folder / name).write_bytes(b"x")
            os.utime(folder / name, (0, 0))
    for path in mine:
        path.write_bytes(b"a person's own")
        os.utime(path, (0, 0))
    (theirs[0] / SIDECAR).write_text("{}")
    (theirs[2] / SIDECAR).write_text('{"title": "Holiday 2019"}')  # as Google Takeout lays it beside each album
    (theirs[3] / SIDECAR).write_text('{"version": 1, "generation')
    before = [sorted(folder.iterdir()) for folder in theirs]
    done = await anyio.to_thread.run_sync(lambda: ran(environment, "clean", "--yes"))
    gone = (".metadata.json.77-1.part", ".preview-01.jpg.77-2.part", "preview-01.jpg")
    assert done.stdout.splitlines() == [str(ours / name) for name in gone]
    assert sorted(ours.iterdir()) == sorted([*mine, ours / SIDECAR, ours / "image-01.png"])
    assert [sorted(folder.iterdir()) for folder in theirs] == before


def test_what_cannot_be_deleted_keeps_nothing_else_from_it(tmp_path: Path) -> None:
    from cdp_image_mcp.cli import pictures

    for name in ("file", "rubbish"):
        (tmp_path / name).write_bytes(b"")
    pictures.deleted([tmp_path / "file" / "inside", tmp_path / "rubbish"])
    assert not (tmp_path / "rubbish").exists()


def test_pictures_go_only_when_they_are_named(with_key: dict[str, str]) -> None:
    fox, horse = made(with_key, "a fox", "a horse")
    page = Path(ran(with_key, "gallery").stdout.strip())
    assert "a fox" in page.read_text()
    # Named twice it is one, and counted once.
    done = ran(with_key, "clean", fox["generation_id"][:8], fox["generation_id"], "--yes")
    assert (done.returncode, done.stdout) == (0, f"{fox['output_dir']}\n")
    assert "1 deleted." in done.stderr
    assert not Path(fox["output_dir"]).exists()
    assert Path(horse["image_path"]).exists()
    assert [line["prompt"] for line in json.loads(ran(with_key, "list", "--json").stdout)] == ["a horse"]
    assert "a fox" not in page.read_text()  # nor do its words stay there
    assert "a horse" in page.read_text()


@pytest.mark.parametrize("gone", ["deleted", "cleaned", "renamed", "another in its place"])
def test_what_was_spent_today_is_not_given_back_by_a_folder_that_goes(
    with_key: dict[str, str], tmp_path: Path, gone: str
) -> None:
    """Agents copy a picture to where it is wanted and delete the rest."""
    limited = with_key | {"GPT_IMAGE_BUDGET_USD": "0.5"}  # each is booked at 0.211 dollars
    wish = ("--backend", "api", "--quality", "high", "--size", "1024x1024")
    words = (*wish, "--json", "--output-dir", str(tmp_path / "art"))
    fox, horse = (json.loads(ran(limited, "generate", prompt, *words).stdout) for prompt in ("a fox", "a horse"))
    folder = Path(fox["output_dir"])
    if gone == "deleted":
        shutil.rmtree(folder)
    elif gone == "cleaned":
        assert ran(limited, "clean", fox["generation_id"], "--yes").returncode == 0
    elif gone == "renamed":
        folder.rename(folder.with_name("fox"))
    else:
        shutil.rmtree(folder)
        Path(horse["output_dir"]).rename(folder)
    refused = json.loads(ran(limited, "generate", "a hen", *words).stdout)
    assert (refused["code"], refused["submitted"]) == ("billing", False)
    assert refused["details"]["spent_today_usd"] == pytest.approx(0.422, abs=0.001)


def test_what_comes_back_after_its_folder_was_away_counts_once(with_key: dict[str, str], tmp_path: Path) -> None:
    limited = with_key | {"GPT_IMAGE_BUDGET_USD": "0.5"}
    words = ("--backend", "api", "--quality", "high", "--size", "1024x1024", "--json")
    fox = json.loads(ran(limited, "generate", "a fox", *words).stdout)
    folder = Path(fox["output_dir"])
    folder.rename(tmp_path / "elsewhere")
    assert ran(limited, "list").stdout == ""
    (tmp_path / "elsewhere").rename(folder.with_name("the fox"))
    assert json.loads(ran(limited, "generate", "a horse", *words).stdout)["status"] == "saved"


def test_of_a_folder_that_was_deleted_no_words_stay_in_the_index(with_key: dict[str, str], tmp_path: Path) -> None:
    (fox,) = made(with_key, "a zebrafish")
    shutil.rmtree(fox["output_dir"])
    assert ran(with_key, "list").stdout == ""
    with closing(sqlite3.connect(tmp_path / "pictures" / OWN_FOLDER / NAME)) as index:
        assert "zebrafish" not in "\n".join(index.iterdump())


def test_what_is_made_of_a_picture_and_kept_beside_it_is_told_as_delivered_by_nobody(with_key: dict[str, str]) -> None:
    (fox,) = made(with_key, "a fox")
    for name in ("image-2.png", "image-02.png"):
        (Path(fox["output_dir"]) / name).write_bytes(png(64, 64))
    assert "nothing to collect" in ran(with_key, "collect").stderr
    told = json.loads(ran(with_key, "wait", fox["generation_id"], "--json").stdout)
    assert ([image["path"] for image in told["images"]], told["honoured"]) == ([fox["image_path"]], fox["honoured"])


@pytest.mark.anyio
async def test_a_picture_that_lies_in_another_ones_folder_goes_only_when_it_is_named_too(
    environment: dict[str, str], tmp_path: Path
) -> None:
    library = Library(tmp_path / "pictures")
    outer, inner = a_record(state="failed"), a_record(state="failed")
    folder = await create(library, outer)
    nested = await create(library, inner, folder.path / "variants")
    done = await anyio.to_thread.run_sync(lambda: ran(environment, "clean", outer.generation_id, "--yes"))
    assert (done.returncode, done.stdout, nested.path.exists()) == (2, "", True)
    assert f"Nothing was deleted. {folder.path} also holds {nested.path}" in done.stderr
    both = ("clean", outer.generation_id, inner.generation_id)
    shown = await anyio.to_thread.run_sync(lambda: ran(environment, *both, "--dry-run"))
    assert shown.stdout.splitlines() == [str(folder.path), str(nested.path)]
    done = await anyio.to_thread.run_sync(lambda: ran(environment, *both, "--yes"))
    assert (done.returncode, folder.path.exists()) == (0, False), done.stderr


def test_what_is_no_generation_in_a_folder_is_named_and_what_is_the_same_one_goes_with_it(
    with_key: dict[str, str],
) -> None:
    (fox,) = made(with_key, "a fox")
    folder = Path(fox["output_dir"])
    shutil.copytree(folder, folder / "a copy")
    foreign = folder / "layers" / SIDECAR
    foreign.parent.mkdir()
    foreign.write_text('{"layers": 3}')
    done = ran(with_key, "clean", fox["generation_id"], "--yes")
    assert (done.returncode, foreign.exists()) == (2, True)
    assert f"Nothing was deleted. {folder} also holds {foreign}, which is not of this generation" in done.stderr
    foreign.unlink()
    done = ran(with_key, "clean", fox["generation_id"], "--yes")
    assert (done.returncode, folder.exists()) == (0, False), done.stderr


def test_a_picture_that_is_being_made_is_not_deleted(with_key: dict[str, str], endpoint: Stub) -> None:
    endpoint.answering.clear()
    with subprocess.Popen(command("generate", "a fox"), env=with_key, stderr=subprocess.DEVNULL) as maker:
        assert endpoint.arrived.wait(LIMIT)
        (line,) = json.loads(ran(with_key, "list", "--json").stdout)
        done = ran(with_key, "clean", line["generation_id"], "--yes")
        endpoint.answering.set()
        assert maker.wait(LIMIT) == 0
    assert done.returncode == 2
    assert "cancel it first" in done.stderr


@pytest.mark.anyio
async def test_a_folder_behind_whose_end_a_process_still_works_is_not_deleted(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """It may have a picture in its hands that the disk has not taken yet."""
    library, ended = Library(tmp_path / "pictures"), a_record(state="failed", submitted=True)
    claim = await library.claim_or_register(ended)
    words = ("clean", ended.generation_id, "--yes")
    done = await anyio.to_thread.run_sync(lambda: ran(environment, *words))
    assert (done.returncode, claim.folder.path.exists()) == (2, True)
    assert "Another process still works on it" in done.stderr
    await library.let_go(ended.generation_id)
    done = await anyio.to_thread.run_sync(lambda: ran(environment, *words))
    assert (done.returncode, claim.folder.path.exists()) == (0, False), done.stderr


@pytest.mark.anyio
async def test_before_a_folder_is_deleted_it_is_said_that_its_picture_may_still_be_at_the_site(
    environment: dict[str, str], tmp_path: Path
) -> None:
    left = a_record(state="interrupted", submitted=True, facts={"conversation_id": "68f0"})
    folder = await create(Library(tmp_path / "pictures"), left)
    assert left.collectable
    done = await anyio.to_thread.run_sync(lambda: ran(environment, "clean", left.generation_id, "--dry-run"))
    assert (done.returncode, folder.path.exists()) == (0, True)
    told = f"The picture of {left.generation_id} may still be at the site; 'cdp-image-mcp collect' fetches it."
    assert told in done.stderr.splitlines()


@pytest.mark.anyio
async def test_a_picture_that_a_server_takes_up_while_a_person_is_asked_is_not_deleted(
    environment: dict[str, str], tmp_path: Path
) -> None:
    root = tmp_path / "pictures"
    left = a_record(owner=DEAD, state="generating", submitted=True)
    folder = await create(Library(root), left)
    typist = Typist(environment, "clean", left.generation_id)
    await anyio.to_thread.run_sync(typist.until, "Delete them?")
    assert await Library(root).adopt(left.generation_id) is not None
    typist.types("y\n")
    code, seen = await anyio.to_thread.run_sync(typist.end)
    assert (code, "cancel it first" in seen, folder.path.exists()) == (2, True, True), seen


# --- config ----------------------------------------------------------------------------------------------------


def test_every_setting_is_told_with_where_it_comes_from(with_key: dict[str, str]) -> None:
    key = "sk-proj-abcdefghijklmnopqrstuvwxyz0123"
    told = with_key | {"OPENAI_API_KEY": key, "GPT_IMAGE_WAIT_SECONDS": "100", "GPT_IMAGE_DAILY_LIMIT": "many"}
    done = ran(told, "config", "--json")
    report = json.loads(done.stdout)
    lines = {line["variable"]: (line["value"], line["source"]) for line in report["settings"]}
    assert list(lines) == [*READ]
    assert (report["first_way"], report["because"]) == ("api", "OPENAI_API_KEY is set")
    assert lines["OPENAI_API_KEY"] == ("…0123", "environment")
    assert lines["GPT_IMAGE_WAIT_SECONDS"] == ("100", "environment")
    assert lines["GPT_IMAGE_MODEL"] == ("gpt-image-2", "default")
    assert lines["GPT_IMAGE_DAILY_LIMIT"][1].startswith("not taken: 'many' is not a whole number")
    words = ran(told, "config").stdout
    assert words.startswith("Pictures are made by api first: OPENAI_API_KEY is set.\n")
    assert key not in done.stdout + words


def test_of_two_variables_for_one_setting_the_one_in_force_is_named(with_key: dict[str, str]) -> None:
    shown = with_key | {"CHATGPT_HIDE_WINDOW": "0"}
    both = shown | {"CHATGPT_WINDOW_MODE": "hidden"}
    told: list[dict[str, tuple[str, str]]] = []
    for environment in (shown, both):
        lines = json.loads(ran(environment, "config", "--json").stdout)["settings"]
        told.append({line["variable"]: (line["value"], line["source"]) for line in lines})
    assert told[0]["CHATGPT_WINDOW_MODE"] == ("visible", "by CHATGPT_HIDE_WINDOW")
    assert told[0]["CHATGPT_HIDE_WINDOW"] == ("0", "environment")
    assert told[1]["CHATGPT_WINDOW_MODE"] == ("hidden", "environment")
    assert told[1]["CHATGPT_HIDE_WINDOW"] == ("1", "by CHATGPT_WINDOW_MODE")


# --- logout ----------------------------------------------------------------------------------------------------


def test_logging_out_deletes_the_profile_and_nothing_else(with_key: dict[str, str], tmp_path: Path) -> None:
    (fox,) = made(with_key, "a fox")
    profile = tmp_path / "profile"
    (profile / "Default").mkdir(parents=True)
    (profile / "Default" / "Cookies").write_bytes(b"a sign-in")
    assert ran(with_key, "logout").returncode == 1  # nobody was asked
    assert profile.exists()
    done = ran(with_key, "logout", "--yes")
    assert done.returncode == 0, done.stderr
    assert not profile.exists()
    assert Path(fox["image_path"]).exists()
    assert "Nobody is signed in" in ran(with_key, "logout").stderr


@pytest.mark.parametrize("known", ["root", "other folder"])
def test_pictures_that_lie_inside_the_profile_are_not_deleted_with_it(
    with_key: dict[str, str], tmp_path: Path, known: str
) -> None:
    """As where the variable names the folder that holds both."""
    data = tmp_path / "data"
    inside = data / "pictures"
    there = with_key | {"CHATGPT_WEB_PROFILE_DIR": str(data)}
    if known == "root":
        there["GPT_IMAGE_OUTPUT_DIR"] = str(inside)
    elsewhere = () if known == "root" else ("--output-dir", str(inside))
    fox = json.loads(ran(there, "generate", "a fox", "--json", *elsewhere).stdout)
    (data / "Default").mkdir(parents=True)
    done = ran(there, "logout", "--yes")
    assert done.returncode == 3, done.stderr
    assert str(inside) in done.stderr
    assert Path(fox["image_path"]).is_file()
    assert (data / "Default").exists()


@pytest.mark.anyio
async def test_whoever_has_the_turn_after_a_logout_keeps_it_and_no_second_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile"
    (profile / "Default").mkdir(parents=True)
    queued, taken, over = anyio.Event(), anyio.Event(), anyio.Event()

    class Slow(Turns):
        """The other one is quicker to take its turn than this process is to go on."""

        @asynccontextmanager
        async def take(self, *given: Any, **named: Any) -> AsyncGenerator[None]:
            async with super().take(*given, **named):
                await queued.wait()
                yield
            await taken.wait()

    async def waiter() -> None:
        async with Turns(profile).take(on_position=lambda _: queued.set()):
            taken.set()
            await over.wait()

    monkeypatch.setattr(account, "Turns", Slow)
    code = 1
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:

            async def then() -> None:
                while not any((profile / OWN_FOLDER / "queue").glob("*")):  # noqa: ASYNC110 - files tell nobody
                    await anyio.sleep(0.01)
                await waiter()

            group.start_soon(then)
            settings = Settings(output_dir=tmp_path / "pictures", profile_dir=profile)
            code = await account.logout(argparse.Namespace(yes=True), settings, Terminal())
            assert not LockFile(profile / OWN_FOLDER / "turn.lock").try_acquire()
            over.set()
    assert code == 0
    assert not (profile / "Default").exists()
    assert "is gone from this computer" in capsys.readouterr().err


@pytest.mark.anyio
async def test_a_profile_that_a_browser_with_windows_has_open_is_left_alone(
    environment: dict[str, str], tmp_path: Path
) -> None:
    options = LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES, mode="visible")
    with anyio.fail_after(LIMIT), open_screen() as screen:
        async with launch(replace(options, environment=os.environ | screen.variables)) as browser:
            done = await anyio.to_thread.run_sync(lambda: ran(environment, "logout", "--yes"))
            assert await anyio.Path(tmp_path / "profile").exists()
    assert done.returncode == 3
    assert f"process {browser.pid}" in done.stderr


@pytest.mark.anyio
async def test_a_browser_without_windows_which_nobody_could_close_is_ended_for_the_sign_in_to_go(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A server keeps it for a while after its last picture."""
    options = LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES)
    with anyio.fail_after(LIMIT):
        async with launch(options) as browser:
            done = await anyio.to_thread.run_sync(lambda: ran(environment, "logout", "--yes"))
            await browser.connection.wait_gone()
    assert done.returncode == 0, done.stderr
    assert not await anyio.Path(tmp_path / "profile").exists()


@pytest.mark.parametrize("arguments", [["logout", "--yes"], ["clean", "--yes"], ["list"], ["gallery"]], ids=" ".join)
@pytest.mark.parametrize("named", ["CHATGPT_WEB_PROFILE_DIR", "GPT_IMAGE_OUTPUT_DIR"])
def test_where_a_folder_was_named_in_vain_no_other_is_taken_for_it(
    environment: dict[str, str], named: str, arguments: list[str], tmp_path: Path
) -> None:
    """A home that the locale cannot say leaves the working folder, whose ``profile`` is another program's."""
    others = tmp_path / "work" / "profile" / "theirs"
    others.mkdir(parents=True)
    blind = {name: value for name, value in environment.items() if name not in {named, "XDG_DATA_HOME"}}
    blind |= {"HOME": os.fsdecode(b"/home/ren\xe9")}
    ill = environment | {named: "./profile"}
    for variables, told in ((blind, "HOME: "), (ill, f"{named}: './profile' is not an absolute path")):
        done = ran(variables, *arguments, cwd=tmp_path / "work", stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stderr.count(told)) == (3, 1), done.stderr
        assert "Failed (configuration)" in done.stderr
        assert [path.name for path in (tmp_path / "work").rglob("*")] == ["profile", "theirs"]


def test_asking_whom_nobody_can_answer_is_no_agreement(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    done = ran(environment, "logout", stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "--yes agrees beforehand" in done.stderr
    assert (tmp_path / "profile").exists()


def test_a_profile_that_another_computer_has_open_is_left_alone_and_that_computer_is_named(
    environment: dict[str, str],
) -> None:
    profile = Path(environment["CHATGPT_WEB_PROFILE_DIR"])
    profile.mkdir()
    (profile / "SingletonLock").symlink_to("studio.example-4242")
    done = ran(environment, "logout", "--yes", stdin=subprocess.DEVNULL)
    assert done.returncode == 3
    assert "on the computer studio.example. Close it there" in done.stderr
    assert profile.is_dir()
