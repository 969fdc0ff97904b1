"""What the sections with the web flow share: the two sides on one stand-in, and one generation with its moments."""

import hashlib
import random
import shlex
import stat
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.browser import QUIET, root_switches
from tests.bench.display import virtual_display
from tests.bench.figures import OURS, NotMeasured, Section
from tests.bench.plan import Plan
from tests.bench.sides import SEED, Side, ours, seed
from tests.bench.standin import HOST, StandIn
from tests.bench.stdio import McpProcess

__all__ = ["Drawn", "Maker", "draw", "makers", "mapped_browser", "warmed"]

CHROME = Path("/opt/google/chrome/chrome")
TRIES = 2
WARMING_SECONDS = 90.0
Maker = Callable[[Path], Side]


class Drawn(msgspec.Struct, frozen=True):
    """One generation. All moments on the monotonic clock, seconds."""

    called_at: float
    asked_at: float
    """The site had the prompt."""
    final_at: float
    """The site had the finished picture; without one yet, the moment of the answer."""
    answered_at: float
    """The client had the whole answer, and the file was on disk."""
    characters: int
    right: bool
    """The file on disk is the finished picture, byte for byte."""

    @property
    def whole(self) -> float:
        return self.answered_at - self.called_at

    @property
    def overhead(self) -> float:
        """From the finished picture at the site to the answer."""
        return self.answered_at - self.final_at

    @property
    def site(self) -> float:
        """What the site itself took, from the prompt to the finished picture."""
        return self.final_at - self.asked_at


def mapped_browser(folder: Path, browser: Path, standin: StandIn) -> Path:
    """A program file that starts ``browser`` with the site's name leading to the stand-in. Raises NotMeasured."""
    if sys.platform == "win32":
        raise NotMeasured("the wrapper that maps the site's name is a shell script")
    switches = [
        f"--host-resolver-rules=MAP {HOST} 127.0.0.1:{standin.tls_port}",
        f"--ignore-certificate-errors-spki-list={standin.certificate.pin}",
        *QUIET,
        *root_switches(),
    ]
    wrapper = folder / "browser"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(str(browser))} "$@" {shlex.join(switches)}\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return wrapper


@contextmanager
def makers(plan: Plan, section: Section, folder: Path, standin: StandIn) -> Generator[dict[str, Maker]]:
    """How to make each side for a folder. The seed is left out, with its reason in the section, when it cannot run."""
    if plan.browser is None:
        raise NotMeasured("no browser is installed here")
    wrapper = mapped_browser(folder, plan.browser, standin)
    found: dict[str, Maker] = {OURS: lambda place: ours(place, wrapper)}
    with ExitStack() as stack:
        try:
            display = _ready_for_seed(plan, folder, stack)
        except NotMeasured as reason:
            section.absent[SEED] = str(reason)
        else:
            found[SEED] = lambda place: seed(plan.workshop, place, wrapper, **display)
        yield found


def _ready_for_seed(plan: Plan, folder: Path, stack: ExitStack) -> dict[str, str]:
    if CHROME.exists():
        raise NotMeasured("Google Chrome is installed, and the seed then takes no other path for its browser")
    seed(plan.workshop, folder)
    return stack.enter_context(virtual_display())


def warmed(
    stack: ExitStack, section: Section, standin: StandIn, sides: Mapping[str, Maker], folder: Path
) -> dict[str, tuple[Side, McpProcess]]:
    """Each side as a running server that has drawn one picture, for the life of ``stack``.

    One that fails gets a second try, for a browser can fail to start on a busy machine; then it is left out.
    """
    servers: dict[str, tuple[Side, McpProcess]] = {}
    for who, make in sides.items():
        side = make(folder / f"side-{list(sides).index(who)}")
        reasons: list[str] = []
        while len(reasons) < TRIES and who not in servers:
            with ExitStack() as own:
                try:
                    server = own.enter_context(side.start())
                    server.initialize()
                    draw(side, server, standin, f"warming up {random.random()}", limit=WARMING_SECONDS)
                except NotMeasured as reason:
                    reasons.append(str(reason))
                else:
                    servers[who] = (side, server)
                    stack.push(own.pop_all())
        if who not in servers:
            section.absent[who] = " / ".join(reasons)
    standin.forget()
    return servers


def draw(
    side: Side, server: McpProcess, standin: StandIn, prompt: str, *, limit: float = 180.0, **arguments: Any
) -> Drawn:
    """One call of generate_image with a prompt never used before. Raises NotMeasured when it brought no picture."""
    called_at = time.monotonic()
    answer = server.tool("generate_image", {"prompt": prompt, **side.arguments, **arguments}, limit=limit)
    data = answer.data()
    if answer.result.get("isError") or data.get("status") != "saved":
        raise NotMeasured(f"no picture: {_reason(data)}")
    content = Path(str(data["image_path"])).read_bytes()
    turn = standin.turn(prompt)
    right = turn.final_at is not None and hashlib.sha256(content).hexdigest() == turn.sha256
    return Drawn(called_at, turn.asked_at, turn.final_at or answer.at, answer.at, answer.characters, right)


def _reason(data: Mapping[str, Any]) -> str:
    for key in ("message", "text", "next", "status"):
        if data.get(key):
            return str(data[key])[:300]
    return "an answer without a word"
