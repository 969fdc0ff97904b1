"""A round of two versions of the program on one library at once: an older one of ours, out of the repository, beside
this one. Each keeps its own promises, and neither harms what the other wrote."""

import io
import logging
import random
import subprocess
import tarfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.library.record import decode_record
from cdp_image_mcp.request import FINAL_STATES
from tests.faults.faults import records, working_in
from tests.faults.figures import Side
from tests.faults.line import Line
from tests.faults.peer import Gone, Peer, served
from tests.web.program import words_of

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
OLDER = "232dd3d"
"""Before locks said who lives: owners by process id and start, an index and a ledger of another form."""


def older_program(place: Path) -> Path | None:
    """Where the older version lies, taken out of the repository; None where there is no such history."""
    there = place / OLDER
    if not there.exists():
        done = subprocess.run(["git", "archive", OLDER, "cdp_image_mcp"], cwd=ROOT, capture_output=True, check=False)
        if done.returncode != 0:
            return None
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(there, filter="data")
    return there


@dataclass
class Version:
    """One of the two, and what its client was told."""

    name: str
    prompt: str
    variables: dict[str, str]
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    problems: list[str] = field(default_factory=list[str])
    broken: bool = False
    """Whether its server was made to end in the middle."""

    async def run(self, folder: Path, chance: random.Random) -> None:
        """Ask once, with a server that may end at any moment."""
        peer = await Peer.start(folder, self.variables)
        async with anyio.create_task_group() as group:
            group.start_soon(peer.read)
            try:
                await peer.open()
                after, end = chance.uniform(0.2, 3.0), chance.choice([peer.crash, peer.process.terminate, None, None])
                async with anyio.create_task_group() as calls:
                    calls.start_soon(self._ask, peer)
                    await anyio.sleep(after)
                    if end is not None:
                        self.broken = True
                        with suppress(ProcessLookupError):
                            end()
                await peer.end()
            except Gone:
                pass
            with anyio.CancelScope(shield=True):
                await peer.process.wait()
            group.cancel_scope.cancel()
        await peer.process.aclose()

    async def _ask(self, peer: Peer) -> None:
        try:
            answer = await peer.call("generate_image", prompt=self.prompt, images="none", wait_seconds=20)
            self.told.append(answer)
        except (Gone, TimeoutError):
            return  # told of nothing

    async def look(self, folder: Path, ids: list[str], figures: Side) -> None:
        """The next start: ask for everything that is there, also for what the other made."""
        async with served(folder, self.variables, figures, self.prompt) as peer:
            for each in ids:
                for _ in range(3):
                    answer = await peer.call("wait_for_image", generation_id=each, images="none", wait_seconds=20)
                    if answer["status"] != "working":
                        break
            self.problems += (await peer.call("backend_status"))["problems"]


async def versions_round(
    folder: Path, variables: dict[str, str], line: Line, chance: random.Random, number: int, figures: Side
) -> None:
    """Raises nothing for what went wrong: it is listed in ``figures``."""
    older = await anyio.to_thread.run_sync(older_program, folder)
    if older is None:
        figures.not_possible["two versions"] += 1
        return
    figures.rounds += 1
    figures.faults["two versions"] += 1
    both = [
        Version("this", f"round {number} of this version", variables),
        Version("older", f"round {number} of the older", {**variables, "PYTHONPATH": str(older)}),
    ]
    for version in both:
        line.expect(version.prompt, [], chance.randrange(1 << 30))
        figures.requests += 1
    async with anyio.create_task_group() as group:
        for version in both:
            group.start_soon(version.run, folder, chance)
    with anyio.move_on_after(15):
        while working_in(folder):  # noqa: ASYNC110 - processes send no event
            await anyio.sleep(0.05)
    mine = [record for record in records(folder) if record["prompt"] in {version.prompt for version in both}]
    async with anyio.create_task_group() as group:
        for version in both:
            group.start_soon(version.look, folder, [record["generation_id"] for record in mine], figures)
    for version in both:
        _check(folder, version, line, figures, f"round {number} two versions: {version.prompt}")
    figures.left.extend(f"round {number} two versions: {p.pid} {words_of(p)}" for p in working_in(folder))


def _check(folder: Path, version: Version, line: Line, figures: Side, mark: str) -> None:
    found = [path for path in (folder / "output").glob("*/*/metadata.json") if version.prompt in path.read_text()]
    asked = line.of(version.prompt)
    if not version.told and not version.broken:
        figures.unanswered.append(f"{mark}: not answered")
    if len(found) > 1 or len(asked) > 1:
        figures.doubled.append(f"{mark}: {len(found)} records, {len(asked)} requests")
    for path in found:
        try:
            record = decode_record(path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            figures.lost.append(f"{mark}: the record cannot be read: {error}")
            continue
        figures.ends[record.state] += 1
        figures.pictures += len(record.images)
        if record.state not in FINAL_STATES:
            figures.untrue.append(f"{mark}: it has not ended: {record.state}")
        here = {image.path.rpartition("/")[2] for image in record.images}
        files = {file.name for file in path.parent.iterdir() if file.name.startswith("image-")}
        if here != files:
            figures.lost.append(f"{mark}: {sorted(files)} lie there, the record names {sorted(here)}")
        if not version.broken and asked and asked[0].whole() and record.state != "saved":
            figures.lost.append(f"{mark}: it came whole, and the record says {record.state} {record.error}")
    for answer in version.told:
        if answer["status"] == "saved" and not found:
            figures.lost.append(f"{mark}: it was told as saved, and nothing is there")
    # One that was ended before it had made its index finds none.
    problems = [] if version.broken else version.problems
    figures.untrue.extend(f"{mark}: {problem}" for problem in problems if "anew" in problem)
