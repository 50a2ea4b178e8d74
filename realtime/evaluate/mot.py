"""MOTChallenge folders: ground truth, detections and results in their text form, and which of it counts.

Read and written by evaluate.tracking. The form and the rules are those of MOT15 to MOT20 (Dendorfer et al.,
"MOTChallenge", IJCV 2021) as TrackEval applies them in trackeval/datasets/mot_challenge_2d_box.py. Frame numbers begin
at 1, boxes are x, y of the top left corner, width and height in pixels.
"""

from __future__ import annotations

import configparser
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from realtime.boxes import iou
from realtime.errors import ConfigError, OutputError

# Columns of every row; those that a file leaves out are 1.
FRAME, ID, XYWH, SCORE, CLASS = 0, 1, slice(2, 6), 6, 7
_COLUMNS = 9
# Ground truth of MOT16 and later has nine columns: the last two are class and visibility. That of MOT15 has ten, the
# last three a place in the world, and no classes.
_WITH_CLASSES = 9
_PEDESTRIAN = 1
# Person on a vehicle, static person, distractor, reflection: to find one is neither right nor wrong. MOT20 adds
# vehicles.
_DISTRACTORS = (2, 7, 8, 12)
_VEHICLE = 6
_SAME_IOU = 0.5

Rows = Mapping[int, NDArray[np.float64]]
_NONE = np.zeros((0, _COLUMNS))


@dataclass(frozen=True, slots=True, eq=False)
class MotSequence:
    """One clip with ground truth.

    Attributes:
        name: the folder's.
        folder: holds gt/gt.txt.
        frames: the numbers of its frames, from 1 on.
        rate_hz: frames per second; None where neither seqinfo.ini nor the user says it.
        size: width and height in pixels, None where seqinfo.ini is missing.
        images: folder of its pictures; it need not be there.
        truth: frame number to float64 (N, 9): frame, id, x, y, w, h, 0 where ignored, class, visibility.
        has_classes: its class column means something (MOT16 and later).
    """

    name: str
    folder: Path
    frames: range
    rate_hz: float | None
    size: tuple[int, int] | None
    images: Path
    truth: Rows
    has_classes: bool


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One frame of ground truth beside one frame of tracks, after what doesn't count was taken out.

    Attributes:
        truth_ids: int64 (N,), unique.
        track_ids: int64 (M,), unique.
        iou: float64 (N, M), 0..1.
    """

    truth_ids: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    iou: NDArray[np.float64]


def find_sequences(folders: Iterable[Path]) -> list[Path]:
    """The folders with a gt/gt.txt: those given themselves, or those inside them by name.

    Raises:
        ConfigError: there is none in one of them.
    """
    found: list[Path] = []
    for folder in folders:
        inside = sorted(file.parent.parent for file in folder.glob("*/gt/gt.txt"))
        here = [folder] if (folder / "gt" / "gt.txt").is_file() else inside
        if not here:
            raise ConfigError(f"{folder}: got no gt/gt.txt, expected a MOTChallenge folder or a folder of such")
        found += here
    return found


def open_sequence(folder: Path, rate_hz: float | None = None) -> MotSequence:
    """Read ground truth and seqinfo.ini.

    Args:
        folder: holds gt/gt.txt.
        rate_hz: frames per second where seqinfo.ini is missing or wrong.

    Raises:
        ConfigError: a file is malformed.
    """
    file = folder / "gt" / "gt.txt"
    truth, columns = _read(file)
    if not truth:
        raise ConfigError(f"{file}: got no rows, expected ground truth")
    info = _Info(folder / "seqinfo.ini")
    width, height = info.number("imWidth"), info.number("imHeight")
    return MotSequence(
        name=folder.resolve().name,
        folder=folder,
        frames=range(int(info.number("firstFrame") or 1), int(info.number("seqLength") or max(truth)) + 1),
        rate_hz=rate_hz or info.number("frameRate"),
        size=(int(width), int(height)) if width and height else None,
        images=folder / info.text("imDir", "img1"),
        truth=truth,
        has_classes=columns == _WITH_CLASSES,
    )


def read_rows(file: Path) -> Rows:
    """Detections or results: frame number to float64 (N, 9), in the file's order; missing columns are 1.

    Raises:
        ConfigError: there is no such file, or a line isn't of numbers: frame, id, x, y, w, h and more.
    """
    return _read(file)[0]


def write_results(file: Path, tracks: Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]]) -> None:
    """Write tracks as MOTChallenge results: frame, id, x, y, w, h, 1, -1, -1, -1.

    Args:
        file: where to.
        tracks: frame number to ids (N,) and boxes x, y, w, h (N, 4) in pixels.

    Raises:
        OutputError: it can't be written.
    """
    lines = [
        f"{number},{track_id},{x:.3f},{y:.3f},{w:.3f},{h:.3f},1,-1,-1,-1\n"
        for number, (ids, xywh) in sorted(tracks.items())
        for track_id, (x, y, w, h) in zip(ids.tolist(), xywh.tolist(), strict=True)
    ]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines), encoding="ascii")
    except OSError as error:
        raise OutputError(f"{file}: can't be written: {error.strerror}") from None


def compare(sequence: MotSequence, number: int, ids: NDArray[np.int64], xywh: NDArray[np.float64]) -> Compared:
    """Take out what doesn't count in a frame, and measure how far the rest overlaps.

    Ground truth counts unless its flag (column 7) is 0 or, where there are classes, it is no pedestrian. A track that
    fits one of the distractors best (IoU of 0.5 and more, one to one over all ground truth) is left out.

    Args:
        sequence: its ground truth.
        number: of the frame.
        ids: int64 (M,), the tracks'.
        xywh: float64 (M, 4), their boxes in pixels.

    Raises:
        ValueError: two tracks of the frame have the same id.
    """
    if len(np.unique(ids)) != len(ids):
        raise ValueError(f"{sequence.name}: frame {number}: got an id twice, expected one box for each")
    truth = sequence.truth.get(number, _NONE)
    counts = truth[:, SCORE] != 0
    if sequence.has_classes:
        is_left = ~_on_distractors(sequence, truth, xywh)
        ids, xywh = ids[is_left], xywh[is_left]
        counts &= truth[:, CLASS] == _PEDESTRIAN
    truth = truth[counts]
    return Compared(truth[:, ID].astype(np.int64), ids, iou_of(truth[:, XYWH], xywh))


def iou_of(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """boxes.iou of boxes x, y, w, h: (N, 4) and (M, 4) -> (N, M)."""
    return iou(*(np.hstack((xywh[:, :2], xywh[:, :2] + xywh[:, 2:])) for xywh in (a, b)))


def _on_distractors(sequence: MotSequence, truth: NDArray[np.float64], xywh: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which tracks (M,) fit a distractor better than anything else."""
    classes = (*_DISTRACTORS, _VEHICLE) if sequence.name.startswith("MOT20") else _DISTRACTORS
    iou = iou_of(truth[:, XYWH], xywh)
    iou[iou < _SAME_IOU - np.finfo(float).eps] = 0  # TrackEval's tolerance
    rows, columns = linear_sum_assignment(-iou)
    taken = (iou[rows, columns] > 0) & np.isin(truth[rows, CLASS], classes)
    on_distractors = np.zeros(len(xywh), np.bool_)
    on_distractors[columns[taken]] = True
    return on_distractors


