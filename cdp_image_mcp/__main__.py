"""The ``cdp-image-mcp`` command and ``python -m cdp_image_mcp``. A server splits in two before it loads anything."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run one command and answer its exit code."""
    front = None
    if sys.argv[1:] in ([], ["serve"]):
        from cdp_image_mcp.system.front import split

        front = split()
    from cdp_image_mcp.cli.main import main as run

    return run(front=front)


if __name__ == "__main__":
    sys.exit(main())
