"""The two commands for newcomers, as processes with a real browser: the demo, and the checks."""

import errno
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from cdp_image_mcp.cli.checks import machine
from cdp_image_mcp.cli.demo import install_advice, site
from tests.browser import SWITCHES, chosen

LIMIT = 120
NOBODY = "http://127.0.0.1:9/v1"
BY_API = {"GPT_IMAGE_BACKEND": "api", "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": NOBODY}


@pytest.fixture
def temporary() -> Generator[Path]:
    """A temporary folder with a short name: a browser's socket in it may have 108 characters on Linux."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield Path(folder)


@pytest.fixture
def environment(tmp_path: Path, temporary: Path) -> dict[str, str]:
    own = ("OPENAI_", "GPT_", "CHATGPT_", "DISPLAY", "WAYLAND_DISPLAY")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return plain | {
        "GPT_IMAGE_OUTPUT_DIR": str(tmp_path / "pictures"),
        "CHATGPT_WEB_PROFILE_DIR": str(tmp_path / "profile"),
        "CHATGPT_WEB_URL": "http://127.0.0.1:9/",
        "CHATGPT_CHROME_ARGS": " ".join(SWITCHES),
        "TMPDIR": str(temporary),
        **chosen(),
    }


def ran(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cdp_image_mcp", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, encoding="utf-8")


def browsers(folder: Path) -> list[int]:
    """Processes that were started with something under ``folder``."""
    found = psutil.process_iter(["pid", "cmdline"])
    return [process.pid for process in found if any(str(folder) in word for word in process.info["cmdline"] or ())]


def checks(environment: dict[str, str]) -> tuple[int, dict[str, dict[str, Any]]]:
    done = ran(environment, "doctor", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in report["checks"]}


def test_the_demo_leaves_nothing_but_a_picture_of_the_words(
    environment: dict[str, str], tmp_path: Path, temporary: Path
) -> None:
    done = ran(environment, "demo", "a lighthouse")
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == [path]
    assert list(temporary.iterdir()) == []
    assert browsers(temporary) == []


def test_a_demo_whose_picture_cannot_be_kept_says_of_nothing_that_it_may_count(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "pictures").write_text("a file")
    done = ran(environment, "demo", "a lighthouse")
    assert done.returncode == 3, done.stderr
    assert "Failed (disk)" in done.stderr
    assert not any(words in done.stderr for words in ("may have been sent", "may count"))


def test_the_demo_answers_as_json_and_says_that_it_is_one(environment: dict[str, str]) -> None:
    done = ran(environment, "demo", "a lighthouse", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["demo"], told["status"]) == (0, True, "saved")
    assert Path(told["image_path"]).is_file()


def test_the_demo_leaves_the_users_own_debugging_port_to_the_users_own_browser(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = ran(environment | {"CHATGPT_DEBUG_PORT": port}, "demo", "a lighthouse")
    assert done.returncode == 0, done.stderr


def test_without_a_browser_the_demo_says_what_to_install_and_stops(environment: dict[str, str], tmp_path: Path) -> None:
    done = ran(environment | {"CHROME_PATH": str(tmp_path / "nothing")}, "demo")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nstall" in done.stderr
    assert not (tmp_path / "pictures").exists()


def test_a_package_that_the_stand_in_needs_and_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fixtures.site", raising=False)
    monkeypatch.setitem(sys.modules, "fixtures.site.switches", None)
    with pytest.raises(ModuleNotFoundError, match="switches"):
        site()


@pytest.mark.parametrize(
    ("platform", "apt", "root", "advice"),
    [
        ("linux", True, True, "Run: apt-get install chromium"),
        ("linux", True, False, "Run: sudo apt-get install chromium"),
        ("linux", False, False, "package manager"),
        ("darwin", False, False, "brew install --cask google-chrome"),
        ("win32", False, False, "Microsoft Edge"),
    ],
)
def test_the_advice_suits_the_system(platform: str, apt: bool, root: bool, advice: str) -> None:
    assert advice in install_advice(platform, apt=apt, root=root)


def test_the_doctor_starts_the_browser_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, temporary: Path
) -> None:
    _, found = checks(environment)
    assert found["browser"]["level"] == "ok", found["browser"]
    assert "starts" in found["browser"]["message"]
    assert found["display"]["level"] == "warning"
    assert found["sign-in"]["level"] == "warning"
    assert "login" in found["sign-in"]["advice"]
    assert found["network, site"]["level"] == "failed"
    assert list(tmp_path.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_the_doctor_names_what_is_wrong_and_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir(mode=0o755)
    (tmp_path / "site.json").write_bytes('{"about":"für uns"}'.encode("cp1252"))
    wrong = {"CHROME_PATH": str(tmp_path / "nothing"), "GPT_IMAGE_BACKEND": "paint", "CHATGPT_WEB_URL": ""}
    wrong |= {"CHATGPT_SITE_FILE": str(tmp_path / "site.json")}
    code, found = checks(environment | wrong)
    assert code == 1
    assert found["browser"]["level"] == "failed"
    assert {name for name in found if name.startswith("configuration")} == {
        "configuration, CHATGPT_SITE_FILE",
        "configuration, CHROME_PATH",
        "configuration, GPT_IMAGE_BACKEND",
    }
    assert "chmod 700" in found["profile"]["advice"]
    assert all(check.get("advice") for check in found.values() if check["level"] != "ok")


def test_where_pictures_come_from_the_api_a_missing_browser_is_no_failure(
    environment: dict[str, str], tmp_path: Path
) -> None:
    _, found = checks(environment | BY_API | {"CHROME_PATH": str(tmp_path / "nothing")})
    assert found["browser"]["level"] == "warning"
    assert found["API key"]["level"] == "ok"
    assert "network, site" not in found


def test_where_pictures_come_from_the_api_a_display_that_is_gone_is_no_failure(environment: dict[str, str]) -> None:
    _, found = checks(environment | BY_API | {"DISPLAY": ":987"})
    assert found["display"]["level"] == "warning"
    assert "no display" in found["display"]["message"]


@pytest.mark.parametrize("backend", ["api", "auto"])
def test_a_server_that_wants_no_key_is_an_api_like_any_other(
    environment: dict[str, str], tmp_path: Path, backend: str
) -> None:
    keyless = {"GPT_IMAGE_BACKEND": backend, "OPENAI_COMPAT": "ollama", "OPENAI_BASE_URL": NOBODY}
    _, found = checks(environment | keyless | {"CHROME_PATH": str(tmp_path / "nothing")})
    assert found["API key"]["level"] == "ok"
    assert "ollama" in found["API key"]["message"]
    assert found["network, API"]["level"] == "failed"
    assert found["browser"]["level"] == "warning"


def test_a_server_of_an_unknown_kind_is_named_by_its_variable(environment: dict[str, str]) -> None:
    _, found = checks(environment | {"OPENAI_COMPAT": "hal", "OPENAI_BASE_URL": NOBODY})
    assert found["API key"]["level"] == "failed"
    assert "OPENAI_COMPAT" in found["API key"]["message"]


def test_a_report_for_people_wraps_nothing_where_nobody_looks(environment: dict[str, str]) -> None:
    done = ran(environment, "doctor")
    assert "\x1b" not in done.stdout
    assert all(line.startswith(("ok ", "warning", "failed", "   ")) for line in done.stdout.splitlines())
    assert "checks:" in done.stderr


# --- each finding once -----------------------------------------------------------------------------------------


@pytest.fixture
def by_api(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Pictures come from the API, and no browser is started."""
    return environment | BY_API | {"CHROME_PATH": str(tmp_path / "nothing"), "HOME": str(tmp_path / "home")}


