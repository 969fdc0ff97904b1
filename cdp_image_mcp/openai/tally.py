"""What is known of the sending and paying of one generation's requests, all together."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.bill import Bill
from cdp_image_mcp.request import Report


class Tally:
    def __init__(self, bill: Bill, report: Report) -> None:
        self._bill = bill
        self._report = report
        self.out: set[int] = set()
        """Requests that have left and have no answer yet."""
        self.was_sent = False
        self.errors: list[ImageError] = []
        self.passed: list[ImageError] = []
        """Failures of single tries: what those may have done stays true, also where a request is sent again."""

    def leaves(self, index: int) -> None:
        """The first byte of that request has left."""
        self.out.add(index)
        self.was_sent = True

    def comes_back(self, index: int, failure: ImageError | None) -> None:
        """That request is answered or given up. What it may have done is known from the same moment on: whatever ends
        the generation now finds it."""
        self.out.discard(index)
        if failure is not None:
            self.passed.append(failure)

    def standing(self) -> tuple[Any, Any]:
        """Submitted and spent for all requests together: what is certain wins over what is not, and that over no."""
        if self._bill.paid or self._report.images:
            return True, True
        submitted = [*(error.submitted for error in (*self.errors, *self.passed)), *(True for _ in self.out)]
        spent = [*(error.spent for error in (*self.errors, *self.passed)), *("unknown" for _ in self.out)]
        return _strongest(submitted), _strongest(spent)

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


def _strongest(facts: list[Any]) -> Any:
    if True in facts:
        return True
    return "unknown" if "unknown" in facts else False
