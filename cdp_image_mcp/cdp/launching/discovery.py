"""Where the system's Chrome, Edge, Chromium or Brave is.

Places: chrome-launcher fe7654f, @puppeteer/browsers 2.13.2, playwright d4e1023, rod 393ac0d (read 2026-11); those of
macOS and Windows have not been seen by us on such a machine.
"""

import os
import plistlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from cdp_image_mcp.cdp.errors import BrowserNotFound

Kind = Literal["chrome", "edge", "chromium", "brave"]
Source = Literal["given", "profile", "fixed", "path", "registry"]

PREFERENCE: tuple[Kind, ...] = ("chrome", "edge", "chromium", "brave")

LINUX_FIXED: dict[Kind, tuple[str, ...]] = {
    "chrome": ("/opt/google/chrome/chrome",),
    "edge": ("/opt/microsoft/msedge/msedge",),
    "chromium": (),
    "brave": ("/opt/brave.com/brave/brave",),
}
LINUX_NAMES: dict[Kind, tuple[str, ...]] = {
    "chrome": ("google-chrome-stable", "google-chrome"),
    "edge": ("microsoft-edge-stable", "microsoft-edge"),
    "chromium": ("chromium", "chromium-browser"),
    "brave": ("brave-browser", "brave"),
}
# Tried after PATH: a snap can only keep its profile in some folders, so an ordinary package is the better find.
LINUX_LAST: dict[Kind, tuple[str, ...]] = {"chromium": ("/snap/bin/chromium",), "brave": ("/snap/bin/brave",)}
# The program inside the bundle: `open -a` would hand over to a browser that already runs.
MAC_APPS: dict[Kind, str] = {
    "chrome": "Google Chrome",
    "edge": "Microsoft Edge",
    "chromium": "Chromium",
    "brave": "Brave Browser",
}
# Nobody's everyday browser, whoever has it.
MAC_TESTING = "Google Chrome for Testing"
# The user's choice for links: a property list of Launch Services (macOS 10.15 and later; not yet seen by us).
MAC_HANDLERS = "Library/Preferences/com.apple.LaunchServices/com.apple.launchservices.secure.plist"
MAC_BUNDLES: dict[str, Kind] = {
    "com.google.chrome": "chrome",
    "com.microsoft.edgemac": "edge",
    "org.chromium.chromium": "chromium",
    "com.brave.browser": "brave",
}
OUR_LOCK = "browser.lock"
"""In a profile: the path of the browser that it was used with last, and held by it for as long as it runs."""
WINDOWS_BASES = ("PROGRAMFILES", "PROGRAMFILES(X86)", "ProgramW6432", "LOCALAPPDATA")
WINDOWS_PLACES: dict[Kind, str] = {
    "chrome": r"Google\Chrome\Application\chrome.exe",
    "edge": r"Microsoft\Edge\Application\msedge.exe",
    "chromium": r"Chromium\Application\chrome.exe",
    "brave": r"BraveSoftware\Brave-Browser\Application\brave.exe",
}
WINDOWS_NAMES: dict[Kind, str] = {"chrome": "chrome.exe", "edge": "msedge.exe", "brave": "brave.exe"}


@dataclass(frozen=True)
class FoundBrowser:
    """A browser program: ``kind`` told by its name, ``snap`` when it is confined to the folders a snap may write."""

    path: Path
    kind: Kind
    snap: bool
    source: Source


@dataclass(frozen=True)
class Machine:
    r"""What discovery looks at: replace it to look at a folder tree of another system.

    ``platform`` as sys.platform, ``root`` a folder that stands for "/" (on a Windows tree: the folder that holds C, D),
    ``registry`` gives the default value of ``App Paths\<exe>``.
    """

    platform: str
    environment: Mapping[str, str]
    root: Path | None = None
    registry: Callable[[str], str | None] | None = None

    @staticmethod
    def here(environment: Mapping[str, str] | None = None) -> "Machine":
        """This machine."""
        return Machine(
            sys.platform,
            os.environ if environment is None else environment,
            registry=app_path if sys.platform == "win32" else None,
        )

    def variable(self, name: str) -> str:
        """An environment variable, by any case on Windows; empty when not set."""
        if self.platform != "win32":
            return self.environment.get(name, "")
        return next((value for key, value in self.environment.items() if key.upper() == name.upper()), "")

    def place(self, path: str) -> PurePath:
        """``path`` as this machine writes it."""
        return PureWindowsPath(path) if self.platform == "win32" else PurePosixPath(path)

    def real(self, path: PurePath) -> Path:
        """Where ``path`` lies for us."""
        if self.root is None:
            return Path(path)
        drive = [path.drive.rstrip(":")] if path.drive else []
        return self.root.joinpath(*drive, *(part for part in path.parts if part != path.anchor))

    def problem(self, path: PurePath) -> str | None:
        """Why this is no program, or None if it is one."""
        real = self.real(path)
        if not real.exists():
            return "does not exist"
        if not real.is_file():
            return "is not a file"
        if self.platform != "win32" and not os.access(real, os.X_OK):
            return "cannot be executed"
        return None

    def found(self, path: PurePath, source: Source, kind: Kind | None = None) -> FoundBrowser:
        """The browser at ``path``, of a kind that its name tells if it is not known."""
        return FoundBrowser(self.real(path), kind or _kind(path), _is_snap(self, path), source)


