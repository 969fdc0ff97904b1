"""What the environment may say: each bad value is named with what its variable takes, and no secret is repeated."""

import hashlib
import pwd
import sys
from pathlib import Path

import platformdirs
import pytest

from cdp_image_mcp.config import SITE, _arguments, _program, load  # pyright: ignore[reportPrivateUsage]
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.ways import first_way


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CHATGPT_WEB_URL", "http://example.org", "plain http is taken only for this machine"),
        ("CHATGPT_WEB_URL", "https://user:word@example.org", "without a user name"),
        ("CHATGPT_WEB_URL", "https://:word@example.org", "without a user name"),
        ("CHATGPT_WEB_URL", "https://@example.org", "without a user name"),
        ("CHATGPT_WEB_URL", "ftp://example.org", "not an http or https address"),
        ("CHATGPT_WEB_URL", "https://example.org:99999", "not a usable address"),
        ("CHATGPT_WEB_URL", "https://", "not an http or https address"),
        ("OPENAI_BASE_URL", "example.org/v1", "not an http or https address"),
        ("OPENAI_BASE_URL", "http://user@example.org", "without a user name"),
        ("OPENAI_BASE_URL", "https://:word@example.org/v1", "without a user name"),
        ("OPENAI_BASE_URL", "https://@example.org/v1", "without a user name"),
        ("OPENAI_BASE_URL", "http://[::1", "not a usable address"),
        ("GPT_IMAGE_BACKEND", "paint", "'paint' is not one of api, chatgpt-web, auto."),
        ("GPT_IMAGE_WAIT_SECONDS", "15m", "'15m' is not a number from 0 to 1800."),
        ("GPT_IMAGE_OUTPUT_DIR", "pictures", "'pictures' is not an absolute path."),
        ("GPT_IMAGE_OUTPUT_DIR", "~nobody-here/pictures", "a user who is not known here"),
        ("GPT_IMAGE_OUTPUT_DIR", "/pictures\0/x", "is not an absolute path"),
        ("GPT_IMAGE_OUTPUT_DIR", "/pictures/caf\udce9", "is not UTF-8, and no record could name it"),
        ("GPT_IMAGE_INPUT_ROOTS", "~nobody-here", "a user who is not known here"),
        ("OPENAI_API_KEY", '"sk-word"', "it stands in quotes"),
        ("OPENAI_API_KEY", "sk-word'", "it stands in quotes"),
        ("OPENAI_API_KEY", "Bearer a word", "a header cannot carry"),
        ("OPENAI_API_KEY", "Bearer ", "no token stands behind Bearer"),
        ("OPENAI_BASE_URL", '"https://example.org/v1"', "it stands in quotes"),
        ("OPENAI_BASE_URL", "“https://example.org/v1”", "it stands in quotes"),
        ("GPT_IMAGE_MODERATION", "off", "is not one of auto, low"),
        ("CHATGPT_CHROME_ARGS", "--a 'b", "the quoting is not closed"),
        ("CHATGPT_CHROME_ARGS", "--proxy-server http://a:word@b", "not all of it are switches"),
        ("CHATGPT_CHROME_ARGS", "--user-data-dir=/x", "--user-data-dir is set by this program"),
        ("CHATGPT_CHROME_ARGS", "-remote-debugging-port=9222", "--remote-debugging-port is set by this program"),
    ],
)
def test_a_bad_value_is_named_with_what_is_taken(variable: str, value: str, told: str) -> None:
    (problem,) = load({variable: value}).problems
    assert problem.variable == variable
    assert told in problem.message
    assert "word" not in problem.message


@pytest.mark.parametrize(
    ("variable", "value", "field", "read"),
    [
        ("CHATGPT_WEB_URL", "http://127.0.0.1:8000", "web_url", "http://127.0.0.1:8000/"),
        ("CHATGPT_WEB_URL", "http://[::1]:8000//", "web_url", "http://[::1]:8000/"),
        ("CHATGPT_WEB_URL", "https://mirror.example.org/chat", "web_url", "https://mirror.example.org/chat/"),
        ("CHATGPT_WEB_URL", " ", "web_url", SITE),
        ("CHATGPT_WEB_URL", "https://chatgpt.com?temporary-chat=true", "web_url", f"{SITE}?temporary-chat=true"),
        ("OPENAI_BASE_URL", "http://192.168.0.7:8080/v1/", "base_url", "http://192.168.0.7:8080/v1"),
        ("OPENAI_API_KEY", "bearer  eyJ.a.b", "api_key", "eyJ.a.b"),
        ("OPENAI_API_KEY", "Bearer eyJ.a.b", "bearer", True),
        ("OPENAI_API_KEY", "sk-a", "bearer", False),
        ("GPT_IMAGE_MODERATION", "LOW", "moderation", "low"),
        ("GPT_IMAGE_SAFETY_IDENTIFIER", "abc", "safety_identifier", hashlib.sha256(b"abc").hexdigest()),
    ],
)
def test_values_are_read_as_they_are_used(variable: str, value: str, field: str, read: object) -> None:
    settings = load({variable: value})
    assert settings.problems == ()
    assert getattr(settings, field) == read


def test_a_key_with_a_line_break_is_not_repeated() -> None:
    (problem,) = load({"OPENAI_API_KEY": "sk-secret\nsk-more"}).problems
    assert "secret" not in problem.message


