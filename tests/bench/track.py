"""The cost of our tracking stage compared with the boxmot ByteTrack inside it: `python -m tests.bench.track`.

Both process the same synthetic crowds, alternately, frame by frame. The table shows the median processor time of this
thread per frame.
"""

import time
from collections.abc import Iterator

import numpy as np
from boxmot import ByteTrack

from realtime.config import TrackerConfig
from realtime.track.boxmot import quiet
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame

WIDTH, HEIGHT = 1920, 1080
FRAMES, WARM_UP = 200, 40


def crowd(people: int) -> Iterator[Detections]:
    """Yield detections of people who walk about: noisy boxes with random scores, about a third of them below 0.5."""
    random = np.random.default_rng(0)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    middle, speed = random.uniform((50, 50), (WIDTH - 50, HEIGHT - 50), (people, 2)), random.normal(0, 3, (people, 2))
    half = random.uniform(60, 200, (people, 1)) * (0.2, 0.5)
    for k in range(FRAMES):
        middle = middle + speed
        speed = np.where((middle < 30) | (middle > (WIDTH - 30, HEIGHT - 30)), -speed, speed)
        seen = np.hstack([middle - half, middle + half]) + random.normal(0, 1, (people, 4))
        xyxy = np.clip(seen, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT)).astype(np.float32)
        scores = random.uniform(0.3, 0.95, people).astype(np.float32)
        yield Detections(Frame("cam0", 0, k, image, k / 30, 0, 0), xyxy, scores)


def measure(people: int) -> tuple[float, float]:
    """Measure the milliseconds per frame of our stage, and of boxmot alone."""
    quiet()
    stage, bare = TrackStage(TrackerConfig()), ByteTrack(variable_dt=True)
    spent_s = []
    for item in crowd(people):
        began = time.thread_time()
        stage.process([item])
        ours = time.thread_time()
        rows = np.hstack([item.xyxy, item.scores[:, None], np.zeros((len(item), 1), np.float32)])
        bare.update(rows, timestamp_s=item.frame.time_s)
        spent_s.append((ours - began, time.thread_time() - ours))
    ours_s, bare_s = np.median(spent_s[WARM_UP:], axis=0)
    return 1e3 * ours_s, 1e3 * bare_s


if __name__ == "__main__":
    print("boxes  ours ms  boxmot ms  ratio")
    for boxes in (10, 50, 200):
        ours_ms, bare_ms = measure(boxes)
        print(f"{boxes:5}  {ours_ms:7.2f}  {bare_ms:9.2f}  {ours_ms / bare_ms:5.2f}")
