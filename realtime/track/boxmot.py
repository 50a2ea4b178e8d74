"""boxmot's trackers behind one call, which assigns detections to tracks.

track/stage.py creates one BoxmotAssociation per epoch of each camera, and loads this file only if `tracker.method` is
one of boxmot's, because boxmot loads torch. Offered are the trackers of boxmot 25 that work without an appearance
network; BoT-SORT and BoostTrack can use one (`tracker.reid`). boxmot's ByteTrack is the reference of our own
(track/association.py). StrongSORT and OccluBoost are not offered because they depend on appearance. Deep OC-SORT and
Hybrid-SORT are not offered because, without it, they are OC-SORT with different weights. Outside evaluate/, no other
file imports boxmot.
"""

from __future__ import annotations

import bisect
import logging
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from boxmot import SFSORT, BoostTrack, BotSort, ByteTrack, OcSort
from numpy.typing import NDArray

from realtime.config import TrackerConfig
from realtime.errors import ConfigError, first_line
from realtime.runtime.device import device_errors
from realtime.types import Detections

# boxmot never trims ByteTrack's list of removed tracks and walks it on every frame, although it needs only the last
# entries (measured over 800 frames: keeping 64 does not change the output, keeping none does).
_REMOVED_KEPT = 200
# OC-SORT and BoostTrack return a track once it has been matched in this many consecutive frames. With boxmot's
# default of 3, a person hidden for one frame is missing for two more.
_MIN_HITS = 1
# ByteTrack's motion noise is specified per reference frame; this is the duration of that frame in seconds. With
# boxmot's default of 1/30, speeds follow the jitter of the boxes and identities switch more often on the MOT
# sequences. All values from 1/20 to 1/10 give equally few switches.
_NOISE_FRAME_S = 1 / 20
# Column of boxmot's input rows, which are: x1, y1, x2, y2, score, class.
_CLASS = 5
# Columns of boxmot's output rows, which are: x1, y1, x2, y2, id, score, class, index of the detection.
_ID, _DETECTION = 4, 7


class _Names(NamedTuple):
    """Names of the attributes that differ between boxmot's trackers."""

    buffer: tuple[str, ...]  # number of frames for which a lost track is kept
    tracks: tuple[str, ...]  # lists that together hold all tracks that can still be returned


_NAMES = {
    "boxmot-bytetrack": _Names(("max_time_lost",), ("active_tracks", "lost_stracks")),
    "botsort": _Names(("max_time_lost",), ("active_tracks", "lost_stracks")),
    "ocsort": _Names(("max_age",), ("active_tracks",)),
    "boosttrack": _Names(("max_age",), ("trackers",)),
    "sfsort": _Names(("central_timeout", "marginal_timeout"), ("active_tracks", "lost_tracks")),
}


