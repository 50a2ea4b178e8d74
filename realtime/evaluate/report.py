"""What a measurement found: a table for people, a dict for programs.

The end of every module of realtime.evaluate; knows nothing of what was measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from realtime.errors import OutputError

Cell = str | int | float | None
_GAP = "  "


@dataclass(frozen=True)
class Report:
    """One table and what stands behind it.

    Attributes:
        title: one line above the table.
        columns: the heads; units belong into them ("p50 ms").
        rows: one cell a column: text, whole numbers, floats (shown with `decimals`), None where there is no value.
        data: the same and more for `--json`: plain data, floats unrounded.
        notes: lines below the table: what was left out, how to read it.
        decimals: digits after the point of every float in the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    data: Mapping[str, object]
    notes: Sequence[str] = field(default=())
    decimals: int = 2

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"Report.rows: expected {len(self.columns)} cells ({self.columns}), got {row}")

    def text(self) -> str:
        """The table: columns of numbers to the right, others to the left, nothing but spaces between them."""
        shown = [[self._shown(cell) for cell in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *shown, strict=True)]
        to_left = [any(isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))]
        lines = [self.title, ""]
        for row in [list(self.columns), *shown]:
            cells = zip(row, widths, to_left, strict=True)
            lines.append(_GAP.join(c.ljust(w) if left else c.rjust(w) for c, w, left in cells).rstrip())
        return "\n".join([*lines, *([""] if self.notes else []), *self.notes]) + "\n"

    def write_json(self, file: Path) -> None:
        """Write the title, the data and the notes; a NaN or an infinity becomes null.

        Raises:
            OutputError: the file can't be written.
        """
        data = {"title": self.title, **self.data, "notes": list(self.notes)}
        try:
            file.write_text(json.dumps(_plain(data), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"--json: can't write {file}: {error.strerror}") from None

    def _shown(self, cell: Cell) -> str:
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return "-"
        return f"{cell:.{self.decimals}f}" if isinstance(cell, float) else str(cell)


def _plain(value: object) -> object:
    """The value with its mappings as dicts, sequences as lists, and null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
