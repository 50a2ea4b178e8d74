"""Repeat combinations: `python -m tests.oddities mkv-h264-jitter`; `--keep FILE` keeps the file; `*` stands for any."""

from __future__ import annotations

import argparse
import fnmatch
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from .all import all_files
from .combination import quiet


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oddities", description=__doc__)
    parser.add_argument("pattern", help="the name of a combination, or a pattern")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where to keep the file")
    parser.add_argument("--wrong", action="store_true", help="show only those that are wrong")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    files = all_files()
    chosen = fnmatch.filter(files, arguments.pattern)
    wrong = 0
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            with quiet():
                outcome = files[name].run(Path(folder))
            if arguments.keep:
                for file in Path(folder).iterdir():
                    shutil.copy(file, arguments.keep)
        wrong += outcome.verdict == "wrong"
        if outcome.verdict == "wrong" or not arguments.wrong:
            print(f"{name}: {outcome.verdict}: {outcome.text}", flush=True)
    print(f"{len(chosen)} combinations, {wrong} wrong", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