class BoxmotAssociation:
    """One of boxmot's trackers, for one epoch of one camera. boxmot counts the buffer of lost tracks in frames.

    Args:
        config: the tracker's section; it names the method and its thresholds.
        size: width and height of the frames in pixels.
        appearance: the network that `load_appearance` returned. None: compare boxes only.
    """

    def __init__(self, config: TrackerConfig, size: tuple[int, int], appearance: object | None = None) -> None:
        quiet()
        self._names = _NAMES[config.method]
        self._low_score = config.low_score
        self._device: torch.device = getattr(appearance, "device", torch.device("cpu"))  # boxmot ships no types
        self._tracker: Any = _build(config, size, appearance)  # Any: boxmot ships no types
        self._wants_picture = self._tracker.requirements.frame or appearance is not None
        self._codes: dict[str, int] = {}  # boxmot's number of each class, by its name
        self._buffer_s = config.buffer_s
        self._times_s: deque[float] = deque()  # of the detection runs within the buffer, oldest first
        self._has_time_line = config.method != "sfsort"  # SFSORT predicts no motion and takes no timestamps

    def update(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Assign the detections of the next frame to tracks.

        Returns:
            Two arrays, int64 (M,): the rows of `detections` that belong to a track, in ascending order, and boxmot's
            track id for each of them.
        """
        frame = detections.frame
        buffer = self._frames_within_buffer(frame.time_s)
        for name in self._names.buffer:
            setattr(self._tracker, name, buffer)
        # BoostTrack would boost weaker detections and return them.
        used = np.flatnonzero(detections.scores >= self._low_score)
        rows = np.zeros((len(used), 6), np.float32)
        rows[:, :4], rows[:, 4] = detections.xyxy[used], detections.scores[used]
        if detections.labels is not None:
            self._tracker.per_class = True
            labels = detections.labels[used].tolist()
            rows[:, _CLASS] = [self._codes.setdefault(label, len(self._codes)) for label in labels]
        picture = frame.image if self._wants_picture else None
        time_s = {"timestamp_s": frame.time_s} if self._has_time_line else {}
        with device_errors(self._device):
            out = np.asarray(self._tracker.update(rows, picture, **time_s), np.float64).reshape(-1, 8)
        self._trim()
        out = out[np.argsort(out[:, _DETECTION])]
        return used[out[:, _DETECTION].astype(np.int64)], out[:, _ID].astype(np.int64)

    def _frames_within_buffer(self, now_s: float) -> int:
        """Convert the buffer to boxmot's unit, frames: the number of earlier detection runs in the last `buffer_s`."""
        self._times_s.append(now_s)
        oldest = bisect.bisect_left(self._times_s, now_s - self._buffer_s)
        for _ in range(oldest):
            self._times_s.popleft()
        return len(self._times_s) - 1

    def _trim(self) -> None:
        states = (getattr(self._tracker, "class_track_states", None) or {}).values()  # of each class, if it has labels
        for owner in [vars(self._tracker), *(state.attrs for state in states)]:
            if isinstance(removed := owner.get("removed_stracks"), list):
                del removed[:-_REMOVED_KEPT]

    def known(self) -> set[int]:
        """Return boxmot's ids of all tracks that it may still return, lost ones included."""
        return {track.id for name in self._names.tracks for track in getattr(self._tracker, name)}


def load_appearance(config: TrackerConfig, device: str) -> object | None:
    """Load the appearance network of `tracker.reid`, which tells people apart by how they look.

    One network serves all cameras. boxmot infers the architecture from the file's name (osnet_x0_25_msmt17.pt) or
    from its contents. It unpickles the file, so the file must be trusted.

    Args:
        config: the tracker's section.
        device: device of the network, such as "cpu" or "cuda:0".

    Returns:
        boxmot's network, or None if `tracker.reid` is not set.

    Raises:
        ConfigError: the file is missing, has a suffix other than .pt or .pth, or can't be loaded by boxmot.
    """
    if config.reid is None:
        return None
    path = Path(config.reid)
    if path.suffix not in (".pt", ".pth") or not path.is_file():  # boxmot would download it or install a runtime
        raise ConfigError(f"tracker.reid: got {path}, expected an existing .pt or .pth file")
    from boxmot.reid.core import ReID

    quiet()
    try:
        # Pass a torch.device: with a name, boxmot would set CUDA_VISIBLE_DEVICES.
        model: object = ReID(weights=path, device=torch.device(device)).model
    except Exception as error:  # unpickling, wrong shapes and boxmot's registry raise many types
        raise ConfigError(f"tracker.reid: {path}: boxmot can't load it: {first_line(error)}") from error
    return model


def quiet() -> None:
    """Route boxmot's log through ours, from warnings up. By default, its own handler prints every parameter."""
    theirs = logging.getLogger("boxmot")
    theirs.handlers.clear()
    theirs.setLevel(logging.WARNING)
    theirs.propagate = True


def _build(config: TrackerConfig, size: tuple[int, int], appearance: object | None) -> Any:  # noqa: ANN401 - as above
    reid = {"use_embeddings": appearance is not None, "reid_model": appearance}
    match config.method:
        case "boxmot-bytetrack":
            return ByteTrack(
                min_conf=config.low_score,
                track_thresh=config.track_score,
                match_thresh=1.0 - config.match_iou,  # boxmot expects a distance, 1 - IoU x score
                variable_dt=True,
                kf_reference_dt_s=_NOISE_FRAME_S,
            )
        case "botsort":
            return BotSort(
                track_low_thresh=config.low_score,
                track_high_thresh=config.track_score,
                new_track_thresh=config.track_score,
                match_thresh=1.0 - config.match_iou,
                fuse_first_associate=True,  # IoU x score, as above
                cmc_method="sof",
                variable_dt=True,
                **reid,
            )
        case "ocsort":
            return OcSort(
                min_conf=config.low_score,
                det_thresh=config.track_score,
                iou_threshold=config.match_iou,
                use_byte=True,
                min_hits=_MIN_HITS,
                variable_dt=True,
            )
        case "boosttrack":
            return BoostTrack(
                det_thresh=config.track_score,
                iou_threshold=config.match_iou,
                min_hits=_MIN_HITS,
                min_box_area=0,
                aspect_ratio_thresh=np.inf,  # boxmot's default of 1.6 drops people who lie down
                cmc_method="sof",
                variable_dt=True,
                **reid,
            )
        case "sfsort":
            return SFSORT(
                low_th=config.low_score,
                high_th=config.track_score,
                new_track_th=config.track_score,
                frame_width=size[0],
                frame_height=size[1],
            )
