"""Folder names that are legal on Linux, macOS and Windows, whatever the prompt is made of."""

from datetime import datetime

__all__ = ["folder_name", "slug"]


def slug(prompt: str) -> str:
    """Letters and digits of any script, lower case, joined by ``-``, NFC, at most 42 characters; else ``image``."""
    raise NotImplementedError


def folder_name(prompt: str, at: datetime, attempt: int = 1) -> str:
    """``YYYYMMDD-HHMMSS-slug`` of a local time; from the second ``attempt`` on with ``-2``, ``-3``, … at the end."""
    raise NotImplementedError
