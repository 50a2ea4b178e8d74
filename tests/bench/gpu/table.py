"""gpu.md: the results as tables for docs/benchmarks.md. `python -m tests.bench.gpu.table FILE` prints them again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.gpu.record import read


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables of all steps."""
    lines = []
    for name, part in results["steps"].items():
        lines += [f"### {name}: {part['state']}", ""]
        lines += [f"- {entry}: {figures}" for entry, figures in part["entries"].items()]
        lines += [f"- FAILED: {text}" for text in part["failures"]] + [
            f"- left out: {text}" for text in part["left_out"]
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(read(Path(sys.argv[1]))))
