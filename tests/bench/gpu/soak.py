"""Step `soak`: eight live cameras for a minute, with people who come and go and a camera that is lost again and again.

Nothing may grow, and nothing may slow down. The limits are in `judge`.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np

from realtime.capture.source import Picture
from realtime.errors import SourceError, SourceReason
from realtime.models.yolo import Found
from realtime.observe.status import CameraStatus
from realtime.runtime.memory import share_pools
from tests.bench.gpu import scene as scenes
from tests.bench.gpu.memory import scene_keys, tell_unknown, used
from tests.bench.gpu.scene import Crowded, Scene, configuration, load_scene, measure
from tests.bench.gpu.steps import Job

_CAMERAS, _MOST_PEOPLE = 8, 20
_SECONDS, _SHORT_SECONDS = 60.0, 3.0
# A shorter soak can't tell growth from noise.
_LEAST_S = 20.0
# After this many looks without a frame the pipeline has ended; `measure` then raises why.
_DEAD_LOOKS = 5
# The end of the step: the pipeline stops.
_END_S = 3.0
# The people come and go this many times, so that each half, and the last quarter, sees whole waves.
_WAVES = 8
# Looks in a soak: one per second, more in the short form.
_LOOKS, _SHORT_LOOKS = 60, 12
# How often the lost camera is lost (s). Longer than capture.camera.HEALTHY_S, so that it is opened again at once.
_LOST_EVERY_S = 5.0

# By how many MiB the end may exceed the highest value of the first half.
# The host: frames in flight differ from look to look, and a 1080p picture takes 6 MiB.
_FRAMES_MIB = 3 * 6.0
# The device: torch reserves memory for pictures in blocks of 20 MiB. Frames that happen to come together may need two.
_BLOCKS_MIB = 2 * 20.0
LIMITS_MIB = {"rss_mib": _FRAMES_MIB, "allocated_mib": _FRAMES_MIB, "pinned_mib": _FRAMES_MIB,
              "reserved_mib": _BLOCKS_MIB, "device_mib": _BLOCKS_MIB}  # fmt: skip
# The share of its frame rate that the end must reach: people and losses come in waves, which a median evens out.
LEAST_FPS = 0.9

Series = Mapping[str, Sequence[float]]


def run(job: Job) -> None:
    share_pools()  # as the program does
    tell_unknown(job)
    keys = scene_keys(job)
    scene = Scene(_CAMERAS, _MOST_PEOPLE, live=True)
    _, models = load_scene(scene, **keys)
    seconds = min(_SHORT_SECONDS if job.is_short else _SECONDS, job.left_s - scenes.WARM_S - _END_S)
    if seconds < 1:
        job.record.leave_out(f"the soak: {max(0.0, job.left_s):.0f} s were left after loading")
        return
    log = Log(job, seconds, _SHORT_LOOKS if job.is_short else _LOOKS)
    wave_s = seconds / _WAVES
    with (
        mock.patch.object(scenes, "Crowded", lambda net, people: Changing(net, people, wave_s)),
        mock.patch.object(scenes, "_Street", lossy(scenes._Street, _CAMERAS, min(_LOST_EVERY_S, seconds / 2))),
        mock.patch.object(CameraStatus, "count_published", log.counting(CameraStatus.count_published)),
    ):
        figures = measure(configuration(scene, **keys), models, scene, seconds, during=log.follow)
    log.put("eight live cameras", fps=figures.fps, p95_ms=float(np.percentile(figures.ages_ms, 95)))
    if seconds < _LEAST_S:
        job.record.leave_out(f"the verdict on growth: {seconds:.0f} s are too short to tell it from noise")
        return
    for text in judge(log.series):
        job.record.fail(text)


def judge(series: Series) -> list[str]:
    """Return what is wrong with the series of a soak: one value per look, of each figure.

    - Memory: the median of the last quarter may exceed the highest value of the first half by LIMITS_MIB at most. That
      highest value contains the noise, whatever its size; steady growth leaves it behind, as does a late jump. In a
      minute of 12,000 frames, 18 MiB more are noticed from 48 MiB per minute on, which is 4 KiB per frame.
    - Threads and open files: the lowest number of the last quarter may not exceed the highest of the first half. The
      lost camera opens files for moments.
    - Frames per second: the median of the last quarter must reach LEAST_FPS of that of the first half.
    """
    wrong = []
    for name, values in series.items():
        first, last = values[: len(values) // 2], values[-(len(values) // 4) :]
        if name in LIMITS_MIB:
            if (end := float(np.median(last))) > max(first) + LIMITS_MIB[name]:
                wrong.append(f"{name}: grew from at most {max(first):.1f} in the first half to {end:.1f} in the last "
                             f"quarter, expected at most {LIMITS_MIB[name]:g} MiB more")  # fmt: skip
        elif name in ("threads", "open_files"):
            if min(last) > max(first):
                wrong.append(f"{name}: at most {max(first):g} in the first half, at least {min(last):g} in the last "
                             "quarter, expected no more")  # fmt: skip
        elif name == "fps":
            before, end = float(np.median(first)), float(np.median(last))
            if end < LEAST_FPS * before:
                wrong.append(f"fps: fell from {before:.1f} in the first half to {end:.1f} in the last quarter, "
                             f"expected at least {LEAST_FPS:.0%}")  # fmt: skip
    return wrong


def growth_per_min(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the straight line through a series, per minute; NaN with fewer than two values."""
    return 60 * float(np.polyfit(seconds, values, 1)[0]) if len(values) > 1 else math.nan


