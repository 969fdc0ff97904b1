"""``python -m tests.clients [CLIENT …] [--only SCENARIO …]``: drive the clients and print the table of what was seen.

The packages come from the npm registry, into the checkout's `.venv`; after that nothing leaves this machine.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fixtures.images_api.server import running_api
from tests.clients.drivers import DRIVERS, PROGRAM, Driver
from tests.clients.model import running_model
from tests.clients.scenarios import SCENARIOS, Bench, Seen
from tests.clients.world import opened, without_network
from tests.mcp_server.npm import Packages, UnavailableError, kept


def drive(driver: Driver, packages: Packages, name: str) -> Seen:
    """One scenario in a world of its own."""
    folder = Path(tempfile.mkdtemp(prefix=f"client-{driver.name}-"))
    with running_api() as api, running_model() as model, opened(folder, packages.node) as world:
        env = {
            "GPT_IMAGE_BACKEND": "api",
            "GPT_IMAGE_OUTPUT_DIR": str(world.pictures),
            "OPENAI_BASE_URL": api.url,
            "OPENAI_COMPAT": "openai",
        }
        driver.prepare(world, model.url, env, world.recorded(PROGRAM) if name == "list" else PROGRAM)
        return SCENARIOS[name](Bench(driver, world, driver.started(packages), model, api))


def main() -> int:
    """Returns the exit code: 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="sh tests/run clients", description=__doc__)
    names = [driver.name for driver in DRIVERS]
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(names)}; all, where none is named")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--table", type=Path, help="also write the table into this file")
    options = parser.parse_args()
    if unknown := set(options.clients).difference(names):
        parser.error(f"not known: {', '.join(sorted(unknown))}")
    drivers = [driver for driver in DRIVERS if not options.clients or driver.name in options.clients]
    there: list[tuple[Driver, Packages | str]] = []
    for driver in drivers:
        try:
            there.append((driver, kept({driver.package: driver.version})))
        except UnavailableError as why:
            there.append((driver, f"not driven: {why}"))
    without_network()
    rows, failed = (
        [row("client", "version", "scenario", "what the model got", "what the person saw"), row(*["---"] * 5)],
        0,
    )
    print(*rows, sep="\n", flush=True)
    for driver, packages in there:
        for name in options.only:
            try:
                seen = Seen(packages, "") if isinstance(packages, str) else drive(driver, packages, name)
            except AssertionError as error:
                seen, failed = Seen(f"FAILED: {error}", ""), failed + 1
            rows.append(row(driver.client.title, driver.version, name, seen.model, seen.person))
            print(rows[-1], flush=True)
            if isinstance(packages, str):
                break
    if options.table:
        options.table.write_text("\n".join(rows) + "\n")
    return 1 if failed else 0


def row(*cells: str) -> str:
    """A line of the table."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
