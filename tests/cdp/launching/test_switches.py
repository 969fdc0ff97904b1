"""The browser's command line."""

from dataclasses import replace
from pathlib import Path

from cdp_image_mcp.cdp.launching import switches
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser
from cdp_image_mcp.cdp.launching.options import LaunchOptions, Mode

BROWSER = FoundBrowser(Path("/usr/bin/chromium"), "chromium", snap=False)
OPTIONS = LaunchOptions(browser=BROWSER, profile=Path("/profiles/one"))


def driven(mode: Mode = "headless", platform: str = "linux", extra: tuple[str, ...] = ()) -> list[str]:
    return switches.driven(replace(OPTIONS, mode=mode, extra_args=extra), platform=platform)


def plain(platform: str = "linux", extra: tuple[str, ...] = ()) -> list[str]:
    return switches.plain(replace(OPTIONS, extra_args=extra), "https://site.example/login", platform=platform)


def test_the_users_disabled_features_are_united_with_ours_in_one_switch() -> None:
    lists = [
        switch for switch in driven(extra=("--disable-features=Foo,Translate", "--lang=de")) if "features" in switch
    ]
    (features,) = lists
    assert features.startswith("--disable-features=MediaRouter,")
    assert features.endswith(",Foo")
    assert features.count("Translate") == 1


def test_extra_arguments_come_last() -> None:
    assert driven(extra=("--lang=de", "--no-sandbox"))[-2:] == ["--lang=de", "--no-sandbox"]


def test_the_password_store_is_the_same_in_every_mode() -> None:
    every = [driven("headless"), driven("hidden"), driven("visible"), plain()]
    assert all("--password-store=basic" in arguments for arguments in every)
    assert not any("password" in switch for switch in driven(platform="darwin"))


def test_a_persons_window_loads_no_models_into_the_profile_either() -> None:
    window = plain()
    (features,) = [switch for switch in window if switch.startswith("--disable-features=")]
    assert {"OptimizationGuideOnDeviceModel", "MediaRouter"} <= set(features.partition("=")[2].split(","))


def test_no_sandbox_is_never_ours() -> None:
    assert not any("sandbox" in switch for switch in [*driven(), *driven("visible")])


def test_only_headless_is_headless() -> None:
    assert "--headless=new" in driven("headless")
    assert not any("headless" in switch for switch in driven("visible"))


def test_an_ordinary_window_has_no_debugging_switch_even_when_asked() -> None:
    arguments = plain(extra=("--remote-debugging-port=9222", "--headless", "--enable-automation", "--lang=de"))
    assert not any("remote" in switch or "headless" in switch or "automation" in switch for switch in arguments)
    assert "--lang=de" in arguments
    assert arguments[-1] == "https://site.example/login"


def test_windows_alone_gets_what_only_windows_needs() -> None:
    ours = {"--do-not-de-elevate", "--disable-background-mode", "--window-position=-32000,-32000"}
    assert ours <= set(driven(platform="win32"))
    assert "--window-position=-32000,-32000" not in driven("hidden", "win32")
    assert not ours & {*driven(), *driven(platform="darwin"), *driven("visible")}
    assert "--disable-background-mode" in plain("win32")
