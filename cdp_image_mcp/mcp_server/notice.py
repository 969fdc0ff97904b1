"""What is said once in the life of an installation: that a key pays where nobody chose it to."""

from typing import Any

from cdp_image_mcp.config import Settings
from cdp_image_mcp.library.record import Record

__all__ = ["first_payment"]

MARK = "told-that-the-key-pays"
PAID = (
    "Tell the user once: OPENAI_API_KEY paid for this picture, because a key comes first with GPT_IMAGE_BACKEND=auto; "
    "GPT_IMAGE_BACKEND=chatgpt-web uses the ChatGPT plan instead."
)


def first_payment(record: Record, settings: Settings) -> dict[str, Any]:
    """The ``next`` of the first picture that ``auto`` had made for money, of all processes; nothing for the others."""
    by_surprise = record.requested_backend == "auto" and record.backend == "api" and settings.api_key
    if not (by_surprise and record.state == "saved"):
        return {}
    try:
        with (settings.profile_dir.parent / MARK).open("x"):
            return {"next": PAID}
    except OSError:  # told already, or no place to remember it: not again with every picture
        return {}
