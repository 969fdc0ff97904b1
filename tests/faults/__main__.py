"""``python -m tests.faults [--rounds N] [--seed N] [--backend api|web] [-v]``: anyone can run the fault rounds."""

import argparse
import logging
import secrets
import signal
import sys

import anyio

from cdp_image_mcp.request import BackendName
from tests.faults.rounds import run

parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
parser.add_argument("--rounds", type=int, default=25)
parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
parser.add_argument("--lanes", type=int, default=1, help="workstations at the same time; a seed counts with as many")
parser.add_argument("--backend", choices=["api", "web"], help="all rounds at this one; else each round draws its own")
parser.add_argument("-v", "--verbose", action="store_true")
arguments = parser.parse_args()
logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, format="%(message)s")
print(f"seed {arguments.seed}", flush=True)
# Ended in order, as by Ctrl-C: it has servers, browsers and a mounted folder.
signal.signal(signal.SIGTERM, signal.default_int_handler)
BACKENDS: dict[str, BackendName] = {"api": "api", "web": "chatgpt-web"}
backend = BACKENDS.get(arguments.backend)
figures = anyio.run(run, arguments.rounds, arguments.seed, backend, arguments.lanes)
print(figures)
for problem in figures.problems:
    print("-", problem)
sys.exit(bool(figures.problems))
