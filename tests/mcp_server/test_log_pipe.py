"""The log of a server whose standard error takes a line once, and the next not."""

import errno
import os

import pytest

from cdp_image_mcp.mcp_server.client import logpipe


def test_a_disk_that_was_full_for_a_moment_costs_the_line_that_it_did_not_take(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, full = os.write, [OSError(errno.ENOSPC, "No space left on device")]

    def written(handle: int, data: bytes) -> int:
        if handle == logpipe.STANDARD_ERROR and full:
            raise full.pop()
        return write(handle, data)

    monkeypatch.setattr(logpipe.os, "write", written)
    pipe = logpipe.LogPipe()
    pipe.tell("one\n")
    pipe.tell("two\n")
    pipe.flush()
    assert capfd.readouterr().err == "two\n"
