"""Where a generation stands: what a call is answered with, and the sentences about now."""

import anyio
import msgspec

from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.studio.ending import held_error
from cdp_image_mcp.studio.jobs.job import Job


class News(msgspec.Struct, frozen=True):
    """A true sentence about a running generation, at most every 5 s."""

    message: str
    """For people: "queued 2nd", "sign in in the open window", "drawing 41 s of typically 62 s"."""
    elapsed: float
    """Seconds since the generation was accepted; only ever grows."""
    expected: float | None
    """Seconds it typically takes in all, from this installation's own history; None without one."""


class Standing(msgspec.Struct, frozen=True):
    """Where a generation stands when a call's wait is over."""

    record: Record
    folder: str
    """Absolute path of its folder."""
    joined: bool = False
    news: News | None = None
    """The newest news, for a generation that is still running."""
    position: int | None = None
    """Place in the queue, 1 is next; None when it is not queued."""
    notes: tuple[str, ...] = ()
    """What else its caller should know, each a sentence: whose it is, what it costs whom."""
    unmet: tuple[str, ...] = ()
    """Arguments of this call that the generation, which was joined, does not meet."""


def standing_of(job: Job) -> Standing:
    """Of a job of this process, at this moment."""
    elapsed = anyio.current_time() - job.started_at
    ended = job.answered.is_set()
    # The answer describes one moment; the job may go on while it is written.
    record = msgspec.structs.replace(job.record, images=list(job.record.images), facts=dict(job.record.facts))
    record.error = held_error(job)
    if not ended:
        record.elapsed_seconds = round(elapsed, 3)
    return Standing(
        record=record,
        folder=str(job.folder.path),
        news=None if ended else News(_sentence(job), round(elapsed, 1), job.typical),
        position=job.position if job.record.state == "queued" else None,
    )


def standing_in(entry: Entry, notes: tuple[str, ...] = ()) -> Standing:
    """As its record on disk has it: of another process, or of an earlier run."""
    news = None
    if entry.alive:
        news = News(f"{describe(entry.record.state)} in another process", entry.record.elapsed_seconds, None)
    return Standing(record=entry.record, folder=str(entry.folder.path), news=news, notes=notes)


def _sentence(job: Job) -> str:
    """What is happening now, for people."""
    if job.record.state == "queued" and job.position is not None:
        return f"queued {_ordinal(job.position)}"
    if job.message:
        return job.message
    if job.record.state == "generating":
        drawn = anyio.current_time() - job.state_since
        usual = f" of typically {job.typical:.0f} s" if job.typical else ""
        return f"drawing {drawn:.0f} s{usual}"
    return describe(job.record.state)


def describe(state: str) -> str:
    """A state for people."""
    return {
        "queued": "queued",
        "starting": "opening the browser",
        "needs_sign_in": "waiting for a person to sign in in the browser window",
        "needs_verification": "waiting for a person to pass the site's check in the browser window",
        "submitting": "sending the prompt",
        "generating": "drawing",
        "saving": "saving the picture",
    }.get(state, state)


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
