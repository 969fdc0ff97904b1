"""What to do about a refusal, by what had been asked and of whom: said where the answer alone does not tell."""

from datetime import date

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.models import able, end_warning, successor
from cdp_image_mcp.openai.plan import Plan


def advise(error: ImageError, plan: Plan, today: date) -> None:
    """Put the next step into ``error`` where ``plan`` knows a better one."""
    asked = plan.parameters
    if error.code == "model_unavailable":
        ended = end_warning(plan.model, today, azure=plan.profile.azure) or successor(plan.model)
        error.next_step = f"{ended} Allowing a model in the project's limits counts after about 30 s."
    elif plan.edit and error.details.get("http_status") in {404, 405, 501}:
        error.next_step = (
            "The server may draw without taking pictures in. Leave reference_images and continue_from out, or ask the "
            "user about OPENAI_BASE_URL (most end in /v1) and OPENAI_COMPAT (localai takes pictures with generations)."
        )
    elif error.code != "invalid_input":
        return
    elif asked.get("background") == "transparent" and _speaks_of(error, "background", "transparent"):
        others = able(lambda model: model.transparent)
        error.next_step = f"Leave background out, or ask the user to set GPT_IMAGE_MODEL to one that can: {others}."
    elif (kind := asked.get("output_format")) in {"gif", "svg"} and _speaks_of(error, "output_format", kind):
        error.next_step = "Take png: gif and svg are a preview that the vendor opens for some projects only."


def _speaks_of(error: ImageError, param: str, word: str) -> bool:
    return error.details.get("param") == param or word in str(error.details.get("text", "")).lower()
