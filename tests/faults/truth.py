"""What a record and an answer may say of sending and paying, whichever way the pictures come."""

from typing import Any

from cdp_image_mcp.request import FINAL_STATES


def untrue(record: dict[str, Any], n: int, *, sent: bool, may_be_paid: bool) -> str | None:
    """What is wrong with a record after the next start, None when nothing is."""
    state, images = record["state"], len(record["images"])
    if state not in FINAL_STATES:
        return "it has not ended"
    if (state == "saved") != (images == n) or (state == "partial" and not images):
        return f"{images} pictures"
    if images:
        return None if (record["submitted"], record["spent"]) == (True, True) else "it was sent and paid"
    if record["error"] is None:
        return "it does not say why"
    of_record = record | {"retryable": False}
    return next(
        (
            why
            for told in (record["error"], of_record)
            if (why := untrue_failure(told, sent=sent, may_be_paid=may_be_paid))
        ),
        None,
    )


def untrue_failure(told: dict[str, Any], *, sent: bool, may_be_paid: bool) -> str | None:
    """What a failure without a picture says wrongly about sending and paying."""
    if may_be_paid:
        if told["submitted"] is False or told["spent"] is False:
            return "may have been paid"
        # To wait for the same generation once more costs nothing.
        again = told["retryable"] and "wait_for_image" not in told["next_step"]
        return "could pay twice" if again else None
    if told["spent"] is True:
        return "nobody was paid for"
    return "was never sent" if told["submitted"] is True and not sent else None


def unlike(answer: dict[str, Any], record: dict[str, Any]) -> str | None:
    """What the last answer about a generation says otherwise than its record, None when nothing."""
    if answer["status"] != "failed":
        listed = [image["sha256"] for image in answer["images"]] == [image["sha256"] for image in record["images"]]
        return None if listed else "other pictures"
    of_record = (
        {**record["error"], "submitted": record["submitted"], "spent": record["spent"]} if record["error"] else {}
    )
    names = [name for name in ("code", "submitted", "spent", "retryable") if answer[name] != of_record.get(name)]
    return f"another {', '.join(names)}" if names else None
