"""The tables of docs/accuracy.md about identities, each made by one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import get_args

from realtime.config import TrackerConfig, TrackerMethod
from realtime.detect.cadence import Cadence
from realtime.evaluate.tracking.inputs import Thinning
from realtime.evaluate.tracking.libraries import libraries
from realtime.evaluate.tracking.outcome import ALL, Numbers
from realtime.evaluate.tracking.trackers import Naive, OurTracker, Tracker
from realtime.types import Detections

from . import pan
from .crowd import crowd
from .left_out import leave_one_out
from .measure import (
    ALL_FRAMES,
    CHOICES,
    EVERY_5TH,
    Clip,
    Found,
    Makers,
    Runner,
    at_most,
    backwards,
    four,
    hidden,
    people_of,
    read_clips,
    value,
)
from .parts import GRID, PARTS, Variant, chosen
from .pictures import NAME as PETS
from .pictures import Pictures

Lines = list[str]
WIDEST = max(map(len, GRID.values()))
OURS = "ours"
RATES_HZ = (10, 5, 2)
HIDDEN_S = (1, 2, 3, 4)
EVERY = (1, 2, 3, 5)
# Choices of frames for re-identification.
RELINK_CHOICES = {
    "all": Thinning(), "every 2nd": Thinning(every=2), "every 5th": Thinning(every=5),
    "30 % dropped": Thinning(drop=0.3),
}  # fmt: skip
# A scene with 45 people per frame, and the number of people of the made crowd.
CROWDED = "MOT17-04-FRCNN"
CROWD = 50
BYTETRACKS = ("constructor", "yaml")  # of boxmot
# Those that stand beside ours in the smaller tables.
RIVALS = ("boxmot yaml", "roboflow bytetrack")


@dataclass
class Bench:
    """The data of the tables, read when it is first used.

    Args:
        data: the folder of sequences.
        video: vtest.avi.
        runner: runs the trackers.
        crowd_s: the duration of the made crowd.

    Attributes:
        computed: what the networks were computed with.
        figures: single figures of the tables that the text repeats, by name.
    """

    data: Path
    video: Path
    runner: Runner
    crowd_s: float = 20.0
    _clips: list[Clip] = field(default_factory=list)
    _pictures: dict[tuple[str | None, bool, str], Clip] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)

    @property
    def clips(self) -> list[Clip]:
        """All sequences with their FRCNN detections."""
        if not self._clips:
            self._clips = read_clips(self.data)
        return self._clips

    def pictures(self, motion: str | None = None, with_poses: bool = False, precision: str = "auto") -> Clip:
        """PETS from its pictures, with networks in this precision."""
        key = motion, with_poses, precision
        if key not in self._pictures:
            pictures = Pictures(self.data, self.video, precision)
            self._pictures[key] = pictures.clip(motion, with_poses)
            if pictures.note not in self.computed:
                self.computed.append(pictures.note)
        return self._pictures[key]


def ours(**keys: object) -> Callable[[], Tracker]:
    return partial(OurTracker, TrackerConfig(**keys))


def rivals(has_pictures: bool = False) -> Makers:
    """RIVALS, and with pictures BoT-SORT, which looks for the camera's motion in them."""
    names = (*RIVALS, "boxmot botsort") if has_pictures else RIVALS
    return {name: make for name, make in libraries(has_pictures).items() if name in names}


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    """Return the lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]


def against_libraries(bench: Bench) -> dict[str, Lines]:
    """Our tracker beside others: the three choices of frames, and each sequence."""
    makers = {OURS: ours()} | libraries(has_pictures=False)
    found = {name: bench.runner.found(bench.clips, makers, thinnings) for name, thinnings in CHOICES.items()}
    rows = [[tracker, *(four(of[tracker]) for of in found.values())] for tracker in makers]
    for choice, suffix in {ALL_FRAMES: "", EVERY_5TH: "-5th"}.items():
        bench.figures |= _figures(found[choice][OURS], "ours", suffix)
        boxmots = [found[choice][name][ALL] for name in makers if name.startswith("boxmot ") and name[7:] in BYTETRACKS]
        bench.figures[f"boxmot-hota{suffix}"] = f"{max(value(of, 'HOTA') for of in boxmots):.1f}"
        bench.figures[f"boxmot-switches{suffix}"] = f"{min(value(of, 'IDSW') for of in boxmots):.0f}"
        bench.figures |= _figures(found[choice]["boxmot ocsort"], "ocsort", suffix)
    sequences = []
    for clip in bench.clips:
        of_all = next(iter(found.values()))
        cells = [
            f"{value(of_all[t][clip.name], 'HOTA'):.1f} / {value(of_all[t][clip.name], 'IDSW'):.0f}" for t in makers
        ]
        sequences.append([clip.name, f"{people_of(clip):.0f}", *cells])
    return {
        "libraries": markdown(["tracker", *CHOICES], rows),
        "sequences": markdown(["sequence", "boxes per frame", *makers], sequences),
    }


def _figures(of_tracker: Mapping[str, Numbers], name: str, suffix: str = "") -> dict[str, str]:
    hota, switches = value(of_tracker[ALL], "HOTA"), value(of_tracker[ALL], "IDSW")
    return {f"{name}-hota{suffix}": f"{hota:.1f}", f"{name}-switches{suffix}": f"{switches:.0f}"}


def parts(bench: Bench) -> dict[str, Lines]:
    """Each part of our tracker taken away."""
    makers = {name: partial(Variant, changes) for name, changes in PARTS.items()}
    found = [bench.runner.found(bench.clips, makers, thinnings) for thinnings in CHOICES.values()]
    return {"parts": markdown(["variant", *CHOICES], [[name, *(four(of[name]) for of in found)] for name in makers])}


def left_out(bench: Bench) -> dict[str, Lines]:
    """Every chosen number chosen anew with one sequence left out."""
    result = leave_one_out(bench.clips, bench.runner, CHOICES)
    bench.figures |= _figures(result.found[ALL_FRAMES]["left out"], "left-out")
    names = {"chosen": "as in the program, chosen on all nine", "left out": "chosen on the other eight"}
    rows = [[text, *(four(of[name]) for of in result.found.values())] for name, text in names.items()]
    numbers = []
    for number, values in GRID.items():
        cells = []
        for v in sorted(values):
            hota, switches = result.gained[number][v]
            change = "" if v == chosen(number) else f": {hota:+.2f}, {switches:+.0f}"
            cells.append(f"{_shown(v)}{change} ({result.taken[number][v]})")
        numbers.append([f"`{number}`", _shown(chosen(number)), *cells, *[""] * (WIDEST - len(cells))])
    return {
        "left-out": markdown(["numbers", *CHOICES], rows),
        "grid": markdown(["number", "in the program", *["value: HOTA, switches (taken)"] * WIDEST], numbers),
    }


def _shown(number: object) -> str:
    return f"{number:.3g}" if isinstance(number, float) else str(number)


def played_backwards(bench: Bench) -> dict[str, Lines]:
    """All sequences from their end to their start."""
    makers = {OURS: ours()} | rivals()
    clips = [backwards(clip) for clip in bench.clips]
    found = [bench.runner.found(clips, makers, thinnings) for thinnings in CHOICES.values()]
    rows = [[name, *(four(of[name]) for of in found)] for name in makers]
    return {"backwards": markdown(["tracker", *CHOICES], rows)}


def low_rates(bench: Bench) -> dict[str, Lines]:
    """At 10, 5 and 2 frames per second, and in a crowd."""
    makers = {OURS: ours()} | rivals()
    rows = []
    for rate_hz in RATES_HZ:
        found = _at_rate(bench.runner, bench.clips, makers, rate_hz)
        rows.append([f"{rate_hz} fps, all sequences", *(four(found[name]) for name in makers)])
    for clip in [crowd(CROWD, bench.crowd_s), *(clip for clip in bench.clips if clip.name == CROWDED)]:
        for rate_hz in (30, *RATES_HZ):
            found = _at_rate(bench.runner, [clip], makers, rate_hz)
            text = f"{rate_hz} fps, {clip.name} ({people_of(clip):.0f} boxes per frame)"
            rows.append([text, *(four(found[name], mean=None) for name in makers)])
    return {"rates": markdown(["frames", *makers], rows)}


def _at_rate(runner: Runner, clips: Sequence[Clip], makers: Makers, rate_hz: float) -> Found:
    choice = at_most(rate_hz)
    thinned = [Clip(clip.sequence, clip.detections, choice(clip.sequence)) for clip in clips]
    return runner.found(thinned, makers, [Thinning()])


def moving_camera(bench: Bench) -> dict[str, Lines]:
    """Given boxes in a view that moves."""
    makers: dict[str, Callable[[], Tracker]] = {OURS: ours()}
    makers["without the camera's motion"] = partial(Variant, PARTS["without the camera's motion"])
    makers |= rivals()
    rows = []
    for motion, about in pan.MOTIONS.items():
        clips = [pan.moving(clip, motion) for clip in bench.clips]
        found = bench.runner.found(clips, makers, [Thinning()])
        rows.append([f"{motion}: {about}", *(four(found[name]) for name in makers)])
    return {"pan": markdown(["the view", *makers], rows)}


def moving_camera_pictures(bench: Bench) -> dict[str, Lines]:
    """PETS from its pictures, in a view that moves; BoT-SORT sees the pictures."""
    makers: dict[str, Callable[[], Tracker]] = {OURS: ours()}
    makers["without the camera's motion"] = partial(Variant, PARTS["without the camera's motion"])
    makers |= rivals(has_pictures=True)
    rows = []
    for motion in pan.MOTIONS:
        found = bench.runner.found([bench.pictures(motion)], makers, [Thinning()])
        rows.append([motion, *(four(found[name]) for name in makers)])
    return {"pan-pictures": markdown(["the view", *makers], rows)}


def from_pictures(bench: Bench) -> dict[str, Lines]:
    """PETS from the boxes of yolov8n: those of a file, and those found now."""
    given = read_clips(bench.data / PETS, "det/det_yolov8n.txt")
    rows = []
    for text, clips in {
        "`det_yolov8n.txt`": given,
        "pictures, auto": [bench.pictures()],
        "pictures, fp32": [bench.pictures(precision="fp32")],
    }.items():
        makers = {OURS: ours()} | libraries(has_pictures=clips is not given)
        found = bench.runner.found(clips, makers, [Thinning()])
        rows.append([text, *(four(found[name]) for name in makers)])
    return {"pictures": markdown(["detections", *makers], rows)}


def hide(bench: Bench) -> dict[str, Lines]:
    """People hidden for some seconds, from boxes and from pictures with poses; with and without re-identification."""
    makers = {"with": ours(), "without": ours(relink_s=0.0)}
    posed = [bench.pictures(with_poses=True)]
    others: Makers = {"boxmot yaml": libraries(False)["boxmot yaml"]}
    rows = []
    for hidden_s in HIDDEN_S:
        boxes = bench.runner.found(bench.clips, {**makers, **others}, [Thinning()], hidden_s)
        poses = bench.runner.found(posed, makers, [Thinning()], hidden_s)
        cells = [*(hidden(boxes[name]) for name in (*makers, *others)), *(hidden(poses[name]) for name in makers)]
        rows.append([f"{hidden_s} s", *cells])
    boxes_only = ["nine sequences, boxes only", "without", "boxmot yaml"]
    columns = ["hidden for", *boxes_only, "PETS, with poses", "without"]
    return {"hide": markdown(columns, rows)}


def relink(bench: Bench) -> dict[str, Lines]:
    """With and without re-identification."""
    makers = {"with": ours(), "without": ours(relink_s=0.0)}
    posed = [bench.pictures(with_poses=True)]
    rows = []
    for choice, thinning in RELINK_CHOICES.items():
        found = [bench.runner.found(clips, makers, [thinning]) for clips in (bench.clips, posed)]
        rows.append([choice, *(four(of[name], mean=None) for of in found for name in makers)])
    columns = ["frames", "nine sequences, boxes only", "without", "PETS, with poses", "without"]
    return {"relink": markdown(columns, rows)}


def methods(bench: Bench) -> dict[str, Lines]:
    """Every tracker.method, from boxes and from pictures, with its time per frame."""
    makers = {method: ours(method=method) for method in get_args(TrackerMethod)}
    runner = Runner()  # one process, because the time counts
    boxes, pictures = (runner.found(clips, makers, [Thinning()]) for clips in (bench.clips, [bench.pictures()]))
    rows = [[name, four(boxes[name]), _ms(boxes, name), four(pictures[name]), _ms(pictures, name)] for name in makers]
    columns = ["`tracker.method`", "nine sequences, FRCNN", "ms", "PETS from its pictures", "ms"]
    return {"methods": markdown(columns, rows)}


def _ms(found: Found, name: str) -> str:
    return f"{value(found[name][ALL], 'ms'):.1f}"


def skipped(bench: Bench) -> dict[str, Lines]:
    """The detector on every Nth frame."""
    makers: dict[str, Callable[[], Tracker]] = {
        OURS: ours(),
        "held": lambda: Naive(OurTracker(TrackerConfig()), holds=True),
        "no boxes": lambda: Naive(OurTracker(TrackerConfig()), holds=False),
    }
    rows = []
    for every in EVERY:
        cells = []
        for clips in (bench.clips, [bench.pictures()]):
            found = bench.runner.found([_detected_on_every(clip, every) for clip in clips], makers, [Thinning()])
            cells += [four(found[name], mean=None) for name in makers]
        rows.append([str(every), *cells])
    columns = ["`detector.every`", "nine sequences, FRCNN", "held", "no boxes", "PETS", "held", "no boxes"]
    return {"every": markdown(columns, rows)}


def _detected_on_every(clip: Clip, every: int) -> Clip:
    cadence = Cadence(every)
    items = [
        item if cadence.is_due(item.frame) else Detections.empty(item.frame, looked=False) for item in clip.detections
    ]
    return replace(clip, detections=items)


# The commands, their functions, and about how many minutes each takes with one process.
TABLES: Mapping[str, tuple[Callable[[Bench], dict[str, Lines]], int]] = {
    "libraries": (against_libraries, 6),
    "parts": (parts, 3),
    "left-out": (left_out, 8),
    "backwards": (played_backwards, 3),
    "rates": (low_rates, 3),
    "pan": (moving_camera, 4),
    "pan-pictures": (moving_camera_pictures, 4),
    "pictures": (from_pictures, 3),
    "hide": (hide, 4),
    "relink": (relink, 2),
    "methods": (methods, 3),
    "every": (skipped, 2),
}
