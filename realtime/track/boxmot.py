"""boxmot's trackers behind one call: which detection belongs to whom. The only file of the program that imports boxmot.

Used by track/stage.py, which makes one for each epoch of each camera. Of boxmot 25 there are those that track boxes
alone, and BoT-SORT and BoostTrack with appearance too (`tracker.reid`). Left out are StrongSORT and OccluBoost, which
live on appearance, and Deep OC-SORT and Hybrid-SORT, which without it are OC-SORT with other weights.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from boxmot import SFSORT, BoostTrack, BotSort, ByteTrack, OcSort
from numpy.typing import NDArray

from realtime.config import TrackerConfig
from realtime.errors import ConfigError
from realtime.types import Detections

# boxmot never trims ByteTrack's list of these and walks it on every frame; it needs the last few entries only
# (measured: 64 of them give the same output over 800 frames, none does not).
_REMOVED_KEPT = 200
# OC-SORT and BoostTrack return who was matched in so many frames in a row. With boxmot's 3, who was hidden for one
# frame is missing for two more.
_MIN_HITS = 1
# For how long boxmot's noise of motion in one frame is meant to have gathered, in seconds. Its 1/30 lets speeds follow
# the boxes' flicker: more switches of identity on MOT sequences, from 1/20 to 1/10 there are equally few.
_NOISE_FRAME_S = 1 / 20
# Columns of boxmot's output rows: x1 y1 x2 y2 id score class index-of-detection.
_ID, _DETECTION = 4, 7


class _Names(NamedTuple):
    """What boxmot calls the same thing in each tracker."""

    buffer: tuple[str, ...]  # for how many frames a lost track is kept
    tracks: tuple[str, ...]  # lists of all that can still be returned


_NAMES = {
    "bytetrack": _Names(("max_time_lost",), ("active_tracks", "lost_stracks")),
    "botsort": _Names(("max_time_lost",), ("active_tracks", "lost_stracks")),
    "ocsort": _Names(("max_age",), ("active_tracks",)),
    "boosttrack": _Names(("max_age",), ("trackers",)),
    "sfsort": _Names(("central_timeout", "marginal_timeout"), ("active_tracks", "lost_tracks")),
}


class Association:
    """One tracker over one epoch of one camera.

    Args:
        config: which, and its limits.
        size: width and height of the frames in pixels.
        appearance: of `load_appearance`, None to go by boxes alone.
    """

    def __init__(self, config: TrackerConfig, size: tuple[int, int], appearance: object | None = None) -> None:
        quiet()
        self._names = _NAMES[config.method]
        self._low_score = config.low_score
        self._tracker: Any = _build(config, size, appearance)  # Any: boxmot ships no types
        self._wants_picture = self._tracker.requirements.frame or appearance is not None
        self._has_time_line = config.method != "sfsort"  # it predicts nothing: a track waits where it was seen last

    def update(self, detections: Detections, buffer: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take one frame.

        Args:
            detections: of the frame.
            buffer: for how many frames a lost track is kept.

        Returns:
            int64 (M,), rising: the rows of `detections` that belong to a track, and int64 (M,): boxmot's id of each.
        """
        for name in self._names.buffer:
            setattr(self._tracker, name, buffer)
        frame = detections.frame
        used = np.flatnonzero(detections.scores >= self._low_score)  # all methods but BoostTrack do that themselves
        rows = np.zeros((len(used), 6), np.float32)
        rows[:, :4], rows[:, 4] = detections.xyxy[used], detections.scores[used]
        picture = frame.image if self._wants_picture else None
        time_s = {"timestamp_s": frame.time_s} if self._has_time_line else {}
        out = np.asarray(self._tracker.update(rows, picture, **time_s), np.float64).reshape(-1, 8)
        if isinstance(removed := getattr(self._tracker, "removed_stracks", None), list):
            del removed[:-_REMOVED_KEPT]
        out = out[np.argsort(out[:, _DETECTION])]
        return used[out[:, _DETECTION].astype(np.int64)], out[:, _ID].astype(np.int64)

    def known(self) -> set[int]:
        """boxmot's ids that can still be returned."""
        return {track.id for name in self._names.tracks for track in getattr(self._tracker, name)}


def load_appearance(config: TrackerConfig, device: str) -> object | None:
    """The network that tells people apart by their looks, one for all cameras; None where none is asked for.

    boxmot takes its kind from the file's name (osnet_x0_25_msmt17.pt) or from what is stored in it, and unpickles it.

    Raises:
        ConfigError: it can't be loaded.
    """
    if config.reid is None:
        return None
    path = Path(config.reid)
    if path.suffix not in (".pt", ".pth") or not path.is_file():  # boxmot would download it, or install an engine
        raise ConfigError(f"tracker.reid: got {path}, expected a .pt file that is there")
    from boxmot.reid.core import ReID

    quiet()
    try:
        # A device and not its name: boxmot would set CUDA_VISIBLE_DEVICES.
        model: object = ReID(weights=path, device=torch.device(device)).model
    except Exception as error:  # whatever unpickling, a wrong shape or boxmot's registry raise
        raise ConfigError(f"tracker.reid: {path}: boxmot can't load it: {str(error).splitlines()[0]}") from error
    return model


def quiet() -> None:
    """boxmot prints its parameters through a handler of its own: let our log decide."""
    theirs = logging.getLogger("boxmot")
    theirs.handlers.clear()
    theirs.setLevel(logging.WARNING)
    theirs.propagate = True


def _build(config: TrackerConfig, size: tuple[int, int], appearance: object | None) -> Any:  # noqa: ANN401 - as above
    reid = {"use_embeddings": appearance is not None, "reid_model": appearance}
    match config.method:
        case "bytetrack":
            return ByteTrack(
                min_conf=config.low_score,
                track_thresh=config.track_score,
                match_thresh=1.0 - config.match_iou,  # boxmot's is a distance: 1 - IoU x score
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
                aspect_ratio_thresh=np.inf,  # boxmot's 1.6 hides people who lie
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
