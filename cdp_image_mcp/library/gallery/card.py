"""A generation as the gallery shows it."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from cdp_image_mcp.library import comparison
from cdp_image_mcp.library.folder import SIDECAR
from cdp_image_mcp.library.record import Record, epoch

MAX_PROMPT = 8_000
"""Characters of a prompt on the page; of a longer one the rest is in its record. 5,000 entries must stay light."""

MAX_ERROR = 600
TYPES = {"image/webp": "WebP", "image/svg+xml": "SVG"}
"""Others are called as their type ends, in capitals."""


def encoded(value: Any) -> str:
    """JSON that no prompt can use to leave its script element or to start a comment in it."""
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def card(record: Record, folder: Path, root: Path) -> str:
    """Its data as JSON; links lead from ``root``, where the page lies."""
    base = quote(folder.relative_to(root).as_posix()) if folder.is_relative_to(root) else folder.as_uri()
    try:
        honoured = comparison.honoured(record)
    except (ValueError, TypeError, KeyError, AttributeError):
        honoured = True  # somebody wrote it by hand
    prompt = {"prompt": record.prompt[:MAX_PROMPT]}
    names = [image.path.replace("\\", "/").rpartition("/")[2] for image in record.images]
    fields = {
        "at": round(epoch(record.created_at) * 1000),
        **prompt,
        "cut": len(record.prompt) > MAX_PROMPT,
        "sent": (record.sent_prompt or "")[:MAX_PROMPT] if record.sent_prompt != record.prompt else "",
        "state": record.state,
        "backend": record.backend,
        "images": [
            {
                "number": number,
                "href": f"{base}/{quote(name)}",
                "width": image.width,
                "height": image.height,
                "bytes": image.bytes,
                "kind": TYPES.get(image.mime_type, image.mime_type.removeprefix("image/").upper()),
                "alpha": image.alpha,
            }
            for number, (image, name) in enumerate(zip(record.images, names, strict=True), 1)
        ],
        "asked": comparison.requested(record),
        "got": comparison.actual(record),
        "missed": honoured if isinstance(honoured, list) and record.images else [],
        "facts": _facts(record),
        "error": str((record.error or {}).get("message", ""))[:MAX_ERROR],
        "conversation": url if (url := record.conversation_url or "").startswith("https://") else "",
        "record": f"{base}/{SIDECAR}",
        "path": str(folder / names[0]) if names else str(folder),
        "call": {"name": "generate_image", "arguments": prompt | record.request | prompt},
    }
    return encoded(fields)


def _facts(record: Record) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [
        ("Model", record.model),
        ("Took", f"{record.elapsed_seconds:.0f} s" if record.elapsed_seconds else None),
        ("Cost", f"{record.cost_usd:.4f} USD" if record.cost_usd else None),
        ("Instead of", record.fallback_from),
        ("Provenance", "C2PA block kept" if any(image.c2pa for image in record.images) else None),
        ("Error", (record.error or {}).get("code")),
        ("Id", record.generation_id),
    ]
    return [(name, value) for name, value in found if value]
