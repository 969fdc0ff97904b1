"""One line of the report."""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from cdp_image_mcp.system.plaintext import clean


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """``advice`` says what to do when it is not ok; ``person``: only a person can, and pictures have to wait for it."""

    name: str
    level: Literal["ok", "warning", "failed"]
    message: str
    advice: str = ""
    person: bool = False


async def guarded(name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    """A check that falls over is a finding, and the others still run."""
    try:
        return await check()
    except Exception as error:  # noqa: BLE001  whatever it is, it is told
        return fallen_over(name, error)


def fallen_over(name: str, error: Exception) -> Check:
    if isinstance(error, OSError) and error.filename is not None:
        advice = "Correct its rights, or name another place (GPT_IMAGE_OUTPUT_DIR, CHATGPT_WEB_PROFILE_DIR)."
        return Check(name, "failed", clean(f"{error.filename}: {error.strerror}.", 1000), advice, person=True)
    return Check(name, "failed", clean(f"{type(error).__name__}: {error}"), "Report this with the whole output.")
