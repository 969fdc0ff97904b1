"""The ``cdp-image-mcp`` command and ``python -m cdp_image_mcp``. What may pay for a picture splits in two before it
loads anything: what is paid for outlives whoever waited for it."""

import os
import signal
import sys

from cdp_image_mcp.system.telling import open_missing


def main() -> int:
    """Run one command and answer its exit code."""
    # Folders are named by prompts in any language, and other processes here can say them.
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves
    # Nothing is open or sent before signals are listened to: Ctrl-C ends that without a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    open_missing()
    front = None
    # On Windows the part behind has no console, which a person at ``generate`` would miss.
    if sys.argv[1:] in ([], ["serve"]) or (sys.argv[1] == "generate" and sys.platform != "win32"):
        from cdp_image_mcp.system.front import split

        front = split()
    from cdp_image_mcp.cli.main import main as run

    return run(front=front)


if __name__ == "__main__":
    sys.exit(main())
