"""What a failure says of sending and spending, held against what the site had of it."""

from collections.abc import Sequence

from fixtures.site.log import Prompt
from tests.web.program import Answer

__all__ = ["untrue"]


def untrue(answer: Answer, prompts: Sequence[Prompt], charged: int) -> str:
    """What it says wrongly, empty when nothing. ``charged``: pictures that the site has taken from the quota for it."""
    submitted, spent = answer.data["submitted"], answer.data["spent"]
    if prompts and submitted is False:
        return "it was sent"
    if not prompts and submitted is True:
        return "it was never sent"
    if submitted is False and spent is not False:
        return "what was not sent costs nothing"
    if charged and spent is False:
        return "the site has charged it"
    return "the site has charged nothing" if spent is True and not charged else ""
