"""The entries of the step `speed` that have a pose model: their order, names and lengths."""

from __future__ import annotations

from typing import NamedTuple

# People in a frame, the most telling numbers first.
PEOPLE = (8, 1, 64, 32)
# People in each frame if there are several cameras.
SEVERAL = 5
# To load a model takes this much longer (s) for each parameter. Measured on two cores: 9 s for ViTPose-H, of which
# 2.5 s to write the checkpoint, 0.7 s to hash it, 3.5 s to load it and 1.4 s for the self-test.
LOAD_S_PER_PARAMETER = 14e-9


class Cell(NamedTuple):
    """One entry: which pose model, and what the pipeline sees.

    Attributes:
        size: of networks.SIZES.
        precision: of the pose model.
        people: in each frame.
        cameras: how many.
        live: the cameras are live; otherwise they are files, as fast as possible.
        eager: see Scene.
        graphs: the pose model uses CUDA graphs.
        streams: each model uses its own CUDA stream, and so do the pictures; otherwise all share one.
    """

    size: str
    precision: str
    people: int
    cameras: int = 1
    live: bool = False
    eager: bool = False
    graphs: bool = True
    streams: bool = True

    @property
    def name(self) -> str:
        """The name of the entry."""
        parts = [f"ViTPose-{self.size} {self.precision}", _number(self.people, "person", "people")]
        parts += [_number(self.cameras, "camera", "cameras")]
        parts += ["live"] * self.live + ["eager conversion"] * self.eager
        parts += ["no graphs"] * (not self.graphs) + ["one stream"] * (not self.streams)
        return ", ".join(parts)

    @property
    def is_plain(self) -> bool:
        """Whether it belongs to the table of models and people, in which the pose model runs alone too."""
        return self == Cell(self.size, self.precision, self.people)


class Lengths(NamedTuple):
    """How long the parts of an entry last, in seconds. A whole entry takes about three.

    Attributes:
        warm_s: the pipeline runs, and nothing counts.
        file_s: the figures count, with files.
        live_s: the figures count, with live cameras, whose frames are fewer.
        alone_s: the pose model runs alone: so long with a known frame, and so long with new ones.
    """

    warm_s: float = 0.5
    file_s: float = 1.5
    live_s: float = 3.0
    alone_s: float = 0.4

    def counted_s(self, live: bool) -> float:
        """How long the figures of the pipeline count."""
        return self.live_s if live else self.file_s

    def of(self, cell: Cell) -> float:
        """The whole entry, without loading, start and stop."""
        return self.warm_s + self.counted_s(cell.live) + 2 * self.alone_s * cell.is_plain


SHORT = Lengths(0.1, 0.3, 0.3, 0.1)


def cells(is_short: bool, is_cuda: bool) -> list[Cell]:
    """Return the entries, the most telling ones first. Those of one model stand together: it is loaded once."""
    if is_short:
        tiny = Cell("TINY", "fp16" if is_cuda else "fp32", 2)
        several = tiny._replace(cameras=2, live=True)
        return [tiny, tiny._replace(live=True), *_switched(tiny), several, several._replace(eager=True),
                tiny._replace(people=1)]  # fmt: skip
    small, base = Cell("S", "fp16", PEOPLE[0]), Cell("B", "fp16", PEOPLE[0])
    many = Cell("S", "fp16", SEVERAL, cameras=32, live=True)
    first = [small, small._replace(live=True), *_switched(small)]
    first += [many._replace(cameras=8), many, many._replace(eager=True)]
    first += [small._replace(people=people) for people in PEOPLE[1:]]
    first += [base, *_switched(base), *(base._replace(people=people) for people in PEOPLE[1:])]
    rest = ("S", "bf16"), ("B", "bf16"), ("L", "fp16"), ("H", "fp16"), ("L", "bf16"), ("H", "bf16")
    return first + [Cell(size, precision, people) for size, precision in rest for people in PEOPLE]


def _switched(cell: Cell) -> list[Cell]:
    """The same without graphs, with one stream, and both."""
    alone = cell._replace(graphs=False), cell._replace(streams=False)
    return [*alone, cell._replace(graphs=False, streams=False)]


def _number(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
