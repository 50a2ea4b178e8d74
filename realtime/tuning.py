"""Fits the models to the run: warms up for new frame sizes, and reduces the effort to meet `latency.target_ms`.

Used by realtime.pipeline beside the data path: `prepare` on the threads of the cameras, the rest on the main thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from realtime.config import AppConfig
from realtime.detect.stage import DetectStage
from realtime.observe.status import CameraStatus
from realtime.pose.passthrough import PassThrough
from realtime.pose.stage import PoseStage
from realtime.runtime.core_budget import core_budget, fixed
from realtime.runtime.governor import Effort, Governor, ladder

log = logging.getLogger(__name__)

# How often the latency is compared with latency.target_ms.
_GOVERN_EVERY_S = 1.0


class Tuning:
    """Sets the effort of the detector and the pose model, and warms up the detector before it meets a new input size.

    Args:
        config: the configured effort, which is the highest, and the latency target.
        detect: the detection stage.
        pose: the stage of the pose model, or the one that replaces it.
        core_budgets: the core budgets to warm up with; empty if no warm-up is needed (on a GPU).
        is_ending: returns whether the run is ending, so that a warm-up is not worth its time any more.
    """

    def __init__(
        self,
        config: AppConfig,
        detect: DetectStage,
        pose: PoseStage | PassThrough,
        core_budgets: Sequence[int],
        is_ending: Callable[[], bool],
    ) -> None:
        self._detect, self._pose = detect, pose
        self._core_budgets = core_budgets
        self._is_ending = is_ending
        self._sizes: set[tuple[int, int]] = set()  # width and height of the frames that the detector is warm for
        self._target_ms = config.latency.target_ms
        self._governor: Governor | None = None
        if self._target_ms is not None:
            full = Effort(config.detector.every, config.pose.max_people, config.detector.size)
            self._governor = Governor(ladder(full, config.latency.levers), self._target_ms)
        self._next_s = 0.0

    def prepare(self, size: tuple[int, int]) -> None:
        """Warm up the detector for frames of this size (width, height), before the first one arrives."""
        if size in self._sizes or not all(size):
            return
        for cores in self._core_budgets:
            with core_budget(fixed(cores)):
                self._detect.warm_up(size)
        self._sizes.add(size)

    def keep_target(self, live: Callable[[], Iterable[CameraStatus]], cameras: Iterable[CameraStatus]) -> None:
        """Compare the latency with the target about once a second, and reduce or restore the effort if it is time.

        Args:
            live: returns the live cameras. The slowest one counts.
            cameras: all cameras. Their status names the keys that are reduced.
        """
        if self._governor is None or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _GOVERN_EVERY_S
        p95_ms = max((status.recent()[1]["p95"] for status in live()), default=0.0)
        if not self._governor.update(time.monotonic(), p95_ms) or not self._apply(self._governor.effort):
            return
        self._governor.in_force(time.monotonic())
        lowered = self._governor.lowered
        for status in cameras:
            status.lowered = lowered
        now = ", ".join(lowered) or "everything is as configured again"
        log.info("latency: p95 %.0f ms, target %.0f ms: %s", p95_ms, self._target_ms, now)

    def _apply(self, effort: Effort) -> bool:
        """Give the stages a new effort, once the detector is warm for its input size. False if the run is ending."""
        for size in list(self._sizes) if effort.size != self._detect.size else []:
            for cores in self._core_budgets:
                if self._is_ending():
                    return False
                with core_budget(fixed(cores)):
                    self._detect.warm_up(size, effort.size)
        self._detect.set_effort(effort)
        self._pose.set_effort(effort)
        return True
