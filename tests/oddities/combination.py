"""The combinations: each has a name, writes its file, and says whether the program reads it rightly."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal

import av

from .check import faults_of, play
from .clip import Clip, NotMade, write
from .codecs import CODECS
from .containers import CONTAINERS
from .expect import Expected, expected
from .picture import UPRIGHT
from .traits import TRAITS

Verdict = Literal["right", "refused", "not made", "wrong"]
# Every codec of a container is tried with these; its first ones with all traits.
FOR_ALL_CODECS = ("plain", "B-frames", "open groups of pictures", "pixel formats")
MAIN_CODECS = 2


@dataclass(frozen=True)
class Outcome:
    """What became of a combination: `text` says why it is wrong, or with which line it was refused."""

    name: str
    group: str
    verdict: Verdict
    text: str = ""


@dataclass(frozen=True)
class Combination:
    """A container, a codec and a trait, by their names in the tables."""

    container: str
    codec: str
    trait: str

    @property
    def name(self) -> str:
        return f"{self.container}-{self.codec}-{self.trait}"

    @property
    def group(self) -> str:
        return TRAITS[self.trait].group

    def write(self, folder: Path) -> tuple[Path, Clip, Expected]:
        """Write the file.

        Raises:
            NotMade: it can't be written.
        """
        container, trait = CONTAINERS[self.container], TRAITS[self.trait]
        clip = trait.change(Clip(container, CODECS[self.codec], fps=Fraction(CODECS[self.codec].fps)))
        path = folder / f"{self.trait}.{container.suffix}"
        packets = write(clip, path, trait.sei)
        if clip.turn != UPRIGHT and not _has_matrix(path):
            raise NotMade("the muxer did not store the matrix")
        data = trait.damage(path.read_bytes())
        path.write_bytes(data * (1 + trait.joined))
        return path, clip, expected(clip, packets, trait)

    def run(self, folder: Path) -> Outcome:
        """Write the file, play it, and judge the result."""
        try:
            path, clip, right = self.write(folder)
        except NotMade as error:
            return Outcome(self.name, self.group, "not made", str(error))
        played = play(path)
        size = (0, 0) if clip.later_size else clip.shape
        faults = list(faults_of(played, right, size, clip.turn))
        if faults:
            return Outcome(self.name, self.group, "wrong", "; ".join(faults))
        refused = "" if played.error is None else str(played.error)
        return Outcome(self.name, self.group, "refused" if refused else "right", refused)


@cache
def combinations() -> dict[str, Combination]:
    """Return all combinations by their names."""
    found = []
    for name, container in CONTAINERS.items():
        for place, codec in enumerate(container.codecs):
            found += [
                Combination(name, codec, trait)
                for trait, row in TRAITS.items()
                if place < MAIN_CODECS or row.group in FOR_ALL_CODECS
            ]
    return {combination.name: combination for combination in found}


def _has_matrix(path: Path) -> bool:
    """Whether the file has a display matrix, in its header or in its pictures."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0), None)
        return frame is not None and any(data.type.name == "DISPLAYMATRIX" for data in frame.side_data)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what encoders print to standard error nowhere."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
