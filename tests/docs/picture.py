"""``python -m tests.docs.picture``: the README's picture of a real run, made anew.

Runs ``cdp-image-mcp demo`` in a folder of its own and takes a screenshot of what it printed beside what it saved. Not
part of the generated documents: the stand-in draws another picture each time.
"""

import base64
import html
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.browser import SWITCHES, found_browser
from tests.docs.documents import ROOT

PICTURE = ROOT / "fixtures" / "pictures" / "demo.png"
PROMPT = "a lighthouse at dusk"
WIDTH, HEIGHT = 1120, 400

PAGE = """<!doctype html><meta charset="utf-8"><style>
html, body {{ margin: 0; background: #1b1f24; }}
main {{ display: flex; gap: 24px; align-items: center; height: {height}px; padding: 0 24px; box-sizing: border-box; }}
pre {{ flex: 1; margin: 0; color: #d7dde4; font: 15px/1.55 "DejaVu Sans Mono", monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }}
b {{ color: #7ee0a0; font-weight: normal; }}
img {{ width: 352px; height: 352px; object-fit: contain; border-radius: 6px; }}
</style><main><pre>{text}</pre><img src="data:image/png;base64,{picture}" alt=""></main>"""


def run_demo(folder: Path) -> tuple[str, Path]:
    """What the demo printed, standard error first as it came, and the picture it saved."""
    environment = {
        **os.environ,
        "GPT_IMAGE_OUTPUT_DIR": str(folder / "pictures"),
        "CHATGPT_CHROME_ARGS": " ".join(SWITCHES),
    }
    command = [sys.executable, "-m", "cdp_image_mcp", "demo", PROMPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=180)
    path = done.stdout.strip()
    return f"{done.stderr}{path}".replace(str(folder), "~"), Path(path)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cdp-image-mcp-picture-") as name:
        folder = Path(name)
        printed, saved = run_demo(folder)
        text = f'<b>$ sh tests/run demo "{PROMPT}"</b>\n' + html.escape(printed)
        picture = base64.b64encode(saved.read_bytes()).decode()
        page = folder / "page.html"
        page.write_text(PAGE.format(height=HEIGHT, text=text, picture=picture), "utf-8")
        PICTURE.parent.mkdir(exist_ok=True)
        command = [str(found_browser().path), "--headless=new", *SWITCHES, f"--user-data-dir={folder / 'profile'}"]
        command += ["--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={PICTURE}", page.as_uri()]
        subprocess.run(command, capture_output=True, check=True, timeout=60)
    print(f"written: {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
