"""A table of results in Markdown, as docs/benchmarks.md shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows of text under columns, with notes below.

    Args:
        columns: their titles.
    """

    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row, and show it at once, because the next one may take a minute."""
        if not self.rows:
            print(_line(self.columns), _line(["---"] * len(self.columns)), sep="\n")
        self.rows.append(cells)
        print(_line(cells), flush=True)

    def note(self, text: str) -> None:
        """Add a line below the table."""
        self.notes.append(text)

    def finish(self) -> None:
        """Print the notes."""
        print("", *self.notes, sep="\n", flush=True)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
