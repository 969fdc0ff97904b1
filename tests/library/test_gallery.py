"""The page of all generations: everything in it, nothing let in by it, cheap to keep up."""

import base64
import hashlib
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import LaunchOptions
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import index
from cdp_image_mcp.library.folder import read_record, write_record
from cdp_image_mcp.library.gallery import gallery as module
from cdp_image_mcp.library.gallery.gallery import Gallery
from cdp_image_mcp.library.library import Library
from tests.browser import SWITCHES, found_browser
from tests.library.making import a_record, ago, create, finished
from tests.library.smalldisk import fill_up, needs_root, small_disk

pytestmark = pytest.mark.anyio

HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "</script><script>document.title = 'taken'</script>",
    "<!--<script>",
    "]]> --> <img src=x onerror=\"document.title='taken'\">",
    "\"'`${document.title='taken'}`&lt;b&gt;&amp;",
    "\u2028\u2029\0\x1b[31m\ufeff",
    "<style>body{display:none}</style>",
    "half \ud83d",
]


class Parts(html.parser.HTMLParser):
    """The text of the page's scripts and style, and every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = "data" if dict(attrs).get("id") == "data" else tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._open] = self.texts.get(self._open, "") + data

    @property
    def cards(self) -> list[dict[str, Any]]:
        return json.loads(self.texts["data"])["cards"]


def read(gallery: Gallery) -> Parts:
    return Parts(gallery.path.read_text("utf-8"))


@pytest.fixture
def gallery(library: Library) -> Gallery:
    return Gallery(library)


async def test_a_page_shows_what_was_asked_and_what_came(gallery: Gallery, library: Library) -> None:
    with anyio.fail_after(60):
        older = a_record("failed one", created_at=ago(hours=1), state="failed", error={"message": "The site said no."})
        await create(library, older)
        record = a_record("a lighthouse", backend="api", request={"size": "16x16", "n": 1}, model="gpt-image-2")
        folder = await create(library, record)
        await finished(library, folder, record)
        assert await gallery.rebuild() == library.root / "index.html"
        cards = read(gallery).cards

    assert [card["prompt"] for card in cards] == ["a lighthouse", "failed one"]
    assert cards[0]["asked"]["size"] == "16x16"
    assert cards[0]["got"]["size"] == "8x6"
    assert cards[0]["missed"] == ["size"]
    assert cards[0]["call"] == {
        "name": "generate_image",
        "arguments": {"prompt": "a lighthouse", "size": "16x16", "n": 1},
    }
    assert (library.root / cards[0]["images"][0]["href"]).read_bytes() == Path(record.images[0].path).read_bytes()
    assert cards[0]["path"] == record.images[0].path
    assert cards[1]["error"] == "The site said no."
    assert cards[1]["missed"] == []


async def test_the_policy_allows_this_style_and_this_script_and_nothing_else(gallery: Gallery) -> None:
    with anyio.fail_after(60):
        await gallery.rebuild()
        page = read(gallery)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy") or ""
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.texts[kind].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "'self' file:"
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert not re.search(r"https?://(?!www\.w3)", page.texts["script"] + page.texts["style"])
    assert "innerHTML" not in page.texts["script"]


async def test_prompts_stay_data_whatever_they_hold(gallery: Gallery, library: Library) -> None:
    with anyio.fail_after(60):
        for number, prompt in enumerate(HOSTILE):
            await create(
                library, a_record(prompt, created_at=ago(minutes=number), conversation_url="javascript:alert(1)")
            )
        await gallery.rebuild()
        raw = gallery.path.read_text("utf-8")
        page = read(gallery)

    assert [card["prompt"] for card in page.cards] == [prompt.replace("\ud83d", "\ufffd") for prompt in HOSTILE]
    assert not any(sign in page.texts["data"] for sign in "<>&")
    assert raw.count("<script") == 2
    assert all(card["conversation"] == "" for card in page.cards)


async def test_a_browser_shows_hostile_prompts_as_text_and_keeps_its_own_rules(
    gallery: Gallery, library: Library, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        for number, prompt in enumerate(HOSTILE):
            record = a_record(prompt, created_at=ago(minutes=number))
            await finished(library, await create(library, record), record)
        await gallery.rebuild()
        browser = str(found_browser().path)
        ran = await anyio.to_thread.run_sync(
            lambda: subprocess.run(
                [
                    *(browser, "--headless=new", "--disable-gpu", "--enable-logging=stderr", *SWITCHES),
                    *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom"),
                    gallery.path.as_uri(),
                ],
                capture_output=True,
                text=True,
                check=True,
                timeout=45,
            )
        )
    dom = Parts(ran.stdout)

    assert "CONSOLE" not in ran.stderr, ran.stderr
    assert dom.texts["title"] == "Pictures"
    cards = [attributes for _, attributes in dom.tags if attributes.get("class") == "card"]
    pictures = [attributes for tag, attributes in dom.tags if tag == "img"]
    assert len(cards) == len(pictures) == len(HOSTILE)
    assert all("image-01.png" in (picture["src"] or "") and picture["alt"] for picture in pictures)
    assert not [attributes for _, attributes in dom.tags if "onerror" in attributes]
    assert not [attributes for _, attributes in dom.tags if attributes.get("class") == "gone"]
    buttons = [attributes for tag, attributes in dom.tags if tag == "button"]
    assert len([button for button in buttons if (button.get("aria-label") or "").startswith("Copy the call")]) == 8


async def test_a_refresh_reads_no_record_and_a_rebuild_only_what_changed(
    gallery: Gallery, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []

    def counted(folder: Path, *more: Any) -> object:
        looked.append(folder)
        return read_record(folder, *more)

    with anyio.fail_after(30):
        records = [a_record(created_at=ago(minutes=number)) for number in range(30)]
        folders = [await create(library, record) for record in records]
        await finished(library, folders[7], records[7])
        monkeypatch.setattr(index, "read_record", counted)
        await gallery.refresh()
        assert looked == []
        assert [card["state"] for card in read(gallery).cards].index("saved") == 7
        write_record(folders[3].path, msgspec.structs.replace(records[3], state="failed"))
        shutil.rmtree(folders[0].path)
        await gallery.rebuild()
        assert looked == [folders[3].path]
        assert len(read(gallery).cards) == 29
        library.index.path.write_bytes(b"broken" * 900)
        await gallery.refresh()
        assert len(read(gallery).cards) == 29


async def test_refreshes_asked_for_at_once_share_their_work(
    gallery: Gallery, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    replace = module.replace_file

    def counted(path: Path, data: bytes) -> object:
        written.append(path)
        return replace(path, data)

    monkeypatch.setattr(module, "replace_file", counted)
    with anyio.fail_after(30):
        await create(library, a_record())
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(gallery.refresh)
    assert len(written) <= 2


async def test_pages_of_two_processes_never_lose_what_the_other_made(library: Library, root: Path) -> None:
    other = Library(root)
    galleries = [Gallery(library), Gallery(other)]
    with anyio.fail_after(30):
        for round_ in range(4):
            await create((library, other)[round_ % 2], a_record())
            async with anyio.create_task_group() as group:
                for gallery in galleries:
                    group.start_soon(gallery.refresh)
            assert len(read(galleries[0]).cards) == round_ + 1


async def test_pictures_in_other_folders_are_linked_by_their_full_address(
    gallery: Gallery, library: Library, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        record = a_record()
        folder = await create(library, record, tmp_path / "pro ject #1")
        await finished(library, folder, record)
        await gallery.rebuild()
        card = read(gallery).cards[0]
    assert card["images"][0]["href"] == (folder.path / "image-01.png").as_uri()


async def test_pictures_in_folders_of_the_root_are_linked_by_the_way_from_there_so_that_it_can_be_moved(
    gallery: Gallery, library: Library, root: Path
) -> None:
    with anyio.fail_after(60):
        record = a_record()
        folder = await create(library, record, root / "pro ject #1")
        await finished(library, folder, record)
        await gallery.rebuild()
        card = read(gallery).cards[0]
    assert card["images"][0]["href"] == f"pro%20ject%20%231/{folder.path.name}/image-01.png"


async def test_a_record_written_by_hand_does_not_break_the_page(gallery: Gallery, library: Library) -> None:
    with anyio.fail_after(60):
        odd: dict[str, Any] = {"size": "16:nine", "n": [1], "quality": {"deep": [1]}, "prompt": "other"}
        record = a_record("x" * 40_000, request=odd, created_at="yesterday", error={"message": ["?"]})
        await finished(library, await create(library, record), record)
        await gallery.rebuild()
        card = read(gallery).cards[0]
    assert card["cut"]
    assert len(card["prompt"]) == 8_000
    assert card["missed"] == ["n", "size", "quality"]


SHOWN = """(pressed, wanted) => {
    if (pressed === 'older') document.getElementById('older').click();
    else {
        document.getElementById('state').value = pressed;
        document.getElementById('state').dispatchEvent(new Event('change'));
    }
    const shown = () => document.getElementById('place').textContent;
    return new Promise((done) => {
        const end = performance.now() + 20000;
        const look = () => shown() === wanted || performance.now() > end ? done(shown()) : setTimeout(look, 10);
        look();
    });
}"""


async def test_a_person_turns_the_pages_also_after_a_search_and_beside_a_record_with_no_time(
    gallery: Gallery, library: Library, tmp_path: Path
) -> None:
    with anyio.fail_after(120):
        for number in range(60):
            await create(library, a_record(created_at="yesterday" if number == 30 else ago(minutes=number)))
        await gallery.rebuild()
        options = LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES)
        async with cdp.launch(options) as browser:
            page = await cdp.Page.create(browser.connection)
            await page.navigate(gallery.path.as_uri())
            places = [
                await page.call(SHOWN, pressed, f"Page {number} of 2")
                for pressed, number in (("older", 2), ("open", 1), ("older", 2))
            ]
            last = await page.call("() => [...document.querySelectorAll('h2')].at(-1).textContent")
    assert places == ["Page 2 of 2", "Page 1 of 2", "Page 2 of 2"]
    assert last.endswith("1970")


@needs_root
async def test_a_full_disk_leaves_the_earlier_page_and_fails_no_generation(tmp_path: Path) -> None:
    with anyio.fail_after(30), small_disk(tmp_path / "small", 700) as place:
        library = Library(place / "pictures")
        gallery = Gallery(library)
        await create(library, a_record())
        await gallery.refresh()
        before = gallery.path.read_bytes()
        await create(library, a_record())
        filler = fill_up(place)
        await gallery.refresh()
        assert gallery.path.read_bytes() == before
        assert any("gallery" in problem and "disk is full" in problem for problem in library.problems())
        with pytest.raises(ImageError) as caught:
            await gallery.rebuild()
        assert caught.value.code == "disk"
        filler.unlink()
        await gallery.refresh()
        assert len(read(gallery).cards) == 2
