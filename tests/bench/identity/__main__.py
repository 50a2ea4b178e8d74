"""The tables of docs/accuracy.md about identities, in one run.

    python -m tests.bench.identity                    # lists the tables
    python -m tests.bench.identity libraries parts    # prints some of them
    python -m tests.bench.identity all --write        # writes all into docs/accuracy.md

Users score their own data with `python -m realtime.evaluate tracking`. Here is what they have no use for: the tracker
with other rules than the program's, and cameras that move only because their picture is cropped.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from realtime.evaluate.processor import computed_with

from .measure import Runner
from .tables import TABLES, Bench

PAGE = Path("docs/accuracy.md")
# Pages whose text repeats single figures, between <!-- figure NAME --> and <!-- /figure -->.
WITH_FIGURES = (Path("README.md"), PAGE)


def put(text: str, name: str, lines: list[str]) -> str:
    """Return the page with this table between its markers.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- identity {name} -->\n", f"<!-- /identity {name} -->"
    before, found, rest = text.partition(begin)
    _, is_closed, after = rest.partition(end)
    if not found or not is_closed:
        raise ValueError(f"{PAGE}: no markers {begin.strip()} and {end}")
    return f"{before}{begin}\n" + "\n".join(lines) + f"\n\n{end}{after}"


def put_figures(text: str, figures: Mapping[str, str]) -> str:
    """Return the page with these figures in their places; those that are not given stay."""
    return re.sub(
        r"(<!-- figure (\S+) -->)([^<]*)(?=<!-- /figure -->)",
        lambda match: match[1] + figures.get(match[2], match[3]),
        text,
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.identity", description=__doc__.splitlines()[0])
    about = ", ".join(f"{name} ({minutes} min)" for name, (_, minutes) in TABLES.items())
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"all, or some of {about}")
    parser.add_argument("--data", type=Path, default=Path("data/mot"), help="folder of sequences; default data/mot")
    parser.add_argument("--video", type=Path, default=Path("vtest.avi"), help="PETS09-S2L1; default vtest.avi")
    parser.add_argument("--jobs", type=int, default=1, help="processes; default 1")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE}")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - {*TABLES, "all"}:
        parser.error(f"got {', '.join(unknown)}, expected all or some of {', '.join(TABLES)}")
    if not options.names:
        print(about.replace(", ", "\n"))
        return
    bench = Bench(options.data, options.video, Runner(options.jobs))
    for name in TABLES if "all" in options.names else options.names:
        began_s = time.monotonic()
        for table, lines in TABLES[name][0](bench).items():
            print(f"\n### {table}\n", *lines, sep="\n", flush=True)
            if options.write:
                PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), table, lines), encoding="utf-8")
        for page in WITH_FIGURES if options.write else ():
            page.write_text(put_figures(page.read_text(encoding="utf-8"), bench.figures), encoding="utf-8")
        print(f"{name}: took {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    print("", *(bench.computed or [computed_with("cpu", {})]), sep="\n")


if __name__ == "__main__":
    main()
