"""The command line of the browser: each switch with its reason.

Which switches exist was checked in the strings of Chromium 156 (Linux), 2026-11.
"""

from collections.abc import Sequence
from pathlib import Path

from cdp_image_mcp.cdp.launching.options import LaunchOptions

# Every start, driven or not.
COMMON = (
    "--no-first-run",  # no welcome page
    "--no-default-browser-check",  # no question whether to be the default browser
    "--disable-search-engine-choice-screen",  # the choice screen of the EEA blocks the first start
    "--hide-crash-restore-bubble",  # no 'Restore pages?' after a kill; touches no file of the profile
)
# One choice for the life of a profile, headless and headed alike: another store means another key, and then the
# cookies cannot be read: the sign-in would be lost. "basic" asks no keyring. macOS and Windows keep their own store.
LINUX = ("--password-store=basic",)
WINDOWS = (
    # Chrome 138 starts itself anew without an administrator's rights and leaves our pipe (playwright #36879).
    "--do-not-de-elevate",
    "--disable-background-mode",  # Edge stays behind its last window and keeps the profile (Startup Boost)
)
# Headless leaves an empty frame in the corner of the screen there (chromium 359921643, agent-browser #1498).
WINDOWS_HEADLESS = "--window-position=-32000,-32000"
# Starts that are driven.
DRIVEN = (
    "--no-startup-window",  # no window and no blank tab until a page makes one; the browser outlives its last window
    "--metrics-recording-only",  # usage figures are not sent
    "--disable-breakpad",  # crash reports are not sent
    "--window-size=1280,900",
)
WINDOWED = (
    "--disable-backgrounding-occluded-windows",  # a covered or put-away window keeps working
    "--disable-renderer-backgrounding",  # the same for its renderer's priority
)
# Features that are off in every start, a person's window too: it is the same profile.
DISABLED_FEATURES = (
    "MediaRouter",  # macOS asks for the local network and the firewall (playwright #8162)
    "OptimizationHints",  # 39 MB into each new profile (zendriver #274)
    "OptimizationGuideModelDownloading",  # the same; weights of about 4 GB since Chrome 148 (brozzler #476)
    "OptimizationGuideOnDeviceModel",  # the same
)
DRIVEN_FEATURES = (
    "Translate",  # the bubble lies over the page
    "CPUMeasurementInFreezingPolicy",  # Chrome 151 suspends minimised pages, our commands too (slicc #2138)
    "MemoryMeasurementInFreezingPolicy",  # the same
    "CalculateNativeWinOcclusion",  # Windows: covered or off-screen windows would be taken for hidden and stop painting
    # Two pages ready for the address bar take 0.7 s of processor time and 160 MB (Chromium 156, 2026-11-27).
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
)
FEATURES = "--disable-features="
DEBUGGING = ("--remote-debugging", "--remote-allow-origins", "--headless", "--enable-automation")


def driven(options: LaunchOptions, *, platform: str) -> list[str]:
    """The arguments of a browser that will be driven."""
    arguments = [
        # Port 0: a taken fixed port makes Chrome listen on [::1] only, silently; and loopback is all it ever binds to.
        f"--remote-debugging-port={options.debug_port}",
        *_shared(options.profile, platform),
        *DRIVEN,
    ]
    if options.mode != "headless":
        arguments += WINDOWED
    else:
        arguments += ["--headless=new", *([WINDOWS_HEADLESS] if platform == "win32" else [])]
    return _merge(arguments, (*DISABLED_FEATURES, *DRIVEN_FEATURES), options.extra_args)


def plain(options: LaunchOptions, url: str, *, platform: str) -> list[str]:
    """The arguments of an ordinary window: no debugging switch at all, not even one that is only handed through."""
    own = [switch for switch in options.extra_args if not switch.startswith(DEBUGGING)]
    return [*_merge(_shared(options.profile, platform), DISABLED_FEATURES, own), url]


def _shared(profile: Path, platform: str) -> list[str]:
    own = WINDOWS if platform == "win32" else LINUX if platform.startswith("linux") else ()
    return [f"--user-data-dir={profile}", *COMMON, *own]


def _merge(arguments: Sequence[str], features: Sequence[str], extra: Sequence[str]) -> list[str]:
    """Extra arguments last, so that they win; lists of disabled features united, because only the last one counts."""
    wanted = list(features)
    rest: list[str] = []
    for switch in extra:
        if switch.startswith(FEATURES):
            wanted.extend(name for name in switch.removeprefix(FEATURES).split(",") if name)
        else:
            rest.append(switch)
    return [*arguments, FEATURES + ",".join(dict.fromkeys(wanted)), *rest]
