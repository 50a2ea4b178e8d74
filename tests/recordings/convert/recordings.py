"""Recordings to be converted, and the command that does it."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from realtime import wire
from realtime.recordings.convert.command import main
from realtime.recordings.info import encode_infos, info_path
from realtime.skeleton import COCO17
from tests.recordings.recorded import record
from tests.wire.examples import pose

# Pixels are written to a thousandth, scores to four places.
NEAR = 0.0006
BOXES = np.array([[10.25, 20, 110, 220.5], [300, 40, 380, 240]], np.float32)
FEET = [f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")]
# The skeletons of other models, as their InfoMessage names them.
NAMES = {
    "coco17": list(COCO17.keypoint_names),
    "coco25": [*COCO17.keypoint_names[:5], "neck", *COCO17.keypoint_names[5:13], "mid_hip", *COCO17.keypoint_names[13:],
               *FEET],
    "wholebody133": [*COCO17.keypoint_names, *FEET, *(f"face_{i}" for i in range(110))],
    "mpii16": [f"mpii_{i}" for i in range(16)],
    "none": [],
}  # fmt: skip


def people(frame: int, n: int = 2, skeleton: str = "coco17", **changes: object) -> wire.PoseMessage:
    """The message of a frame with at most two people."""
    fields = {"seq": frame, "frame": frame, "boxes": BOXES[:n], "skeleton": skeleton, "media_s": frame / 10}
    fields["captured_ns"] = 10**18 + frame * 10**8
    return pose(n=n, k=len(NAMES[skeleton]), **fields | changes)


def described(skeleton: str, camera: str = "cam0") -> wire.InfoMessage:
    names = NAMES[skeleton]
    return wire.InfoMessage(
        session="s1", camera=camera, keypoint_names=names, edges=list(itertools.pairwise(range(len(names)))),
        detector="yolo11n", pose="vitpose", device="cpu", smoothing="one-euro", source_fps=10.0, size=(640, 480),
        version="0.1.0",
    )  # fmt: skip


def recorded(path: Path, *messages: wire.PoseMessage) -> Path:
    """Write a recording with its companion."""
    record(path, *messages)
    cameras = {message.camera: described(message.skeleton, message.camera) for message in messages}
    info_path(path).write_bytes(encode_infos(cameras.values()))
    return path


def convert(recording: Path, to: str, out: Path, *words: str, code: int = 0) -> Path:
    assert main([str(recording), "--to", to, "--out", str(out), *words]) == code
    return out


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line that was printed."""
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")
