"""What is known of the sending and paying of one generation's requests, all together, and what they cost."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from cdp_image_mcp.errors import Fact, ImageError
from cdp_image_mcp.openai.plan import Plan
from cdp_image_mcp.openai.prices import add_up, cost, figure
from cdp_image_mcp.openai.refusals.failures import strongest
from cdp_image_mcp.request import Report


class Tally:
    def __init__(self, plan: Plan, worst_usd: float, report: Report) -> None:
        """``worst_usd``: the most that one request may cost."""
        self._plan = plan
        self._report = report
        self.worst_usd = worst_usd
        self.out: set[int] = set()
        """Requests that have left and have no answer yet."""
        self.was_sent = False
        self.errors: list[ImageError] = []
        self.passed: list[ImageError] = []
        """Failures of single tries: what those may have done stays true, also where a request is sent again."""
        self._back: set[int] = set()
        """Requests that were answered or given up at least once."""
        self._paid = False
        """Whether any answer with pictures came."""
        self.usage: dict[str, Any] = {}
        self.cost_usd: float | None = None
        """What the answers came to, None when none told."""
        self.booked_usd = 0.0
        """The same, with the worst case for every request of which nobody told: a budget counts on that."""

    def leaves(self, index: int) -> None:
        """The first byte of that request has left."""
        self.out.add(index)
        self.was_sent = True

    def comes_back(self, index: int, failure: ImageError | None) -> None:
        """That request is answered or given up. What it may have done is known from the same moment on: whatever ends
        the generation now finds it."""
        self.out.discard(index)
        self._back.add(index)
        if failure is not None:
            self.passed.append(failure)
            if failure.spent == "unknown":
                self.book_unclear()

    def book(self, usage: Mapping[str, Any]) -> None:
        """Add one answer."""
        self._paid = True
        add_up(self.usage, usage)
        dollars = self._dollars(usage)
        if dollars is None:
            self.book_unclear()
        else:
            self.cost_usd = round((self.cost_usd or 0.0) + dollars, 6)
            self.booked_usd = round(self.booked_usd + dollars, 6)

    def book_unclear(self) -> None:
        """Add a request that may have been paid, and of which nobody told."""
        self.booked_usd = round(self.booked_usd + self.worst_usd, 6)

    def _dollars(self, usage: Mapping[str, Any]) -> float | None:
        match self._plan.profile.cost:
            case "free":
                return 0.0
            case "told":
                return figure(usage.get("cost"))
            case "tokens":
                return cost(self._plan.price, usage) if self._plan.price is not None else None

    def standing(self) -> tuple[Fact, Fact]:
        """Submitted and spent for all requests together: what is certain wins over what is not, and that over no."""
        if self._paid or self._report.images:
            return True, True
        failures = (*self.errors, *self.passed)
        submitted: list[Fact] = [bool(self.out), *(error.submitted for error in failures)]
        spent: list[Fact] = ["unknown" if self.out else False, *(error.spent for error in failures)]
        return strongest(submitted), strongest(spent)

    @property
    def unsent(self) -> bool:
        """Whether another way may follow: none of the requests has left, or each was turned away."""
        return not self.was_sent or (len(self._back) == self._plan.requests and self.standing()[0] is False)

    @contextmanager
    def before_sending(self) -> Generator[None]:
        """Whatever ends the work in here tells of sending and paying what is known of the requests before."""
        try:
            yield
        except ImageError as error:
            error.submitted, error.spent = self.standing()
            raise

    def whole_error(self) -> ImageError:
        """One failure, told for all: a full disk first, for then a picture waits in memory until there is room."""
        error = next((each for each in self.errors if each.code == "disk"), self.errors[0])
        if self.was_sent:
            error.submitted, error.spent = self.standing()
        if len(self.errors) > 1:
            error.details["failures"] = [{"code": one.code, "message": one.message} for one in self.errors]
            error.details |= {name: kept for name, kept in self._report.facts.items() if name == "kept"}
        return error
