"""Back ends over a browser that is a script."""

from pathlib import Path

import anyio

from cdp_image_mcp.chatgpt.backend import WebBackend
from cdp_image_mcp.config import Settings
from cdp_image_mcp.library.ledger import Ledger

__all__ = ["backend", "program"]


def program(folder: Path, script: str) -> Path:
    path = folder / "chrome"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


def backend(folder: Path, group: anyio.abc.TaskGroup, script: str = "exit 1") -> WebBackend:
    settings = Settings(
        output_dir=folder / "pictures", profile_dir=folder / "profile", chrome_path=program(folder, script)
    )
    return WebBackend(settings, Ledger(settings.profile_dir), group)
