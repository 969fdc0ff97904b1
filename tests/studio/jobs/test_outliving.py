"""Requests that are out when the studio is left: finished and saved, whatever becomes of everything else."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import read_record
from cdp_image_mcp.mcp_server import serving
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.jobs import runner
from cdp_image_mcp.studio.jobs.job import Job
from cdp_image_mcp.studio.jobs.runner import Outliving
from cdp_image_mcp.studio.jobs.settling import Settling
from cdp_image_mcp.studio.studio import open_studio
from tests.studio.leaving import asking
from tests.studio.scripted import Scripted, draw, png, settings, studio_with
from tests.ways import Given

pytestmark = pytest.mark.anyio


class Out:
    """A request at the API, drawn when it may be; and what was told in which order."""

    def __init__(self) -> None:
        self.sent = anyio.Event()
        self.may_draw = anyio.Event()
        self.told: list[str] = []

    async def play(self, request: ImageRequest, report: Report) -> None:
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown")
        await report.state("generating", submitted=True)
        self.sent.set()
        await self.may_draw.wait()
        await report.save(png(1))

    def outliving(self) -> Callable[[], None] | None:
        self.told.append("something is out")
        return self.let_go

    def let_go(self) -> None:
        self.told.append("let go")
        self.may_draw.set()


@asynccontextmanager
async def with_one_out(
    folder: Path, out: Out, web: Scripted, outliving: Outliving | None = None
) -> AsyncGenerator[Path]:
    """A studio with a finished picture of the site behind it, left while a request is out at the API."""
    ways = Given({"api": Scripted(out.play), "chatgpt-web": web})
    with anyio.fail_after(30):
        async with open_studio(settings(folder, backend="api", api_key="test-key"), ways, outliving) as studio:
            await studio.generate(asking("a hare", backend="chatgpt-web"))
            standing = await studio.generate(asking(wait_seconds=0))
            await out.sent.wait()
            yield Path(standing.folder)


class Closing(Scripted):
    """The site's back end, whose end a test decides."""

    def __init__(self, out: Out, fault: Exception | None = None) -> None:
        super().__init__(draw)
        self.out, self.fault = out, fault
        self.hangs = False

    async def aclose(self) -> None:
        self.out.told.append("closing the browser")
        if self.fault is not None:
            raise self.fault
        if self.hangs and not self.out.may_draw.is_set():
            await anyio.sleep_forever()


async def test_it_is_told_that_something_is_out_before_anything_is_closed(tmp_path: Path) -> None:
    out = Out()
    async with with_one_out(tmp_path, out, Closing(out), out.outliving) as folder:
        pass
    assert out.told[:3] == ["something is out", "closing the browser", "let go"]
    assert read_record(folder)[0].state == "saved"


async def test_a_browser_that_hangs_holds_neither_the_client_nor_the_picture_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CLOSING_SECONDS", 0.1)
    out = Out()
    web = Closing(out)
    web.hangs = True
    async with with_one_out(tmp_path, out, web, out.outliving) as folder:
        pass
    assert out.told[:3] == ["something is out", "closing the browser", "let go"]
    assert read_record(folder)[0].state == "saved"


async def test_a_browser_whose_end_fails_takes_no_picture_with_it(tmp_path: Path) -> None:
    out = Out()
    async with with_one_out(tmp_path, out, Closing(out, RuntimeError("the browser broke")), out.outliving) as folder:
        pass
    assert "let go" in out.told
    assert read_record(folder)[0].state == "saved"


async def test_a_client_that_cannot_be_told_takes_no_picture_with_it(tmp_path: Path) -> None:
    class Deaf(Out):
        def let_go(self) -> None:
            super().let_go()
            raise BrokenPipeError

    out = Deaf()
    async with with_one_out(tmp_path, out, Closing(out), out.outliving) as folder:
        pass
    assert read_record(folder)[0].state == "saved"


