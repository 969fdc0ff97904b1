"""A round at the API: requests with faults at random moments, and what must hold after the next start."""

import hashlib
import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from tests.faults.faults import PROCESS_FAULTS, Stage, browser_processes, records, working_in
from tests.faults.figures import Side
from tests.faults.line import TROUBLES, Asked, Line
from tests.faults.peer import LONGEST, served
from tests.faults.storm import Fault, storm
from tests.faults.truth import unlike, untrue, untrue_failure
from tests.faults.versions import versions_round
from tests.web.program import environment, words_of

log = logging.getLogger(__name__)

OUTLIVING_SECONDS = 8.0
"""Longer than the stand-in takes to draw; whoever waits longer waits on a line that has fallen silent."""
SHORTEST_LIMIT = 30.0
"""Seconds; what the schema takes."""
VARIANTS = (*["plain"] * 14, "clock jumps", "clock jumps", "odd bytes", "odd bytes", "slow drawing", "no locks")
TURNED_AWAY_MOST = 9
"""How often one request may be sent that is always turned away: once, and eight times again."""


@dataclass
class Call:
    """One question to the program."""

    prompt: str
    n: int
    quality: str
    slow: bool = False
    """Its time limit is shorter than the drawing takes."""
    over_time: bool = False
    """Whether it heard that its time is over and the picture still comes."""
    told: dict[str, Any] | None = None
    """The end of it, if it got to hear that."""
    asked_first: int = 0
    """Requests at the stand-in before the next start."""

    @property
    def arguments(self) -> dict[str, Any]:
        limit = {"timeout_seconds": SHORTEST_LIMIT} if self.slow else {}
        return {"prompt": self.prompt, "n": self.n, "quality": self.quality, "images": "none", **limit}


