"""``python -m cdp_image_mcp``: the same as the ``cdp-image-mcp`` command."""

import sys

from cdp_image_mcp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
