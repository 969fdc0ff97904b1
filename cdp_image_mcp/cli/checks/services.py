"""The two ways to make pictures: which comes first, the sign-in, the key, and the line to each as pictures take it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import msgspec

from cdp_image_mcp.cli.checks.check import Check, fallen_over
from cdp_image_mcp.config import APP_NAME, PLACES, Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.holding import studio_apart
from cdp_image_mcp.system.plaintext import clean
from cdp_image_mcp.system.turns import Turns

if TYPE_CHECKING:
    from cdp_image_mcp.chatgpt.backend import WebBackend


def sign_in(settings: Settings) -> Check:
    """Only whether there ever was a sign-in can be told without asking the site; ``--probe`` asks."""
    profile = settings.profile_dir / "Default"
    if any((profile / name).exists() for name in ("Network/Cookies", "Cookies")):
        return Check("sign-in", "ok", "The profile has been used; whether it is signed in, --probe finds out.")
    advice = f"Run '{APP_NAME} login' once, or use the API back end."
    return Check("sign-in", "warning", "Nobody has signed in with this profile yet.", advice, person=True)


def key(settings: Settings) -> Check:
    if settings.api_key:
        return Check("API key", "ok", f"OPENAI_API_KEY is set; model {settings.model} at {settings.base_url}.")
    from cdp_image_mcp.openai.profiles import choose_profile, key_missing

    try:
        if settings.backend != "chatgpt-web" and not key_missing(settings):
            name = choose_profile(settings).name
            return Check("API key", "ok", f"{name} wants none; model {settings.model} at {settings.base_url}.")
    except ImageError as error:
        advice = "Correct OPENAI_COMPAT or OPENAI_BASE_URL."
        return Check("API key", "failed", clean(error.message, 1000), advice, person=True)
    if settings.backend == "api":
        advice = "Set it, or GPT_IMAGE_BACKEND=chatgpt-web."
        return Check("API key", "failed", "OPENAI_API_KEY is not set.", advice, person=True)
    return Check("API key", "ok", "OPENAI_API_KEY is not set; pictures are made by ChatGPT in the browser.")


async def api_line(settings: Settings, *, with_key: bool = False) -> Check:
    """Whether the API answers, without the key; or with it, by the list of models, which costs nothing."""
    from cdp_image_mcp.openai.reach import reach

    found = await reach(settings, key=with_key)
    name = "probe, API" if with_key else "network, API"
    # Behind a way that was found open before, only the key can be wrong.
    return Check(name, found.level, found.message, found.advice, person=with_key and found.level == "failed")


async def site_line(settings: Settings) -> Check:
    """Whether the site answers by the same proxy and certificates; any answer will do, nobody is signed in."""
    from cdp_image_mcp.openai.wire.exchange import Line

    stranger = msgspec.structs.replace(settings, api_key=None, base_url=settings.web_url, compat=None)
    try:
        status, _, by = await Line(stranger).ask(settings.web_url)
    except ImageError as error:
        return Check("network, site", "failed", error.message, error.next_step, person=error.code != "network")
    return Check("network, site", "ok", f"{urlsplit(settings.web_url).netloc} answers{by} (HTTP {status}).")


async def probe(settings: Settings, on_position: Callable[[int], None]) -> list[Check]:
    """What is used in the page, looked for there. ``on_position`` is told the place in the queue."""
    try:
        settings.require_usable(*PLACES)
        async with studio_apart(settings) as studio:
            backend = cast("WebBackend", studio.backend("chatgpt-web"))
            async with Turns(settings.profile_dir).take(on_position):
                found = await backend.probe()
    except ImageError as error:
        person = error.code in {"needs_sign_in", "verification_required"}
        return [Check("probe", "failed", clean(error.message, 1000), error.next_step, person=person)]
    except Exception as error:  # noqa: BLE001  the other findings are told all the same
        return [fallen_over("probe", error)]
    advice = "The site may have changed: update, or set CHATGPT_SITE_FILE; then restart the client."
    return [
        Check(f"probe, {role}", "ok" if there else "warning", clean(how), "" if there else advice)
        for role, there, how in found
    ]
