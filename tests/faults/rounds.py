"""Rounds of generations with faults at random moments, and what must hold after each."""

import hashlib
import logging
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec

from cdp_image_mcp.request import FINAL_STATES
from fixtures.site import Site, Switches, running_site
from tests.faults.faults import FAULTS, Stage, browser_processes, mount
from tests.faults.peer import Gone, Peer
from tests.web.program import environment

__all__ = ["Figures", "run"]

log = logging.getLogger(__name__)


@dataclass
class Figures:
    """What the rounds came to. ``lost``, ``doubled`` and ``left`` list what went wrong, in words."""

    rounds: int = 0
    requests: int = 0
    pictures: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    not_possible: Counter[str] = field(default_factory=Counter[str])
    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    untrue: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        skipped = ", ".join(f"{name} {count}" for name, count in sorted(self.not_possible.items()))
        return (
            f"rounds {self.rounds}, requests {self.requests}, pictures {self.pictures}; faults: {kinds or 'none'}"
            f"{f' (found nothing to hit: {skipped})' if skipped else ''}; lost {len(self.lost)}, "
            f"doubled {len(self.doubled)}, untrue records {len(self.untrue)}, left {len(self.left)}"
        )


async def run(rounds: int, seed: int) -> Figures:
    """All rounds on one library and one account, as on a workstation that has a bad day."""
    chance = random.Random(seed)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="cdp-image-mcp-faults-") as name:
        folder = Path(name)
        unmount = mount(folder / "output")
        try:
            with running_site(Switches()) as site:
                for number in range(rounds):
                    await one_round(folder, site, chance, number, figures)
        finally:
            if unmount is not None:
                unmount()
    return figures


async def one_round(folder: Path, site: Site, chance: random.Random, number: int, figures: Figures) -> None:
    site.switches = Switches(
        generation=chance.choice(["classic", "rebuilt"]),
        stream=chance.choice(["recorded", "recorded", "inline", "handoff"]),
        arrival=chance.choice(["websocket", "poll"]),
        picture_delay_s=chance.choice([0.3, 0.8, 2.0]),
        picture_bytes=chance.choice([60_000, 300_000]),
    )
    plan = [(chance.choice(list(FAULTS)), chance.uniform(0.0, 6.0)) for _ in range(chance.choice([1, 1, 2]))]
    prompts = [f"round {number} picture {k}" for k in range(chance.choice([1, 1, 2]))]
    figures.rounds += 1
    figures.requests += len(prompts)
    log.info(
        "round %d: %s, %s %s %s", number, plan, site.switches.generation, site.switches.stream, site.switches.arrival
    )
    await with_faults(folder, site, prompts, plan, figures)
    (folder / "output" / "filler").unlink(missing_ok=True)
    await recover(folder, site, prompts)
    check(folder, site, prompts, figures, f"round {number} {plan}")
    with anyio.move_on_after(4):
        while browser_processes(folder):  # noqa: ASYNC110 - processes send no event
            await anyio.sleep(0.1)
    figures.left.extend(f"round {number}: {p.pid} {p.cmdline()[:2]}" for p in browser_processes(folder))


async def with_faults(
    folder: Path, site: Site, prompts: list[str], plan: list[tuple[str, float]], figures: Figures
) -> None:
    peer = await Peer.start(folder, variables(folder, site))
    stage = Stage(folder, peer)
    async with anyio.create_task_group() as group:
        group.start_soon(peer.read)

        async def ask(prompt: str) -> None:
            try:
                answer = await peer.call("generate_image", prompt=prompt, wait_seconds=25, images="none")
                log.info("%s: %s %s", prompt, answer["status"], answer.get("code"))
            except Gone:
                log.info("%s: the server is gone", prompt)

        async def break_it(kind: str, after: float) -> None:
            await anyio.sleep(after)
            counter = figures.faults if await FAULTS[kind](stage) else figures.not_possible
            counter[kind] += 1

        try:
            await peer.open()
            with anyio.move_on_after(40):
                async with anyio.create_task_group() as calls:
                    for prompt in prompts:
                        calls.start_soon(ask, prompt)
                    for kind, after in plan:
                        calls.start_soon(break_it, kind, after)
            await peer.end()
        except (Gone, anyio.ClosedResourceError, anyio.BrokenResourceError):
            with anyio.move_on_after(15):
                await peer.process.wait()
        finally:
            if peer.process.returncode is None:
                figures.left.append("the server did not end")
                peer.process.kill()
            with anyio.CancelScope(shield=True):
                await peer.process.wait()
            group.cancel_scope.cancel()


async def recover(folder: Path, site: Site, prompts: list[str]) -> None:
    """The next start: every generation of the round is waited for until it is in its end."""
    peer = await Peer.start(folder, variables(folder, site))
    async with anyio.create_task_group() as group:
        group.start_soon(peer.read)
        await peer.open()
        for record in records(folder):
            if record["prompt"] in prompts:
                for _ in range(3):
                    answer = await peer.call(
                        "wait_for_image", generation_id=record["generation_id"], wait_seconds=60, images="none"
                    )
                    log.info("recovered %s: %s %s", record["prompt"], answer["status"], answer.get("message"))
                    if answer["status"] in {"saved", "partial"}:
                        break
        await peer.end()
        group.cancel_scope.cancel()


def check(folder: Path, site: Site, prompts: list[str], figures: Figures, context: str) -> None:
    for prompt in prompts:
        sent = [entry for entry in site.log.prompts if entry.text == prompt]
        mine = [record for record in records(folder) if record["prompt"] == prompt]
        if len(sent) > 1 or len(mine) > 1:
            figures.doubled.append(f"{context}: {prompt} was sent {len(sent)} times, {len(mine)} records")
        made = {
            picture.sha256
            for entry in sent
            for picture in site.log.pictures()
            if (picture.conversation_id, picture.turn) == (entry.conversation_id, entry.turn)
        }
        have = {
            hashlib.sha256(Path(image["path"]).read_bytes()).hexdigest()
            for record in mine
            for image in record["images"]
        }
        figures.pictures += len(made & have)
        if made - have:
            figures.lost.append(f"{context}: {prompt}: {[(r['state'], r.get('error')) for r in mine]}")
        if have - made:
            figures.doubled.append(f"{context}: {prompt} has a picture that is not its own")
        for record in mine:
            if not true_end(record, len(sent)):
                figures.untrue.append(f"{context}: {prompt}: {record['state']} {record.get('error')} sent {len(sent)}")


def true_end(record: dict[str, Any], sent: int) -> bool:
    if record["state"] not in FINAL_STATES:
        return False
    if record["state"] == "saved":
        return sent == 1 and bool(record["images"])
    return not (record["submitted"] is False and sent) and not (record["submitted"] is True and not sent)


def records(folder: Path) -> list[dict[str, Any]]:
    found = sorted((folder / "output").glob("*/*/metadata.json"))
    return [msgspec.json.decode(path.read_bytes()) for path in found]


def variables(folder: Path, site: Site) -> dict[str, str]:
    return environment(folder, site.url)
