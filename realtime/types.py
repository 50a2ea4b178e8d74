"""The four things that flow: Frame -> Detections -> Tracks -> Poses.

Every stage of the data path takes one of these and returns the next; numpy only.
Arrays are C-contiguous; shape and dtype are checked once, here. Boxes and keypoints are in pixels of the source
frame, origin at its top left corner, x right, y down. Letters: N people, K keypoints, H and W the frame's size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Clock = Literal["arrival", "rtcp"]


def _check(owner: object, name: str, dtype: type, shape: tuple[int | str, ...], sizes: dict[str, int]) -> None:
    """Raise ValueError unless the field is a C-contiguous array of this dtype and shape; letters bind in `sizes`."""
    array: Any = getattr(owner, name)  # Any: what a caller passed, not yet known to be an array
    where = f"{type(owner).__name__}.{name}"
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{where}: expected a numpy array, got {type(array).__name__}")
    if array.dtype != dtype:
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
class Frame:
    """One picture from one camera.

    Attributes:
        camera: the camera's name.
        epoch: +1 whenever the source reopened, looped, jumped in time or changed its size; earlier tracks are over.
        index: of the source frame, from 0, never decreasing within a camera; a gap is what was dropped.
        image: uint8 (H, W, 3), BGR; made read-only here.
        time_s: the source's own time line, strictly increasing within an epoch. Tracker and filters use this alone.
        captured_mono_ns: monotonic clock at capture; for ages.
        captured_unix_ns: Unix time at capture; for people.
        clock: where `captured_unix_ns` comes from.
        media_s: the source's presentation time stamp in seconds, None where it has none.
        timing_ms: milliseconds spent in each stage so far. The one thing written after capture, by the stage runner.
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
    """The people that the detector sees in one frame.

    Attributes:
        frame: the frame looked at.
        xyxy: float32 (N, 4), clipped to the frame, x2 > x1 and y2 > y1.
        scores: float32 (N,), 0..1.
        keypoints: float32 (N, K, 3) x, y, score where the detector is itself a pose model, else None.
        looked: False where the detector didn't look at this frame: nobody was found since nobody was sought.
    """

    frame: Frame
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None = None
    looked: bool = True

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check(self, "xyxy", np.float32, ("N", 4), sizes)
        _check(self, "scores", np.float32, ("N",), sizes)
        if self.keypoints is not None:
            _check(self, "keypoints", np.float32, ("N", "K", 3), sizes)
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
    """The people of one frame, each with an identity.

    Attributes:
        frame: the frame looked at.
        xyxy: float32 (N, 4), the matched detection's box, clipped to the frame.
        scores: float32 (N,), the detection's score, 0..1.
        track_ids: int64 (N,), >= 1, unique here, never reused within a session and camera.
        measured: bool (N,), False where the box is the tracker's prediction.
        keypoints: float32 (N, K, 3), the matched detection's own keypoints where the detector is a pose model.
        ended: ids that were given up with this frame, and won't come back.
    """

    frame: Frame
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    track_ids: NDArray[np.int64]
    measured: NDArray[np.bool_]
    keypoints: NDArray[np.float32] | None = None
    ended: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check(self, "xyxy", np.float32, ("N", 4), sizes)
        _check(self, "scores", np.float32, ("N",), sizes)
        _check(self, "track_ids", np.int64, ("N",), sizes)
        _check(self, "measured", np.bool_, ("N",), sizes)
        if self.keypoints is not None:
            _check(self, "keypoints", np.float32, ("N", "K", 3), sizes)

    def __len__(self) -> int:
        return len(self.track_ids)

    @classmethod
    def empty(cls, frame: Frame, ended: tuple[int, ...] = ()) -> Tracks:
        """Nobody is tracked in this frame."""
        return cls(
            frame,
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros(0, np.bool_),
            ended=ended,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """The people of one frame, each with an identity and a skeleton.

    Attributes:
        frame: the frame looked at.
        track_ids: int64 (N,), as in Tracks.
        xyxy: float32 (N, 4), the box that the pose model was given.
        scores: float32 (N,), the detection's score, 0..1.
        keypoints: float32 (N, K, 2), x and y; may lie outside the frame; always finite.
        keypoint_scores: float32 (N, K), 0..1.
        measured: bool (N,), False where the pose was predicted, not seen in this frame's image.
        raw: float32 (N, K, 2), the keypoints before they were smoothed; None where they weren't.
        ended: as in Tracks.
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

    def __len__(self) -> int:
        return len(self.track_ids)

    @classmethod
    def empty(cls, frame: Frame, keypoints: int) -> Poses:
        """Nobody in this frame; `keypoints` is K."""
        return cls.of(
            Tracks.empty(frame), np.zeros((0, keypoints, 2), np.float32), np.zeros((0, keypoints), np.float32)
        )

    @classmethod
    def of(cls, tracks: Tracks, keypoints: NDArray[np.float32], keypoint_scores: NDArray[np.float32]) -> Poses:
        """The tracks' people with these keypoints (N, K, 2) and scores (N, K)."""
        return cls(
            tracks.frame,
            tracks.track_ids,
            tracks.xyxy,
            tracks.scores,
            keypoints,
            keypoint_scores,
            tracks.measured,
            ended=tracks.ended,
        )
