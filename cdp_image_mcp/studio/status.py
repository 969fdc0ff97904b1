"""What ``backend_status`` tells: the ways, what is being made, what was made last, and what is wrong."""

from typing import Any, Literal

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.studio import limits
from cdp_image_mcp.studio.jobs.runner import Runner
from cdp_image_mcp.studio.steering import Steering


class Status(msgspec.Struct, frozen=True):
    """Starts, shows and hides nothing."""

    settings: Settings
    library: Library
    runner: Runner
    steering: Steering

    async def report(self, backend: Literal["api", "chatgpt-web", "auto"] | None = None) -> dict[str, Any]:
        """The answer of ``backend_status``, with the seed's keys and ours, about ``backend`` or what is set."""
        selected = backend or self.settings.backend
        names: list[BackendName] = ["api", "chatgpt-web"] if selected == "auto" else [selected]
        statuses = [await self._of(name) for name in names]
        newest = await self.library.newest(10)
        jobs, ledgers = self.runner.jobs, self.steering.ledgers
        running = [e for e in await self.library.unfinished() if e.alive or e.record.generation_id in jobs]
        return {
            "selected_backend": selected,
            "default_backend": self.settings.backend,
            "statuses": statuses,
            "running": [self._line(entry) for entry in running],
            "newest": [self._line(entry) for entry in newest],
            "quota": [
                {"feature": q.about, "remaining": q.remaining, "reset_at": q.reset_at, "seen_at": q.at}
                for q in await ledgers["chatgpt-web"].quota()
            ],
            "problems": [
                *(f"{problem.variable}: {problem.message}" for problem in self.settings.problems),
                *self.library.problems(),
                *(problem for ledger in ledgers.values() for problem in ledger.problems()),
                *(problem for status in statuses for problem in status["details"].pop("problems", ())),
            ],
        }

    async def _of(self, name: BackendName) -> dict[str, Any]:
        status: dict[str, Any]
        try:
            status = await self.runner.backend(name).status()
        except ImageError as error:
            status = {"configured": False, "ready": False, "message": error.message}
        details: dict[str, Any] = {"output_root": str(self.settings.output_dir), **status.get("details", {})}
        if (rest := await self.steering.rest(name)) is not None:
            details["resting"] = {"code": rest.code, "reset_at": rest.reset_at}
        if (typical := await self.library.typical_seconds(name)) is not None:
            details["typical_seconds"] = round(typical, 1)
        today = await self.library.of_today(name)
        if name == "chatgpt-web":
            details["pictures_today"] = limits.made(today)
        else:
            details["spent_today_usd"] = round(limits.spent(today) / 1e6, 4)
            if self.settings.budget_usd is not None:
                details["budget_usd"] = self.settings.budget_usd
        return {"backend": name, **status, "details": details}

    def _line(self, entry: Entry) -> dict[str, Any]:
        record = entry.record
        if (job := self.runner.jobs.get(record.generation_id)) is not None:
            record = job.record
        line = {
            "generation_id": record.generation_id,
            "state": record.state,
            "backend": record.backend,
            "created_at": record.created_at,
            "prompt": record.prompt[:80],
            "output_dir": str(entry.folder.path),
            "images": len(record.images),
        }
        if record.error:
            line["code"] = record.error["code"]
        return line
