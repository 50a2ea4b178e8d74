"""Five people who sit still: what their poses cost, and how far keypoints that are not measured again are off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.capture.demo import DEMO_SIZE, demo_frame
from realtime.evaluate.speed.random_vitpose import SMALL, save_checkpoint
from tests.browser.people import pose_weights
from tests.faults.process import CameraProcess
from tests.faults.rig import Told

from .clips import Coding, still
from .measure import Window, run, watch
from .table import Table

PEOPLE = 5
CODING = Coding(DEMO_SIZE, 25, mbit=3)
LOOP_S = 10
TARGET_FPS = 2.0
# From the first message to the window (s): the gate has calibrated, the filters have settled, and nobody is new.
SETTLE_S = 8.0
SIDES = ("off", "on")
# Keypoints that `off` sees with less confidence wander whether they are measured again or not.
_MIN_SCORE = 0.5


def main(folder: Path, is_long: bool) -> None:
    """Print the table."""
    columns = [
        "pose model",
        "gate",
        "CPU s per s",
        "off / on",
        "published",
        "measured",
        "distance p95",
        "of the medians",
        "jitter",
    ]
    table = Table(columns)
    seconds = 60.0 if is_long else 30.0
    clip = CODING.write(still(demo_frame(0), LOOP_S * CODING.fps), folder / "clip.ts")
    models = {"ViTPose-S": save_checkpoint(folder / "vitpose", size=SMALL), "yolo11n-pose, crops": pose_weights()}
    with CameraProcess("--file", str(clip)) as camera:
        for name, weights in models.items():
            ran = {side: _ran(folder, camera.url(), weights, side, seconds) for side in SIDES}
            truth = _by_person([told.body for told in ran["off"][1]])
            for side, (window, poses) in ran.items():
                bodies = [told.body for told in poses]
                measured = [flag for body in bodies for flag in body["measured"]]
                cells = [f"{window.cpu:.3f}", f"{ran['off'][0].cpu / window.cpu:.2f}"]
                cells += [f"{len(bodies) / window.seconds:.2f} a second", f"{np.mean(measured):.0%}"]
                reacts = not name.startswith("ViTPose")  # random weights: its keypoints mean nothing
                table.add(name, side, *cells, *(_distances(truth, _by_person(bodies)) if reacts else [""] * 3))
    table.note(
        f"demo_frame(0), noise of sigma 2, 720p 25 fps, target_fps {TARGET_FPS:g}; {seconds:.0f} s each. ViTPose-S"
    )
    table.note("has random weights, on which the speed does not depend. measured: the share of poses with `measured`.")
    table.note(
        "Distance: from the median of `off`, as a share of the person's height; that of `off` itself is its noise."
    )
    table.note("Jitter: RMS of the step between two messages, in the same unit.")
    table.finish()


def _ran(folder: Path, url: str, weights: Path, side: str, seconds: float) -> tuple[Window, list[Told]]:
    camera = {"name": "cam0", "source": url, "target_fps": TARGET_FPS}
    arguments = "--detector.size", "640", "--pose.model", str(weights), "--activity.mode", side
    with run(folder, [camera], *arguments) as program:
        began_s = program.until_pose().at_s + SETTLE_S
        program.until(lambda: len(program.poses(since_s=began_s)) > 0, what="a pose after the start")
        window = watch(program, seconds)
        poses = program.poses(since_s=began_s)
        people = [len(told.body["track_ids"]) for told in poses]
        if np.median(people) != PEOPLE:
            raise RuntimeError(f"got {np.median(people):g} people, expected {PEOPLE}")
        return window, poses


def _by_person(bodies: Sequence[dict[str, object]]) -> list[NDArray[np.float32]]:
    """Return each person's keypoints, float32 (T, K, 3), from left to right, in units of the person's height."""
    found = []
    for body in bodies:
        boxes = np.frombuffer(body["boxes"], np.float32).reshape(-1, 4)
        if len(boxes) != PEOPLE:
            continue
        keypoints = np.frombuffer(body["keypoints"], np.float32).reshape(PEOPLE, -1, 3).copy()
        keypoints[..., :2] /= (boxes[:, 3] - boxes[:, 1])[:, None, None]
        found.append(keypoints[np.argsort(boxes[:, 0] + boxes[:, 2])])
    return [np.stack(each) for each in zip(*found, strict=True)]


def _distances(off: list[NDArray[np.float32]], shown: list[NDArray[np.float32]]) -> tuple[str, ...]:
    """Return the p95 of the distance to the median of `off`, the same for the medians, and the jitter."""
    far, medians, steps = [], [], []
    for before, now in zip(off, shown, strict=True):
        middle = np.median(before, axis=0)
        seen = middle[:, 2] >= _MIN_SCORE
        far.append(np.linalg.norm(now[:, seen, :2] - middle[seen, :2], axis=-1).ravel())
        medians.append(np.linalg.norm((np.median(now, axis=0) - middle)[seen, :2], axis=-1))
        steps.append(np.linalg.norm(np.diff(now[:, seen, :2], axis=0), axis=-1).ravel())
    jitter = float(np.sqrt(np.mean(np.concatenate(steps) ** 2)))
    p95s = (f"{np.percentile(np.concatenate(each), 95):.2%}" for each in (far, medians))
    return *p95s, f"{jitter:.3%}"
