"""What is said on standard error to people, who may have gone: nothing that is done depends on their hearing it."""

import os
import sys
from collections.abc import Iterable
from typing import TextIO

__all__ = ["silence", "tell"]


def tell(text: str, stream: TextIO | None = None) -> None:
    """Write ``text`` as it is. Where nobody reads any more (a closed terminal, ``2>&1 | head``), this and all that is
    said later leads nowhere."""
    stream = sys.stderr if stream is None else stream
    if stream is None:  # started without one
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        silence((stream.fileno(),))


def silence(handles: Iterable[int]) -> None:
    """Let open files lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in list(handles):
        os.dup2(nowhere, handle)
    os.close(nowhere)
