"""What a command answers to whoever started it."""

from cdp_image_mcp.errors import CODES, Code

__all__ = ["DONE", "EXIT_CODES", "FAILED", "PERSON", "USAGE", "exit_code"]

DONE, FAILED, USAGE, PERSON = 0, 1, 2, 3
EXIT_CODES = {
    DONE: "done",
    FAILED: "failed, or not all pictures were made",
    USAGE: "wrong usage; nothing was sent",
    PERSON: "a person is needed (sign-in, key, setting, installation)",
}


def exit_code(code: Code) -> int:
    """The exit code of a failure."""
    if code == "invalid_input":
        return USAGE
    return PERSON if CODES[code].person else FAILED
