"""One server process, the calls that wait on it, and faults at their moments."""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from tests.faults.faults import ENDS_SERVERS, Stage
from tests.faults.figures import Side
from tests.faults.peer import LONGEST, Gone, Peer

log = logging.getLogger(__name__)

Fault = Callable[[Stage], Awaitable[bool]]
"""Answers whether it found anything to hit."""

Plan = Sequence[tuple[str, float]]
"""Faults by name, and after how many seconds each comes."""


async def storm(
    folder: Path,
    variables: Mapping[str, str],
    ask: Callable[[Stage, str], Coroutine[Any, Any, None]],
    prompts: Sequence[str],
    plan: Plan,
    faults: Mapping[str, Fault],
    figures: Side,
    longest: float = LONGEST,
) -> set[str]:
    """Start the server, ``ask`` for all prompts at once, let the faults come, and end it in order if it still lives.
    ``ask`` raises Gone when its server is, which only some faults excuse. A fault that finds nothing to hit comes again
    as long as somebody waits. Answers which faults hit."""
    stage = Stage(folder, await Peer.start(folder, variables))
    peer = stage.peer
    hit: set[str] = set()
    waiting = set(prompts)
    lost = set(prompts)
    """Who heard nothing before the server was gone."""

    async def answered(prompt: str) -> None:
        try:
            with anyio.fail_after(longest):
                await ask(stage, prompt)
            lost.discard(prompt)
        except Gone:
            log.info("%s: the server is gone", prompt)
        except TimeoutError:
            lost.discard(prompt)
            figures.unanswered.append(f"{prompt}: not answered ({_listed(hit)})")
        waiting.discard(prompt)

    async def break_it(kind: str, after: float) -> None:
        await anyio.sleep(after)
        while not (found := await faults[kind](stage)) and waiting:  # noqa: ASYNC110 - processes send no event
            await anyio.sleep(0.05 + after % 0.3)  # shorter than an answer is awaited, and each at moments of its own
        (figures.faults if found else figures.not_possible)[kind] += 1
        if found:
            hit.add(kind)

    async with anyio.create_task_group() as group:
        group.start_soon(peer.read)
        try:
            await peer.open()
            async with anyio.create_task_group() as calls:
                for prompt in prompts:
                    calls.start_soon(answered, prompt)
                for kind, after in plan:
                    calls.start_soon(break_it, kind, after)
            await peer.end()
        except (Gone, anyio.ClosedResourceError, anyio.BrokenResourceError):
            with anyio.move_on_after(15):
                await peer.process.wait()
        except TimeoutError:
            pass  # it is noted below
        finally:
            if peer.process.returncode is None:
                figures.left.append(f"the server did not end ({_listed(hit)})")
                peer.crash()
            with anyio.CancelScope(shield=True):
                await peer.process.wait()
            group.cancel_scope.cancel()
    await peer.process.aclose()
    figures.unanswered.extend(_unexcused(lost, hit))
    return hit


def _unexcused(lost: set[str], hit: set[str]) -> list[str]:
    if hit & ENDS_SERVERS:
        return []
    return [f"{prompt}: the server went by itself ({_listed(hit)})" for prompt in sorted(lost)]


def _listed(hit: set[str]) -> str:
    return ", ".join(sorted(hit)) or "no fault"
