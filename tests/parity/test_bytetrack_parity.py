"""Our association against boxmot's ByteTrack, with boxmot's rules: the same detections belong to the same ids.

The filters' boxes may differ by 0.01 px, because boxmot rounds detections to float32 (measured: 0.0002). The generated
crowds need no data, so no test of them may be skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from boxmot import ByteTrack

from realtime.evaluate.tracking.inputs import given_detections
from realtime.evaluate.tracking.mot import open_sequence
from realtime.track.association import Association, Rules
from realtime.track.boxmot import quiet
from realtime.track.kalman import Noise, boxes_of
from realtime.types import Detections
from tests.builders import make_detections, make_frame

SEQUENCES = [
    "ADL-Rundle-6", "ETH-Bahnhof", "ETH-Sunnyday", "KITTI-13", "KITTI-17", "MOT17-04-FRCNN", "PETS09-S2L1",
    "TUD-Campus", "TUD-Stadtmitte",
]  # fmt: skip
# Of the generated crowds.
PEOPLE, FRAMES = 25, 200


@dataclass(frozen=True)
class Settings:
    """Settings of boxmot's ByteTrack.

    Attributes:
        score, distance, buffer: track_thresh, match_thresh and track_buffer (frames).
        step_s: time between two frames.
        noise_s: kf_reference_dt_s, the reference frame of the noise.
        is_real_time: variable_dt: the time steps of the filter are those of the frames. Otherwise, they are fixed.
    """

    score: float
    distance: float
    buffer: int
    step_s: float = 1 / 30
    noise_s: float = 1 / 30
    is_real_time: bool = False

    def theirs(self) -> ByteTrack:
        quiet()
        real_time = {"variable_dt": True, "kf_reference_dt_s": self.noise_s} if self.is_real_time else {}
        return ByteTrack(
            track_thresh=self.score, match_thresh=self.distance, track_buffer=self.buffer, frame_rate=30, **real_time
        )

    def ours(self) -> Rules:
        return Rules(
            track_score=self.score,
            low_score=0.1,
            match_iou=1 - self.distance,
            # boxmot removes lost people one frame after it has noticed that their buffer is over.
            buffer_s=(self.buffer + 1) * self.step_s,
            evidence=0.0,
            least_looks=2,
            sure_iou=None,
            nearness=None,
            weak_height_noise=1.0,
            has_camera_motion=False,
            duplicate_iou=0.85,
            newcomers_wait=True,
            noise=Noise(frame_s=self.noise_s, is_integrated=self.is_real_time),
        )


CONSTRUCTOR = Settings(0.45, 0.8, 25)  # the defaults of the class
YAML = Settings(0.6, 0.9, 30)  # boxmot/configs/trackers/bytetrack.yaml
SLOW = Settings(0.45, 0.8, 14, step_s=1 / 7, noise_s=1 / 20, is_real_time=True)  # boxmot-bytetrack at 7 fps


class LikeBoxmot(Association):
    """Our association with the last of boxmot's rules, which is an accident of its lists.

    boxmot still looks for lost people in the frame after it has listed them as removed. Those found then stay on the
    list, so they are dropped as soon as they are lost again.
    """

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._removed = set[int]()

    def _see(self, look, owners, evidence, is_new_scene):
        found = self._tracks[owners[owners >= 0]]
        is_late = look.now_s - found["seen_s"] > self._rules.buffer_s + look.step_s / 2
        self._removed.update(found["id"][is_late].tolist())
        super()._see(look, owners, evidence, is_new_scene)

    def _report(self, look, owners):
        is_lost = self._tracks["seen_s"] < look.now_s
        self._tracks["is_published"][is_lost & np.isin(self._tracks["id"], list(self._removed))] = False
        return super()._report(look, owners)

    def estimates(self, ids: np.ndarray) -> np.ndarray:
        rows = {track_id: row for row, track_id in enumerate(self._tracks["id"].tolist())}
        return boxes_of(self._motion)[[rows[track_id] for track_id in ids.tolist()]]


def crowd(seed: int, step_s: float) -> Iterator[Detections]:
    """People who walk about, cross each other, stop, are missed or seen badly, leave and come back."""
    random = np.random.default_rng(seed)
    middle, speed = random.uniform((0, 0), (1920, 1080), (PEOPLE, 2)), random.normal(0, 60, (PEOPLE, 2))
    half = random.uniform(60, 200, (PEOPLE, 1)) * (0.2, 0.5)
    hidden_until = np.zeros(PEOPLE)
    for k in range(FRAMES):
        speed = np.where(random.random((PEOPLE, 1)) < 0.02, random.normal(0, 60, (PEOPLE, 2)), speed)
        middle = (middle + speed * step_s) % (1920, 1080)
        leaves = random.random(PEOPLE) < 0.01
        hidden_until[leaves] = k + random.integers(1, 40, np.count_nonzero(leaves))
        seen = np.flatnonzero((hidden_until <= k) & (random.random(PEOPLE) > 0.05))
        boxes = np.hstack([middle - half, middle + half])[seen] + random.normal(0, 2, (len(seen), 4))
        yield make_detections(make_frame(k, time_s=k * step_s), boxes, random.uniform(0.05, 1, len(seen)))


def compare(settings: Settings, items: Iterator[Detections]) -> tuple[int, int]:
    """Return the number of boxes in all frames, and of ids."""
    theirs, ours = settings.theirs(), LikeBoxmot(settings.ours())
    count, seen = 0, set[int]()
    for item in items:
        rows = np.zeros((len(item), 6), np.float32)
        rows[:, :4], rows[:, 4] = item.xyxy, item.scores
        time_s = {"timestamp_s": item.frame.time_s} if settings.is_real_time else {}
        out = np.asarray(theirs.update(rows, **time_s), np.float64).reshape(-1, 8)
        out = out[np.argsort(out[:, 7])]
        found, ids = ours.update(item)
        assert found.tolist() == out[:, 7].astype(int).tolist(), item.frame.index
        assert ids.tolist() == (out[:, 4].astype(int) + 1).tolist(), item.frame.index  # boxmot counts from 0
        np.testing.assert_allclose(ours.estimates(ids), out[:, :4], rtol=0, atol=0.01)
        count += len(ids)
        seen.update(ids.tolist())
    return count, len(seen)


@pytest.mark.parametrize("settings", [CONSTRUCTOR, YAML, SLOW], ids=["constructor", "yaml", "slow"])
@pytest.mark.parametrize("seed", range(3))
def test_generated_crowds_have_the_ids_and_boxes_of_boxmot(settings: Settings, seed: int) -> None:
    count, ids = compare(settings, crowd(seed, settings.step_s))
    assert count > 0.3 * PEOPLE * FRAMES
    assert ids > PEOPLE  # they were lost and came back, so all passes and the buffer were used


@pytest.mark.parametrize("settings", [CONSTRUCTOR, YAML], ids=["constructor", "yaml"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_real_sequences_have_the_ids_and_boxes_of_boxmot(settings: Settings, name: str, shared_data: Path) -> None:
    sequence = open_sequence(shared_data / "mot" / name)
    frames = list(sequence.frames)[:300]
    count, _ = compare(settings, timed(given_detections(sequence, Path("det/det.txt"), frames), settings))
    assert count > len(frames)


def timed(items: Iterator[Detections], settings: Settings) -> Iterator[Detections]:
    """Put the frames at fixed intervals, and drop detections exactly at a threshold: for boxmot, they don't exist."""
    for k, item in enumerate(items):
        usable = ~np.isin(item.scores, np.float32([settings.score, 0.1]))
        yield make_detections(make_frame(k, time_s=k * settings.step_s), item.xyxy[usable], item.scores[usable])
