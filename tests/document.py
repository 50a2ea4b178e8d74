"""The parts of docs/reliability.md that a test run writes (`--write-figures`)."""

from collections.abc import Sequence
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"


def write_part(part: str, lines: Sequence[str]) -> None:
    """Replace the lines between `<!-- part -->` and `<!-- end of part -->`."""
    text, mark, end = DOCUMENT.read_text(), f"<!-- {part} -->\n", f"<!-- end of {part} -->"
    before, _, rest = text.partition(mark)
    DOCUMENT.write_text(before + mark + "\n".join(lines) + "\n" + end + rest.partition(end)[2])
