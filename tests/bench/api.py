"""Section ``api``: pictures from the images endpoint, by us and by the vendor's own Python client.

Both get the same bytes from the same server on this machine and write the same files with fsync. Every round of
either is a process of its own that has made a small picture before, so that imports and certificates do not count
and the peak of memory is that of the pictures alone.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio

from cdp_image_mcp.config import Settings
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.request import ImageRequest
from fixtures.images_api import ImagesApi, Play, Request, Response, png, running_api, usage_of
from tests.bench.figures import OURS, Budget, NotMeasured, Section, Unit, in_turn
from tests.bench.machine import facts
from tests.bench.plan import Plan
from tests.bench.table import markdown
from tests.openai.doubles import DiskReport

__all__ = ["measure", "run"]

VENDOR = "openai (Python)"
MEGABYTE = 1_000_000
PIECE = 1 << 16
MADE = "made"
"""The folder of what counts, beside that of the warm-up."""


class Load(NamedTuple):
    """So many pictures of so many bytes in one answer."""

    pictures: int
    size: int

    @property
    def title(self) -> str:
        many = f"{self.pictures} pictures" if self.pictures > 1 else "1 picture"
        return f"{many} of {self.size // MEGABYTE} MB"


LOADS = (Load(1, 2 * MEGABYTE), Load(4, 2 * MEGABYTE), Load(10, 2 * MEGABYTE), Load(1, 25 * MEGABYTE))


def run(plan: Plan) -> Section:
    """Time from the call until all files are on disk, and how far memory rose meanwhile."""
    return measure(plan.rounds(full=9, quick=2), plan.told)


def measure(rounds: int, told: Callable[[str], None]) -> Section:
    """As :func:`run`, without a plan."""
    section = Section("api", "Images API")
    with running_api() as api:
        for load in LOADS:
            api.always = _prepared(load)
            names = tuple(f"{load.title}, {what}" for what in ("time", "processor", "memory"))
            section.budgets += [Budget(names[0], 0.85, VENDOR), Budget(names[2], 0.3, VENDOR)]
            units: Mapping[str, Unit] = {names[0]: "s", names[1]: "s", names[2]: "B"}
            sides = {who: partial(_round, who, api, load, names) for who in (OURS, VENDOR)}
            in_turn(section, rounds, sides, units, told)
    section.notes.append("Peak memory is the rise of the process's largest resident size over that after a warm-up.")
    return section


def _prepared(load: Load) -> Play:
    """A whole answer made beforehand and sent in chunks: making it must not count."""
    pictures = [png(1024, 1024, size=load.size, seed=number) for number in range(load.pictures)]
    data = [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures]
    answer = {"created": 1_795_000_000, "data": data, "size": "1024x1024", "usage": usage_of(load.pictures)}
    body = json.dumps(answer, indent=2).encode()
    small = json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(png(64, 64)).decode()}]}).encode()

    async def play(request: Request, response: Response) -> None:
        whole = small if request.json()["prompt"] == "warm-up" else body
        await response.start(200, {"content-type": "application/json", "x-request-id": "req_bench"})
        for at in range(0, len(whole), PIECE):
            await response.send(whole[at : at + PIECE])
        await response.end()

    return play


def _round(who: str, api: ImagesApi, load: Load, names: tuple[str, ...], _number: int) -> Mapping[str, float]:
    side = "ours" if who == OURS else "vendor"
    command = [sys.executable, "-m", "tests.bench.api", "--side", side, "--url", api.url, "--n", str(load.pictures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise NotMeasured(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it ended without a word")
    told: dict[str, Any] = json.loads(done.stdout)
    if told["bytes"] != load.pictures * load.size:
        raise NotMeasured(f"it saved {told['bytes']} bytes")
    return {name: told[field] for name, field in zip(names, Cost._fields, strict=True)}


# --- in a process of its own ---------------------------------------------------------------------------------------


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _peak() -> int:
    """Largest resident size of this process so far, in bytes.

    On Linux from the process's own memory map: ``ru_maxrss`` begins with the parent's there. Its unit is kilobytes
    everywhere but on macOS.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    if sys.platform == "win32":
        raise NotMeasured("memory is read from a Unix system")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Cost(NamedTuple):
    """Of one answer: seconds on the clock and of the processor, and the rise of the peak of memory in bytes."""

    seconds: float
    processor: float
    memory: int


@contextmanager
def _measured(into: list[Cost]) -> Generator[None]:
    before, busy, began = _peak(), time.process_time(), time.perf_counter()
    yield
    into.append(Cost(time.perf_counter() - began, time.process_time() - busy, _peak() - before))


def _made(folder: Path) -> Path:
    place = folder / MADE
    place.mkdir()
    return place


class _Files(DiskReport):
    """Writes pictures as the product does, and leaves out the record, which the other side does not keep."""

    async def _write(self) -> None:
        return


async def _ours(url: str, pictures: int, folder: Path) -> Cost:
    settings = Settings(output_dir=folder, profile_dir=folder, api_key="bench", base_url=url, compat="openai")
    backend = ApiBackend(settings)
    warm = folder / "warm"
    warm.mkdir()
    await backend.generate(ImageRequest(prompt="warm-up", backend="api", quality="low"), _Files(warm))
    costs: list[Cost] = []
    report = _Files(_made(folder))
    with _measured(costs):
        await backend.generate(ImageRequest(prompt="a fox", backend="api", quality="low", n=pictures), report)
    await backend.aclose()
    return costs[0]


def _vendor(url: str, pictures: int, folder: Path) -> Cost:
    import openai

    def make(client: openai.OpenAI, prompt: str, n: int, place: Path) -> None:
        answer = client.images.generate(model="gpt-image-2", prompt=prompt, n=n, quality="low")
        for number, item in enumerate(answer.data or [], 1):
            _write(place / f"image-{number:02}.png", base64.b64decode(item.b64_json or ""))

    warm = folder / "warm"
    warm.mkdir()
    with openai.OpenAI(api_key="bench", base_url=url, max_retries=0) as client:
        make(client, "warm-up", 1, warm)
        costs: list[Cost] = []
        made = _made(folder)
        with _measured(costs):
            make(client, "a fox", pictures, made)
        return costs[0]


def _one_side(side: str, url: str, pictures: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-api-") as name:
        folder = Path(name)
        cost = anyio.run(_ours, url, pictures, folder) if side == "ours" else _vendor(url, pictures, folder)
        size = sum(path.stat().st_size for path in (folder / MADE).rglob("*.png"))
    print(json.dumps({**cost._asdict(), "bytes": size}))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api", description=__doc__)
    parser.add_argument("--side", choices=("ours", "vendor"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--n", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=9, help="rounds for each side (default 9)")
    given = parser.parse_args()
    if given.side:
        _one_side(given.side, given.url, given.n)
        return
    section = measure(given.rounds, lambda line: print(line, file=sys.stderr, flush=True))
    print(markdown([section], facts(None)))


if __name__ == "__main__":
    _main()
