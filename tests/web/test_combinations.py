"""Moods of the site drawn together at random: whatever their mixture, the right picture is saved once."""

import hashlib
import random
import secrets
from pathlib import Path
from typing import Any

import pytest

from fixtures.site import Switches, running_site
from tests.web.program import running_program

pytestmark = pytest.mark.anyio

KNOBS: dict[str, list[Any]] = {
    "generation": ["classic", "rebuilt"],
    "language": ["en", "zh", "ru", "ko", "ja", "vi"],
    "editor": ["prosemirror", "lexical"],
    "twin": [False, True],
    "stale_draft": ["", "yesterday's words"],
    "hydrate_s": [0.05, 0.15, 0.5],
    "send_enable_s": [0.05, 0.6],
    "dialogs": [(), (), ("beacon",), ("promo",)],
    "toast": [False, True],
    "challenge_script": [False, True],
    "stream": ["recorded", "recorded", "inline", "handoff"],
    "arrival": ["websocket", "poll"],
    "previews": [0, 0, 2],
    "preview_ids": ["own", "same"],
    "doubled_pointers": [False, True],
    "tool_text_after": [False, True],
    "sse_newline": ["lf", "crlf", "mixed"],
    "sse_trailing_spaces": [False, True],
    "sse_chunk": [0, 1, 7, 1000],
    "websocket_form": ["update", "enveloped", "batch"],
    "websocket_replay": [False, True],
    "reads": ["single", "batch"],
    "interim_address": [False, True],
    "conversation_404_s": [0.0, 1.0],
    "stop_button": ["stream", "stuck", "never", "early", "drawing"],
    "foreign_toast": [False, True],
    "source": ["img", "srcset", "outside"],
    "layers": [1, 3],
    "canvas": [False, True],
    "old_article": [False, True],
    "author_roles": [False, True],
    "unit_wrapper": [False, True],
    "format": ["png", "jpeg", "webp"],
    "size": [(1254, 1254), (1536, 1024), (640, 960)],
    "picture_bytes": [0, 400_000],
    "first_download": ["ok", "ok", "ok", "expired", "error"],
}


def draw(chance: random.Random) -> dict[str, Any]:
    """A mood: every knob on its own; what says nothing on a generation's page is simply not seen there."""
    return {name: chance.choice(options) for name, options in KNOBS.items()}


async def play(count: int, seed: int, folder: Path) -> None:
    chance = random.Random(seed)
    print(f"seed {seed}, {count} combinations")
    with running_site(Switches()) as site:
        async with running_program(folder, site.url) as program:
            for number in range(count):
                mood = draw(chance)
                changed = {name: value for name, value in mood.items() if value != getattr(Switches(), name)}
                site.switches = Switches(**mood)
                site.reset()
                prompt = f"combination {number} of {seed}"
                answer = await program.generate(prompt, images="none", timeout_seconds=90, wait_seconds=90)
                context = f"seed {seed}, number {number}, {changed}: {answer.data}"
                assert answer.status == "saved", context
                finals = [picture.sha256 for picture in site.log.pictures()]
                assert [hashlib.sha256(data).hexdigest() for data in answer.files()] == finals, context
                assert [entry.text for entry in site.log.prompts] == [prompt], context
                assert site.log.wrong_presses == [], context
                assert site.log.untrusted == [], context


async def test_twenty_five_combinations(tmp_path: Path) -> None:
    await play(25, secrets.randbelow(1_000_000), tmp_path)


@pytest.mark.nightly
async def test_two_hundred_combinations(tmp_path: Path) -> None:
    await play(200, secrets.randbelow(1_000_000), tmp_path)