def find_browser(
    given: str | os.PathLike[str] | None = None,
    *,
    profile: Path | None = None,
    machine: Machine | None = None,
) -> FoundBrowser:
    """The browser to use: ``given`` if set (and nothing else then), else the one that ``profile`` was used with last
    (another has no key to its cookies), else the best that is there.

    Looks at fixed places, PATH, then (Windows) the registry. Raises BrowserNotFound with everything tried.
    """
    machine = machine or Machine.here()
    if given is not None and os.fspath(given):
        return _given(machine, os.fspath(given))
    if profile is not None and (last := _used_with(machine, profile)) is not None:
        return last
    tried: list[str] = []
    if machine.platform == "darwin" and (path := _first(machine, _apps(machine, MAC_TESTING), tried)) is not None:
        return machine.found(path, "fixed", "chrome")
    for kind in preference(machine, profile):
        found = _search(machine, kind, tried)
        if found is not None:
            return found
    raise BrowserNotFound(tried)


def preference(machine: Machine, profile: Path | None) -> Sequence[Kind]:
    """The order of kinds. On macOS the everyday browser comes last: while one of ours runs without a window, links and
    clicks on the Dock go to it (agent-browser #1607, superpowers-chrome #40). A profile that was made before we noted
    with what keeps the old order, for the sake of its sign-in."""
    if machine.platform != "darwin" or (profile is not None and (profile / "Local State").exists()):
        return PREFERENCE
    everyday = everyday_kind(machine)
    return sorted(PREFERENCE, key=lambda kind: kind == everyday)


def everyday_kind(machine: Machine) -> Kind | None:
    """Which kind opens the user's links on macOS; None for another make, or when it cannot be told."""
    try:
        with machine.real(machine.place(f"{machine.variable('HOME')}/{MAC_HANDLERS}")).open("rb") as file:
            handlers: Any = plistlib.load(file).get("LSHandlers", [])
        chosen = next(one["LSHandlerRoleAll"] for one in handlers if one.get("LSHandlerURLScheme") == "https")
        return MAC_BUNDLES.get(str(chosen).lower())
    except (OSError, ValueError, KeyError, AttributeError, TypeError, StopIteration):
        return None


def _used_with(machine: Machine, profile: Path) -> FoundBrowser | None:
    try:
        path = machine.place((profile / OUR_LOCK).read_text("utf-8").strip())
    except (OSError, ValueError):
        return None
    if not path.is_absolute() or machine.problem(path) is not None:
        return None
    return machine.found(path, "profile")


def snap_problem(browser: FoundBrowser, profile: Path, home: Path) -> str | None:
    """Why a snap browser cannot keep its profile there (a hidden folder, or outside home), or None."""
    if not browser.snap:
        return None
    if not profile.is_relative_to(home):
        return f"{browser.path} is a snap and writes only inside the home folder {home}"
    if profile.relative_to(home).parts[:1] != ("snap",) and any(
        part.startswith(".") for part in profile.relative_to(home).parts
    ):
        return (
            f"{browser.path} is a snap and cannot write hidden folders such as {profile}; "
            f"choose a profile under {home / 'snap'} or another browser"
        )
    return None


def _given(machine: Machine, text: str) -> FoundBrowser:
    if text.startswith("~"):
        text = (machine.variable("USERPROFILE" if machine.platform == "win32" else "HOME") or "~") + text[1:]
    path = machine.place(text)
    if len(path.parts) == 1 and not path.anchor:
        found = _on_path(machine, (text,), [])
        if found is not None:
            return machine.found(found, "given")
    if machine.platform == "darwin" and path.suffix == ".app":
        path = path / "Contents" / "MacOS" / path.stem
    problem = machine.problem(path)
    if problem is not None:
        said = f"the browser given, {text}, {problem}. Give the path of the program itself"
        raise BrowserNotFound([str(path)], said)
    return machine.found(path, "given")


