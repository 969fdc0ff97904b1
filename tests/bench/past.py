"""A library with a past: many earlier generations, synthesised as the program itself would have left them."""

import hashlib
import secrets
from datetime import datetime, timedelta
from pathlib import Path

from cdp_image_mcp.library.folder import SIDECAR, encode_record
from cdp_image_mcp.library.imagefile import inspect
from cdp_image_mcp.library.record import Record, Timings
from cdp_image_mcp.request import SavedImage
from fixtures.site import make_picture

__all__ = ["fill"]

WORDS = "a lighthouse at dusk, oil on canvas, long waves, gulls, warm light in one window"


def fill(root: Path, count: int) -> None:
    """``count`` saved generations below ``root``, one every ten minutes back from now, each with its picture."""
    root.mkdir(0o700, parents=True, exist_ok=True)
    picture = make_picture("earlier", size=(64, 64), claim_bytes=0, nonce="earlier")
    facts = inspect(picture.content)
    now = datetime.now().astimezone()
    for number in range(count):
        at = now - timedelta(minutes=10 * (number + 1))
        folder = root / f"{at:%Y%m%d-%H%M%S}-earlier-{number}"
        folder.mkdir(0o700)
        path = folder / f"image-01.{facts.extension}"
        path.write_bytes(picture.content)
        (folder / SIDECAR).write_bytes(encode_record(_record(number, at, path, picture.content)))


def _record(number: int, at: datetime, path: Path, content: bytes) -> Record:
    facts = inspect(content)
    image = SavedImage(
        path=str(path),
        mime_type=facts.mime_type,
        width=facts.width,
        height=facts.height,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        alpha=facts.alpha,
        c2pa=facts.c2pa,
    )
    moment = at.isoformat(timespec="milliseconds")
    return Record(
        generation_id=secrets.token_hex(16),
        state="saved",
        requested_backend="chatgpt-web",
        backend="chatgpt-web",
        mode="direct-cdp",
        prompt=f"{WORDS}, number {number}",
        sent_prompt=f"{WORDS}, number {number}",
        created_at=moment,
        updated_at=moment,
        finished_at=moment,
        request={"prompt": WORDS, "n": 1},
        fingerprint=secrets.token_hex(32),
        fetched=True,
        submitted=True,
        spent=True,
        conversation_id=secrets.token_hex(16),
        images=[image],
        sources=[{"file_id": f"file_{secrets.token_hex(16)}"}],
        timings=Timings(browser=0.5, submit=0.5, generate=30, save=0.1),
        elapsed_seconds=31.1,
    )
