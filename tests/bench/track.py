"""The cost of our tracking stage compared with boxmot's ByteTrack in the same stage: `python -m tests.bench.track`.

Both process the same synthetic crowds, alternately, frame by frame. The table shows the median processor time of this
thread per frame. With --profile, it is followed by the functions of our stage in which the time is spent.
"""

import argparse
import cProfile
import pstats
import time
from collections.abc import Iterator

import numpy as np

from realtime.config import TrackerConfig
from realtime.track.boxmot import quiet
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame

WIDTH, HEIGHT = 1920, 1080
FRAMES, WARM_UP = 200, 40
CROWDS = (10, 50, 200)


def crowd(people: int) -> Iterator[Detections]:
    """Yield detections of people who walk about: noisy boxes with random scores, about a third of them below 0.5."""
    random = np.random.default_rng(0)
    images = [np.full((HEIGHT, WIDTH, 3), k, np.uint8) for k in range(8)]  # none of them is in the CPU's cache
    middle, speed = random.uniform((50, 50), (WIDTH - 50, HEIGHT - 50), (people, 2)), random.normal(0, 3, (people, 2))
    half = random.uniform(60, 200, (people, 1)) * (0.2, 0.5)
    for k in range(FRAMES):
        middle = middle + speed
        speed = np.where((middle < 30) | (middle > (WIDTH - 30, HEIGHT - 30)), -speed, speed)
        seen = np.hstack([middle - half, middle + half]) + random.normal(0, 1, (people, 4))
        xyxy = np.clip(seen, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT)).astype(np.float32)
        scores = random.uniform(0.3, 0.95, people).astype(np.float32)
        yield Detections(Frame("cam0", 0, k, images[k % len(images)], k / 30, 0, 0), xyxy, scores)


def measure(people: int) -> tuple[float, float]:
    """Measure the milliseconds per frame of our stage with our association, and with boxmot's ByteTrack."""
    quiet()
    stages = [TrackStage(TrackerConfig(method=method)) for method in ("bytetrack", "boxmot-bytetrack")]
    spent_s = np.zeros((FRAMES, len(stages)))
    for k, item in enumerate(crowd(people)):
        for place, stage in enumerate(stages):
            began_s = time.thread_time()
            stage.process([item])
            spent_s[k, place] = time.thread_time() - began_s
    ours_s, theirs_s = np.median(spent_s[WARM_UP:], axis=0)
    return 1e3 * ours_s, 1e3 * theirs_s


def profile(people: int) -> None:
    """Print the functions of our stage in which the time is spent."""
    stage, items = TrackStage(TrackerConfig()), list(crowd(people))
    with cProfile.Profile() as run:
        for item in items:
            stage.process([item])
    pstats.Stats(run).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", type=int, metavar="PEOPLE", help="also profile our stage with this many people")
    asked = parser.parse_args()
    print("boxes  ours ms  boxmot ms  ratio")
    for boxes in CROWDS:
        ours_ms, boxmot_ms = measure(boxes)
        print(f"{boxes:5}  {ours_ms:7.2f}  {boxmot_ms:9.2f}  {ours_ms / boxmot_ms:5.2f}")
    if asked.profile:
        profile(asked.profile)
