"""The four types that flow through the pipeline: Frame -> Detections -> Tracks -> Poses.

Every stage of the data path takes one of these types and returns one. Numpy only.
Arrays are C-contiguous; their shape and dtype are checked once, here. Boxes and keypoints are in pixels of the source
frame, origin at its top left corner, x right, y down. Letters: N people, K keypoints, H and W the frame's size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Clock = Literal["arrival", "rtcp", "playlist"]
Activity = Literal["active", "still", "empty"]


def _check(owner: object, name: str, dtype: type, shape: tuple[int | str, ...], sizes: dict[str, int]) -> None:
    """Raise ValueError unless the field is a C-contiguous array of this dtype and shape.

    A letter in `shape` stands for any size; `sizes` keeps it, so that all fields agree on N and K.
    """
    array: Any = getattr(owner, name)  # Any: not yet known to be an array
    where = f"{type(owner).__name__}.{name}"
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{where}: expected a numpy array, got {type(array).__name__}")
    if (array.dtype.type if dtype is np.str_ else array.dtype) != dtype:  # texts of any length
        raise ValueError(f"{where}: expected dtype {np.dtype(dtype)}, got {array.dtype}")
    fits = array.ndim == len(shape) and all(
        size == (sizes.setdefault(want, size) if isinstance(want, str) else want)
        for want, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(f"{s}={sizes[s]}" if isinstance(s, str) and s in sizes else str(s) for s in shape)
        raise ValueError(f"{where}: expected shape ({wanted}), got {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{where}: expected a C-contiguous array, got strides {array.strides}")


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What the motion gate of a camera found in one frame (`activity.mode`).

    >>> Motion("still", np.float32([[0, 0, 20, 10]]), look_before_s=4.0).xyxy.shape
    (1, 4)

    Attributes:
        activity: `active`, `still` (people, but no motion near them) or `empty` (no people and no motion).
        xyxy: float32 (M, 4), the areas in which something moves; pixels of the frame.
        look_before_s: run the detector on this frame if its last run in this epoch was before this time, on the
            timeline of `Frame.time_s`. If the camera is active, `detector.every` may demand further runs.
        mask: polygons in which motion is ignored, each float32 (P, 2) x, y; pixels of the frame. Only drawn.
        has_unexplained: something moves away from the people of a still camera, so `detector.every` counts as if the
            camera were active.
    """

    activity: Activity
    xyxy: NDArray[np.float32]
    look_before_s: float
    mask: tuple[NDArray[np.float32], ...] = ()
    has_unexplained: bool = False

    def __post_init__(self) -> None:
        _check(self, "xyxy", np.float32, ("M", 4), {})


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image from one camera, with its times.

    >>> image = np.zeros((480, 640, 3), np.uint8)
    >>> frame = Frame("cam0", epoch=0, index=7, image=image, time_s=0.28, captured_mono_ns=10, captured_unix_ns=10)
    >>> frame.size
    (640, 480)
    >>> Frame("cam0", 0, 7, image[..., 0], 0.28, captured_mono_ns=10, captured_unix_ns=10)
    Traceback (most recent call last):
    ValueError: Frame.image: expected shape (H, W, 3), got (480, 640)

    Attributes:
        camera: the camera's name.
        epoch: +1 whenever the source is reopened or loops, its timestamps go back by more than 0.5 s, or its size
            changes. No track spans two epochs.
        index: index of the source frame, from 0, strictly increasing within a camera; a gap means dropped frames.
        image: uint8 (H, W, 3), BGR; made read-only here.
        time_s: time on the source's own timeline, strictly increasing within an epoch. Tracker and filters use no
            other clock.
        captured_mono_ns: monotonic time of capture, for latencies. For a live frame, its arrival minus the delay that
            its timestamp shows (capture.freshness). For a frame of a file, which is read ahead, the moment when it
            enters the pipeline or, with `realtime`, when it is due.
        captured_unix_ns: Unix time of the same moment, or of capture by the camera's clock; published with the poses.
        clock: `arrival` if `captured_unix_ns` is by our clock, `rtcp` if it is by the camera's, `playlist` if it is by
            that of an HLS playlist.
        media_s: the source's presentation timestamp in seconds; None if it has none.
        motion: how much happens in the frame; None if its camera has no motion gate.
        timing_ms: milliseconds spent in each stage so far. The only field that changes past the door; the loops that
            run the stages write it.
    """

    camera: str
    epoch: int
    index: int
    image: NDArray[np.uint8]
    time_s: float
    captured_mono_ns: int
    captured_unix_ns: int
    clock: Clock = "arrival"
    media_s: float | None = None
    motion: Motion | None = None
    timing_ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self, "image", np.uint8, ("H", "W", 3), {})
        self.image.setflags(write=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The people, or whatever else the detector looks for, that it found in one frame.

    >>> frame = Frame("cam0", 0, 0, np.zeros((480, 640, 3), np.uint8), 0.0, captured_mono_ns=0, captured_unix_ns=0)
    >>> found = Detections(frame, np.float32([[10, 20, 60, 200]]), np.float32([0.9]))
    >>> len(found), len(Detections.empty(frame))
    (1, 0)
    >>> Detections(frame, np.float32([[10, 20, 60, 200]]), np.float32([0.9, 0.8]))
    Traceback (most recent call last):
    ValueError: Detections.scores: expected shape (N=1), got (2,)

    Attributes:
        frame: the frame in which they were found.
        xyxy: float32 (N, 4), clipped to the frame, x2 > x1 and y2 > y1.
        scores: float32 (N,), 0..1.
        keypoints: float32 (N, K, 3) x, y, score if the detector is itself a pose model, otherwise None.
        looked: whether the detector ran on this frame (`detector.every`). If not, N is 0 even if people are in it.
        labels: str (N,), the names of their classes; None if the detector looks for people only (`detector.classes`).
    """

    frame: Frame
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None = None
    looked: bool = True
    labels: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check(self, "xyxy", np.float32, ("N", 4), sizes)
        _check(self, "scores", np.float32, ("N",), sizes)
        if self.keypoints is not None:
            _check(self, "keypoints", np.float32, ("N", "K", 3), sizes)
        if self.labels is not None:
            _check(self, "labels", np.str_, ("N",), sizes)
        if not (self.xyxy[:, 2:] > self.xyxy[:, :2]).all():
            raise ValueError("Detections.xyxy: expected x2 > x1 and y2 > y1 in every row")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls, frame: Frame, looked: bool = True) -> Detections:
        """No people in this frame."""
        return cls(frame, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), looked=looked)


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The people of one frame, each with a track id.

    >>> frame = Frame("cam0", 0, 0, np.zeros((480, 640, 3), np.uint8), 0.0, captured_mono_ns=0, captured_unix_ns=0)
    >>> Tracks(frame, np.float32([[10, 20, 60, 200]]), np.float32([0.9]), np.array([4]), np.array([True])).track_ids
    array([4])
    >>> Tracks.empty(frame, ended=(4,)).ended
    (4,)
    >>> Tracks(frame, np.float32([[10, 20, 60, 200]]), np.float32([0.9]), np.array([4]), np.array([1]))
    Traceback (most recent call last):
    ValueError: Tracks.measured: expected dtype bool, got int64

    Attributes:
        frame: the frame in which they are.
        xyxy: float32 (N, 4), the matched detection's box, or the extrapolated one; clipped to the frame.
        scores: float32 (N,), the score of the track's last detection, 0..1.
        track_ids: int64 (N,), >= 1, unique within the frame, never reused within a session and camera.
        measured: bool (N,), False if the box is extrapolated because the detector did not run on this frame.
        keypoints: float32 (N, K, 3) x, y, score, those of the detection if the detector is a pose model, otherwise
            None.
        ended: ids of the tracks that ended with this frame; they never return.
        labels: as in Detections. A track never changes its class.
    """

    frame: Frame
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    track_ids: NDArray[np.int64]
    measured: NDArray[np.bool_]
    keypoints: NDArray[np.float32] | None = None
    ended: tuple[int, ...] = ()
    labels: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check(self, "xyxy", np.float32, ("N", 4), sizes)
        _check(self, "scores", np.float32, ("N",), sizes)
        _check(self, "track_ids", np.int64, ("N",), sizes)
        _check(self, "measured", np.bool_, ("N",), sizes)
        if self.keypoints is not None:
            _check(self, "keypoints", np.float32, ("N", "K", 3), sizes)
        if self.labels is not None:
            _check(self, "labels", np.str_, ("N",), sizes)

    def __len__(self) -> int:
        return len(self.track_ids)

    @classmethod
    def empty(cls, frame: Frame, ended: tuple[int, ...] = (), labels: NDArray[np.str_] | None = None) -> Tracks:
        """Return the Tracks of a frame without people. `ended` and `labels`, (0,), are the attributes of that name."""
        return cls(
            frame,
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros(0, np.bool_),
            ended=ended,
            labels=labels,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """The people of one frame, each with a track id and keypoints.

    >>> frame = Frame("cam0", 0, 0, np.zeros((480, 640, 3), np.uint8), 0.0, captured_mono_ns=0, captured_unix_ns=0)
    >>> tracks = Tracks(frame, np.float32([[10, 20, 60, 200]]), np.float32([0.9]), np.array([4]), np.array([True]))
    >>> Poses.of(tracks, np.zeros((1, 17, 2), np.float32), np.ones((1, 17), np.float32)).keypoints.shape
    (1, 17, 2)
    >>> Poses.empty(frame, keypoints=17).keypoints.shape
    (0, 17, 2)
    >>> Poses.of(tracks, np.zeros((1, 17, 2), np.float32), np.ones((1, 16), np.float32))
    Traceback (most recent call last):
    ValueError: Poses.keypoint_scores: expected shape (N=1, K=17), got (1, 16)

    Attributes:
        frame: the frame in which they are.
        track_ids: int64 (N,), as in Tracks.
        xyxy: float32 (N, 4), the box that the pose model received.
        scores: float32 (N,), as in Tracks.
        keypoints: float32 (N, K, 2), x and y; may lie outside the frame; always finite.
        keypoint_scores: float32 (N, K), 0..1.
        measured: bool (N,), False if the pose was predicted or repeated instead of measured in this frame's image.
        raw: float32 (N, K, 2), the keypoints before smoothing; None if they were not smoothed.
        ended: as in Tracks.
        still: bool (N,), True if the pose is the last measured one, repeated because the person's picture has not
            changed since; None: no pose is repeated.
        labels: as in Tracks.
        swapped: pairs of ids that had been given to each other's person; from this frame on they are exchanged.
    """

    frame: Frame
    track_ids: NDArray[np.int64]
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    keypoint_scores: NDArray[np.float32]
    measured: NDArray[np.bool_]
    raw: NDArray[np.float32] | None = None
    ended: tuple[int, ...] = ()
    still: NDArray[np.bool_] | None = None
    labels: NDArray[np.str_] | None = None
    swapped: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check(self, "track_ids", np.int64, ("N",), sizes)
        _check(self, "xyxy", np.float32, ("N", 4), sizes)
        _check(self, "scores", np.float32, ("N",), sizes)
        _check(self, "keypoints", np.float32, ("N", "K", 2), sizes)
        _check(self, "keypoint_scores", np.float32, ("N", "K"), sizes)
        _check(self, "measured", np.bool_, ("N",), sizes)
        if self.raw is not None:
            _check(self, "raw", np.float32, ("N", "K", 2), sizes)
        if self.still is not None:
            _check(self, "still", np.bool_, ("N",), sizes)
        if self.labels is not None:
            _check(self, "labels", np.str_, ("N",), sizes)

    def __len__(self) -> int:
        return len(self.track_ids)

    def label(self, row: int) -> str:
        """The name of a person's class; empty if there are no labels."""
        return "" if self.labels is None else str(self.labels[row])

    @property
    def is_still(self) -> NDArray[np.bool_]:
        """`still`, always as an array: bool (N,)."""
        return np.zeros(len(self), np.bool_) if self.still is None else self.still

    @classmethod
    def empty(cls, frame: Frame, keypoints: int) -> Poses:
        """No people in this frame; `keypoints` is K."""
        return cls.of(
            Tracks.empty(frame), np.zeros((0, keypoints, 2), np.float32), np.zeros((0, keypoints), np.float32)
        )

    @classmethod
    def of(cls, tracks: Tracks, keypoints: NDArray[np.float32], keypoint_scores: NDArray[np.float32]) -> Poses:
        """Add keypoints float32 (N, K, 2) and their scores float32 (N, K) to tracked people."""
        return cls(
            tracks.frame,
            tracks.track_ids,
            tracks.xyxy,
            tracks.scores,
            keypoints,
            keypoint_scores,
            tracks.measured,
            ended=tracks.ended,
            labels=tracks.labels,
        )
