"""Each form of configuration: the server goes in and out again, and everything else stays as it is."""

import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from cdp_image_mcp.cli.install import jsonc, toml, yaml
from cdp_image_mcp.cli.install.changing import UnsafeChangeError
from cdp_image_mcp.cli.install.configuration import Change, block, current_entry, keep, planned, write
from cdp_image_mcp.mcp_server.client.table import BY_NAME, CLIENTS, NAME, Client
from tests.cli.install import files
from tests.docs.clients import link

PROGRAM = "/home/me/.local/bin/cdp-image-mcp"


def client(name: str) -> Client:
    found = BY_NAME.get(name)
    assert found is not None
    return found


CURSOR, CODEX, GOOSE, CONTINUE = client("cursor"), client("codex"), client("goose"), client("continue")
SHAPES = [
    *[(CURSOR, text) for text in files.JSON.values()],
    *[(CODEX, text) for text in files.TOML.values()],
    *[(GOOSE, text) for text in files.GOOSE.values()],
    *[(CONTINUE, text) for text in files.CONTINUE.values()],
]
BROKEN = [
    *[(CURSOR, text) for text in files.JSON_BROKEN.values()],
    *[(CODEX, text) for text in files.TOML_BROKEN.values()],
    *[(GOOSE, text) for text in files.GOOSE_BROKEN.values()],
    *[(CONTINUE, text) for text in files.CONTINUE_BROKEN.values()],
]
IDS = [
    *[f"{form}: {name}" for form, table in (("json", files.JSON), ("toml", files.TOML)) for name in table],
    *[f"goose: {name}" for name in files.GOOSE],
    *[f"continue: {name}" for name in files.CONTINUE],
]
BROKEN_IDS = [
    *[f"json: {name}" for name in files.JSON_BROKEN],
    *[f"toml: {name}" for name in files.TOML_BROKEN],
    *[f"goose: {name}" for name in files.GOOSE_BROKEN],
    *[f"continue: {name}" for name in files.CONTINUE_BROKEN],
]


def entry(of: Client, **given: str) -> dict[str, Any]:
    return of.entry(PROGRAM, [], of.env | given)


