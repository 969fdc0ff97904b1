"""``python -m tests.faults [--rounds N] [--seed N] [-v]``: anyone can run the fault rounds."""

import argparse
import logging
import secrets
import sys

import anyio

from tests.faults.rounds import run

parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
parser.add_argument("--rounds", type=int, default=25)
parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
parser.add_argument("-v", "--verbose", action="store_true")
arguments = parser.parse_args()
logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, format="%(message)s")
print(f"seed {arguments.seed}")
figures = anyio.run(run, arguments.rounds, arguments.seed)
print(figures)
for problem in (*figures.lost, *figures.doubled, *figures.untrue, *figures.left):
    print("-", problem)
sys.exit(bool(figures.lost or figures.doubled or figures.untrue or figures.left))
