"""What a command answers to whoever started it."""

import signal

from cdp_image_mcp.errors import CODES, Code, Fact

DONE, FAILED, USAGE, PERSON = 0, 1, 2, 3
STOPPED = 128
"""A shell's own: what a signal ended answers this and the signal's number."""
EXIT_CODES = {
    DONE: "done",
    FAILED: "failed, or not all pictures were made",
    USAGE: "wrong usage; nothing was sent",
    PERSON: "a person is needed (sign-in, key, setting, installation)",
    STOPPED + signal.SIGINT: "stopped with Ctrl-C",
}


def exit_code(code: Code, submitted: Fact) -> int:
    """The exit code of a failure."""
    if code == "invalid_input" and submitted is False:
        return USAGE
    return PERSON if CODES[code].person else FAILED
