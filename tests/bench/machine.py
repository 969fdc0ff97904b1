"""Facts about this machine for the table: kind and size, never names or paths."""

import os
import platform
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import psutil

__all__ = ["facts", "load_now"]


def facts(browser: Path | None) -> str:
    """One line: date, processor, memory, system, Python, Node, browser."""
    memory = psutil.virtual_memory().total / 2**30
    parts = [
        datetime.now().astimezone().date().isoformat(),
        f"{os.cpu_count()} x {_processor()}",
        f"{memory:.0f} GiB memory",
        f"{platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}",
    ]
    node = _version(["node", "--version"])
    if node:
        parts.append(f"Node {node}")
    if browser is not None:
        found = _version([str(browser), "--version"])
        parts.append(f"browser {found}" if found else "browser of unknown version")
    return ", ".join(parts)


def load_now() -> str:
    """How busy it is: processes that want to run, over the last minute."""
    return "unknown" if sys.platform == "win32" else f"{os.getloadavg()[0]:.1f}"


def _processor() -> str:
    with_names = Path("/proc/cpuinfo")
    if with_names.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", with_names.read_text(), re.MULTILINE)
        if found:
            return " ".join(found[1].split())
    return platform.processor() or platform.machine()


def _version(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else ""