def _search(machine: Machine, kind: Kind, tried: list[str]) -> FoundBrowser | None:
    if (path := _first(machine, _fixed(machine, kind), tried)) is not None:
        return machine.found(path, "fixed", kind)
    if (path := _on_path(machine, _names(machine, kind), tried)) is not None:
        return machine.found(path, "path", kind)
    if machine.platform not in ("win32", "darwin"):
        last = [machine.place(text) for text in LINUX_LAST.get(kind, ())]
        if (path := _first(machine, last, tried)) is not None:
            return machine.found(path, "fixed", kind)
    if machine.registry is not None and kind in WINDOWS_NAMES:
        tried.append(rf"registry App Paths\{WINDOWS_NAMES[kind]}")
        value = machine.registry(WINDOWS_NAMES[kind])
        if value and (path := _first(machine, [machine.place(value.strip('"'))], tried)) is not None:
            return machine.found(path, "registry", kind)
    return None


def _fixed(machine: Machine, kind: Kind) -> list[PurePath]:
    if machine.platform == "win32":
        bases = dict.fromkeys(value for name in WINDOWS_BASES if (value := machine.variable(name)))
        return [PureWindowsPath(base, WINDOWS_PLACES[kind]) for base in bases]
    if machine.platform == "darwin":
        return _apps(machine, MAC_APPS[kind])
    return [PurePosixPath(text) for text in LINUX_FIXED[kind]]


def _apps(machine: Machine, app: str) -> list[PurePath]:
    home = machine.variable("HOME")
    folders = ["/Applications", *([f"{home}/Applications"] if home else [])]
    return [PurePosixPath(folder, f"{app}.app", "Contents", "MacOS", app) for folder in folders]


def _names(machine: Machine, kind: Kind) -> tuple[str, ...]:
    if machine.platform == "win32":
        # A chrome.exe on PATH is not told from Chromium's; the kind asked for first gets it.
        return (WINDOWS_NAMES[kind],) if kind in WINDOWS_NAMES else ()
    return LINUX_NAMES[kind]


def _first(machine: Machine, paths: Sequence[PurePath], tried: list[str]) -> PurePath | None:
    for path in paths:
        tried.append(str(path))
        if machine.problem(path) is None:
            return path
    return None


def _on_path(machine: Machine, names: Sequence[str], tried: list[str]) -> PurePath | None:
    folders = machine.variable("PATH").split(";" if machine.platform == "win32" else ":")
    for name in names:
        tried.append(f"{name} on PATH")
        for folder in folders:
            path = machine.place(folder) / name
            # A relative entry of PATH would let the working folder choose the browser.
            if folder and path.is_absolute() and machine.problem(path) is None:
                return path
    return None


def _kind(path: PurePath) -> Kind:
    name = path.as_posix().lower()
    if "edge" in name:
        return "edge"
    if "brave" in name:
        return "brave"
    return "chromium" if "chromium" in name else "chrome"


def _is_snap(machine: Machine, path: PurePath) -> bool:
    if machine.platform in ("win32", "darwin"):
        return False
    real = machine.real(path)
    if "/snap/" in path.as_posix() or real.resolve().name == "snap":
        return True
    # Ubuntu's chromium-browser is a short script that starts the snap.
    try:
        if real.stat().st_size > 16_384:
            return False
        return b"/snap/bin/" in real.read_bytes()
    except OSError:
        return False


def app_path(name: str) -> str | None:
    r"""The default value of ``SOFTWARE\Microsoft\Windows\CurrentVersion\App Paths\<name>``; not yet seen by us."""
    if sys.platform != "win32":
        return None
    import winreg

    key = rf"SOFTWARE\Microsoft\Windows\CurrentVersion\App Paths\{name}"
    for hive in (winreg.HKEY_CURRENT_USER, winreg.HKEY_LOCAL_MACHINE):
        for view in (winreg.KEY_WOW64_64KEY, winreg.KEY_WOW64_32KEY):
            try:
                with winreg.OpenKey(hive, key, 0, winreg.KEY_READ | view) as handle:
                    value, kind = winreg.QueryValueEx(handle, "")
            except OSError:
                continue
            if kind in (winreg.REG_SZ, winreg.REG_EXPAND_SZ) and value:
                return winreg.ExpandEnvironmentStrings(str(value))
    return None
