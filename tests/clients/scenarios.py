"""What a person wants of a client with our server, and what must come of it whoever the client is."""

import asyncio
import base64
import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fixtures.images_api.drawing import png
from fixtures.images_api.plays import Play, draw, error, stream
from fixtures.images_api.server import ImagesApi
from fixtures.images_api.wire import Request, Response
from tests.clients.drivers import Driver, filled
from tests.clients.model import LAST_WORDS, TOOLS, Call, Model, fact
from tests.clients.wires import Got
from tests.clients.world import World, until

RUN = 180
"""Seconds for one run of a client, on a machine that is busy."""


@dataclass
class Seen:
    """A row of the table."""

    model: str
    person: str


@dataclass
class Bench:
    """A client in its world, its model and the API behind our server."""

    driver: Driver
    world: World
    program: list[str]
    model: Model
    api: ImagesApi
    ready: bool = False
    """Whether it was told once what it must be told."""

    def environment(self) -> dict[str, str]:
        return self.driver.environment(self.world, self.model.url) | KEY

    def begin(self, prompt: str, *script: Call) -> tuple["subprocess.Popen[bytes]", Path]:
        """Start the client with what the person says, and the model with what it does about it."""
        self.model.play(*script)
        line = self.driver.line(self.world, self.model.url, prompt)
        if self.driver.first and not self.ready:
            self.ready = True
            first = [filled(each, self.model.url) for each in self.driver.first]
            process, said = self.world.start([*self.program, *first], self.environment())
            assert process.wait(RUN) == 0, _plain(said)[-600:]
        return self.world.start([*self.program, *line], self.environment())

    def run(self, prompt: str, *script: Call) -> str:
        """The same, to its end; returns what the person reads."""
        process, said = self.begin(prompt, *script)
        try:
            process.wait(RUN)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the client was not done within {RUN} s: {_plain(said)[-400:]}") from None
        text = _plain(said)
        assert len(self.model.got) == len(script), (
            f"{len(self.model.got)} of {len(script)} calls had a result; the client exited with {process.returncode}: "
            f"{text[-600:]}"
        )
        return text

    def records(self) -> list[dict[str, Any]]:
        """All generations on disk."""
        files = sorted(self.world.home.rglob("metadata.json"))
        found: list[dict[str, Any]] = []
        for file in files:
            with contextlib.suppress(OSError, ValueError):
                found.append(json.loads(file.read_bytes()))
        return found


KEY = {"OPENAI_API_KEY": "scripted"}


def _plain(file: Path) -> str:
    text = file.read_text(errors="replace")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).strip()


def _one(bench: Bench) -> dict[str, Any]:
    """The one generation that there must be, saved, by one request."""
    records = bench.records()
    assert [record["state"] for record in records] == ["saved"], records
    assert len(bench.api.posts) == 1, f"{len(bench.api.posts)} requests for one wish"
    return records[0]


def _got(bench: Bench, got: Got) -> str:
    """What the model was given, after checking that the person can be told where the picture is."""
    path = fact(got.text, "image_path")
    assert path is not None, f"no image_path in {got.text[:300]!r}"
    assert Path(path).is_file(), path
    left_out = bool(bench.driver.client.unseen)
    assert not re.search(r"[A-Za-z0-9+/]{2000}", got.text), "base64 of a picture among the words"
    assert not (left_out and got.pictures), "a picture for a client that cannot show one"
    if not got.pictures:
        return "text with image_path" + (", picture left out" if left_out else ", no picture")
    picture = base64.b64decode(got.pictures[0])
    return "text with image_path, picture " + ("unchanged" if picture == Path(path).read_bytes() else "reduced")


def _person(text: str) -> str:
    """What of it all a person without a terminal reads."""
    words = re.compile(rf"({'|'.join(LAST_WORDS)}).*", re.DOTALL)
    before = words.sub("", text)
    shown = {
        "the call": any(tool in before for tool in TOOLS),
        "the answer's JSON": bool(re.search(r'\\*"status', before)),
        "the model's words": bool(words.search(text)),
    }
    return ", ".join(name for name, is_there in shown.items() if is_there) or f"only: {text[-160:]}"