def kept(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings"
    path.write_bytes(text.encode())
    return path


def changed(of: Client, path: Path, *, out: bool = False, given: dict[str, str] | None = None) -> Change | None:
    change, _ = planned(of, path, None if out else entry(of), given or {})
    return change


@pytest.mark.parametrize(("of", "text"), SHAPES, ids=IDS)
def test_the_server_goes_in_and_everything_else_stays(of: Client, text: str, tmp_path: Path) -> None:
    path = kept(tmp_path, text)
    before = current_entry(of, path) or {}
    change = changed(of, path)
    assert change is not None
    write(change)
    there = current_entry(of, path)
    assert there is not None
    variables = next(name for name in ("env", "envs", "environment") if name in there)
    assert there[variables] == of.env | before.get(variables, {})
    assert PROGRAM in (there.get("command"), there.get("cmd"))
    for name, value in before.items():  # what the person had set in it
        assert there[name] == value or name in {"command", "cmd", "args", variables}
    # Whatever else a reader of this form finds, and every line that was not ours.
    now = path.read_bytes().decode()
    if of.form == "json":
        assert without_ours(jsonc.read(now.removeprefix("\ufeff"))) == without_ours(
            jsonc.read(text.removeprefix("\ufeff"))
        )
    if of.form == "toml":
        assert without_ours(tomllib.loads(now)) == without_ours(tomllib.loads(text))
    comments = re.findall(r"(?:^|\s)(?://|#)[^\r\n]*", re.sub(r'"""(.|\n)*?"""', "", text))
    assert all(comment.strip() in now or "mine" in comment for comment in comments)
    assert now.startswith("\ufeff") is text.startswith("\ufeff")
    assert ("\r\n" in now) is ("\r\n" in text)


@pytest.mark.parametrize("name", ["cursor", "vscode", "opencode", "codex", "goose"])
def test_an_entry_that_names_an_address_becomes_one_that_starts_a_program(name: str, tmp_path: Path) -> None:
    of = client(name)
    variables = next(field for field in ("env", "envs", "environment") if field in entry(of))
    remote: dict[str, Any] = {"type": "remote", "url": "https://127.0.0.1/mcp", variables: {"MINE": "1"}}
    path = kept(tmp_path, block(of, remote))
    change = changed(of, path)
    assert change is not None
    write(change)
    assert current_entry(of, path) == entry(of, MINE="1")


def read(text: str) -> dict[str, Any]:
    return jsonc.read(text.removeprefix("\ufeff"))


def without_ours(value: dict[str, Any]) -> dict[str, Any]:
    """Without our entry, and without servers where there are no others."""
    rest = {name: each for name, each in value.items() if name not in {"mcpServers", "mcp_servers"}}
    servers = {
        name: each for key in ("mcpServers", "mcp_servers") for name, each in value.get(key, {}).items() if name != NAME
    }
    return {**rest, "servers": servers}


@pytest.mark.parametrize(("of", "text"), SHAPES, ids=IDS)
def test_twice_is_once(of: Client, text: str, tmp_path: Path) -> None:
    path = kept(tmp_path, text)
    change = changed(of, path)
    assert change is not None
    write(change)
    assert changed(of, path) is None


@pytest.mark.parametrize(("of", "text"), SHAPES, ids=IDS)
def test_what_went_in_comes_out_again_and_leaves_the_rest(of: Client, text: str, tmp_path: Path) -> None:
    path = kept(tmp_path, text)
    there_before = current_entry(of, path) is not None
    change = changed(of, path)
    assert change is not None
    write(change)
    gone = changed(of, path, out=True)
    assert gone is not None
    write(gone)
    assert current_entry(of, path) is None
    assert changed(of, path, out=True) is None
    now = path.read_bytes().decode()
    if of.form == "json":
        assert without_ours(jsonc.read(now.removeprefix("\ufeff"))) == without_ours(
            jsonc.read(text.removeprefix("\ufeff"))
        )
    if of.form == "toml":
        assert without_ours(tomllib.loads(now)) == without_ours(tomllib.loads(text))
    if of.form == "yaml" and not there_before:
        ours_opened = re.compile(rf"^{of.place[0]}:.*")
        lines = [line for line in text.splitlines() if ours_opened.match(line) is None]
        assert [line for line in now.splitlines() if ours_opened.match(line) is None] == lines


@pytest.mark.parametrize(("of", "text"), BROKEN, ids=BROKEN_IDS)
def test_a_file_that_cannot_be_changed_safely_is_left_as_it_is(of: Client, text: str, tmp_path: Path) -> None:
    path = kept(tmp_path, text)
    with pytest.raises(UnsafeChangeError):
        changed(of, path)
    assert path.read_bytes() == text.encode()
    assert [each.name for each in tmp_path.iterdir()] == ["settings"]


@pytest.mark.parametrize("shift", ["", "  "])
def test_an_entry_is_read_as_goose_saves_it(tmp_path: Path, shift: str) -> None:
    """As serde_yaml writes it, and with the items of its list further in, as people do."""
    text = files.GOOSE["ours as Goose saves it"].replace("    - ", f"    {shift}- ")
    assert current_entry(GOOSE, kept(tmp_path, text)) == {
        "enabled": True,
        "type": "stdio",
        "name": NAME,
        "description": "",
        "cmd": "/old/place/python",
        "args": ["-m", "cdp_image_mcp"],
        "envs": {
            "GPT_IMAGE_WAIT_SECONDS": "300",
            "MINE": "it's (mine), [all] of it = 1",
            "OTHERS": "#1: it's",
        },
        "env_keys": [],
        "timeout": 900,
        "bundled": None,
        "available_tools": [],
    }


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("", None),
        ("null", None),
        ("''", ""),
        ("'true'", "true"),
        ("-1", -1),
        ("1.5", 1.5),
        ("--flag=a", "--flag=a"),
        (".hidden/x", ".hidden/x"),
        ("a:b", "a:b"),
        ("a#b", "a#b"),
        ('["a", 1]', ["a", 1]),
    ],
)
def test_a_value_means_what_it_means_in_yaml(tmp_path: Path, raw: str, value: Any) -> None:
    path = kept(tmp_path, f"extensions:\n  {NAME}:\n    cmd: x\n    mine: {raw}\n")
    assert current_entry(GOOSE, path) == {"cmd": "x", "mine": value}


