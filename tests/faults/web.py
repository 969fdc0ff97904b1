"""A round at the site: generations with faults at random moments, and what must hold after it."""

import hashlib
import logging
import random
from pathlib import Path
from typing import Any

import anyio

from fixtures.site import Site, Switches
from tests.faults.faults import FAULTS, Stage, records, working_in
from tests.faults.figures import Side
from tests.faults.peer import served
from tests.faults.storm import storm
from tests.faults.truth import unlike, untrue, untrue_failure
from tests.web.program import environment, words_of

log = logging.getLogger(__name__)


class Round:
    """One round. ``figures`` lists what went wrong."""

    def __init__(self, folder: Path, site: Site, chance: random.Random, number: int, figures: Side) -> None:
        self.folder = folder
        self.site = site
        self.figures = figures
        site.switches = Switches(
            generation=chance.choice(["classic", "rebuilt", "october", "october"]),
            stream=chance.choice(["recorded", "recorded", "inline", "handoff"]),
            arrival=chance.choice(["websocket", "poll"]),
            picture_delay_s=chance.choice([0.3, 0.8, 2.0]),
            picture_bytes=chance.choice([60_000, 300_000]),
        )
        self.plan = [(chance.choice(list(FAULTS)), chance.uniform(0.0, 6.0)) for _ in range(chance.choice([1, 1, 2]))]
        self.prompts = [f"round {number} picture {k}" for k in range(chance.choice([1, 1, 2]))]
        self.context = f"round {number} {self.plan}"
        self.told: dict[str, dict[str, Any]] = {}
        """What was answered first, by prompt."""
        self.last: dict[str, dict[str, Any]] = {}
        """What was answered last, by generation."""

    @property
    def variables(self) -> dict[str, str]:
        return environment(self.folder, self.site.url)

    async def run(self) -> None:
        switches = self.site.switches
        self.figures.rounds += 1
        self.figures.requests += len(self.prompts)
        log.info("%s, %s %s %s", self.context, switches.generation, switches.stream, switches.arrival)
        await storm(self.folder, self.variables, self._ask, self.prompts, self.plan, FAULTS, self.figures)
        (self.folder / "output" / "filler").unlink(missing_ok=True)
        await self._recover()
        for prompt in self.prompts:
            self._check(prompt)
        with anyio.move_on_after(30):  # all end with their server, which a busy machine takes its time for
            while working_in(self.folder):  # noqa: ASYNC110 - processes send no event
                await anyio.sleep(0.1)
        self.figures.left.extend(f"{self.context}: {p.pid} {words_of(p)[:3]}" for p in working_in(self.folder))

    def _records(self) -> list[dict[str, Any]]:
        return [record for record in records(self.folder) if record["prompt"] in self.prompts]

    async def _ask(self, stage: Stage, prompt: str) -> None:
        self.told[prompt] = answer = await stage.peer.call(
            "generate_image", prompt=prompt, wait_seconds=25, images="none"
        )
        log.info("%s: %s %s", prompt, answer["status"], answer.get("code"))

    async def _recover(self) -> None:
        """The next start: every generation of the round is waited for until it is in its end."""
        async with served(self.folder, self.variables, self.figures, self.context) as peer:
            for record in self._records():
                identity = record["generation_id"]
                for _ in range(3):
                    answer = await peer.call("wait_for_image", generation_id=identity, wait_seconds=60, images="none")
                    self.last[identity] = answer
                    log.info("recovered %s: %s %s", record["prompt"], answer["status"], answer.get("message"))
                    if answer["status"] in {"saved", "partial"}:
                        break

    def _check(self, prompt: str) -> None:
        sent = [entry for entry in self.site.log.prompts if entry.text == prompt]
        mine = [record for record in self._records() if record["prompt"] == prompt]
        mark = f"{self.context}: {prompt}"
        if len(sent) > 1 or len(mine) > 1:
            self.figures.doubled.append(f"{mark} was sent {len(sent)} times, {len(mine)} records")
        made = {
            picture.sha256
            for entry in sent
            for picture in self.site.log.pictures()
            if (picture.conversation_id, picture.turn) == (entry.conversation_id, entry.turn)
        }
        have = {
            hashlib.sha256(Path(image["path"]).read_bytes()).hexdigest()
            for record in mine
            for image in record["images"]
        }
        self.figures.pictures += len(made & have)
        if made - have:
            self.figures.lost.append(f"{mark}: {[(r['state'], r['error']) for r in mine]}")
        if have - made:
            self.figures.doubled.append(f"{mark} has a picture that is not its own")
        for record in mine:
            self.figures.ends[record["state"]] += 1
            if why := untrue(record, 1, sent=bool(sent), may_be_paid=bool(sent)):
                self.figures.untrue.append(f"{mark}: {why}: {record['state']} {record['error']} sent {len(sent)}")
            answer = self.last.get(record["generation_id"])
            if answer is not None and (why := unlike(answer, record)):
                self.figures.untrue.append(f"{mark}: {why} than the record {record}: {answer}")
        self._check_told(prompt, have, mark, sent=bool(sent))

    def _check_told(self, prompt: str, have: set[str], mark: str, *, sent: bool) -> None:
        """What its client was told before the next start, if it was told anything."""
        told = self.told.get(prompt, {"status": "nothing"})
        if {image["sha256"] for image in told.get("images", [])} - have:
            self.figures.lost.append(f"{mark}: it was told as saved")
        if told["status"] == "failed" and (why := untrue_failure(told, sent=sent, may_be_paid=sent)):
            self.figures.untrue.append(f"{mark} was told what {why}: {told}")


async def web_round(folder: Path, site: Site, chance: random.Random, number: int, figures: Side) -> None:
    """Raises nothing for what went wrong: it is listed in ``figures``."""
    await Round(folder, site, chance, number, figures).run()
