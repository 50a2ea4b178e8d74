"""Benchmarks of the motion gate, `--activity.mode on` against `off`, in one run. Linux only.

    python -m tests.bench.activity               # lists the tables
    python -m tests.bench.activity empty still   # prints some of them
    python -m tests.bench.activity --long busy   # longer windows, or more entries

The program runs in a process of its own, and so does each camera (tests.faults.fakecam). What counts is the CPU time of
the program's process, which hardly depends on what else runs on the machine.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from .measure import this_processor

# The tables, and about how long each takes on two cores (minutes).
TABLES = {"empty": 7, "sixteen": 4, "entries": 6, "still": 4, "busy": 3}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.activity", description=__doc__.splitlines()[0])
    about = ", ".join(f"{name} ({minutes} min)" for name, minutes in TABLES.items())
    parser.add_argument("names", metavar="NAME", nargs="+", choices=TABLES, help=about)
    parser.add_argument("--long", action="store_true", help="measure longer")
    options = parser.parse_args()
    for name in options.names:
        long = " --long" if options.long else ""
        print(f"\n### {name}\n\n    python -m tests.bench.activity{long} {name}\n\n{this_processor()}\n", flush=True)
        began_s = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            importlib.import_module(f"tests.bench.activity.{name}").main(Path(folder), options.long)
        print(f"{name}: took {time.monotonic() - began_s:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