@pytest.mark.parametrize(
    "raw", [".5", ".inf", "~", "Yes", "a: b", "a:", "0x10", "- a", "'a' b", "'", "a # b", "*x", "!x"]
)
def test_a_value_that_could_be_read_wrongly_is_not_read(tmp_path: Path, raw: str) -> None:
    path = kept(tmp_path, f"extensions:\n  {NAME}:\n    cmd: x\n    mine: {raw}\n")
    with pytest.raises(UnsafeChangeError, match="in a form that this program does not read"):
        current_entry(GOOSE, path)


def test_what_looks_like_a_comment_at_the_end_of_a_long_text_stays_in_that_text(tmp_path: Path) -> None:
    """Our block between would cut the text in two; what is a comment on the next section stays above that one."""
    text = files.GOOSE["a long text that ends with a number sign"]
    path = kept(tmp_path, text)
    change = changed(GOOSE, path)
    assert change is not None
    write(change)
    head, tail = text.split("\n\n")
    assert path.read_text() == f"{head}\n{block(GOOSE, entry(GOOSE)).removeprefix('extensions:' + chr(10))}\n{tail}"


def test_a_variable_that_is_given_now_wins_over_what_stands_there(tmp_path: Path) -> None:
    path = kept(tmp_path, files.JSON["ours by hand"])
    change = changed(CURSOR, path, given={"GPT_IMAGE_BACKEND": "chatgpt-web", "GPT_IMAGE_OPEN": "1"})
    assert change is not None
    write(change)
    there = current_entry(CURSOR, path)
    assert there is not None
    assert there["env"] == {"GPT_IMAGE_BACKEND": "chatgpt-web", "GPT_IMAGE_OPEN": "1"}
    assert there["timeout"] == 5000


# --- files -----------------------------------------------------------------------------------------------------


