"""Repeat inputs: `python -m tests.fuzz 123`, or a range, `python -m tests.fuzz 0-99`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import pool
from .probe import Outcome, probe
from .summary import summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("seeds", help="the seed of one input, or FIRST-LAST")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    if not last:
        with tempfile.TemporaryDirectory() as folder:
            outcome = probe(int(first), Path(folder))  # in this process, for a debugger
        print("\n".join(f"{key}: {value}" for key, value in vars(outcome).items()))
        return int(bool(outcome.harm))

    def told(outcome: Outcome) -> None:
        print(f"\r{outcome.seed} {outcome.kind} {outcome.end}\033[K", end="", file=sys.stderr)

    outcomes = pool.run(range(int(first), int(last) + 1), heard=told)
    print("\r\033[K" + summary(outcomes))
    return int(any(outcome.harm for own in outcomes for outcome in own))


if __name__ == "__main__":
    sys.exit(main())
