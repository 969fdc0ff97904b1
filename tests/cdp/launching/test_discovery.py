"""Finding the browser, on folder trees of three systems."""

import plistlib
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

import pytest

from cdp_image_mcp.cdp.errors import BrowserNotFound
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser, Machine, find_browser, snap_problem

WINDOWS = {
    "ProgramFiles": r"C:\Program Files",
    "ProgramFiles(x86)": r"C:\Program Files (x86)",
    "ProgramW6432": r"C:\Program Files",
    "LOCALAPPDATA": r"C:\Users\Ann\AppData\Local",
    "Path": r"C:\Windows;D:\tools",
}


def put(root: Path, *paths: str, text: str = "#!/bin/sh\n") -> None:
    """Programs at these places of a tree."""
    for path in paths:
        parts = PureWindowsPath(path)
        real = root.joinpath(parts.drive.rstrip(":"), *parts.parts[1:]) if parts.drive else root / path.lstrip("/")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text)
        real.chmod(0o755)


def linux(root: Path, path: str = "/usr/bin:/snap/bin") -> Machine:
    return Machine("linux", {"PATH": path, "HOME": "/home/ann"}, root)


def mac(root: Path) -> Machine:
    return Machine("darwin", {"PATH": "/usr/bin", "HOME": "/Users/ann"}, root)


def windows(root: Path, apps: dict[str, str] | None = None) -> Machine:
    return Machine("win32", WINDOWS, root, (apps or {}).get)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/opt/google/chrome/chrome", "chrome"),
        ("/opt/microsoft/msedge/msedge", "edge"),
        ("/opt/brave.com/brave/brave", "brave"),
        ("/usr/bin/google-chrome-stable", "chrome"),
        ("/usr/bin/microsoft-edge", "edge"),
        ("/usr/bin/chromium", "chromium"),
        ("/usr/bin/chromium-browser", "chromium"),
        ("/usr/bin/brave-browser", "brave"),
    ],
)
def test_each_place_of_linux_is_found_and_named(tmp_path: Path, path: str, kind: str) -> None:
    put(tmp_path, path)
    found = find_browser(machine=linux(tmp_path))
    assert (found.path, found.kind, found.snap) == (tmp_path / path[1:], kind, False)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "chrome"),
        ("/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge", "edge"),
        ("/Users/ann/Applications/Chromium.app/Contents/MacOS/Chromium", "chromium"),
        ("/Applications/Brave Browser.app/Contents/MacOS/Brave Browser", "brave"),
    ],
)
def test_each_place_of_macos_is_found_and_named(tmp_path: Path, path: str, kind: str) -> None:
    put(tmp_path, path)
    found = find_browser(machine=mac(tmp_path))
    assert (found.path, found.kind) == (tmp_path / path[1:], kind)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (r"C:\Program Files\Google\Chrome\Application\chrome.exe", "chrome"),
        (r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe", "edge"),
        (r"C:\Users\Ann\AppData\Local\Google\Chrome\Application\chrome.exe", "chrome"),
        (r"C:\Users\Ann\AppData\Local\Chromium\Application\chrome.exe", "chromium"),
        (r"C:\Program Files\BraveSoftware\Brave-Browser\Application\brave.exe", "brave"),
    ],
)
def test_each_place_of_windows_is_found_and_named(tmp_path: Path, path: str, kind: str) -> None:
    put(tmp_path, path)
    found = find_browser(machine=windows(tmp_path))
    assert found.kind == kind
    assert found.path.is_file()


def test_the_registry_of_windows_is_asked_last(tmp_path: Path) -> None:
    put(tmp_path, r"E:\odd\chrome.exe")
    machine = windows(tmp_path, {"chrome.exe": r'"E:\odd\chrome.exe"'})
    assert find_browser(machine=machine).path == tmp_path / "E" / "odd" / "chrome.exe"
    put(tmp_path, r"D:\tools\chrome.exe")
    assert find_browser(machine=machine).path == tmp_path / "D" / "tools" / "chrome.exe"


def test_a_registry_entry_of_a_browser_that_was_removed_is_no_find(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFound) as caught:
        find_browser(machine=windows(tmp_path, {"chrome.exe": r"E:\gone\chrome.exe"}))
    assert r"E:\gone\chrome.exe" in str(caught.value)


def order(root: Path, machine: Callable[[Path], Machine]) -> list[str]:
    """The kinds in the order in which they are found, each once the one before it is gone."""
    kinds: list[str] = []
    while True:
        try:
            found = find_browser(machine=machine(root))
        except BrowserNotFound:
            return kinds
        kinds.append(found.kind)
        found.path.unlink()


def test_chrome_comes_before_edge_chromium_and_brave(tmp_path: Path) -> None:
    put(tmp_path, "/usr/bin/brave", "/usr/bin/chromium", "/opt/microsoft/msedge/msedge", "/usr/bin/google-chrome")
    assert order(tmp_path, linux) == ["chrome", "edge", "chromium", "brave"]


CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
EDGE = "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge"
TESTING = "/Applications/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing"


def opens_links(root: Path, bundle: str) -> None:
    """Launch Services' property list, as macOS writes it (in its binary form)."""
    path = root / "Users/ann/Library/Preferences/com.apple.LaunchServices/com.apple.launchservices.secure.plist"
    path.parent.mkdir(parents=True)
    handlers = [
        {"LSHandlerContentType": "public.html", "LSHandlerRoleAll": "com.apple.safari"},
        {"LSHandlerURLScheme": "https", "LSHandlerRoleAll": bundle},
    ]
    path.write_bytes(plistlib.dumps({"LSHandlers": handlers}, fmt=plistlib.FMT_BINARY))