async def test_one_that_cannot_be_waited_for_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, ended = Out(), Settling.ended

    async def breaks(settling: Settling, job: Job, seconds: float = 0.0) -> None:
        if job.record.prompt == "broken":
            raise RuntimeError("a fault of ours")
        await ended(settling, job, seconds)

    monkeypatch.setattr(Settling, "ended", breaks)
    ways = Given({"api": Scripted(out.play)})
    with anyio.fail_after(30):
        async with open_studio(settings(tmp_path, backend="api", api_key="k"), ways, out.outliving) as studio:
            made = [await studio.generate(asking(prompt, wait_seconds=0)) for prompt in ("broken", "whole")]
            while any(not studio._runner.jobs[one.record.generation_id].is_out for one in made):  # pyright: ignore[reportPrivateUsage]
                await anyio.lowlevel.checkpoint()
    assert read_record(Path(made[1].folder))[0].state == "saved"


class Bound(Out):
    """In a process that may not outlive its client: Windows, and wherever no process may be started."""

    def outliving(self) -> None:
        self.told.append("something is out")


@pytest.mark.parametrize("asked", [True, False])
async def test_where_nothing_outlives_the_client_a_picture_that_comes_soon_is_saved(
    asked: bool, tmp_path: Path
) -> None:
    class Closes(Closing):
        async def aclose(self) -> None:
            self.out.may_draw.set()

    out = Bound()
    async with with_one_out(tmp_path, out, Closes(out), out.outliving if asked else None) as folder:
        pass
    assert out.told == ["something is out"] * asked
    record = read_record(folder)[0]
    assert (record.state, len(record.images)) == ("saved", 1)


async def test_and_of_one_that_does_not_come_the_record_says_so_though_a_browser_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hangs(Closing):
        async def aclose(self) -> None:
            while not read_record(folder)[0].finished:
                await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(runner, "LAST_SECONDS", 0.1)
    out = Bound()
    async with with_one_out(tmp_path, out, Hangs(out), None) as folder:
        pass
    record = read_record(folder)[0]
    assert (record.state, record.submitted, record.spent) == ("interrupted", True, "unknown")


def test_the_last_seconds_lie_within_those_that_the_end_of_a_server_takes() -> None:
    assert runner.LAST_SECONDS < serving.CLOSING_SECONDS


async def test_what_its_client_left_behind_is_fetched_by_whoever_asks_the_same_next(tmp_path: Path) -> None:
    """The client that asked has gone: the picture is nobody else's, and once told it is told no second time."""
    out, api = Out(), Scripted(draw)
    out.let_go = lambda: out.told.append("let go")  # type: ignore[method-assign]

    async def left(*, task_status: anyio.abc.TaskStatus[Path]) -> None:
        async with with_one_out(tmp_path, out, Closing(out), out.outliving) as folder:
            task_status.started(folder)

    async with anyio.create_task_group() as group:
        folder = await group.start(left)
        async with studio_with(tmp_path, api=api, backend="api", api_key="test-key") as studio:
            joined = await studio.generate(asking(wait_seconds=0))
            assert (joined.joined, joined.folder) == (True, str(folder))
            out.may_draw.set()
            told = await studio.wait(joined.record.generation_id)
            assert (told.record.state, told.notes) == ("saved", ())
            await studio.fetched(told)
            assert (await studio.generate(asking())).joined is False
    assert api.started == ["a bear"]


async def test_what_is_refused_when_the_client_has_gone_goes_no_other_way(tmp_path: Path) -> None:
    """It would be a browser, and perhaps a window for the person, for what can never be sent."""

    class Refused(Out):
        async def play(self, request: ImageRequest, report: Report) -> None:
            await report.state("submitting", sent_prompt=request.prompt, submitted="unknown")
            self.sent.set()
            await self.may_draw.wait()
            await report.state("generating", submitted=False, spent=False)
            raise ImageError("api_key_invalid", "The key is not taken.")

    out = Refused()
    web, wish = Closing(out), asking(wait_seconds=0)
    ways = Given({"api": Scripted(out.play), "chatgpt-web": web})
    with anyio.fail_after(30):
        async with open_studio(settings(tmp_path, backend="auto", api_key="test-key"), ways, out.outliving) as studio:
            standing = await studio.generate(wish)
            await out.sent.wait()
    record = read_record(Path(standing.folder))[0]
    assert web.started == []
    assert record.error is not None
    assert (record.error["code"], record.submitted, record.backend) == ("api_key_invalid", False, "api")