class Log:
    """Looks at this process now and then, and records what it saw.

    Args:
        job: takes the series as they grow.
        seconds: how long.
        looks: how often.

    Attributes:
        series: one value per look, of each figure; `seconds` since the start.
    """

    def __init__(self, job: Job, seconds: float, looks: int) -> None:
        self._job, self._seconds, self._looks = job, seconds, looks
        self._published: deque[float] = deque()  # ages in ms since the look before
        self.series: dict[str, list[float]] = {}

    def counting(self, count: Callable[[CameraStatus, float], None]) -> Callable[[CameraStatus, float], None]:
        """Return a function in place of CameraStatus.count_published which also tells this log."""

        def counted(status: CameraStatus, latency_ms: float) -> None:
            self._published.append(latency_ms)
            count(status, latency_ms)

        return counted

    def follow(self) -> None:
        """Look until the end."""
        self._published.clear()
        began_s = before_s = time.monotonic()
        for number in range(1, self._looks + 1):
            due_s = began_s + self._seconds * number / self._looks - 0.05  # the last one before the pipeline stops
            time.sleep(max(0.0, due_s - time.monotonic()))
            now_s = time.monotonic()
            for name, value in self._look(now_s - before_s).items():
                self.series.setdefault(name, []).append(round(value, 2))
            self.series.setdefault("seconds", []).append(round(now_s - began_s, 2))
            before_s = now_s
            if len(self.series["fps"]) >= _DEAD_LOOKS and not any(self.series["fps"][-_DEAD_LOOKS:]):
                return
            if number % 10 == 0:
                self.put("eight live cameras")

    def _look(self, took_s: float) -> dict[str, float]:
        ages_ms = [self._published.popleft() for _ in range(len(self._published))]
        counts = {"threads": _entries("/proc/self/task"), "open_files": _entries("/proc/self/fd")}
        counts["threads"] = counts["threads"] or threading.active_count()
        p95_ms = float(np.percentile(ages_ms, 95)) if ages_ms else math.nan
        return {"fps": len(ages_ms) / took_s, "p95_ms": p95_ms, **counts, **used(self._job.device)}

    def put(self, name: str, **figures: float) -> None:
        """Record the series, and how fast they grow."""
        seconds = self.series["seconds"]
        grown = {key: values for key, values in self.series.items() if key in LIMITS_MIB and seconds[-1] >= _LEAST_S}
        growth = {f"{key}_per_min": growth_per_min(seconds, values) for key, values in grown.items()}
        ends = {key: self.series[key][-1] for key in ("threads", "open_files")}
        self._job.record.put(name, seconds=seconds[-1], **figures, **growth, **ends, series=self.series)


def _entries(folder: str) -> int:
    """The number of files in a folder; 0 on systems that don't have it."""
    return sum(1 for _ in Path(folder).iterdir()) if Path(folder).exists() else 0


class Changing(Crowded):
    """People who come and go: from none to `people` and back, once in `wave_s` seconds."""

    def __init__(self, net: Any, people: int, wave_s: float) -> None:
        super().__init__(net, people)
        self._most, self._wave_s = people, wave_s

    def predict(self, images: Any, min_score: float, nms_iou: float) -> list[Found]:
        share = (1 - math.cos(2 * math.pi * time.monotonic() / self._wave_s)) / 2
        count = round(share * self._most)
        found = super().predict(images, min_score, nms_iou)
        return [Found._make(column[:count] for column in each) for each in found]


def lossy(street: Any, cameras: int, every_s: float) -> Any:
    """Return a class in place of scene._Street, with one camera that is lost after each `every_s` seconds.

    The first one opened is that camera, and so are those opened after all cameras: it is opened again.
    """

    class Lossy(street):
        _numbers: ClassVar[Iterator[int]] = itertools.count()

        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            number = next(self._numbers)
            self._lost_s = time.monotonic() + every_s if number == 0 or number >= cameras else math.inf

        def read(self) -> Picture | None:
            if time.monotonic() > self._lost_s:
                raise SourceError("demo: lost on purpose", SourceReason.LOST)
            return super().read()

    return Lossy