@pytest.mark.parametrize(
    ("bundle", "kinds"),
    [
        ("com.google.chrome", ["edge", "chrome"]),
        ("com.microsoft.edgemac", ["chrome", "edge"]),
        ("com.apple.safari", ["chrome", "edge"]),
    ],
)
def test_on_macos_the_browser_that_opens_the_users_links_comes_last(
    tmp_path: Path, bundle: str, kinds: list[str]
) -> None:
    put(tmp_path, CHROME, EDGE)
    opens_links(tmp_path, bundle)
    assert order(tmp_path, mac) == kinds


def test_on_macos_a_browser_made_for_programs_comes_first(tmp_path: Path) -> None:
    put(tmp_path, CHROME, TESTING)
    assert find_browser(machine=mac(tmp_path)).path == tmp_path / TESTING[1:]


def test_a_profile_that_is_older_than_this_rule_keeps_its_browser_and_its_sign_in(tmp_path: Path) -> None:
    put(tmp_path, CHROME, EDGE)
    opens_links(tmp_path, "com.google.chrome")
    profile = tmp_path / "profile"
    profile.mkdir()
    assert find_browser(machine=mac(tmp_path), profile=profile).kind == "edge"
    (profile / "Local State").write_text("{}")
    assert find_browser(machine=mac(tmp_path), profile=profile).kind == "chrome"


def test_a_profile_stays_with_the_browser_that_used_it_last_while_that_is_there(tmp_path: Path) -> None:
    put(tmp_path, "/usr/bin/chromium")
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "browser.lock").write_text("/usr/bin/chromium")
    put(tmp_path, "/usr/bin/google-chrome")
    assert find_browser(machine=linux(tmp_path), profile=profile).kind == "chromium"
    assert find_browser("/usr/bin/google-chrome", machine=linux(tmp_path), profile=profile).kind == "chrome"
    (tmp_path / "usr/bin/chromium").unlink()
    assert find_browser(machine=linux(tmp_path), profile=profile).kind == "chrome"


def test_a_package_comes_before_a_snap_and_a_snap_says_so(tmp_path: Path) -> None:
    put(tmp_path, "/snap/bin/chromium")
    assert find_browser(machine=linux(tmp_path)).snap
    put(tmp_path, "/usr/bin/chromium")
    assert not find_browser(machine=linux(tmp_path)).snap


def test_a_script_that_starts_the_snap_is_a_snap(tmp_path: Path) -> None:
    put(tmp_path, "/usr/bin/chromium-browser", text='#!/bin/sh\nexec /snap/bin/chromium "$@"\n')
    assert find_browser(machine=linux(tmp_path)).snap


def test_the_path_given_wins_and_nothing_else_is_looked_at(tmp_path: Path) -> None:
    put(tmp_path, "/usr/bin/google-chrome", "/home/ann/bin/my-edge")
    found = find_browser("/home/ann/bin/my-edge", machine=linux(tmp_path))
    assert found.kind == "edge"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [("nothing", "does not exist"), ("folder", "is not a file"), ("plain", "cannot be executed")],
)
def test_a_path_given_that_is_no_program_says_why_and_does_not_fall_back(
    tmp_path: Path, prepare: str, reason: str
) -> None:
    put(tmp_path, "/usr/bin/google-chrome")
    place = tmp_path / "opt" / "x"
    place.parent.mkdir()
    if prepare == "folder":
        place.mkdir()
    elif prepare == "plain":
        place.write_text("text")
    with pytest.raises(BrowserNotFound, match=f"/opt/x, .*{reason}"):
        find_browser("/opt/x", machine=linux(tmp_path))


def test_nothing_found_lists_every_place(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFound) as caught:
        find_browser(machine=linux(tmp_path))
    for place in ("/opt/google/chrome/chrome", "google-chrome on PATH", "/snap/bin/chromium", "brave on PATH"):
        assert place in str(caught.value)
    assert "CHROME_PATH" in str(caught.value)


def test_a_relative_entry_of_path_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "/here/chromium")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(BrowserNotFound):
        find_browser(machine=linux(tmp_path, path=".:"))


def test_an_entry_of_path_that_cannot_be_looked_at_hides_no_browser(tmp_path: Path) -> None:
    """A folder of another user, after ``su``, is such a one; a name that no file system takes is one for root too."""
    put(tmp_path, "/usr/bin/chromium")
    assert find_browser(machine=linux(tmp_path, f"/{300 * 'x'}:/usr/bin")).kind == "chromium"


def test_a_snap_cannot_keep_a_profile_in_a_hidden_folder_or_outside_home() -> None:
    snap = FoundBrowser(Path("/snap/bin/chromium"), "chromium", snap=True)
    home = Path("/home/ann")
    assert "hidden" in (snap_problem(snap, home / ".local" / "share" / "x", home) or "")
    assert "home folder" in (snap_problem(snap, Path("/srv/x"), home) or "")
    assert snap_problem(snap, home / "snap" / "x", home) is None
    plain = FoundBrowser(Path("/usr/bin/chromium"), "chromium", snap=False)
    assert snap_problem(plain, home / ".local" / "x", home) is None


def test_this_machine_has_a_browser() -> None:
    assert find_browser().path.is_file()
