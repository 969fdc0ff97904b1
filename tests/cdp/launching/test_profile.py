"""The profile folder: made, tried, and where its browser is."""

import os
import sys
from pathlib import Path

import pytest

from cdp_image_mcp.cdp.errors import ProfileNotWritable
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser
from cdp_image_mcp.cdp.launching.profile import prepare_profile, read_endpoint, too_long

BROWSER = FoundBrowser(Path("/usr/bin/chromium"), "chromium", snap=False)


@pytest.mark.parametrize(
    "text", ["", "9222", "9222\n", "x\n/devtools/browser/1", "9222\n/elsewhere", "9222\n/devtools/browser/f715af49-d4"]
)
def test_a_half_written_port_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "DevToolsActivePort").write_text(text)
    assert read_endpoint(tmp_path) is None


def test_a_port_file_gives_the_address_on_loopback(tmp_path: Path) -> None:
    (tmp_path / "DevToolsActivePort").write_text("40123\n/devtools/browser/f715af49-d48e-4961-b21a-5ca63f46f984")
    assert read_endpoint(tmp_path) == "ws://127.0.0.1:40123/devtools/browser/f715af49-d48e-4961-b21a-5ca63f46f984"


def test_a_new_profile_is_its_owners_alone(tmp_path: Path) -> None:
    profile = tmp_path / "deep" / "profile"
    prepare_profile(profile, BROWSER)
    assert profile.stat().st_mode & 0o777 == 0o700
    assert list(profile.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="every user has a home there")
@pytest.mark.parametrize("snap", [False, True])
def test_a_user_without_a_home_has_a_profile_all_the_same_but_no_snap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snap: bool
) -> None:
    """A container that runs as a number without a name, and is told where to keep things."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    if snap:
        with pytest.raises(ProfileNotWritable, match="is a snap"):
            prepare_profile(tmp_path / "profile", FoundBrowser(BROWSER.path, BROWSER.kind, snap=True))
    else:
        prepare_profile(tmp_path / "profile", BROWSER)
        assert (tmp_path / "profile").is_dir()


def test_a_file_where_the_profile_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileNotWritable, match="Choose another folder"):
        prepare_profile(tmp_path / "file" / "profile", BROWSER)


@pytest.mark.parametrize(
    ("number", "words"),
    [(28, "disk is full"), (30, "read-only"), (13, "no permission")],
)
def test_what_keeps_a_profile_from_being_written_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "profile").mkdir()
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(ProfileNotWritable, match=words):
        prepare_profile(tmp_path / "profile", BROWSER)


@pytest.mark.parametrize(
    ("length", "platform", "long_paths", "told"),
    [
        (109, "win32", False, False),
        (110, "win32", False, True),
        (200, "win32", True, False),
        (300, "linux", False, False),
    ],
)
def test_a_profile_so_deep_that_the_browser_has_no_room_below_it_is_told(
    length: int, platform: str, long_paths: bool, told: bool
) -> None:
    assert too_long(Path("x" * length), platform=platform, long_paths=long_paths) is told
