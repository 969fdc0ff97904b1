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
from cdp_image_mcp.library.strays import gather, worthless
from tests.browser import left_out_if_quick
from tests.library.making import end, other_process, picture

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
        found = gather(adopted.folder.path, adopted.record)
        rescued += len(found.pictures)
        found.add_to(adopted.record)
        adopted.record.state = "interrupted"
        await adopted.folder.write(adopted.record)
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


STEPS = """
import os, sys
import anyio
from pathlib import Path
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.imagefile import inspect
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import now
from cdp_image_mcp.request import SavedImage
from tests.library.making import a_record

NUMBERED = {"open", "os.link", "os.rename", "os.remove"}
left = 0
write, fsync = os.write, os.fsync

def step():
    global left
    left -= 1
    if left == 0:
        os._exit(0)

def hook(event, arguments):
    # A killed process has done whole what the system was asked for before, and nothing of what it was asked next.
    if left > 0 and event in NUMBERED and any("a-lighthouse" in str(one) for one in arguments):
        step()

def stepping(work):
    def stepped(handle, *rest):
        step()
        return work(handle, *rest)
    return stepped

async def main(root, steps, kind, first, second):
    global left
    library = Library(root)
    record = a_record("a lighthouse", kind, generation_id=f"{steps:032x}", backend="api", request={"n": 2})
    folder = (await library.claim_or_register(record)).folder
    record.images.append(await folder.add_picture(first, inspect(first)))
    record.sources.append({})
    record.state, record.submitted, record.spent = "partial", True, True
    record.finished_at, record.fetched, record.facts["held"] = now(), True, 1
    await folder.write(record)
    halves = lambda handle, data: (step(), write(handle, data[: max(1, len(data) // 2)]))[1]
    os.write, os.fsync = halves, stepping(fsync)
    left = steps
    if kind == "image":
        record.images.append(await folder.add_picture(second, inspect(second)))
        record.sources.append({})
        record.state = "saved"
    else:
        record.facts["kept"] = [str(await folder.keep(second, "tif"))]
    del record.facts["held"]
    await folder.write(record)
    left = -1

sys.addaudithook(hook)
root, kind, first, second = Path(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3]), bytes.fromhex(sys.argv[4])
steps = 0
while left >= 0:
    steps += 1
    if (child := os.fork()) == 0:
        anyio.run(main, root, steps, kind, first, second)
        os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1:
        break
print(steps)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="one process for each step")
@pytest.mark.parametrize("kind", ["image", "unrecognised"])
async def test_killed_at_any_step_beside_an_ended_record_a_paid_picture_comes_into_it_or_was_cut_and_is_named(
    root: Path, kind: str
) -> None:
    first, second = picture(), picture() if kind == "image" else b"II*\0 a picture that was paid for"
    process = other_process(STEPS, str(root), kind, first.hex(), second.hex())
    with anyio.fail_after(120):
        out, errors = await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode == 0, errors
        library = Library(root)
        steps, cut, whole = int(out), 0, 0
        for entry in await library.with_strays():
            await library.rescue(entry)
        for number in range(1, steps + 1):
            entry = await library.find(f"{number:032x}")
            assert entry is not None
            record, folder = entry.record, entry.folder.path
            assert [image.sha256 for image in record.images[:1]] == [hashlib.sha256(first).hexdigest()]
            listed = [*(image.path for image in record.images), *record.facts.get("kept", [])]
            lying = [path for path in folder.iterdir() if path.name != "metadata.json"]
            # What the folder holds of it is in the record, once, and what is not holds nothing.
            assert len(listed) == len(set(listed))
            for path in lying:
                begun = path.name.startswith(".metadata.json.")
                assert begun or str(path) in listed or worthless(path) or not path.stat().st_size, path
            named = [Path(path).read_bytes() for path in listed[1:]]
            assert len(named) < 2
            assert all(map(second.startswith, named))
            whole += named == [second]
            cut += bool(named) and named != [second]
            if kind == "image":
                assert record.state == ("saved" if named == [second] else "partial")
    assert whole > 5
    assert cut > 0
    library.close()
