"""A library of years: its page is written, stays light to open, and costs little memory to write."""

import json
import subprocess
import sys
from pathlib import Path

from cdp_image_mcp.library.folder import SIDECAR, encode_record
from cdp_image_mcp.library.record import now
from cdp_image_mcp.request import SavedImage
from tests.browser import left_out_if_quick
from tests.library.making import a_record, ago

ENTRIES = 5_000
MOST_BYTES = 12_000_000
"""Of the page: a browser opens it in a moment, and the pictures come one by one as they are looked at."""
MOST_MEMORY = 10_000_000
"""Bytes in use at most while everything is looked at and the page, which is larger, is written."""

# In a process of its own, so that nothing of other tests counts. The peak of resident memory would not do: on Linux a
# new program begins with its parent's.
WRITE = """
import sys, tracemalloc
from pathlib import Path
import anyio
from cdp_image_mcp.library.gallery.gallery import Gallery
from cdp_image_mcp.library.library import Library

tracemalloc.start()
path = anyio.run(Gallery(Library(Path(sys.argv[1]))).rebuild)
print(path.stat().st_size, tracemalloc.get_traced_memory()[1])
"""


def test_a_gallery_of_5000_entries_is_light_to_open_and_to_write(tmp_path: Path) -> None:
    left_out_if_quick("a while")
    words = "a lighthouse of red bricks in a storm, seen from the sea, in the manner of an old engraving; " * 5
    for number in range(ENTRIES):
        folder = tmp_path / f"2026-{number:05}"
        folder.mkdir()
        image = SavedImage(
            path=str(folder / "image-01.png"),
            mime_type="image/png",
            width=1024,
            height=1536,
            bytes=2_000_000,
            sha256="0" * 64,
            alpha=False,
            c2pa=True,
        )
        made = a_record(
            f"{number} {words}",
            created_at=ago(minutes=ENTRIES - number),
            finished_at=now(),
            state="saved",
            submitted=True,
            images=[image],
            conversation_url="https://chatgpt.com/c/00000000-0000-0000-0000-000000000000",
            facts={"words": "Here is the picture that you asked for."},
        )
        (folder / SIDECAR).write_bytes(encode_record(made))
    ran = subprocess.run([sys.executable, "-c", WRITE, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    size, used = map(int, ran.stdout.split())
    data = (tmp_path / "index.html").read_text("utf-8").partition('{"written"')[2].partition("</script>")[0]
    cards = json.loads('{"written"' + data)["cards"]
    assert [card["prompt"].split()[0] for card in cards] == [str(number) for number in reversed(range(ENTRIES))]
    assert size < MOST_BYTES
    assert used < MOST_MEMORY
