"""``python -m tests.bench [SECTION ...]``: see ``--help``."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from cdp_image_mcp.cdp import LaunchError, find_browser
from cdp_image_mcp.config import load
from tests.bench import driver, footprint, generation, growth, overhead, start
from tests.bench.competitors import Workshop
from tests.bench.figures import NotMeasured, Section
from tests.bench.machine import facts, load_now
from tests.bench.plan import Plan
from tests.bench.sides import ROOT
from tests.bench.table import best, markdown, write_between

__all__ = ["SECTIONS", "main"]


def _api(plan: Plan) -> Section:
    # Loads the vendor's client, which the other sections have no use for.
    from tests.bench import api

    return api.run(plan)


SECTIONS: dict[str, Callable[[Plan], Section]] = {
    "start": start.run,
    "generation": generation.run,
    "overhead": overhead.run,
    "footprint": footprint.run,
    "driver": driver.run,
    "growth": growth.run,
    "api": _api,
}


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measures this project side by side with what people would use instead. Everything runs on this "
        "machine against a stand-in site; competitors are installed into a throw-away folder.",
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default all")
    parser.add_argument("--json", action="store_true", help="everything measured as JSON on standard output")
    parser.add_argument("--quick", action="store_true", help="the smallest run: shows that it works, not how fast")
    parser.add_argument("--offline", action="store_true", help="install nothing; who is not there is left out")
    parser.add_argument("--fresh", action="store_true", help="install the competitors anew")
    parser.add_argument("--soak", type=int, default=200, help="generations in the long row of `growth`, default 200")
    parser.add_argument(
        "--workshop", type=Path, help="where competitors are installed; default in the temporary folder"
    )
    parser.add_argument("--out", type=Path, help="folder for the curves, made if missing; default in the temporary one")
    parser.add_argument("--keep", type=Path, help="file that gets what was measured, for --with of a later run")
    parser.add_argument("--with", dest="kept", type=Path, nargs="*", default=[], help="files of --keep to show as well")
    parser.add_argument("--write-readme", action="store_true", help="put the tables between the pages' markers")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section is called {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return given


def _browser() -> Path | None:
    try:
        return Path(find_browser(load().chrome_path).path)
    except LaunchError:
        return None


def _write_curves(out: Path, sections: Sequence[Section]) -> None:
    for section in sections:
        for name, text in section.curves.items():
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")
            print(f"curve: {out / name}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections asked for; the exit code is 1 when a budget was missed or our own side failed."""
    given = _parsed(arguments)
    workshop = Workshop(given.workshop, offline=given.offline, fresh=given.fresh)
    plan = Plan(workshop, _browser(), quick=given.quick, soak=given.soak)
    machine = facts(plan.browser)
    done: list[Section] = []
    wanted: list[str] = given.sections or ([] if given.kept else list(SECTIONS))
    for name in wanted:
        busy = load_now()
        try:
            done.append(SECTIONS[name](plan))
        except NotMeasured as reason:
            done.append(Section(name, name.capitalize(), absent={"all": str(reason)}))
        done[-1].notes.append(f"Load of the machine at the start: {busy}.")
    if given.keep is not None:
        given.keep.write_bytes(msgspec.json.encode(done))
    for path in given.kept:
        done += msgspec.json.decode(path.read_bytes(), type=list[Section])
    done.sort(key=lambda section: list(SECTIONS).index(section.name))
    text = markdown(done, machine)
    if given.json:
        told = {"machine": machine, "quick": plan.quick, "sections": [section.as_data() for section in done]}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
    else:
        sys.stdout.write(text)
    _write_curves(given.out or Path(tempfile.gettempdir()) / "cdp-image-mcp-bench" / "curves", done)
    if given.write_readme:
        write_between("bench", ROOT / "tests" / "bench" / "README.md", text)
        write_between("best", ROOT / "README.md", best(done, machine))
    return 0 if all(section.good() for section in done) else 1


if __name__ == "__main__":
    sys.exit(main())