def test_folders_that_may_not_be_looked_at_are_the_persons_to_correct_and_no_fault_of_ours(
    by_api: dict[str, str], looking: dict[str, str]
) -> None:
    """Another user's is such a one; a name that no file system takes is one for root too."""
    place = "/" + 300 * "x"
    _, found = checks(by_api | looking | {"GPT_IMAGE_OUTPUT_DIR": place, "CHATGPT_WEB_PROFILE_DIR": place})
    assert found["disk"]["person"]
    for name in ("disk", "records", "profile"):
        assert f"{place}: File name too long." in found[name]["message"]
        assert "GPT_IMAGE_OUTPUT_DIR" in found[name]["advice"]
    assert not any("Report this" in check.get("advice", "") for check in found.values())


def test_a_link_that_leads_nowhere_is_no_folder_for_pictures(tmp_path: Path) -> None:
    """To a drive that is not plugged in, perhaps: nothing can be made in its place."""
    place = tmp_path / "pictures"
    place.symlink_to(tmp_path / "drive" / "pictures")
    found = machine.disk("disk", place, "GPT_IMAGE_OUTPUT_DIR")
    assert (found.level, found.person) == ("failed", True)
    assert str(place) in found.message


class Answers(http.server.BaseHTTPRequestHandler):
    """A server that takes ``sk-good`` and has one model."""

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == "Bearer sk-good"
        body = json.dumps({"data": [{"id": "gpt-image-2"}]} if good else {"error": {"message": "no"}}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving(certificate: Path | None = None) -> Generator[int]:
    """The server, with TLS where a certificate is given; its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that no system knows, as a company's own would be."""
    path = tmp_path_factory.mktemp("ca") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_a_line_that_works_is_found_out_by_an_answer(by_api: dict[str, str]) -> None:
    with serving() as port:
        _, found = checks(by_api | {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"})
    assert found["network, API"]["level"] == "ok"
    assert found["network, API"]["message"] == f"127.0.0.1:{port} answers (HTTP 401, no list of models)."
    assert found["way"]["message"] == "Pictures are made by api first: GPT_IMAGE_BACKEND=api."


def test_a_certificate_of_ones_own_authority_is_named_with_the_remedy_that_works(
    by_api: dict[str, str], own_ca: Path
) -> None:
    with serving(own_ca) as port:
        at = {"OPENAI_BASE_URL": f"https://127.0.0.1:{port}/v1"}
        code, found = checks(by_api | at)
        _, mended = checks(by_api | at | {"SSL_CERT_FILE": str(own_ca)})
    assert code == 1
    assert found["network, API"]["level"] == "failed"
    assert "is not trusted here" in found["network, API"]["message"]
    assert "SSL_CERT_FILE" in found["network, API"]["advice"]
    assert mended["network, API"]["level"] == "ok"


def test_a_proxy_that_refuses_is_named(by_api: dict[str, str]) -> None:
    proxy = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    _, found = checks(by_api | proxy | {"OPENAI_BASE_URL": "https://images.example/v1"})
    assert found["network, API"]["level"] == "failed"
    assert "check HTTPS_PROXY" in found["network, API"]["advice"]
    assert "by way of http://127.0.0.1:9 (HTTPS_PROXY)" in found["network, API"]["message"]


@pytest.mark.parametrize(("key", "level"), [("sk-good", "warning"), ("sk-wrong", "failed")])
def test_the_key_is_tried_by_the_free_list_of_models(by_api: dict[str, str], key: str, level: str) -> None:
    with serving() as port:
        at = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": key, "GPT_IMAGE_MODEL": "gpt-image-9"}
        done = ran(by_api | at, "doctor", "--probe", "--json")
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["probe, API"]["level"] == level
    assert key not in done.stdout + done.stderr
    if key == "sk-good":
        assert "its 1 models do not include gpt-image-9" in found["probe, API"]["message"]
    else:
        assert done.returncode == 3


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are others there")
def test_a_folder_that_takes_no_files_is_found_out_by_writing(by_api: dict[str, str], tmp_path: Path) -> None:
    """A file in the place of the folder, for root as well, whom no rights keep out."""
    (tmp_path / "pictures").write_text("no folder")
    with serving() as port:
        code, found = checks(by_api | {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"})
    assert (code, found["disk"]["level"]) == (3, "failed")
    assert "is a file" in found["disk"]["message"]
    assert "GPT_IMAGE_OUTPUT_DIR" in found["disk"]["advice"]


FAULTS = {
    "making a folder": ("os.mkdir", "PermissionError(13, 'Permission denied')"),
    "writing a file (No space left": ("os.open", "OSError(28, 'No space left on device')"),
    "locking a file": ("fcntl.flock = fcntl.lockf", "OSError(37, 'No locks available')"),
    "a transaction of SQLite": ("sqlite3.connect", "sqlite3.OperationalError('disk I/O error')"),
}
"""What the system answers to one function from then on: a read-only folder, a full one, one without locks, one on a
drive without what SQLite needs."""


@pytest.mark.parametrize("told", FAULTS)
def test_what_a_folder_cannot_do_is_named(tmp_path: Path, told: str) -> None:
    function, error = FAULTS[told]
    program = (
        "import fcntl, os, pathlib, sqlite3\n"
        "from cdp_image_mcp.cli.checks.machine import disk\n"
        "def fails(*_, **__):\n"
        f"    raise {error}\n"
        f"{function} = fails\n"
        f"print(disk('disk', pathlib.Path({str(tmp_path)!r}), 'GPT_IMAGE_OUTPUT_DIR').message)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT).stdout
    assert f"In {tmp_path} this does not work:" in said
    assert told in said


def test_a_drive_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(path: Path) -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "stat", nowhere)
    found = machine.disk("disk", Path("/Q/pictures"), "GPT_IMAGE_OUTPUT_DIR")
    assert (found.level, found.message) == ("failed", "There is no drive or folder /.")


def test_trouble_of_the_index_is_told(by_api: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / "20261126-100000-a-fox"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text('{"generation_id": ')
    _, found = checks(by_api)
    assert found["records"]["level"] == "warning"
    assert "20261126-100000-a-fox" in found["records"]["message"]


def test_a_client_that_names_this_program_wrongly_is_told(by_api: dict[str, str], tmp_path: Path) -> None:
    home = Path(by_api["HOME"])
    for name, command in (("cursor", "/old/place/cdp-image-mcp"), ("lmstudio", sys.executable)):
        (home / f".{name}").mkdir(parents=True)
        server: dict[str, Any] = {"mcpServers": {"cdp-image-mcp": {"command": command, "args": []}}}
        (home / f".{name}" / "mcp.json").write_text(json.dumps(server))
    _, found = checks(by_api)
    assert found["clients"]["message"] == "Set up in LM Studio."
    assert "names the program /old/place/cdp-image-mcp, which is not there" in found["client, cursor"]["message"]
    assert found["client, cursor"]["advice"] == "Run 'cdp-image-mcp install cursor'."


def test_that_nobody_has_signed_in_is_for_a_person_to_mend(environment: dict[str, str]) -> None:
    """The way that auto takes is the browser; everything else is well."""
    with serving() as port:
        code, found = checks(environment | {"CHATGPT_WEB_URL": f"http://127.0.0.1:{port}/"})
    assert [name for name, check in found.items() if check["level"] == "failed"] == []
    assert (code, found["sign-in"]["person"]) == (3, True)
