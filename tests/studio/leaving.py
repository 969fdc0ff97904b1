"""Generations that were left behind, and how they came to be."""

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, now
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Standing, Studio
from tests.library.making import DEAD, a_record, create
from tests.studio.scripted import png


def asking(prompt: str = "a bear", **arguments: object) -> GenerateImage:
    return GenerateImage(prompt=prompt, **arguments)  # type: ignore[arg-type]


async def sent_then_hangs(request: ImageRequest, report: Report) -> None:
    await report.state("submitting", sent_prompt=request.prompt, submitted="unknown")
    await report.state("generating", submitted=True, conversation_id="1", conversation_url="http://site/c/1")
    await anyio.sleep_forever()


async def sent(studio: Studio) -> Standing:
    """A generation of ``sent_then_hangs`` once its prompt is out."""
    first = await studio.generate(asking(wait_seconds=0))
    while (standing := await studio.wait(first.record.generation_id, 0)).record.submitted is not True:
        await anyio.lowlevel.checkpoint()
    return standing


async def collects(_request: ImageRequest, report: Report) -> None:
    await report.save(png(3), source={"file_id": "file_3"})


async def left(folder: Path, **more: Any) -> Record:
    """A generation of a dead process on disk; an orphan unless ``more`` says otherwise."""
    fields: dict[str, Any] = {"owner": DEAD, "state": "generating", "submitted": True, "fingerprint": "other"}
    record = a_record(**(fields | more))
    await create(Library(folder / "output"), record)
    return record


async def interrupted(folder: Path, **more: Any) -> Record:
    return await left(folder, **({"state": "interrupted", "finished_at": now(), "spent": "unknown"} | more))
