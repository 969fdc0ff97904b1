"""The API back end: pictures from the images endpoint of OpenAI or of a server that speaks its language."""

from datetime import date
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.bill import Bill
from cdp_image_mcp.openai.generation import MOST_STREAMS, Generation, Means
from cdp_image_mcp.openai.models import MODELS, end_warning, find_model
from cdp_image_mcp.openai.plan import Plan, estimate_cost, estimate_tokens, make_plan
from cdp_image_mcp.openai.prices import Range
from cdp_image_mcp.openai.profiles import Profile, address, choose_profile, key_missing, profile_problem
from cdp_image_mcp.openai.wire.download import Downloader, Resolve, resolve
from cdp_image_mcp.openai.wire.exchange import Line
from cdp_image_mcp.openai.wire.pacing import Jitter, Pace, full_jitter
from cdp_image_mcp.openai.wire.proxy import proxy_for
from cdp_image_mcp.request import ImageRequest, Report

__all__ = ["ApiBackend", "most_usd"]

ASSUMED = MODELS["gpt-image-2"]
"""Whose figures stand in for a model without any: the dearest tokens per picture in the table."""


class ApiBackend:
    """Makes pictures through ``POST /images/generations`` and ``/images/edits``. One object per process.

    Nothing is opened before the first request. ``jitter`` and ``resolver`` are for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        jitter: Jitter = full_jitter,
        resolver: Resolve = resolve,
    ) -> None:
        self._settings = settings
        self._jitter = jitter
        self._downloader = Downloader(urlsplit(settings.base_url).hostname or "", resolver)
        self._line: Line | None = None
        self._pace = Pace()
        self._streams = anyio.CapacityLimiter(MOST_STREAMS)

    def __repr__(self) -> str:
        return f"ApiBackend(model={self._settings.model!r})"

    # --- before anything is sent ------------------------------------------------------------------------------

    def check(self, request: ImageRequest) -> None:
        """Raise ImageError ``invalid_input`` naming the field and what the model takes, ``configuration``, or
        ``api_key_missing``. Sends nothing; reads the mask's header from disk."""
        profile = choose_profile(self._settings)
        self._require_key()
        make_plan(request, self._settings.model, profile)

    def estimate(self, request: ImageRequest) -> dict[str, Any]:
        """What ``request`` would cost, in dollars, as a range: ``cost_usd_low`` and ``cost_usd_high`` are None where no
        price is known. Raises ImageError ``invalid_input`` or ``configuration``."""
        profile = choose_profile(self._settings)
        plan = make_plan(request, self._settings.model, profile)
        spread = _spread(request, plan, profile)
        tokens = estimate_tokens(plan.model, request.size, request.quality)
        return {
            "model": self._settings.model,
            "n": request.n,
            "size": plan.parameters.get("size", plan.parameters.get("aspect_ratio", "auto")),
            "quality": request.quality,
            "requests": plan.requests,
            "output_tokens_low": round(tokens.low) if tokens else None,
            "output_tokens_high": round(tokens.high) if tokens else None,
            "cost_usd_low": round(spread.low, 4) if spread else None,
            "cost_usd_high": round(spread.high, 4) if spread else None,
            "basis": _basis(plan, profile, known=spread is not None),
        }

    def _require_key(self) -> None:
        if key_missing(self._settings):
            raise ImageError("api_key_missing", "OPENAI_API_KEY is not set. Nothing was sent.")

    # --- Backend ----------------------------------------------------------------------------------------------

    async def generate(self, request: ImageRequest, report: Report, /) -> None:
        """See :class:`~cdp_image_mcp.request.Backend`. Cancelling cuts the connection; what had left by then may be
        billed and is recorded so (``spent`` is ``"unknown"``)."""
        profile = choose_profile(self._settings)
        self._require_key()
        plan = await anyio.to_thread.run_sync(make_plan, request, self._settings.model, profile)
        worst = _most_usd(request, plan, profile) / plan.requests
        generation = Generation(
            request,
            report,
            plan,
            self._means(profile),
            url=address(profile, self._settings, profile.edits if plan.edit else profile.generations),
            key=self._settings.api_key,
            deadline=anyio.current_time() + report.time_left,
            bill=Bill(plan.model.price, profile.cost, worst),
        )
        await generation.run()

    def _means(self, profile: Profile) -> Means:
        if self._line is None:
            self._line = Line(self._settings, profile)
        return Means(
            self._line, self._pace, self._downloader, self._streams, self._jitter, self._settings.resend_unclear
        )

    async def status(self) -> dict[str, Any]:
        """Facts for ``backend_status``: ``configured``, ``ready``, ``message``, ``details``. Sends nothing: whether the
        key is accepted shows with the first picture."""
        settings = self._settings
        problem = profile_problem(settings)
        details: dict[str, Any] = {"model": settings.model, "output_root": str(settings.output_dir)}
        details["host"] = urlsplit(settings.base_url).hostname
        if proxy := proxy_for(settings.base_url):
            details["proxy"] = proxy.shown
        if problem is not None:
            return _status(False, f"{problem.variable}: {problem.message}", details)
        profile = choose_profile(settings)
        configured = not key_missing(settings)
        model = find_model(settings.model)
        details |= {"server": profile.name, "edits": profile.form, "model_known": bool(model.price)}
        if warning := end_warning(model, date.today()):  # noqa: DTZ011 - the vendor names days, not hours
            details["warnings"] = [warning]
        if model.ends is not None:
            details["model_ends"] = model.ends.isoformat()
        if configured:
            sample = ImageRequest(prompt="a picture", backend="api", quality="medium", size="1024x1024")
            details["estimate"] = self.estimate(sample)
        message = "OPENAI_API_KEY is configured." if settings.api_key else f"{profile.name} needs no key."
        if not configured:
            message = "Set OPENAI_API_KEY to use the API back end."
        return _status(configured, message, details)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        line, self._line = self._line, None
        if line is not None:
            await line.aclose()
        await self._downloader.aclose()


def _status(configured: bool, message: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"configured": configured, "ready": configured, "message": message, "details": details}


def most_usd(settings: Settings, request: ImageRequest) -> float:
    """Dollars that ``request`` may cost at most; a model without a price counts as the dearest one known. Raises
    ImageError ``invalid_input`` or ``configuration``. Blocking."""
    profile = choose_profile(settings)
    return _most_usd(request, make_plan(request, settings.model, profile), profile)


def _most_usd(request: ImageRequest, plan: Plan, profile: Profile) -> float:
    spread = _spread(request, plan, profile)
    if spread is None:
        quality = request.quality if request.quality in {"low", "medium", "high"} else "high"
        spread = estimate_cost(msgspec.structs.replace(plan, model=ASSUMED), "auto", quality, request.n)
    return spread.high if spread is not None else 0.0


def _spread(request: ImageRequest, plan: Plan, profile: Profile) -> Range | None:
    """What it may cost, None where no price is known."""
    return Range(0.0, 0.0) if profile.cost == "free" else estimate_cost(plan, request.size, request.quality, request.n)


def _basis(plan: Plan, profile: Profile, *, known: bool) -> str:
    if profile.cost == "free":
        return f"{profile.name} asks for no money"
    price = plan.model.price
    if not known or price is None:
        return f"no price is known for {plan.parameters['model']}"
    return f"prices of {price.seen} ({price.source})"