def _read(file: Path) -> tuple[Rows, int]:
    """The rows by frame, and how many columns the first line has."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"{file}: can't be read: {reason}") from None
    rows: dict[int, list[list[float]]] = defaultdict(list)
    columns = 0
    for place, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if words:
            row = _row(line, words, f"{file}:{place}")
            rows[int(row[FRAME])].append(row)
            columns = columns or len(words)
    return {number: np.array(frame, np.float64) for number, frame in rows.items()}, columns


def _row(line: str, words: list[str], where: str) -> list[float]:
    try:
        row = [float(word) for word in words[:_COLUMNS]]
    except ValueError:
        row = []
    if len(row) < XYWH.stop or not np.isfinite(row).all():
        raise ConfigError(f"{where}: got {line[:60]!r}, expected numbers: frame, id, x, y, w, h, score, ...")
    return row + [1.0] * (_COLUMNS - len(row))


class _Info:
    """A seqinfo.ini; one that is missing says nothing."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._parser = configparser.ConfigParser(interpolation=None)
        try:
            self._parser.read(file, encoding="utf-8-sig")
        except (configparser.Error, UnicodeDecodeError):
            raise ConfigError(f"{file}: can't be read, expected [Sequence] and its keys") from None

    def text(self, key: str, default: str) -> str:
        return self._parser.get("Sequence", key, fallback=default)

    def number(self, key: str) -> float | None:
        """None where it isn't said."""
        text = self.text(key, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < math.inf:
            raise ConfigError(f"{self._file}: {key}: got {text!r}, expected a number above 0")
        return value
