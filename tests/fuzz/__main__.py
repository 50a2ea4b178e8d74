"""Repeat inputs: `python -m tests.fuzz 123`, or a range, `python -m tests.fuzz 0-99`; files: `--reload 123`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from realtime.config import load
from realtime.errors import ConfigError

from . import pool
from .configs import configuration
from .probe import Outcome, probe
from .summary import summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("seeds", help="the seed of one input, or FIRST-LAST")
    parser.add_argument("--reload", action="store_true", help="a configuration file instead of a camera")
    arguments = parser.parse_args()
    if arguments.reload:
        return _reload(int(arguments.seeds))
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


def _reload(seed: int) -> int:
    """Print the configuration file of a seed, and what loading it says. Its cameras are not opened."""
    data = configuration(seed)
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.flush()
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        Path(file.name).write_bytes(data)
        try:
            config = load([Path(file.name)], environment={}, warn=print)
        except ConfigError as error:
            print(f"refused: {error}")
            return 0
    print("cameras:", *(f"{camera.name}={camera.source!r}" for camera in config.cameras))
    return 0


if __name__ == "__main__":
    sys.exit(main())