def test_the_file_as_it_was_is_kept_beside_and_its_rights_stay(tmp_path: Path) -> None:
    path = kept(tmp_path, files.JSON["another server"])
    path.chmod(0o644)
    change = changed(CURSOR, path)
    assert change is not None
    copy = keep(change)
    write(change)
    assert copy is not None
    assert copy.read_text() == files.JSON["another server"]
    assert [oct(each.stat().st_mode & 0o777) for each in (path, copy)] == ["0o644", "0o644"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["settings", "settings.before-cdp-image-mcp"]


def test_the_file_as_it_was_before_the_server_came_in_outlives_later_changes(tmp_path: Path) -> None:
    path, told = kept(tmp_path, files.JSON["another server"]), list[str]()
    steps: list[dict[str, Any]] = [{}, {"given": {"GPT_IMAGE_OPEN": "1"}}, {"out": True}]
    for step in steps:
        before, change = path.read_text(), changed(CURSOR, path, **step)
        assert change is not None
        copy = keep(change)
        write(change)
        assert copy is not None
        assert copy.read_text() == before  # what is called the file as it was
        told.append(copy.name)
    first = tmp_path / "settings.before-cdp-image-mcp"
    assert first.read_text() == files.JSON["another server"]
    assert told == [first.name, f"{first.name}-changed", f"{first.name}-changed"]
    # Without the server in it, it is a file as it was before again.
    path.write_text(files.JSON["ours by hand"].replace(NAME, "another"))
    again = changed(CURSOR, path)
    assert again is not None
    assert keep(again) == first


def test_what_root_changes_stays_its_owners(tmp_path: Path) -> None:
    """``sudo`` on a Mac keeps the home: a client could not read its own file any more."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("only root may give files away")
    path = kept(tmp_path, "{}")
    path.chmod(0o600)
    os.chown(path, 54321, 54322)
    change = changed(CURSOR, path)
    assert change is not None
    copy = keep(change)
    write(change)
    assert copy is not None
    for each in (path, copy):
        facts = each.stat()
        assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (54321, 54322, 0o600)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """People keep such files in a repository of their own."""
    kept(tmp_path, "{}")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "settings")
    change = changed(CURSOR, link)
    assert change is not None
    write(change)
    assert link.is_symlink()
    assert current_entry(CURSOR, tmp_path / "settings") is not None


def test_a_file_in_which_a_client_keeps_its_history_too_is_changed_in_its_one_place(tmp_path: Path) -> None:
    """Claude Code's own grows to megabytes."""
    history = [{"display": 'a "word" // no comment', "number": number} for number in range(70_000)]
    path = kept(tmp_path, json.dumps({"history": history, "mcpServers": {}}, indent=2))
    assert path.stat().st_size > 5_000_000
    change = changed(CURSOR, path)
    assert change is not None
    assert len(change.difference().splitlines()) < 30


def test_a_file_that_was_changed_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    path = kept(tmp_path, "{}")
    change = changed(CURSOR, path)
    assert change is not None
    path.write_text('{"theme": "dark"}')
    with pytest.raises(UnsafeChangeError, match="changed meanwhile"):
        write(change)
    assert path.read_text() == '{"theme": "dark"}'


def test_a_file_that_is_not_there_is_made_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "mcp.json"
    change = changed(CURSOR, path)
    assert change is not None
    assert keep(change) is None
    write(change)
    assert json.loads(path.read_text()) == {"mcpServers": {NAME: entry(CURSOR)}}


def test_what_is_no_text_or_no_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(UnsafeChangeError, match="UTF-8"):
        changed(CURSOR, path)
    with pytest.raises(UnsafeChangeError, match="no file"):
        changed(CURSOR, tmp_path)


def test_a_full_disk_leaves_the_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cdp_image_mcp.cli.install import configuration

    path = kept(tmp_path, files.JSON["another server"])
    change = changed(CURSOR, path)
    assert change is not None
    real, written = configuration.replace_file, list[Path]()

    def full(target: Path, data: bytes) -> Any:
        written.append(target)
        if len(written) > 1:
            raise OSError(28, "No space left on device")
        return real(target, data)

    monkeypatch.setattr(configuration, "replace_file", full)
    assert keep(change) is not None
    with pytest.raises(OSError, match="No space"):
        write(change)
    assert path.read_text() == files.JSON["another server"]


# --- anything at all -------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(NAMES.filter(lambda name: name != "mcpServers"), VALUES, max_size=4)


@hypothesis.given(OBJECTS, OBJECTS, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_any_json_is_the_same_with_the_server_and_without_it_again(
    rest: dict[str, Any], servers: dict[str, Any], indent: Any, with_servers: bool
) -> None:
    whole = rest | ({"mcpServers": servers} if with_servers else {})
    text = json.dumps(whole, indent=indent, ensure_ascii=False)
    there = jsonc.edited(text, ("mcpServers", NAME), entry(CURSOR))
    assert json.loads(there) == whole | {"mcpServers": {**whole.get("mcpServers", {}), NAME: entry(CURSOR)}}
    gone = jsonc.edited(there, ("mcpServers", NAME), None)
    assert json.loads(gone) == {
        **whole,
        "mcpServers": {n: v for n, v in servers.items() if n != NAME} if with_servers else {},
    }


@hypothesis.given(
    st.dictionaries(st.from_regex(r"[A-Za-z_]{1,6}", fullmatch=True), st.text(max_size=20) | st.integers())
)
def test_any_toml_is_the_same_with_the_server_and_without_it_again(rest: dict[str, Any]) -> None:
    text = toml.edited("", ("mine",), rest)
    there = toml.edited(text, ("mcp_servers", NAME), entry(CODEX))
    assert tomllib.loads(there) == {"mine": rest, "mcp_servers": {NAME: entry(CODEX)}}
    assert tomllib.loads(toml.edited(there, ("mcp_servers", NAME), None)) == {"mine": rest}


# --- blocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", CLIENTS, ids=lambda each: each.name)
def test_a_block_says_what_the_entry_says(of: Client) -> None:
    text, whole = block(of, entry(of)), {NAME: entry(of)}
    for step in reversed(of.place):
        whole = {step: whole}
    match of.form:
        case "json":
            assert text == json.dumps(whole, indent=2) + "\n"
        case "toml":
            assert tomllib.loads(text) == whole
        case "yaml":
            assert yaml.read_entry(text, of.place[0], NAME, listed=of.shape == "listed") == entry(of)


@pytest.mark.parametrize(
    ("name", "start"),
    [("cursor", "cursor://anysphere.cursor-deeplink/mcp/install?name=cdp-image-mcp&config="),
     ("lm-studio", "lmstudio://add_mcp?name=cdp-image-mcp&config="), ("vscode", "vscode:mcp/install?")],
)  # fmt: skip
def test_a_link_carries_the_entry(name: str, start: str) -> None:
    import base64
    from urllib.parse import unquote

    of = client(name)
    address = link(of, entry(of))
    assert address.startswith(start)
    said = unquote(address.removeprefix(start))
    told = json.loads(said if name == "vscode" else base64.b64decode(said))
    assert told["command"] == PROGRAM
