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

PREFERENCE: tuple[Kind, ...] = ("chrome", "edge", "chromium", "brave")

# In order; bare names are looked for on PATH. The last places are those of snaps, which can only keep their profile in
# some folders, so that an ordinary package is the better find.
LINUX: dict[Kind, tuple[str, ...]] = {
    "chrome": ("/opt/google/chrome/chrome", "google-chrome-stable", "google-chrome"),
    "edge": ("/opt/microsoft/msedge/msedge", "microsoft-edge-stable", "microsoft-edge"),
    "chromium": ("chromium", "chromium-browser", "/snap/bin/chromium"),
    "brave": ("/opt/brave.com/brave/brave", "brave-browser", "brave", "/snap/bin/brave"),
}
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
    def here() -> "Machine":
        """This machine."""
        return Machine(sys.platform, os.environ, registry=app_path if sys.platform == "win32" else None)

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
        # Path's own questions raise for what may not be looked at (CPython 3.11 to 3.13), as after ``su``.
        if not os.path.isfile(real):  # noqa: PTH113
            return "is not a file" if os.path.exists(real) else "does not exist"  # noqa: PTH110
        if self.platform != "win32" and not os.access(real, os.X_OK):
            return "cannot be executed"
        return None

    def found(self, path: PurePath, kind: Kind | None = None) -> FoundBrowser:
        """The browser at ``path``, of a kind that its name tells if it is not known."""
        return FoundBrowser(self.real(path), kind or _kind(path), _is_snap(self, path))


def find_browser(
    given: str | Path | None = None, *, profile: Path | None = None, machine: Machine | None = None
) -> FoundBrowser:
    """The browser to use: ``given`` if set (and nothing else then), else the one that ``profile`` was used with last
    (another has no key to its cookies), else the best that is there.

    Looks at fixed places, PATH, then (Windows) the registry. Raises BrowserNotFound with everything tried.
    """
    machine = machine or Machine.here()
    if given:
        path = machine.place(str(given))
        if (problem := machine.problem(path)) is not None:
            raise BrowserNotFound(f"the browser given, {given}, {problem}. Give the path of the program itself")
        return machine.found(path)
    if profile is not None and (last := _used_with(machine, profile)) is not None:
        return last
    tried: list[str] = []
    if machine.platform == "darwin" and (path := _first(machine, _apps(machine, MAC_TESTING), tried)) is not None:
        return machine.found(path, "chrome")
    for kind in preference(machine, profile):
        path = _first(machine, _places(machine, kind), tried) or _registered(machine, kind, tried)
        if path is not None:
            return machine.found(path, kind)
    everywhere = "no Chrome, Edge, Chromium or Brave found. Install one, or give its path (CHROME_PATH). Tried: "
    raise BrowserNotFound(everywhere + ", ".join(tried))


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
    return machine.found(path)


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


def _places(machine: Machine, kind: Kind) -> list[str]:
    """Where to look, in order."""
    if machine.platform == "win32":
        bases = dict.fromkeys(value for name in WINDOWS_BASES if (value := machine.variable(name)))
        fixed = [str(PureWindowsPath(base, WINDOWS_PLACES[kind])) for base in bases]
        # A chrome.exe on PATH is not told from Chromium's; the kind asked for first gets it.
        return [*fixed, WINDOWS_NAMES[kind]] if kind in WINDOWS_NAMES else fixed
    if machine.platform == "darwin":
        return [*_apps(machine, MAC_APPS[kind]), *(place for place in LINUX[kind] if "/" not in place)]
    return list(LINUX[kind])


def _apps(machine: Machine, app: str) -> list[str]:
    home = machine.variable("HOME")
    folders = ["/Applications", *([f"{home}/Applications"] if home else [])]
    return [f"{folder}/{app}.app/Contents/MacOS/{app}" for folder in folders]


def _registered(machine: Machine, kind: Kind, tried: list[str]) -> PurePath | None:
    if machine.registry is None or kind not in WINDOWS_NAMES:
        return None
    tried.append(rf"registry App Paths\{WINDOWS_NAMES[kind]}")
    value = machine.registry(WINDOWS_NAMES[kind])
    return _first(machine, [value.strip('"')], tried) if value else None


def _first(machine: Machine, places: Sequence[str], tried: list[str]) -> PurePath | None:
    """The first of these places, or bare names on PATH, where a program is."""
    for text in places:
        path = machine.place(text)
        if len(path.parts) > 1:
            tried.append(text)
            candidates = [path]
        else:
            tried.append(f"{text} on PATH")
            folders = machine.variable("PATH").split(";" if machine.platform == "win32" else ":")
            # A relative entry of PATH would let the working folder choose the browser.
            candidates = [place / text for folder in folders if (place := machine.place(folder)).is_absolute()]
        for candidate in candidates:
            if machine.problem(candidate) is None:
                return candidate
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
