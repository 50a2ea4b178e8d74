"""MOTChallenge files: read ground truth, detections and results, write results, and select the rows that count.

The format and the rules are those of MOT15 to MOT20 (Dendorfer et al., "MOTChallenge", IJCV 2021), as TrackEval applies
them in trackeval/datasets/mot_challenge_2d_box.py. Frame numbers start at 1. Boxes are x and y of the top left corner,
width and height, in pixels.
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

# The columns of a row. Columns that a file lacks are 1.
FRAME, ID, XYWH, SCORE, CLASS = 0, 1, slice(2, 6), 6, 7
_COLUMNS = 9
# Ground truth of MOT16 and later has nine columns, the last two of which are class and visibility. That of MOT15 has
# ten columns, the last three of which are a position in world coordinates, and no classes.
_WITH_CLASSES = 9
_PEDESTRIAN = 1
# Person on a vehicle, static person, distractor, reflection: a track on one of these is neither a hit nor a false
# positive. MOT20 adds the non-motorised vehicle.
_DISTRACTORS = (2, 7, 8, 12)
_VEHICLE = 6
_SAME_IOU = 0.5

Rows = Mapping[int, NDArray[np.float64]]
# The tracks of one frame: ids int64 (N,) and boxes x, y, w, h float64 (N, 4) in pixels.
Boxes = tuple[NDArray[np.int64], NDArray[np.float64]]
NO_BOXES: Boxes = np.zeros(0, np.int64), np.zeros((0, 4))
_NONE = np.zeros((0, _COLUMNS))


@dataclass(frozen=True, slots=True, eq=False)
class MotSequence:
    """One clip with ground truth.

    Attributes:
        name: name of the folder.
        folder: the folder that holds gt/gt.txt.
        frames: the frame numbers. They start at 1 unless seqinfo.ini has `firstFrame`.
        rate_hz: frames per second; None if neither seqinfo.ini nor the user specifies it.
        size: width and height in pixels; None if seqinfo.ini does not specify them.
        images: the folder of images, which need not exist.
        truth: frame number to float64 (N, 9): frame, id, x, y, w, h, flag (0: ignored), class, visibility.
        has_classes: whether the class column is valid (MOT16 and later).
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
    """The ground truth and the tracks of one frame that count, and their overlaps.

    Attributes:
        truth_ids: ids of the people in the ground truth, int64 (N,), unique.
        track_ids: ids of the tracks, int64 (M,), unique.
        iou: IoU of each person and each track, float64 (N, M), 0..1.
    """

    truth_ids: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    iou: NDArray[np.float64]


def find_sequences(folders: Iterable[Path]) -> list[Path]:
    """Find the sequences: each folder itself if it holds gt/gt.txt, otherwise its subfolders that do, by name.

    Raises:
        ConfigError: a folder contains no sequence.
    """
    found: list[Path] = []
    for folder in folders:
        inside = sorted(file.parent.parent for file in folder.glob("*/gt/gt.txt"))
        here = [folder] if (folder / "gt" / "gt.txt").is_file() else inside
        if not here:
            raise ConfigError(
                f"{folder}: found no gt/gt.txt, expected a MOTChallenge sequence or a folder of sequences"
            )
        found += here
    return found


def open_sequence(folder: Path, rate_hz: float | None = None) -> MotSequence:
    """Read the ground truth and seqinfo.ini of a sequence.

    Args:
        folder: the folder that holds gt/gt.txt.
        rate_hz: frames per second, in place of the rate in seqinfo.ini.

    Raises:
        ConfigError: a file is malformed, or the ground truth is missing or empty.
    """
    file = folder / "gt" / "gt.txt"
    truth, columns = _read(file)
    if not truth:
        raise ConfigError(f"{file}: no rows, expected ground truth")
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
    """Read detections or results. Columns may be separated by spaces instead of commas.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "det.txt"
        ...     _ = file.write_text("3,-1,100,50,40,100,0.9")
        ...     read_rows(file)[3].tolist()
        [[3.0, -1.0, 100.0, 50.0, 40.0, 100.0, 0.9, 1.0, 1.0]]

    Returns:
        Frame number to float64 (N, 9), in the order of the file. Columns that the file lacks are 1.

    Raises:
        ConfigError: the file can't be read, or a line does not start with the numbers frame, id, x, y, w, h.
    """
    return _read(file)[0]