@pytest.mark.parametrize("raw", ["$OPENAI_API_KEY", "${OPENAI_API_KEY}", "${env:KEY}", "%KEY%", "Bearer $TOKEN"])
def test_a_key_that_its_client_did_not_fill_in_is_none_and_stops_nothing(raw: str) -> None:
    """What ``install`` writes for Gemini CLI, Qwen Code and Copilot CLI, on a machine without a key."""
    settings = load({"OPENAI_API_KEY": raw})
    assert first_way(settings) == ("chatgpt-web", "OPENAI_API_KEY is not set")
    (problem,) = settings.problems
    assert (problem.variable, problem.harmless) == ("OPENAI_API_KEY", True)
    assert "the client filled in no key" in problem.message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GPT_IMAGE_BUDGET", "GPT_IMAGE_BUDGET_USD"),
        ("GPT_IMAGE_DAILYLIMIT", "GPT_IMAGE_DAILY_LIMIT"),
        ("CHATGPT_WEB_PROFIL_DIR", "CHATGPT_WEB_PROFILE_DIR"),
        ("CHATGPT_HIDE_WINDOWS", "CHATGPT_HIDE_WINDOW"),
    ],
)
def test_a_name_that_is_not_ours_is_told_with_the_one_that_is_meant_and_stops_nothing(name: str, meant: str) -> None:
    settings = load({name: "1"})
    (problem,) = settings.problems
    assert (problem.variable, problem.harmless) == (name, True)
    assert f"{meant} is one" in problem.message
    settings.require_usable()


def test_names_of_other_programs_are_theirs() -> None:
    assert load({"OPENAI_LOG": "debug", "OPENAI_API_BASE": "x", "HOME_IMAGE": "y"}).problems == ()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="paths are text there")
def test_a_home_whose_name_is_not_utf8_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ren\udce9")
    (problem,) = load({}).problems
    assert (problem.variable, problem.harmless) == ("HOME", False)
    assert "is not UTF-8" in problem.message
    named = load({"GPT_IMAGE_OUTPUT_DIR": "/pictures", "CHATGPT_WEB_PROFILE_DIR": "/profile"})
    assert named.problems == ()


@pytest.mark.parametrize("told", ["~/.local/share/cdp-image-mcp", "$HOME/x/cdp-image-mcp"])
def test_a_data_folder_that_is_not_absolute_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """Of an XDG_DATA_HOME that nobody has filled in, as platformdirs 4.11.3 hands it on. Taken, each folder that a
    client works in would have pictures, a sign-in and limits of its own."""

    def data_dir(*_: object, **__: object) -> str:
        return told

    monkeypatch.setattr(platformdirs, "user_data_dir", data_dir)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load({})
    assert settings.problems == ()
    assert settings.profile_dir == tmp_path / ".local/share/cdp-image-mcp/profile"
    assert settings.output_dir == tmp_path / ".local/share/cdp-image-mcp/output/chatgpt-images"


def test_nothing_ends_the_program_where_there_is_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that runs as a number without a name, and in a folder that is gone."""
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    (problem,) = load({}).problems
    assert problem.variable == "HOME"
    assert "GPT_IMAGE_OUTPUT_DIR" in problem.message
    with pytest.raises(ImageError) as caught:
        load({}).require_usable()
    assert caught.value.code == "configuration"
    named = load({"GPT_IMAGE_OUTPUT_DIR": "/pictures", "CHATGPT_WEB_PROFILE_DIR": "/profile"})
    assert named.problems == ()
    assert named.input_roots == (named.output_dir,)


@pytest.mark.skipif(sys.platform != "linux", reason="where others keep it is told by the system itself")
@pytest.mark.parametrize(
    ("kept", "more"),
    [
        ('XDG_PICTURES_DIR="$HOME/Bilder"\nXDG_DESKTOP_DIR="$HOME/"\nXDG_DOWNLOAD_DIR="/"\n', ["Bilder"]),
        ("half of a file that no de", []),
    ],
)
def test_pictures_may_lie_where_a_desktop_of_another_language_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str, more: list[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("XDG_PICTURES_DIR", "XDG_DESKTOP_DIR", "XDG_DOWNLOAD_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "user-dirs.dirs").write_text(kept)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    loaded = load({"GPT_IMAGE_OUTPUT_DIR": "/pictures"})
    usual = [tmp_path / name for name in ("Pictures", "Downloads", "Desktop")]
    allowed = {*usual, *(tmp_path / name for name in more), tmp_path / "work", Path("/pictures")}
    assert set(loaded.input_roots) == allowed


@pytest.mark.parametrize("above", [".", ".."])
def test_the_working_folder_opens_no_home_that_is_known_by_a_link(
    above: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some systems keep homes on a disk of their own: HOME names the link, and the working folder the place itself."""
    (real := tmp_path / "data" / "me").mkdir(parents=True)
    (home := tmp_path / "me").symlink_to(real)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DESKTOP_DIR", str(real))
    for name in ("XDG_PICTURES_DIR", "XDG_DOWNLOAD_DIR"):
        monkeypatch.setenv(name, str(home / "Pictures"))
    monkeypatch.chdir(real / above)
    usual = {home / name for name in ("Pictures", "Downloads", "Desktop")}
    assert set(load({"GPT_IMAGE_OUTPUT_DIR": "/pictures"}).input_roots) == {*usual, Path("/pictures")}


def test_a_backslash_in_a_switch_stays_where_paths_have_them() -> None:
    words = r'--disk-cache-dir=C:\Users\me\x "--proxy-server=a b"'
    assert _arguments(words, windows=True) == (r"--disk-cache-dir=C:\Users\me\x", "--proxy-server=a b")
    assert _arguments(r"--a=b\ c -#d", windows=False) == ("--a=b c", "-#d")


def test_an_application_of_macos_means_the_program_inside() -> None:
    app, program = "/Applications/Google Chrome.app", "Contents/MacOS/Google Chrome"
    assert [str(_program(f"{app}{end}", mac=True)) for end in ("", "/", f"/{program}")] == [f"{app}/{program}"] * 3
    assert str(_program(app, mac=False)) == app
