"""``doctor --probe`` through a real browser: what it says of the page is true of the page that a prompt would meet."""

import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from cdp_image_mcp.chatgpt.page.sitereport import AT_REST
from cdp_image_mcp.cli.checks import services
from cdp_image_mcp.config import Settings
from fixtures.site import Switches, running_site
from tests.web.program import environment

pytestmark = pytest.mark.anyio


class Check(msgspec.Struct):
    name: str
    level: str
    message: str
    advice: str = ""


class Report(msgspec.Struct):
    ok: bool
    checks: list[Check]


async def probed(folder: Path, site: str, **variables: str) -> dict[str, Check]:
    command = [sys.executable, "-m", "cdp_image_mcp", "doctor", "--probe", "--json"]
    done = await anyio.run_process(command, env=environment(folder, site, **variables), cwd=folder, check=False)
    report = msgspec.json.decode(done.stdout, type=Report)
    return {check.name.removeprefix("probe, "): check for check in report.checks if check.name.startswith("probe")}


@pytest.mark.parametrize("generation", ["classic", "rebuilt"])
async def test_a_page_that_comes_alive_late_is_waited_for(generation: str, tmp_path: Path) -> None:
    with anyio.fail_after(120):
        with running_site(Switches(generation=generation, hydrate_s=1.5)) as site:  # type: ignore[arg-type]
            found = await probed(tmp_path, site.url)
            assert site.log.untrusted == []
    expected = AT_REST if generation == "rebuilt" else (*AT_REST, "new_chat")
    assert not any("not on this page" in found[role].message for role in expected), found
    assert {role: found[role].level for role in AT_REST} == dict.fromkeys(AT_REST, "ok"), found


async def test_a_users_selector_that_is_none_is_a_finding_and_what_it_was_for_is_found_all_the_same(
    tmp_path: Path,
) -> None:
    file = tmp_path / "site.json"
    file.write_text('{"roles": {"composer": [{"css": "div:contains(Ask)"}]}}')
    with anyio.fail_after(120):
        with running_site(Switches()) as site:
            found = await probed(tmp_path, site.url, CHATGPT_SITE_FILE=str(file))
    assert found["composer"].level == "ok"
    assert found["composer locator"].level == "warning"
    assert "CHATGPT_SITE_FILE, role composer: div:contains(Ask) is no selector" in found["composer locator"].message


async def test_a_probe_that_falls_over_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fall(_: Settings) -> None:
        raise RuntimeError("the page ran away")

    monkeypatch.setattr(services, "studio_apart", fall)
    settings = Settings(output_dir=tmp_path / "pictures", profile_dir=tmp_path / "profile", backend="api")
    with anyio.fail_after(60):
        (found,) = await services.probe(settings, lambda _: None)
    assert (found.name, found.level) == ("probe", "failed")
    assert "the page ran away" in found.message
