"""The API back end: pictures from the images endpoint of OpenAI or of a server that speaks its language."""

from datetime import date
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread

from cdp_image_mcp.config import Settings
from cdp_image_mcp.openai.estimate import estimate
from cdp_image_mcp.openai.generation import Generation, Means
from cdp_image_mcp.openai.models import end_of, end_warning, find_model
from cdp_image_mcp.openai.profiles import choose_profile, key_missing, profile_problem
from cdp_image_mcp.openai.wire.proxy import proxy_for
from cdp_image_mcp.request import ImageRequest, Report


class ApiBackend:
    """Makes pictures through ``POST /images/generations`` and ``/images/edits``. One object per process.

    Nothing is opened before the first request.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._means = Means(settings)

    # --- Backend ----------------------------------------------------------------------------------------------

    async def generate(self, request: ImageRequest, report: Report, /) -> None:
        """See :class:`~cdp_image_mcp.request.Backend`. Cancelling cuts the connection; what had left by then may be
        billed and is recorded so (``spent`` is ``"unknown"``)."""
        await Generation(request, report, self._means).run()

    async def status(self) -> dict[str, Any]:
        """Facts for ``backend_status``: ``configured``, ``ready``, ``message``, ``details``. Sends nothing: whether the
        key is accepted shows with the first picture."""
        settings = self._settings
        details: dict[str, Any] = {"model": settings.model, "host": urlsplit(settings.base_url).hostname}
        if proxy := await anyio.to_thread.run_sync(proxy_for, settings.base_url):
            details["proxy"] = proxy.shown
        if (problem := profile_problem(settings)) is not None:
            return _status(False, f"{problem.variable}: {problem.message}", details)
        profile, model = choose_profile(settings), find_model(settings.model)
        details |= {"server": profile.name, "edits": profile.form, "model_known": bool(model.price)}
        if warning := end_warning(model, date.today(), azure=profile.azure):  # noqa: DTZ011 - a day, not an hour
            details["warnings"] = [warning]
        if (ends := end_of(model, azure=profile.azure)) is not None:
            details["model_ends"] = ends.isoformat()
        if key_missing(settings):
            return _status(False, "Set OPENAI_API_KEY to use the API back end.", details)
        sample = ImageRequest(prompt="a picture", backend="api", quality="medium", size="1024x1024")
        details["estimate"] = estimate(settings, sample)
        key = "OPENAI_API_KEY is configured." if settings.api_key else f"{profile.name} needs no key."
        return _status(True, key, details)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self._means.line.aclose()
        await self._means.downloader.aclose()


def _status(configured: bool, message: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"configured": configured, "ready": configured, "message": message, "details": details}