class Round:
    """One round. ``figures`` lists what went wrong."""

    def __init__(self, folder: Path, line: Line, chance: random.Random, number: int, figures: Side) -> None:
        self.folder = folder
        self.line = line
        self.chance = chance
        self.figures = figures
        self.faults: dict[str, Fault] = {
            **PROCESS_FAULTS,
            "connection cut": self._cut,
            "connection stalled": self._stall,
        }
        self.variant = chance.choice(VARIANTS)
        slow = self.variant == "slow drawing"
        latest = 34.0 if slow else 3.0
        self.plan = [
            (chance.choice(list(self.faults)), chance.uniform(0.0, latest)) for _ in range(chance.choice([1, 1, 2]))
        ]
        if self.variant == "clock jumps":
            self.faults |= {"clock jumps": self._jump}
            self.plan += [("clock jumps", chance.uniform(0.0, 3.0)) for _ in range(2)]
        self.context = f"round {number} {self.variant} {self.plan}"
        calls = [self._draw_call(number, k) for k in range(1 if slow else chance.choice([1, 1, 2]))]
        self.calls = {call.prompt: call for call in calls}
        self.hit: set[str] = set()
        self.at_death: dict[str, set[str]] = {}
        self.last: dict[str, dict[str, Any]] = {}
        """What was answered last, by generation."""

    def _draw_call(self, number: int, k: int) -> Call:
        chance = self.chance
        call = Call(
            f"round {number} picture {k}", chance.choice([1, 1, 1, 2, 3]), chance.choice(["low", "medium", "high"])
        )
        troubles = [chance.choice([*["none"] * 6, *TROUBLES]) for _ in range(chance.choice([1, 2, 4]))]
        if chance.random() < 0.05:
            troubles = ["500"] * 8
        if self.variant == "slow drawing":
            call.n, call.slow, troubles = 1, True, []
        slow, odd = (33.0 if call.slow else 0.0), self.variant == "odd bytes"
        self.line.expect(call.prompt, troubles, chance.randrange(1 << 30), slow=slow, odd=odd)
        self.context += f" {troubles}"
        log.info("%s: %s, n %d, %s", call.prompt, troubles, call.n, call.quality)
        return call

    async def _cut(self, stage: Stage) -> bool:  # noqa: ARG002 - every fault has this shape
        return self.line.cut()

    async def _stall(self, stage: Stage) -> bool:  # noqa: ARG002
        return self.line.stall()

    async def _jump(self, stage: Stage) -> bool:  # noqa: ARG002
        hours = self.chance.uniform(-12, 12)
        (self.folder / "clock").write_text(str(hours * 3600))
        return True

    @property
    def variables(self) -> dict[str, str]:
        return environment(
            self.folder,
            "http://127.0.0.1:9/",
            GPT_IMAGE_BACKEND="api",
            OPENAI_BASE_URL=self.line.url,
            OPENAI_COMPAT="openai",
            OPENAI_API_KEY="test-key",
            **({"FAULTS_CLOCK": str(self.folder / "clock")} if self.variant == "clock jumps" else {}),
        )

    async def run(self) -> None:
        self.figures.rounds += 1
        self.figures.requests += len(self.calls)
        log.info("%s %s", self.variant, self.plan)
        self.figures.faults[self.variant] += self.variant not in {"plain", "clock jumps"}
        if self.variant == "no locks":
            await self._without_locks()
            return
        longest = LONGEST + 2 * SHORTEST_LIMIT if self.variant == "slow drawing" else LONGEST
        self.hit = await storm(
            self.folder, self.variables, self._ask, list(self.calls), self.plan, self.faults, self.figures, longest
        )
        (self.folder / "output" / "filler").unlink(missing_ok=True)
        if not await self._is_alone(OUTLIVING_SECONDS):
            # What is out is waited for as long as the program has patience; the round has less.
            self.line.cut()
            if not await self._is_alone(30.0):
                self.figures.left.extend(f"{self.context}: {p.pid} {words_of(p)}" for p in working_in(self.folder))
        self.line.mend()
        for call in self.calls.values():
            call.asked_first = len(self.line.of(call.prompt))
            for asked in self.line.of(call.prompt):
                if asked.trouble != "none":
                    self.figures.faults[asked.trouble] += 1
        self.at_death = {record["generation_id"]: on_disk(self.folder, record) for record in self._records()}
        await self._next_start()
        for call in self.calls.values():
            self._check(call)
        self.figures.left.extend(f"{self.context}: a browser {p.pid}" for p in browser_processes(self.folder))

    async def _is_alone(self, seconds: float) -> bool:
        """Whether the server of this round ends within that time."""
        with anyio.move_on_after(seconds):
            while working_in(self.folder):  # noqa: ASYNC110 - processes send no event
                await anyio.sleep(0.05)
            return True
        return False

    async def _without_locks(self) -> None:
        """Where nothing can be locked nothing is begun, and the answer says what to do; elsewhere all goes well."""
        await self._asked_once({**self.variables, "FAULTS_NO_LOCKS": "1"})
        for call in self.calls.values():
            told, call.told = call.told or {}, None
            if told.get("code") != "disk" or told["submitted"] or "GPT_IMAGE_OUTPUT_DIR" not in told["next_step"]:
                self.figures.untrue.append(f"{self.context}: {call.prompt} was told {told}")
            if self.line.of(call.prompt):
                self.figures.doubled.append(f"{self.context}: {call.prompt} was sent although nothing can be locked")
        if self._records():
            self.figures.left.append(f"{self.context}: a record of what was never begun")
        self.line.mend()
        await self._asked_once(self.variables)
        for call in self.calls.values():
            if call.told is None or call.told["status"] != "saved":
                self.figures.lost.append(f"{self.context}: {call.prompt} with locks: {call.told}")
            else:
                self.figures.pictures += len(call.told["images"])

    async def _asked_once(self, variables: dict[str, str]) -> None:
        async with served(self.folder, variables, self.figures, self.context) as peer:
            for call in self.calls.values():
                call.told = await peer.call("generate_image", **call.arguments, wait_seconds=30)

    def _records(self) -> list[dict[str, Any]]:
        return [record for record in records(self.folder) if record["prompt"] in self.calls]

    # --- what a client does ---------------------------------------------------------------------------------------

    async def _ask(self, stage: Stage, prompt: str) -> None:
        """Ask, and do what the answers say: a silent line is given up, a full disk is emptied."""
        call = self.calls[prompt]
        answer = await stage.peer.call("generate_image", **call.arguments, wait_seconds=8)
        while answer["status"] == "working" and call.slow:
            call.over_time = call.over_time or bool(answer.get("over_time"))
            answer = await stage.peer.call(
                "wait_for_image", generation_id=answer["generation_id"], wait_seconds=3, images="none"
            )
        if answer["status"] == "working":
            answer = await stage.peer.call("cancel_image", generation_id=answer["generation_id"])
        elif "generation_id" in answer and "disk" in codes(answer):
            call.told = answer
            stage.filler.unlink(missing_ok=True)
            answer = await stage.peer.call(
                "wait_for_image", generation_id=answer["generation_id"], wait_seconds=8, images="none"
            )
        call.told = answer
        log.info("%s: %s %s", prompt, answer["status"], answer.get("code"))

    async def _next_start(self) -> None:
        """The next start: who was not told asks the same again, or for the same generation."""
        async with served(self.folder, self.variables, self.figures, self.context) as peer:
            for call in self.calls.values():
                if call.told is None and self.chance.random() < 0.7:
                    answer = await peer.call("generate_image", **call.arguments, wait_seconds=30)
                    log.info("%s again: %s %s", call.prompt, answer["status"], answer.get("code"))
                    self._check_again(call, answer)
            for record in self._records():
                answer = await peer.call(
                    "wait_for_image", generation_id=record["generation_id"], wait_seconds=30, images="none"
                )
                self.last[record["generation_id"]] = answer
                log.info("%s in the end: %s %s", record["prompt"], answer["status"], answer.get("message"))

    # --- what must hold -------------------------------------------------------------------------------------------

    def _check_again(self, call: Call, answer: dict[str, Any]) -> None:
        """Whoever was not told and asks the same again does not pay silently for what may have been paid."""
        asked = self.line.of(call.prompt)
        first, then = asked[: call.asked_first], asked[call.asked_first :]
        if any(each.may_be_paid for each in first):
            if then:
                self.figures.doubled.append(f"{self.context}: {call.prompt} was paid again without a word")
            if not answer.get("joined") and answer["status"] != "failed":
                self.figures.untrue.append(f"{self.context}: {call.prompt} joined nothing: {answer}")
        elif answer["status"] != "saved" and not (
            # A server killed between its last record and the first byte could not know that nothing had left.
            (then == [] and answer.get("spent") == "unknown")
            or (self.variant == "odd bytes" and {**answer.get("metadata", {}), **answer.get("details", {})}.get("kept"))
        ):
            self.figures.untrue.append(f"{self.context}: {call.prompt} again on a good line: {answer}")

    def _check(self, call: Call) -> None:
        mine = [record for record in self._records() if record["prompt"] == call.prompt]
        asked = self.line.of(call.prompt)
        mark = f"{self.context}: {call.prompt}"
        first = asked[: call.asked_first]
        for part in (first, asked[call.asked_first :]):
            if sum(len(each.pictures) for each in part) > call.n:
                self.figures.doubled.append(f"{mark}: {[each.trouble for each in part]} for {call.n} pictures")
            if sum(not each.may_be_paid for each in part) > TURNED_AWAY_MOST * call.n:
                self.figures.doubled.append(f"{mark}: sent {len(part)} times although turned away")
        if len(mine) > 2:
            self.figures.doubled.append(f"{mark} has {len(mine)} records")
        have = {image["sha256"] for record in mine for image in record["images"]} | kept_of(mine)
        self._check_pictures(call, mine, have, mark)
        # Folders' names begin with the time, which is no order where the clock jumps.
        mine.sort(key=lambda record: record["generation_id"] not in self.at_death)
        for record, requests in zip(mine, (first, asked[call.asked_first :]), strict=False):
            self.figures.ends[record["state"]] += 1
            if why := untrue(record, call.n, **facts_of(requests)):
                self.figures.untrue.append(f"{mark}: {why}: {record['state']} {record['error']}")
            answer = self.last.get(record["generation_id"])
            if answer is not None and (why := unlike(answer, record)):
                self.figures.untrue.append(f"{mark}: {why} than the record {record}: {answer}")
        if call.slow and call.told is not None and call.told["status"] == "saved" and not call.over_time:
            self.figures.untrue.append(f"{mark}: nobody said that its time was over")
        told = call.told or {"status": "nothing"}
        if told["status"] == "failed" and (why := untrue_failure(told, **facts_of(first))):
            self.figures.untrue.append(f"{mark} was told what {why}: {told}")

    def _check_pictures(self, call: Call, mine: list[dict[str, Any]], have: set[str], mark: str) -> None:
        asked = self.line.of(call.prompt)
        drawn = {sha(picture) for each in asked for picture in each.pictures}
        self.figures.pictures += len(have & drawn)
        for record in mine:
            kept = on_disk(self.folder, record)
            listed = {image["sha256"] for image in record["images"]} | kept_of([record])
            if listed - kept:
                self.figures.lost.append(f"{mark}: files are not what the record says")
            if kept - listed:
                self.figures.lost.append(f"{mark}: files that the record does not name")
            if (self.at_death.get(record["generation_id"], set()) & drawn) - listed:
                self.figures.lost.append(f"{mark}: it lay whole on the disk and was not taken up")
            own = drawn | {sha(part) for part in parts_of([record]) if any(is_part(part, one) for one in asked)}
            if listed - own or len(listed & drawn) > call.n:
                self.figures.doubled.append(f"{mark} has pictures that are not its own")
        for one, other in ((a, b) for a in mine for b in mine if a["generation_id"] < b["generation_id"]):
            if on_disk(self.folder, one) & on_disk(self.folder, other):
                self.figures.doubled.append(f"{mark}: two generations have the same picture")
        # Of all that ends a server only a crash may cost a picture that was on its way.
        stopped = "server killed" in self.hit or (call.told or {}).get("status") == "cancelled"
        whole = {sha(picture) for each in asked[: call.asked_first] for picture in each.whole()}
        if not stopped and whole - have:
            self.figures.lost.append(f"{mark}: it came whole: {[(r['state'], r['error']) for r in mine]}")
        told = {image["sha256"] for image in (call.told or {}).get("images", [])}
        if told - have:
            self.figures.lost.append(f"{mark}: it was told as saved")


