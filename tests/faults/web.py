"""A round at the site: generations with faults at random moments, and what must hold after it."""

import hashlib
import logging
import random
from pathlib import Path
from typing import Any

import anyio

from cdp_image_mcp.request import FINAL_STATES
from fixtures.site import Site, Switches
from tests.faults.faults import FAULTS, Stage, browser_processes, records
from tests.faults.figures import Side
from tests.faults.peer import Gone, served
from tests.faults.storm import storm
from tests.web.program import environment, words_of

log = logging.getLogger(__name__)


async def web_round(folder: Path, site: Site, chance: random.Random, number: int, figures: Side) -> None:
    """Raises nothing for what went wrong: it is listed in ``figures``."""
    site.switches = Switches(
        generation=chance.choice(["classic", "rebuilt", "october", "october"]),
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
    await storm(folder, variables(folder, site), ask, prompts, plan, FAULTS, figures)
    (folder / "output" / "filler").unlink(missing_ok=True)
    context = f"round {number} {plan}"
    await recover(folder, site, prompts, figures, context)
    check(folder, site, prompts, figures, context)
    with anyio.move_on_after(30):  # it ends with them, which a busy machine takes its time for
        while browser_processes(folder):  # noqa: ASYNC110 - processes send no event
            await anyio.sleep(0.1)
    figures.left.extend(f"round {number}: {p.pid} {words_of(p)[:2]}" for p in browser_processes(folder))


async def ask(stage: Stage, prompt: str) -> None:
    try:
        answer = await stage.peer.call("generate_image", prompt=prompt, wait_seconds=25, images="none")
        log.info("%s: %s %s", prompt, answer["status"], answer.get("code"))
    except Gone:
        log.info("%s: the server is gone", prompt)


async def recover(folder: Path, site: Site, prompts: list[str], figures: Side, context: str) -> None:
    """The next start: every generation of the round is waited for until it is in its end."""
    async with served(folder, variables(folder, site), figures, context) as peer:
        for record in records(folder):
            if record["prompt"] in prompts:
                for _ in range(3):
                    answer = await peer.call(
                        "wait_for_image", generation_id=record["generation_id"], wait_seconds=60, images="none"
                    )
                    log.info("recovered %s: %s %s", record["prompt"], answer["status"], answer.get("message"))
                    if answer["status"] in {"saved", "partial"}:
                        break


def check(folder: Path, site: Site, prompts: list[str], figures: Side, context: str) -> None:
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
            figures.ends[record["state"]] += 1
            if not true_end(record, len(sent)):
                figures.untrue.append(f"{context}: {prompt}: {record['state']} {record.get('error')} sent {len(sent)}")


def true_end(record: dict[str, Any], sent: int) -> bool:
    if record["state"] not in FINAL_STATES:
        return False
    if record["state"] == "saved":
        return sent == 1 and bool(record["images"])
    return not (record["submitted"] is False and sent) and not (record["submitted"] is True and not sent)


def variables(folder: Path, site: Site) -> dict[str, str]:
    return environment(folder, site.url)
