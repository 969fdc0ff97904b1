"""Whether the API answers from here, asked by the same client that pictures go by; costs nothing."""

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.profiles import address, choose_profile
from cdp_image_mcp.openai.refusals.failures import judge
from cdp_image_mcp.openai.wire.exchange import Line


class Reach(msgspec.Struct, frozen=True):
    """What was found."""

    level: Literal["ok", "warning", "failed"]
    message: str
    advice: str = ""


async def reach(settings: Settings, *, key: bool) -> Reach:
    """Ask for the list of models (``GET …/models``), encrypted as pictures are, with or without the key. Without it any
    answer shows that the way is open. Raises nothing for what can go wrong; ``advice`` says what to do about it."""
    host = urlsplit(settings.base_url).netloc
    try:
        models_at = address(choose_profile(settings), settings, "/models")
        stranger = msgspec.structs.replace(settings, api_key=None)
        status, body, by = await Line(settings if key else stranger).ask(models_at)
    except ImageError as error:
        return Reach("failed", error.message, error.next_step)
    answers = f"{host} answers{by}"
    models = _listed(body) if status == 200 else None
    if models is not None:
        return _about(settings.model, models, answers)
    # Restricted keys may not list, deployments and small servers have no list; pictures may be made all the same.
    if status in {200, 403, 404, 405} or (not key and status == 401):
        return Reach("ok", f"{answers} (HTTP {status}, no list of models).")
    error = judge(status, {}, None, body.decode("utf-8", "replace"), key=settings.api_key).error
    return Reach("warning" if status >= 500 else "failed", f"{host}: {error.message}", error.next_step)


def _listed(body: bytes) -> tuple[str, ...] | None:
    try:
        return tuple(str(entry["id"]) for entry in msgspec.json.decode(body)["data"])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return None


def _about(model: str, models: tuple[str, ...], answers: str) -> Reach:
    if model in models:
        return Reach("ok", f"{answers} and lists {model}.")
    painters = [name for name in models if "image" in name][:8]
    advice = "Lists lag behind new models. If pictures fail too, set GPT_IMAGE_MODEL to one that is listed"
    advice += f": {', '.join(painters)}." if painters else "."
    return Reach("warning", f"{answers}; its {len(models)} models do not include {model}.", advice)
