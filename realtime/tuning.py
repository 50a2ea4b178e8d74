"""Fits the models to the run: compiles the detector for new shapes, and reduces effort to meet `latency.target_ms`.

Used by realtime.pipeline beside the data path: `prepare` on the threads of the cameras, the rest on the main thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from realtime.config import AppConfig
from realtime.detect.shapes import Size
from realtime.detect.stage import DetectStage
from realtime.observe.status import CameraStatus
from realtime.pose.passthrough import PassThrough
from realtime.pose.stage import PoseStage
from realtime.runtime.core_budget import core_budget, fixed
from realtime.runtime.governor import Effort, Governor, ladder
from realtime.runtime.memory import give_back_memory

log = logging.getLogger(__name__)

# After a thread could not be started, the next attempt to compile follows after this time (s).
_RETRY_S = 10.0
# How often the latency is compared with latency.target_ms.
_GOVERN_EVERY_S = 1.0


class Tuning:
    """Sets the effort of the detector and the pose model, and compiles the detector for the shapes of the cameras.

    Args:
        config: the configured effort, which is the highest, and the latency target.
        detect: the detection stage.
        pose: the stage of the pose model, or the one that replaces it.
        core_budgets: the core budgets to compile for; empty if a new shape costs next to nothing (on a GPU).
        is_ending: returns whether the run is ending, in which case nothing more is compiled.
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
        self._shapes = detect.shapes
        self._core_budgets = core_budgets
        self._is_ending = is_ending
        self._compiler: threading.Thread | None = None
        self._not_before_s = 0.0
        self._announced: set[Size] = set()
        self._one_at_a_time = threading.Lock()  # two threads that compile would only slow each other down
        self._target_ms = config.latency.target_ms
        self._governor: Governor | None = None
        self._effort = Effort(config.detector.every, config.pose.max_people, config.detector.size)  # in force
        if self._target_ms is not None:
            self._governor = Governor(ladder(self._effort, config.latency.levers), self._target_ms)
        self._next_s, self._p95_ms = 0.0, 0.0

    def prepare(self, camera: str, size: Size | None, live: bool) -> None:
        """Prepare the detector for frames of this size, before the first one arrives.

        For a live camera this returns immediately, because its video would pile up in the meantime; `compile_next`
        compiles the detector during the run. For a file it returns once the detector is compiled, so that all frames of
        a file have the same results in every run.

        Args:
            camera: the camera's name.
            size: width and height of its frames in pixels, 0 if they are not known yet; None: the camera has ended.
            live: whether it is a live source.
        """
        if size is not None and not all(size):
            return
        exact = not (live and self._core_budgets)
        self._shapes.need(camera, size, exact)
        for shape in self._shapes.missing(camera) if exact else []:
            self._compile(shape)

    def compile_next(self, start: Callable[[str, Callable[[], None]], threading.Thread]) -> None:
        """Compile the detector for the next shape that a camera waits for, on a separate thread. Returns immediately.

        Args:
            start: starts a thread with this name and this body.
        """
        now_s = time.monotonic()
        if (
            now_s < self._not_before_s
            or self._is_compiling()
            or self._is_ending()
            or (due := self._shapes.due(now_s)) is None
        ):
            return
        camera, shape = due
        self._shapes.began(camera, shape, now_s)
        text, extra = (
            "%s: compiling the detector for %dx%d; until then frames go into another shape",
            {"camera": camera},
        )
        log.debug(text, camera, *shape, extra=extra)
        try:
            self._compiler = start("compile", partial(self._compile, shape))
        except RuntimeError as error:  # the system has no more threads
            self._not_before_s = now_s + _RETRY_S
            log.warning(
                "%s: the detector can't be compiled for %dx%d now (%s); next attempt in %.0f s",
                camera,
                *shape,
                error,
                _RETRY_S,
                extra=extra,
            )

    def keep_target(self, live: Callable[[], Iterable[CameraStatus]], cameras: Iterable[CameraStatus]) -> None:
        """Compare the latency with the target about once a second, and reduce or restore the effort if necessary.

        Args:
            live: returns the live cameras. The slowest active one counts.
            cameras: all cameras. Their status names the keys that are reduced.
        """
        if self._governor is None:
            return
        if self._governor.effort == self._effort:
            if time.monotonic() < self._next_s:
                return
            self._next_s = time.monotonic() + _GOVERN_EVERY_S
            # In front of a still or empty camera hardly anything is computed, so its latency says nothing.
            busy = [status for status in live() if status.activity in (None, "active")]
            self._p95_ms = max((status.recent()[1]["p95"] for status in busy), default=0.0)
            if not self._governor.update(time.monotonic(), self._p95_ms):
                return
        if self._apply(self._governor.effort):
            self._governor.in_force(time.monotonic())
            lowered = self._governor.lowered
            for status in cameras:
                status.lowered = lowered
            now = ", ".join(lowered) or "everything is as configured again"
            log.info("latency: p95 %.0f ms, target %.0f ms: %s", self._p95_ms, self._target_ms, now)

    def _apply(self, effort: Effort) -> bool:
        """Give the stages a new effort, once the detector is compiled for its shapes. False if that takes longer."""
        self._shapes.set_sides(self._effort.size, effort.size)
        if self._is_compiling() or self._shapes.due(time.monotonic()) is not None:
            return False
        self._effort = effort
        self._detect.set_effort(effort)
        self._shapes.set_sides(effort.size)
        self._pose.set_effort(effort)
        return True

    def _is_compiling(self) -> bool:
        return self._compiler is not None and self._compiler.is_alive()

    def _compile(self, shape: Size) -> None:
        with self._one_at_a_time:
            if shape in self._shapes.compiled:
                return
            began_s = time.monotonic()
            if self._core_budgets:
                # At most once for each shape, because a folder of photographs may need the same few ones in turns.
                level = logging.DEBUG if shape in self._announced else logging.INFO
                log.log(level, "detector: compiling for %dx%d", *shape)
                self._announced.add(shape)
            for cores in self._core_budgets:
                if self._is_ending():
                    return
                with core_budget(fixed(cores)):
                    self._detect.compile(shape)
            self._shapes.add(shape)
        log.debug("detector: compiled for %dx%d in %.1f s", *shape, time.monotonic() - began_s)
        give_back_memory()
