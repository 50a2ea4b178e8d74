"""The origin of each value of the configuration, for messages: a file and the line in it, a variable or a flag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """The line of a value, from 1, and the places of its parts, by key or index."""

    line: int
    below: Mapping[str, Place]

    def line_of(self, path: Sequence[str]) -> int:
        """The line of the value at a path, or of the closest one above it that the text has.

        >>> Place(1, {"source": Place(3, {})}).line_of(["source", "0"])
        3
        """
        place = self
        for name in path:
            if name not in place.below:
                break
            place = place.below[name]
        return place.line


class Origin(NamedTuple):
    """A file and the place in it, a variable or a flag."""

    name: str
    place: Place | None = None

    def at(self, path: Sequence[str] = ()) -> str:
        """The origin of a part of the value.

        >>> Origin("home.yaml", Place(3, {})).at(["0", "name"])
        'home.yaml line 3'
        """
        return f"{self.name} line {self.place.line_of(path)}" if self.place else self.name
