"""Checks that the tracker's and the smoother's time per frame and memory stay flat with a changing crowd.

Its people come, go, cross and hide. `make soak` runs 100,000 frames, almost an hour of video. A short run is part of
the normal test suite.
"""

import gc
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from realtime.config import SmoothingConfig, TrackerConfig
from realtime.smooth.stage import SmoothStage
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame, Poses

WIDTH, HEIGHT = 1280, 720
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
FEWEST, MOST = 5, 20
# Probabilities per person and frame: of leaving, of hiding for a while, of being missed once by the detector.
GOES, HIDES, MISSED = 1 / 200, 1 / 150, 0.08
# Mean number of false detections per frame. Each starts a track that ends immediately.
FALSE = 1.5


class Crowd:
    """5 to 20 people whose paths cross, and a detector that makes mistakes. Deterministic for a given seed."""

    def __init__(self, seed=0):
        self.random = np.random.default_rng(seed)
        self.people = np.zeros((0, 6))  # x, y of the centre, dx, dy per frame, height, frames left to hide
        for _ in range(12):
            self.come()

    def come(self):
        random = self.random
        place = random.uniform((0, 150), (WIDTH, HEIGHT - 150))
        self.people = np.vstack([self.people, [*place, *random.normal(0, (4, 0.6)), random.uniform(90, 260), 0]])

    def step(self):
        """Advance by one frame and return its detections: boxes (N, 4) and scores (N,), float32."""
        random, people = self.random, self.people
        people[:, :2] += people[:, 2:4]
        people[:, 5] = np.where(
            random.random(len(people)) < HIDES, random.integers(5, 120, len(people)), people[:, 5] - 1
        )
        inside = (people[:, 0] > 0) & (people[:, 0] < WIDTH) & (random.random(len(people)) >= GOES)
        self.people = people = people[inside]
        while len(self.people) < FEWEST or (len(self.people) < MOST and random.random() < 0.08):
            self.come()
        seen = self.people[(self.people[:, 5] <= 0) & (random.random(len(self.people)) >= MISSED)]
        false = np.zeros((random.poisson(FALSE), 6))
        false[:, :2], false[:, 4] = random.uniform(0, (WIDTH, HEIGHT), (len(false), 2)), 120
        found = np.vstack([seen, false])
        middle = found[:, :2] + random.normal(0, 2, (len(found), 2))
        half = found[:, 4:5] * (0.2, 0.5)
        xyxy = np.clip(np.hstack([middle - half, middle + half]), 0, (WIDTH, HEIGHT, WIDTH, HEIGHT)).astype(np.float32)
        has_area = (xyxy[:, 2:] > xyxy[:, :2] + 2).all(1)
        return xyxy[has_area], random.uniform(0.2, 0.95, has_area.sum()).astype(np.float32)

    def pose(self, tracks):
        """Return poses with random keypoints within the boxes and random scores."""
        random, n = self.random, len(tracks)
        sides = (tracks.xyxy[:, 2:] - tracks.xyxy[:, :2])[:, None]
        places = tracks.xyxy[:, None, :2] + sides * random.uniform(0, 1, (n, 17, 2))
        return Poses.of(tracks, places.astype(np.float32), random.uniform(0, 1, (n, 17)).astype(np.float32))


class Run:
    """Runs the tracker and the smoother over a crowd and records their time per frame (ms) and `measure()`."""

    def __init__(self, frames, method, measure):
        crowd = Crowd()
        self.tracker, self.filter = TrackStage(TrackerConfig(method=method)), SmoothStage(SmoothingConfig())
        self.track_ms, self.smooth_ms = np.zeros(frames), np.zeros(frames)
        self.measured = []
        self.ids = 0
        for k in range(frames):
            xyxy, scores = crowd.step()
            item = Detections(Frame("cam0", 0, k, IMAGE, k / 30, 0, 0), xyxy, scores)
            # CPU time of this thread, which does not depend on the load of the machine.
            began = time.thread_time()
            tracks = self.tracker.process([item])[0]
            tracked = time.thread_time()
            poses = crowd.pose(tracks)
            posed = time.thread_time()
            self.filter.process([poses])
            self.track_ms[k], self.smooth_ms[k] = (tracked - began) * 1e3, (time.thread_time() - posed) * 1e3
            self.ids = max([self.ids, *tracks.track_ids.tolist()])
            if (k + 1) % (frames // 10) == 0:
                self.measured.append(measure())

    def check(self, figure, what, slower):
        tenth = len(self.track_ms) // 10
        for stage, ms in (("tracker", self.track_ms), ("filter", self.smooth_ms)):
            ratio = np.median(ms[-tenth:]) / np.median(ms[:tenth])
            figure("41", f"{what}: {stage}, time per frame, last tenth / first tenth", ratio, "", at_most=slower)
        figure("41", f"{what}: tracks started", self.ids, "", at_least=len(self.track_ms) / 20)
        figure("41", f"{what}: people remembered by the filter", self.filter.remembered("cam0"), "", at_most=2 * MOST)


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def test_41_time_and_memory_stay_flat_with_a_changing_crowd(figure):
    run = Run(1000, "bytetrack", lambda: len(gc.get_objects()))
    run.check(figure, "1000 frames", slower=2)
    # In the first half, lists grow to their limits.
    more = run.measured[-1] - run.measured[4]
    figure("41", "1000 frames: Python objects added in the second half", more, "", at_most=500)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("method", "frames"),
    [
        ("bytetrack", 100_000),
        ("boxmot-bytetrack", 10_000),
        ("ocsort", 10_000),
        ("botsort", 10_000),
        ("boosttrack", 10_000),
        ("sfsort", 10_000),
    ],
)
def test_41_time_and_memory_stay_flat_with_a_changing_crowd_for_every_method(method, frames, figure):
    run = Run(frames, method, resident_mb)
    what = f"{frames} frames, {method}"
    run.check(figure, what, slower=1.3)
    gained = run.measured[-1] - run.measured[0]
    figure("41", f"{what}: memory growth after the first tenth", gained, "MB", at_most=5)
