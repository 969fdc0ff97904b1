"""The command line of the browser: each switch with its reason.

Which switches exist was checked in the strings of Chromium 156 (Linux), 2026-11.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Mode = Literal["headless", "hidden", "visible"]

# Every start, driven or not.
COMMON: tuple[tuple[str, str], ...] = (
    ("--no-first-run", "no welcome page"),
    ("--no-default-browser-check", "no question whether to be the default browser"),
    ("--disable-search-engine-choice-screen", "the choice screen of the EEA blocks the first start"),
    ("--hide-crash-restore-bubble", "no 'Restore pages?' after a kill; touches no file of the profile"),
)
# One choice for the life of a profile, headless and headed alike: another store means another key, and then the
# cookies cannot be read: the sign-in would be lost. "basic" asks no keyring. macOS and Windows keep their own store.
PASSWORD_STORE: dict[str, str] = {"linux": "--password-store=basic"}
# Starts that are driven.
DRIVEN: tuple[tuple[str, str], ...] = (
    ("--no-startup-window", "no window and no blank tab until a page makes one; the browser outlives its last window"),
    ("--metrics-recording-only", "usage figures are not sent"),
    ("--disable-breakpad", "crash reports are not sent"),
)
# By system.
SYSTEM: dict[str, tuple[tuple[str, str], ...]] = {
    "win32": (
        (
            "--do-not-de-elevate",
            "Chrome 138 starts itself anew without an administrator's rights and leaves our pipe (playwright #36879)",
        ),
        ("--disable-background-mode", "Edge stays behind its last window and keeps the profile (Startup Boost)"),
    ),
}
HEADLESS: dict[str, tuple[tuple[str, str], ...]] = {
    "win32": (
        (
            "--window-position=-32000,-32000",
            "headless leaves an empty frame in the corner of the screen (chromium 359921643, agent-browser #1498)",
        ),
    ),
}
# Features that are off in every start, a person's window too: it is the same profile.
DISABLED_FEATURES: tuple[tuple[str, str], ...] = (
    ("MediaRouter", "macOS asks for the local network and the firewall (playwright #8162)"),
    ("OptimizationHints", "39 MB into each new profile (zendriver #274)"),
    ("OptimizationGuideModelDownloading", "the same; weights of about 4 GB since Chrome 148 (brozzler #476)"),
    ("OptimizationGuideOnDeviceModel", "the same"),
)
DRIVEN_FEATURES: tuple[tuple[str, str], ...] = (
    ("Translate", "the bubble lies over the page"),
    ("CPUMeasurementInFreezingPolicy", "Chrome 151 suspends minimised pages, our commands too (slicc #2138)"),
    ("MemoryMeasurementInFreezingPolicy", "the same"),
    (
        "CalculateNativeWinOcclusion",
        "Windows: covered or off-screen windows would be taken for hidden and stop painting",
    ),
    (
        "WebUIOmniboxPopup",
        "two pages ready for the address bar take 0.7 s of processor time and 160 MB (Chromium 156, 2026-11-27)",
    ),
    ("WebUIOmniboxAimPopup", "the same"),
)
WINDOWED: tuple[tuple[str, str], ...] = (
    ("--disable-backgrounding-occluded-windows", "a covered or put-away window keeps working"),
    ("--disable-renderer-backgrounding", "the same for its renderer's priority"),
)
FEATURES = "--disable-features="


def driven(
    profile: Path,
    mode: Mode,
    *,
    platform: str,
    window_size: tuple[int, int],
    debug_port: int = 0,
    extra: Sequence[str] = (),
) -> list[str]:
    """The arguments of a browser that will be driven. ``profile`` must be absolute: a relative one can hang Chrome."""
    arguments = [
        # Port 0: a taken fixed port makes Chrome listen on [::1] only, silently; and loopback is all it ever binds to.
        f"--remote-debugging-port={debug_port}",
        *_shared(profile, platform),
        *(switch for switch, _reason in DRIVEN),
        f"--window-size={window_size[0]},{window_size[1]}",
    ]
    if mode == "headless":
        arguments += ["--headless=new", *(switch for switch, _reason in HEADLESS.get(platform, ()))]
    else:
        arguments.extend(switch for switch, _reason in WINDOWED)
    return _merge(arguments, (*DISABLED_FEATURES, *DRIVEN_FEATURES), extra)


def plain(profile: Path, url: str, *, platform: str, extra: Sequence[str] = ()) -> list[str]:
    """The arguments of an ordinary window: no debugging switch at all, not even one that is only handed through."""
    own = [switch for switch in extra if not _debugging(switch)]
    return [*_merge(_shared(profile, platform), DISABLED_FEATURES, own), url]


def _shared(profile: Path, platform: str) -> list[str]:
    store = PASSWORD_STORE.get("linux" if platform.startswith("linux") else platform)
    reasoned = (*COMMON, *SYSTEM.get(platform, ()))
    return [f"--user-data-dir={profile}", *(switch for switch, _reason in reasoned), *([store] if store else [])]


def _merge(arguments: Sequence[str], features: Sequence[tuple[str, str]], extra: Sequence[str]) -> list[str]:
    """Extra arguments last, so that they win; lists of disabled features united, because only the last one counts."""
    wanted = [name for name, _reason in features]
    rest: list[str] = []
    for switch in extra:
        if switch.startswith(FEATURES):
            wanted.extend(name for name in switch.removeprefix(FEATURES).split(",") if name)
        else:
            rest.append(switch)
    return [*arguments, FEATURES + ",".join(dict.fromkeys(wanted)), *rest]


def _debugging(switch: str) -> bool:
    return switch.startswith(("--remote-debugging", "--remote-allow-origins", "--headless", "--enable-automation"))