VERSIONS_SHARE = 0.12


async def api_round(folder: Path, line: Line, chance: random.Random, number: int, figures: Side) -> None:
    """Raises nothing for what went wrong: it is listed in ``figures``."""
    drawn = Round(folder, line, chance, number, figures)
    if chance.random() < VERSIONS_SHARE:
        await versions_round(folder, drawn.variables, line, chance, number, figures)
    else:
        await drawn.run()


def codes(answer: dict[str, Any]) -> set[str]:
    return {answer.get("code", ""), *(failure["code"] for failure in answer.get("failures", []))}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def on_disk(folder: Path, record: dict[str, Any]) -> set[str]:
    """SHA-256 of every file beside the record, temporary ones too."""
    for path in (folder / "output").glob("*/*/metadata.json"):
        if record["generation_id"] in path.read_text():
            return {sha(file.read_bytes()) for file in path.parent.iterdir() if file.name != "metadata.json"}
    return set()


def parts_of(found: Iterable[dict[str, Any]]) -> list[bytes]:
    """What is no picture anybody knows and is kept all the same."""
    return [Path(path).read_bytes() for record in found for path in record["facts"].get("kept", [])]


def kept_of(found: Iterable[dict[str, Any]]) -> set[str]:
    return {sha(part) for part in parts_of(found)}


def is_part(part: bytes, asked: Asked) -> bool:
    """Whether it is the beginning of a picture that was drawn then: its answer broke off within."""
    return bool(part) and any(picture.startswith(part) for picture in asked.pictures)


def facts_of(requests: Sequence[Asked]) -> dict[str, bool]:
    """Of what came to the stand-in, for ``truth``."""
    return {"sent": bool(requests), "may_be_paid": any(each.may_be_paid for each in requests)}
