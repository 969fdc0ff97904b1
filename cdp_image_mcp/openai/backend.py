"""The API back end: pictures from the images endpoint of OpenAI or of a server that speaks its language."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.bill import Bill
from cdp_image_mcp.openai.generation import MOST_STREAMS, Generation, Means
from cdp_image_mcp.openai.models import MODELS, end_warning, find_model
from cdp_image_mcp.openai.plan import Plan, estimate_cost, estimate_tokens, make_plan
from cdp_image_mcp.openai.prices import Range
from cdp_image_mcp.openai.profiles import Profile, address, choose_profile, key_missing, profile_problem
from cdp_image_mcp.openai.purse import Purse, SetAside
from cdp_image_mcp.openai.wire.download import Downloader, Resolve, resolve
from cdp_image_mcp.openai.wire.exchange import Line
from cdp_image_mcp.openai.wire.pacing import Jitter, Pace, full_jitter
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.system.day import next_midnight, seconds_until
from cdp_image_mcp.system.tasks import shielded

__all__ = ["ApiBackend"]

BILLING_REST = 60.0
"""Seconds for which an account without credit is left alone. Short: nothing says when the user has paid, asking costs
nothing, and whoever has just paid must not be kept waiting."""

ASSUMED = MODELS["gpt-image-2"]
"""Whose figures stand in for a model without any: the dearest tokens per picture in the table."""


class ApiBackend:
    """Makes pictures through ``POST /images/generations`` and ``/images/edits``. One object per process.

    Nothing is opened before the first request. ``jitter`` and ``resolver`` are for tests.
    """

    def __init__(
        self,
        settings: Settings,
        purse: Purse,
        *,
        jitter: Jitter = full_jitter,
        resolver: Resolve = resolve,
    ) -> None:
        self._settings = settings
        self._purse = purse
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
        spread, basis = self._spread(request, plan, profile)
        tokens = estimate_tokens(plan.model, request.size, request.quality)
        return {
            "model": self._settings.model,
            "n": request.n,
            "size": plan.parameters.get("size", plan.parameters.get("aspect_ratio", "auto")),
            "quality": request.quality,
            "requests": plan.requests,
            "partial_images": plan.partials,
            "output_tokens_low": round(tokens.low) if tokens else None,
            "output_tokens_high": round(tokens.high) if tokens else None,
            "cost_usd_low": round(spread.low, 4) if spread else None,
            "cost_usd_high": round(spread.high, 4) if spread else None,
            "basis": basis,
        }

    def _spread(self, request: ImageRequest, plan: Plan, profile: Profile) -> tuple[Range | None, str]:
        if profile.cost == "free":
            return Range(0.0, 0.0), f"{profile.name} asks for no money"
        known = estimate_cost(plan, request.size, request.quality, request.n)
        if known is not None and plan.model.price is not None:
            return known, f"prices of {plan.model.price.seen} ({plan.model.price.source})"
        return None, f"no price is known for {self._settings.model}"

    def _worst_case(self, request: ImageRequest, plan: Plan, profile: Profile) -> Range | None:
        """For budgets: a model without a price counts as the dearest one known."""
        spread, _ = self._spread(request, plan, profile)
        if spread is not None:
            return spread
        quality = request.quality if request.quality in {"low", "medium", "high"} else "high"
        return estimate_cost(_as_assumed(plan), "auto", quality, request.n)

    def _require_key(self) -> None:
        if key_missing(self._settings):
            raise ImageError("api_key_missing", "OPENAI_API_KEY is not set. Nothing was sent.")

    @asynccontextmanager
    async def _within_budget(self, generation_id: str, spread: Range | None) -> AsyncGenerator[None]:
        """Dollars set aside before anything is sent: requests that run at once, here or in other processes, would each
        find the day's rest untouched. Raises ImageError ``billing``."""
        budget = self._settings.budget_usd
        if budget is None or (spread is not None and spread.high <= 0):
            yield
            return
        needed = spread.high if spread else 0.0
        day: SetAside | None = None
        try:
            day = await self._purse.reserve(generation_id, needed, budget)
            if not day.granted:
                raise _beyond_budget(day, budget, needed)
            yield
        finally:
            if day is None or day.granted:
                with shielded():
                    await self._purse.release(generation_id)

    async def _respect_rest(self, deadline: float) -> bool:
        """Whether a rest is on. A limit whose end is known is waited for, or told when it ends too late."""
        rest = await self._purse.resting("api")
        if rest is None or rest.code != "rate_limited":
            return rest is not None
        left = seconds_until(rest.reset_at)
        if left > 0 and anyio.current_time() + left >= deadline:
            raise ImageError(
                "rate_limited",
                "The API's limit has not cleared yet. Nothing was sent.",
                retry_after_seconds=left,
                reset_at=rest.reset_at,
            )
        if left > 0:
            self._pace.hold(left)
        return True

    # --- Backend ----------------------------------------------------------------------------------------------

    async def generate(self, request: ImageRequest, report: Report, /) -> None:
        """See :class:`~cdp_image_mcp.request.Backend`. Cancelling cuts the connection; what had left by then may be
        billed and is recorded so (``spent`` is ``"unknown"``)."""
        deadline = min(anyio.current_effective_deadline(), anyio.current_time() + request.timeout_seconds)
        profile = choose_profile(self._settings)
        self._require_key()
        plan = await anyio.to_thread.run_sync(make_plan, request, self._settings.model, profile)
        spread = self._worst_case(request, plan, profile)
        async with self._within_budget(report.generation_id, spread):
            rested = await self._respect_rest(deadline)
            generation = Generation(
                request,
                report,
                plan,
                self._means(profile),
                url=address(profile, self._settings, profile.edits if plan.edit else profile.generations),
                key=self._settings.api_key,
                deadline=deadline,
                bill=Bill(self._purse, plan.model.price, profile.cost, spread.high / plan.requests if spread else None),
            )
            try:
                await generation.run()
            except ImageError as error:
                if error.code == "billing":
                    until = datetime.now().astimezone() + timedelta(seconds=BILLING_REST)
                    await self._purse.rest_until("api", "billing", until.isoformat(timespec="seconds"))
                raise
        if rested:
            await self._purse.clear_rest("api")

    def _means(self, profile: Profile) -> Means:
        if self._line is None:
            self._line = Line(self._settings, profile)
        return Means(
            self._line,
            self._pace,
            self._downloader,
            self._purse,
            self._streams,
            self._jitter,
            self._settings.resend_unclear,
        )

    async def status(self) -> dict[str, Any]:
        """Facts for ``backend_status``: ``configured``, ``ready``, ``message``, ``details``. Sends nothing: whether the
        key is accepted shows with the first picture."""
        settings = self._settings
        problem = profile_problem(settings)
        details: dict[str, Any] = {"model": settings.model, "output_root": str(settings.output_dir)}
        details["host"] = urlsplit(settings.base_url).hostname
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
        details["spent_today_usd"] = round(await self._purse.spent_today(), 4)
        if settings.budget_usd is not None:
            details["budget_usd"] = settings.budget_usd
        rest = await self._purse.resting("api")
        if rest is not None:
            details["resting"] = {"code": rest.code, "reset_at": rest.reset_at}
        message = "OPENAI_API_KEY is configured." if settings.api_key else f"{profile.name} needs no key."
        if not configured:
            message = "Set OPENAI_API_KEY to use the API back end."
        elif rest is not None:
            message = f"{message} The API rests until {rest.reset_at} ({rest.code})."
        return _status(configured, message, details)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        line, self._line = self._line, None
        if line is not None:
            await line.aclose()
        await self._downloader.aclose()


def _status(configured: bool, message: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"configured": configured, "ready": configured, "message": message, "details": details}


def _as_assumed(plan: Plan) -> Plan:
    return msgspec.structs.replace(plan, model=ASSUMED)


def _beyond_budget(day: SetAside, budget: float, needed: float) -> ImageError:
    return ImageError(
        "billing",
        f"The day's budget of ${budget:.2f} does not allow it: ${day.spent:.2f} are spent, ${day.under_way:.2f} under "
        f"way, and this may cost up to ${needed:.2f}. Nothing was sent.",
        reset_at=next_midnight(),
        next_step="Ask for a lower quality or fewer pictures, wait until midnight, or ask the user to raise "
        "GPT_IMAGE_BUDGET_USD; backend chatgpt-web does not count against it.",
        details={"budget_usd": budget, "spent_today_usd": round(day.spent, 4), "estimate_usd": round(needed, 4)},
    )
