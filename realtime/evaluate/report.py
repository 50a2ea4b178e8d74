"""The result of a measurement: a table to read, and data for programs.

Each command of realtime.evaluate ends with a Report. This module does not depend on the measurement.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from realtime.errors import OutputError
from realtime.printable import printable

Cell = str | int | float | None
_GAP = "  "


@dataclass(frozen=True)
class Report:
    """One table, and the data behind it.

    Attributes:
        title: one line above the table.
        columns: the headers, including units ("p50 ms").
        rows: one cell per column: text, an integer, a float (shown with `decimals`), or None for no value.
        data: the results for `--json`, at least those of the table: plain data, floats not rounded.
        notes: lines below the table: which data were skipped, how to read the table.
        warnings: lines above everything else: why the numbers may not mean what they seem to.
        failed: whether a part of the measurement failed; the exit code is then 1.
        decimals: digits after the decimal point of every float in the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    data: Mapping[str, object]
    notes: Sequence[str] = field(default=())
    decimals: int = 2
    warnings: Sequence[str] = field(default=())
    failed: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"Report.rows: expected {len(self.columns)} cells ({self.columns}), got {row}")

    def text(self) -> str:
        """Return the table as text: numbers right-aligned, other columns left-aligned, separated by spaces."""
        shown = [[self._shown(cell) for cell in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *shown, strict=True)]
        to_left = [any(isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))]
        lines = [*(f"warning: {warning}" for warning in self.warnings), *([""] if self.warnings else [])]
        lines += [self.title, ""]
        for row in [list(self.columns), *shown]:
            cells = zip(row, widths, to_left, strict=True)
            lines.append(_GAP.join(c.ljust(w) if left else c.rjust(w) for c, w, left in cells).rstrip())
        # Names come from files and recordings.
        return "\n".join(map(printable, [*lines, *([""] if self.notes else []), *self.notes])) + "\n"

    def write_json(self, file: Path) -> None:
        """Write title, data and notes (the warnings first) as JSON; NaN and infinity become null.

        Raises:
            OutputError: the file can't be written.
        """
        data = {"title": self.title, **self.data, "notes": [*self.warnings, *self.notes]}
        try:
            file.write_text(json.dumps(_plain(data), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"--json: can't write {file}: {error.strerror}") from None

    def _shown(self, cell: Cell) -> str:
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return "-"
        return f"{cell:.{self.decimals}f}" if isinstance(cell, float) else str(cell)


def _plain(value: object) -> object:
    """Convert mappings to dicts, sequences to lists, and NaN and infinity to None, which JSON writes as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
