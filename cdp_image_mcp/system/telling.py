"""What is said on standard error to people, who may have gone: nothing that is done depends on their hearing it."""

import os
import sys
from collections.abc import Iterable
from typing import TextIO


def tell(text: str, stream: TextIO | None = None) -> None:
    """Write ``text`` as it is. Where nobody reads any more (a closed terminal, ``2>&1 | head``), this and all that is
    said later leads nowhere."""
    to = stream or sys.stderr
    try:
        to.write(text)
        to.flush()
    except OSError:
        silence((to.fileno(),))


def open_missing() -> None:
    """Let the standard streams that whoever started this had closed (``2>&-``) lead nowhere: what writes to them works,
    and no file that is opened later takes their number."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  open to the end


def silence(handles: Iterable[int]) -> None:
    """Let open files lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in list(handles):
        os.dup2(nowhere, handle)
    os.close(nowhere)
