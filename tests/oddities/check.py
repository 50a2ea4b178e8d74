"""Plays a file through capture as the program does, and says in which ways it is wrong."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime.capture.timeline import NUDGE_S
from realtime.errors import RealtimeError, SourceReason, TruncatedError
from realtime.types import Frame
from tests.capture.rig import Rig

from .expect import Expected, spread
from .picture import TURNS, Turn, number_of, shown, turn_of


@dataclass(frozen=True)
class Played:
    """What capture made of a file.

    Attributes:
        frames: those that were put.
        dropped: how many were not.
        error: the error that ended it.
        live: whether it was read as a live camera, which drops frames that are late.
        lost: why a live camera would be opened again; None if it would not.
    """

    frames: list[Frame]
    dropped: int
    error: Exception | None
    live: bool = False
    lost: str | None = None

    @property
    def code(self) -> int:
        """The exit code of the program (realtime.cli); 1 for an exception that it doesn't know."""
        return 0 if self.error is None else getattr(self.error, "exit_code", 1)


def play(source: str | Path) -> Played:
    """Read a source to its end, with the camera and the timeline of the program."""
    rig = Rig(source, until_lost=True)
    error: Exception | None = None
    try:
        rig.run()
    except Exception as caught:  # every other exception is a fault, which `faults_of` names
        error = caught
    lost = next((str(state[-1]) for state in rig.states if state[0] == "reconnecting"), None)
    return Played(rig.frames, rig.status.dropped, error, any(live for _, live, _ in rig.prepared), lost)


def faults_of(played: Played, expected: Expected, size: tuple[int, int], turn: Turn) -> Iterator[str]:
    """Yield what is wrong: at most one line for each of the end, the pictures, their count, media_s and time_s."""
    yield from _end(played, expected)
    if not played.frames or expected.may_differ:
        return
    frames = played.frames[:-1] if expected.ends_broken else played.frames
    if not frames:
        return
    numbers, faults = _read(frames, size, turn)
    yield from faults
    if faults:
        return
    places = _matched(numbers, expected)
    if places is None:
        yield f"pictures: got {_short(numbers)}, expected {_short(expected.numbers)}"
        return
    stamps = [expected.stamps_s[place] for place in places]
    yield from _media(frames, stamps, expected)
    yield from _times(frames, stamps, places, expected)


def _end(played: Played, expected: Expected) -> Iterator[str]:
    error = played.error
    if error is not None:
        text = str(error)
        if not isinstance(error, RealtimeError):
            yield f"a traceback: {type(error).__name__}: {text}"
        elif getattr(error, "reason", None) is SourceReason.INTERNAL:
            yield f"an internal error: {text}"
        elif "\n" in text:
            yield f"an error of several lines: {text!r}"
        is_allowed = expected.may_stop if isinstance(error, TruncatedError) else expected.may_refuse
        if not is_allowed:
            yield f"exit {played.code}, expected 0: {text.partition(': ')[2] or text}"
    elif expected.needs_error and len(played.frames) < len(expected.numbers) - 2:  # capture.complete: two may lack
        yield f"{len(expected.numbers) - len(played.frames)} pictures lack, but it ends with exit 0"


def _read(frames: list[Frame], size: tuple[int, int], turn: Turn) -> tuple[list[int], list[str]]:
    """Return the numbers of the pictures, and what is wrong with their shape and orientation."""
    numbers = []
    a, b, c, d = turn
    width, height = size if a else size[::-1]
    name = next(name for name, (own, _) in TURNS.items() if own == turn)
    for frame in frames:
        image = frame.image[..., ::-1]
        if image.shape[:2] != (height, width) and size != (0, 0):
            return [], [f"size: got {image.shape[1]}x{image.shape[0]}, expected {width}x{height}"]
        if min(image.shape[:2]) >= 16:
            if (seen := turn_of(image)) != name:
                return [], [f"orientation: got {seen}, expected {name}"]
            numbers.append(number_of(shown(image, (a, c, b, d))))
    return numbers or [frame.index for frame in frames], []


def _matched(numbers: list[int], expected: Expected) -> list[int] | None:
    """Return the place of each picture in what was expected; None if one is wrong, or one that may not lack does."""
    places, place = [], 0
    for number in numbers:
        while place < len(expected.numbers) and expected.numbers[place] != number:
            if expected.numbers[place] not in expected.optional:
                return None
            place += 1
        if place == len(expected.numbers):
            return None
        places.append(place)
        place += 1
    missing = [number for number in expected.numbers[place:] if number not in expected.optional]
    return None if missing and not expected.may_stop else places


def _media(frames: list[Frame], stamps: list, expected: Expected) -> Iterator[str]:
    got = [frame.media_s for frame in frames]
    if all(value is None for value in got):
        if expected.is_timed:
            yield "media_s: got None in all, but the file has times"
        return
    if any(value is None for value in got):
        yield f"media_s: got None in {got.count(None)} of {len(got)}"
        return
    if None in stamps or expected.is_sparse:
        return  # the file doesn't say: whatever is there, time_s is judged
    worst = min(
        (_error(got, [float(x) for x in true], expected) for true in (stamps, spread(stamps, expected.apart_s))),
        key=lambda pair: pair[0],
    )
    if worst[0] > 2 * float(expected.tick_s) + NUDGE_S:
        place = worst[1]
        near = slice(max(0, place - 2), place + 3)
        yield f"media_s: got {_seconds(got[near])}, expected {_seconds(stamps[near])} (from picture {near.start})"


def _error(got: list[float], true: list[float], expected: Expected) -> tuple[float, int]:
    """Return the largest error, and where it is. A shift of all doesn't count if it may be."""
    error = np.array(got) - np.array(true)
    if expected.shifts and expected.parts == 1:
        error -= error[0]
    if expected.parts > 1:
        error *= 0
    return float(np.abs(error).max()), int(np.abs(error).argmax())


def _times(frames: list[Frame], stamps: list, places: list[int], expected: Expected) -> Iterator[str]:
    breaks = sum(after.epoch != frame.epoch for frame, after in itertools.pairwise(frames))
    changes = sum(after.image.shape != frame.image.shape for frame, after in itertools.pairwise(frames))
    if breaks > expected.parts - 1 + changes:
        yield f"epochs: got {breaks + 1}, expected at most {expected.parts}"
    if None in stamps or all(frame.media_s is None for frame in frames):
        times = [place * expected.apart_s for place in places]
    else:
        times = spread(stamps, expected.apart_s)
    for place, (frame, after) in enumerate(itertools.pairwise(frames)):
        if frame.epoch != after.epoch or times[place + 1] <= times[place]:
            continue
        step, true = after.time_s - frame.time_s, float(times[place + 1] - times[place])
        if step <= 0:
            yield f"time_s: goes from {frame.time_s:.4f} to {after.time_s:.4f} at picture {place + 1}"
            return
        if not expected.is_sparse and abs(step - true) > 2 * float(expected.tick_s) + NUDGE_S:
            yield f"time_s: a step of {step:.4f} s to picture {place + 1}, expected {true:.4f} s"
            return


def _short(numbers: list[int]) -> str:
    return f"{len(numbers)}: {' '.join(map(str, numbers[:20]))}" + (" ..." if len(numbers) > 20 else "")


def _seconds(values: list) -> str:
    return " ".join("None" if value is None else f"{float(value):.3f}" for value in values)


logging.getLogger("libav").setLevel(logging.CRITICAL)
