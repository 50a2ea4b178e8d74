"""The data path as a library: `PoseTracker` for images that the caller reads, and `track` for files and cameras.

`from realtime import PoseTracker, track` loads this file. The caller's thread runs the stages, in the order and by the
rules of realtime.pipeline. Nothing is published: there is no socket, no signal handler and no configuration of logging.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from realtime.arguments import Files, Source, configuration, paths, warn_of_others
from realtime.bgr import to_bgr
from realtime.config import AppConfig, of_keywords
from realtime.errors import ConfigError
from realtime.image_times import ImageTimes
from realtime.loading import Models, load_models, stages_of
from realtime.publish.draw import draw_people
from realtime.runtime.memory import give_back_memory
from realtime.settings import settings_kept, threads_kept
from realtime.sources import Sources, check_sources
from realtime.types import Frame, Poses


class PoseTracker:
    """Finds, tracks and smooths the poses of people in images that the caller hands over, one after the other.

    A video that OpenCV reads, with each pose drawn on its image (examples/library.py)::

        with PoseTracker(pose_model="none") as tracker:
            for number in range(100):
                ok, image = video.read()
                poses = tracker(image, time_s=number / 25)
                print(poses.track_ids, poses.keypoints.shape)
                drawn = tracker.draw(poses)

    A tracker is for one camera at a time. Any thread may call it, but only one at a time. Several trackers can be used
    side by side, each with its own models and people.

    Attributes:
        config: the resolved configuration.
        skeleton: names and limbs of the K keypoints.
    """

    def __init__(self, *, config: Files = (), **keys: object) -> None:
        """Load the models, which takes seconds.

        Args:
            config: YAML files, as for --config; later ones win, key by key.
            keys: any configuration key, with underscores instead of dots. They win over the environment
                (REALTIME_POSE__MODEL), which wins over files, which win over a preset (`preset="fast"`). A key that has
                no effect here causes a warning.

        Raises:
            ConfigError: a keyword is unknown, a value is wrong, or the device or an engine is not available.
            ModelError: a model can't be found or loaded.
        """
        self._layers = paths(config), of_keywords(keys)
        self.config = configuration(*self._layers)
        warn_of_others(self._layers[1])
        with settings_kept():
            self._models: Models | None = load_models(self.config, concurrency=1)
        self.skeleton = self._models.pose.skeleton
        self._stages: list[Any] = stages_of(self.config, self._models)  # Any: each takes and returns other types
        # Reentrant, because the garbage collector may close a generator of `track` in the middle of a call.
        self._turn = threading.RLock()
        self._is_closed = False  # set before the turn is taken, so that calls are refused from then on
        self._times = ImageTimes()
        self._index = 0
        self._sources: Sources | None = None  # those that `track` reads now

    def __call__(self, image: object, *, time_s: float | None = None) -> Poses:
        """Return the people of the next image.

        If the size of the images changes, all people are new ones, with new ids.

        Args:
            image: numpy uint8 (H, W, 3) BGR, as OpenCV reads it; a PIL image, which is turned upright as its EXIF data
                says; or a torch tensor uint8 (3, H, W) RGB on any device. It is not changed. A numpy array is not
                copied, so `poses.frame.image` changes with the caller's array.
            time_s: when the image was taken, in seconds on any timeline: its timestamp in a video, or its number
                divided by the frame rate. It must rise from image to image. None: the time of this call, which is right
                for live pictures only.

        Returns:
            The poses, in pixels of the image. `poses.frame` holds the image and its times.

        Raises:
            ValueError: the image or its time is not as described, or the tracker is closed.
            RuntimeError: another thread is calling this tracker, or `track` is reading sources with it.
        """
        pixels = to_bgr(image)
        with self._my_turn():
            self._check_not_reading()
            epoch, now_s = self._times.place((pixels.shape[1], pixels.shape[0]), time_s)
            frame = Frame(
                camera="cam0",
                epoch=epoch,
                index=self._index,
                image=pixels,
                time_s=now_s,
                captured_mono_ns=time.monotonic_ns(),
                captured_unix_ns=time.time_ns(),
                media_s=None if time_s is None else now_s,
            )
            self._index += 1
            return self._poses(frame)

    def track(self, *sources: Source) -> Generator[Poses, None, None]:
        """Return the poses of files or cameras, as the function `track` does, with the models of this tracker.

        Afterwards, the tracker can be used for other sources or images, whose people get new ids.

        Raises:
            ConfigError: there is no source, or an option of it is wrong.
            SourceError: a file can't be opened. Raised during the iteration: a source can't be opened, or
                (TruncatedError) a file ended early or is damaged.
            RuntimeError: during the iteration, as for a call.
        """
        return self._run(_checked(configuration(*self._layers, sources)))

    def draw(self, poses: Poses) -> NDArray[np.uint8]:
        """Return a copy of the image of these poses with their people drawn on it: uint8 (H, W, 3), BGR."""
        image = poses.frame.image.copy()
        points = np.concatenate([poses.keypoints, poses.keypoint_scores[..., np.newaxis]], axis=2)
        whole = poses.measured | poses.is_still  # the others are predicted, and get dashed limbs
        edges, names = self.skeleton.edges, self.skeleton.keypoint_names
        draw_people(image, poses.track_ids, poses.xyxy, points, edges, whole, names=names, classes=poses.labels)
        return image

    def reset(self) -> None:
        """Forget all people, before the images of another video, whose times may start anywhere. Ids are not reused.

        Raises:
            ValueError, RuntimeError: as for a call.
        """
        with self._my_turn():
            self._check_not_reading()
            self._times.restart()

    def close(self) -> None:
        """Release the models. If `track` is reading sources, it ends. May be called again, and from any thread."""
        self._is_closed = True
        if (sources := self._sources) is not None:
            sources.stop()
        with self._turn:  # another thread may be in a call
            for stage in self._stages:
                stage.close()
            self._stages, self._models = [], None
        give_back_memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self, config: AppConfig) -> Generator[Poses, None, None]:
        with self._my_turn() as models:
            self._check_not_reading()
            sources = self._sources = Sources(config)
            self._forget(sources)
            models.track.looked = sources.activities.looked
        try:
            with contextlib.closing(sources.frames()) as frames:
                for frame in frames:
                    with self._turn:  # others have it for a moment only: `close`, or calls that are refused
                        if self._is_closed:
                            return
                        poses = self._poses(frame)
                    yield poses
        finally:
            with self._turn:
                self._sources = None
                self._forget(sources)
                self._times.restart()

    def _poses(self, frame: Frame) -> Poses:
        item: Any = frame  # Any: Frame, Detections, Tracks, then Poses
        with threads_kept():
            for stage in self._stages:
                began_s = time.perf_counter()
                [item] = stage.process([item])
                frame.timing_ms[stage.name] = (time.perf_counter() - began_s) * 1e3
        poses: Poses = item
        return poses

    def _forget(self, sources: Sources) -> None:
        for stage in self._stages:
            for camera in sources.names:
                stage.forget(camera)

    @contextlib.contextmanager
    def _my_turn(self) -> Iterator[Models]:
        """Keep other threads out, and yield the models.

        Raises:
            ValueError: the tracker is closed.
            RuntimeError: another thread is in.
        """
        is_mine = self._turn.acquire(blocking=False)
        try:
            if self._is_closed or self._models is None:
                raise ValueError("PoseTracker: it is closed")
            if not is_mine:
                raise RuntimeError("PoseTracker: another thread is in a call of this tracker; use one per thread")
            yield self._models
        finally:
            if is_mine:
                self._turn.release()

    def _check_not_reading(self) -> None:
        if self._sources is not None:
            names = ", ".join(self._sources.names)
            raise RuntimeError(f"PoseTracker: track is reading {names} with this tracker; close its generator first")


def track(*sources: Source, config: Files = (), **keys: object) -> Generator[Poses, None, None]:
    """Return the poses of each frame of files or cameras: the pipeline in this process, without ZeroMQ.

    Every frame of a file is processed, in order. A live camera never waits: whenever the caller asks for the next
    poses, they are those of its newest frame. Each source is read on a thread of its own. The generator ends with its
    sources. When it is closed, or dropped after a `break`, the threads end and the cameras are released::

        with contextlib.closing(track("clip.mp4", pose_model="none")) as stream:
            for poses in stream:
                print(poses.frame.index, poses.track_ids)

    Args:
        sources: the number of a webcam, a path, or text as for --source: `"demo"`, `"rtsp://10.0.0.5/s1"`,
            `"door=rtsp://10.0.0.5/s1"`; or the keys of a camera: `{"source": "clip.mp4", "rotate": 90}`.
            `poses.frame.camera` is the name, by default cam0, cam1, ... Without sources, the key `cameras` names them.
        config: as for PoseTracker.
        keys: as for PoseTracker, and those of cameras: `max_frames=100`, `realtime=True`, `loop=True`.

    Returns:
        A generator. Each Poses holds its frame with the image: keep the arrays that you need, not all poses of a video.

    Raises:
        RealtimeError: as PoseTracker and PoseTracker.track do.
    """
    _checked(configuration(paths(config), of_keywords(keys), sources))  # before the models are loaded
    tracker = PoseTracker(config=config, **keys)
    return _then_close(tracker, tracker.track(*sources))


def _then_close(tracker: PoseTracker, poses: Generator[Poses, None, None]) -> Generator[Poses, None, None]:
    with tracker, contextlib.closing(poses):
        yield from poses


def _checked(config: AppConfig) -> AppConfig:
    """The configuration, once its sources are checked."""
    if not config.cameras:
        raise ConfigError("track: no source: expected the number of a webcam, a file, a URL, demo, or the key cameras")
    check_sources(config)
    return config
