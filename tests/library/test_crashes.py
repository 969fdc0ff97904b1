"""Killed in the middle: whatever a process was told is on disk stays there, and nothing is half there.

The seed of the moments is printed; ``LIBRARY_CRASH_SEED`` repeats a run and ``LIBRARY_CRASH_ROUNDS`` makes it longer.
"""

import hashlib
import json
import os
import random
import select
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cdp_image_mcp.library.folder import read_record
from cdp_image_mcp.library.imagefile import inspect
from cdp_image_mcp.library.library import Library
from tests.browser import left_out_if_quick
from tests.library.making import end, other_process

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("LIBRARY_CRASH_ROUNDS", "12"))

WORK = """
import base64, hashlib, json, sys
import anyio
import anyio.to_thread
from pathlib import Path
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.imagefile import inspect
from tests.library.making import a_record, picture

def say(*what):
    sys.stdout.write(json.dumps(what) + "\\n")
    sys.stdout.flush()

async def main():
    library = Library(Path(sys.argv[1]))
    pictures = [picture(size=(60, 60)) for _ in range(8)]
    number = 0
    while True:
        number += 1
        name = f"{int(sys.argv[2]):08x}{number:024x}"
        record = a_record("a lighthouse", "mark " + name, generation_id=name)
        say("asking", record.generation_id)
        claim = await library.claim_or_register(record)
        say("created", record.generation_id, str(claim.folder.path))
        record.state, record.submitted = "generating", True
        await claim.folder.write(record)
        say("state", record.generation_id, "generating")
        for _ in range(2):
            data = pictures[number % 8]
            saved = await claim.folder.add_picture(data, inspect(data))
            say("picture", record.generation_id, saved.path, hashlib.sha256(data).hexdigest())
            record.images.append(saved)
            await claim.folder.write(record)
            say("listed", record.generation_id, len(record.images))
        record.state = "saved"
        await claim.folder.write(record)
        say("state", record.generation_id, "saved")
        await library.release(claim.waiter)

anyio.run(main)
"""


def _run_and_kill(root: Path, round_: int, moments: random.Random) -> list[list[Any]]:
    """Everything the process said was done before it was killed, at a moment between two of its sayings."""
    process = other_process(WORK, str(root), str(round_))
    said: list[list[Any]] = []
    raw = b""
    try:
        assert process.stdout is not None
        handle = process.stdout.fileno()
        steps = moments.randint(1, 60)
        while len(said) < steps:
            part = os.read(handle, 65536)
            if not part:
                raise AssertionError("the process ended by itself: " + process.communicate()[1])
            raw += part
            *lines, raw = raw.split(b"\n")
            said += [json.loads(line) for line in lines]
        # The moment itself: not a wait for anything, only a spread of the blow over the step's inside.
        blow = time.monotonic() + moments.random() * 0.02
        while time.monotonic() < blow:
            pass
        process.kill()
        while select.select([handle], [], [], 10)[0] and (part := os.read(handle, 65536)):
            raw += part
        *lines, _ = raw.split(b"\n")
        said += [json.loads(line) for line in lines]
    finally:
        end(process)
    return said


async def _check(root: Path, round_: int, said: list[list[Any]]) -> tuple[int, int]:
    """The promises: answers how many pictures were kept and how many were rescued."""
    library = Library(root)
    kept = rescued = 0
    order = ["queued", "generating", "saved"]
    states: dict[str, str] = {}
    pictures: dict[str, dict[str, str]] = {}
    for what, generation, *facts in said:
        match what:
            case "created":
                states[generation] = "queued"
                pictures[generation] = {}
            case "state":
                states[generation] = facts[0]
            case "picture":
                pictures[generation][facts[0]] = facts[1]
            case _:
                pass
    asked = {generation for what, generation, *_ in said if what == "asking"}
    for entry in await library.unfinished():
        assert not entry.alive
        adopted = await library.adopt(entry.record.generation_id)
        assert adopted is not None
        strays = await adopted.folder.strays(adopted.record)
        rescued += len(strays)
        adopted.record.images += strays
        adopted.record.state = "interrupted"
        await adopted.folder.write(adopted.record)
        assert not [path.name for path in adopted.folder.path.iterdir() if path.name.startswith(".")]
    for generation, state in states.items():
        entry = await library.find(generation)
        assert entry is not None, f"{generation} was created and is lost"
        assert entry.record.state == "interrupted" or order.index(entry.record.state) >= order.index(state)
        for path, digest in pictures[generation].items():
            data = Path(path).read_bytes()
            assert hashlib.sha256(data).hexdigest() == digest
            inspect(data)
            assert digest in {image.sha256 for image in entry.record.images}
            kept += 1
        for image in entry.record.images:
            assert hashlib.sha256(Path(image.path).read_bytes()).hexdigest() == image.sha256
    assert await library.rescan() >= len(states)
    found = [read_record(path)[0].generation_id for path in root.iterdir() if path.is_dir() and path.name[0] != "."]
    assert len(found) == len(set(found)) == await library.rescan()
    assert set(states) <= set(found)
    # A folder nobody was told of can only be the very one that was being made; nothing had been sent for it.
    assert {name for name in found if name[:8] == f"{round_:08x}"} <= set(states) | asked
    return kept, rescued


async def test_a_process_killed_at_any_moment_loses_nothing_it_had_promised(root: Path) -> None:
    left_out_if_quick("a while")
    seed = int(os.environ.get("LIBRARY_CRASH_SEED", random.SystemRandom().randrange(2**32)))
    print(f"LIBRARY_CRASH_SEED={seed} rounds={ROUNDS}")
    moments = random.Random(seed)
    kept = rescued = 0
    with anyio.fail_after(60 + ROUNDS * 20):
        for round_ in range(ROUNDS):
            said = await anyio.to_thread.run_sync(_run_and_kill, root, round_, moments)
            more = await _check(root, round_, said)
            kept, rescued = kept + more[0], rescued + more[1]
    print(f"pictures kept {kept}, rescued {rescued}, lost 0")
    assert kept > 0
