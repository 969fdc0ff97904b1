"""Rows of the table of variants that the program fails today, and what it lacks.

A row that stands here is expected to fail, strictly: the change that mends it takes its line away. A key stands for all
pages, or with the name of one (`84-october`) for that page alone.
"""

__all__ = ["AWAITED"]

AWAITED: dict[str, str] = {}