def write_results(file: Path, tracks: Mapping[int, Boxes]) -> None:
    """Write tracks as MOTChallenge results: frame, id, x, y, w, h, 1, -1, -1, -1.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "walk.txt"
        ...     write_results(file, {1: (np.array([7]), np.array([[100.0, 50, 40, 100]]))})
        ...     file.read_text()
        '1,7,100.000,50.000,40.000,100.000,1,-1,-1,-1\\n'

    Args:
        file: the file to write. Missing folders are created.
        tracks: frame number to ids (N,) and boxes x, y, w, h (N, 4) in pixels.

    Raises:
        OutputError: the file can't be written.
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


def compare_frame(sequence: MotSequence, number: int, ids: NDArray[np.int64], xywh: NDArray[np.float64]) -> Compared:
    """Select the ground truth and the tracks of a frame that count, and compute their overlaps.

    Ground truth counts unless its flag (column 7) is 0. If the sequence has classes, only pedestrians count, and a
    track that matches a distractor is dropped. For this, all tracks are matched one to one to all ground truth, with an
    IoU of at least 0.5.

        >>> truth = {1: np.array([[1, 5, 100.0, 50, 40, 100, 1, 1, 1]])}
        >>> sequence = MotSequence("MOT17-00", Path(), range(1, 2), 10.0, None, Path(), truth, has_classes=True)
        >>> compared = compare_frame(sequence, 1, np.array([9]), np.array([[100.0, 50, 40, 80]]))
        >>> compared.truth_ids, compared.track_ids, compared.iou
        (array([5]), array([9]), array([[0.8]]))

    Args:
        sequence: the sequence with its ground truth.
        number: the frame number.
        ids: ids of the tracks, int64 (M,).
        xywh: boxes of the tracks, float64 (M, 4), in pixels.

    Raises:
        ValueError: two tracks of the frame have the same id.
    """
    if len(np.unique(ids)) != len(ids):
        raise ValueError(f"{sequence.name}: frame {number}: got an id twice, expected one box per id")
    truth = sequence.truth.get(number, _NONE)
    counts = truth[:, SCORE] != 0
    if sequence.has_classes:
        is_left = ~_on_distractors(sequence, truth, xywh)
        ids, xywh = ids[is_left], xywh[is_left]
        counts &= truth[:, CLASS] == _PEDESTRIAN
    truth = truth[counts]
    return Compared(truth[:, ID].astype(np.int64), ids, iou_of(truth[:, XYWH], xywh))


def iou_of(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the IoU of every pair of boxes x, y, w, h: float64 (N, 4) and (M, 4) -> (N, M).

    >>> iou_of(np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 10], [0, 0, 10, 5]]))
    array([[1. , 0.5]])
    """
    return iou(*(np.hstack((xywh[:, :2], xywh[:, :2] + xywh[:, 2:])) for xywh in (a, b)))


def _on_distractors(sequence: MotSequence, truth: NDArray[np.float64], xywh: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask bool (M,) of the tracks that are matched to a distractor."""
    classes = (*_DISTRACTORS, _VEHICLE) if sequence.name.startswith("MOT20") else _DISTRACTORS
    iou = iou_of(truth[:, XYWH], xywh)
    iou[iou < _SAME_IOU - np.finfo(float).eps] = 0  # TrackEval's tolerance
    rows, columns = linear_sum_assignment(-iou)
    taken = (iou[rows, columns] > 0) & np.isin(truth[rows, CLASS], classes)
    on_distractors = np.zeros(len(xywh), np.bool_)
    on_distractors[columns[taken]] = True
    return on_distractors


def _read(file: Path) -> tuple[Rows, int]:
    """Return the rows by frame number, and the number of columns in the first line."""
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
        raise ConfigError(f"{where}: got {line[:60]!r}, expected the numbers frame, id, x, y, w, h, score, ...")
    return row + [1.0] * (_COLUMNS - len(row))


class _Info:
    """The keys of a seqinfo.ini. A missing file has no keys."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._parser = configparser.ConfigParser(interpolation=None)
        try:
            self._parser.read(file, encoding="utf-8-sig")
        except (configparser.Error, UnicodeDecodeError):
            raise ConfigError(f"{file}: can't be read, expected a section [Sequence] with its keys") from None

    def text(self, key: str, default: str) -> str:
        return self._parser.get("Sequence", key, fallback=default)

    def number(self, key: str) -> float | None:
        """Return the value of a key, or None if it is missing or empty."""
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