def lists(bench: Bench) -> Seen:
    """Connect and list: the client says who it is, and the model is offered the five tools, or a search for them."""
    said = bench.run("which tools are there")
    first = bench.world.said_to_server()[0]["params"]
    meta = first.get("_meta", {})
    named = (first.get("clientInfo") or meta["io.modelcontextprotocol/clientInfo"])["name"]
    version = first.get("protocolVersion") or meta["io.modelcontextprotocol/protocolVersion"]
    announced = bench.driver.client.announces
    assert named in announced or not announced, f"it announces {named!r}; the table says {announced}"
    listed, who = bench.model.listed(), f"{named} speaks {version}; "
    if listed:
        assert sorted(listed) == sorted(TOOLS), f"{sorted(listed)} of five tools"
        return Seen(f"{who}five tools as {listed['generate_image']['full']}", _person(said))
    names = {name for asked in bench.model.asked for name in asked.tools}
    assert names & {"ToolSearch", "tool_search"}, f"none of ours among {sorted(names)}; {said[-300:]}"
    return Seen(f"{who}five tools behind its search", _person(said))


def quick(bench: Bench) -> Seen:
    """A picture that is there at once."""
    said = bench.run("a fox in the snow", Call("generate_image", {"prompt": "a fox in the snow"}))
    _one(bench)
    return Seen(_got(bench, bench.model.got[-1]), _person(said))


def slow(bench: Bench) -> Seen:
    """A picture that takes longer than its call waits: collected by wait_for_image, made once."""
    drawn = threading.Event()
    bench.api.play(held(drawn))

    def wait(got: list[Got]) -> dict[str, Any]:
        drawn.set()
        return {"generation_id": fact(got[-1].text, "generation_id")}

    wish = {"prompt": "a slow fox", "wait_seconds": 1}
    said = bench.run("a slow fox", Call("generate_image", wish), Call("wait_for_image", wait))
    _one(bench)
    first = fact(bench.model.got[0].text, "status")
    assert first == "working", bench.model.got[0].text[:300]
    return Seen("working; then " + _got(bench, bench.model.got[-1]), _person(said))


def reference(bench: Bench) -> Seen:
    """A picture of the project's as the beginning."""
    given = bench.world.project / "reference.png"
    given.write_bytes(png(64, 64, seed=7))
    wish = {"prompt": "the same in red", "reference_images": [str(given)]}
    said = bench.run("make reference.png red", Call("generate_image", wish))
    _one(bench)
    assert bench.api.posts[-1].path.endswith("/edits")
    return Seen(_got(bench, bench.model.got[-1]), _person(said))


def failing(bench: Bench) -> Seen:
    """An error: the model reads its code and what to do."""
    bench.api.always = error("quota")
    said = bench.run("a fox without money", Call("generate_image", {"prompt": "a fox without money"}))
    text = bench.model.got[-1].text
    code, step = fact(text, "code"), fact(text, "next_step")
    assert code == "billing", text[:400]
    assert step, text[:400]
    return Seen(f"the whole failure: {code}, next_step", _person(said))


def killed(bench: Bench) -> Seen:
    """The client dies in the middle: the picture is kept, and the next session collects it without a second one."""
    drawn = threading.Event()
    bench.api.play(held(drawn))
    process, _ = bench.begin("a late fox", Call("generate_image", {"prompt": "a late fox"}))
    until(lambda: bool(bench.api.posts), RUN, "the request reached the API")
    bench.world.kill_client()
    process.wait(10)
    drawn.set()
    until(lambda: not bench.world.servers(), 60, "our server ends")
    said = bench.run("where is my fox", Call("wait_for_image"))
    _one(bench)
    return Seen("in the next session: " + _got(bench, bench.model.got[-1]), _person(said))


def held(until_then: threading.Event) -> Play:
    """Draws when it is allowed to."""

    async def play(request: Request, response: Response) -> None:
        await asyncio.to_thread(until_then.wait, RUN)
        streamed = str(request.fields().get("stream", "")).lower() == "true"
        with contextlib.suppress(ConnectionError):
            await (stream() if streamed else draw())(request, response)

    return play


SCENARIOS: dict[str, Callable[[Bench], Seen]] = {
    "list": lists,
    "quick": quick,
    "slow": slow,
    "reference": reference,
    "error": failing,
    "kill": killed,
}
