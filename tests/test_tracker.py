"""The data path as a library: the same poses as the program, and nothing left behind in the caller's process."""

import contextlib
import json
import logging
import re
import runpy
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from realtime import PoseTracker, track
from realtime.config import AppConfig, load
from realtime.errors import ConfigError, ModelError, SourceError, TruncatedError
from realtime.loading import Models, load_models
from realtime.pipeline import Pipeline
from realtime.types import Poses
from tests.capture.clips import write_clip, write_noise
from tests.doubles import wait_until
from tests.pose.checkpoints import save_checkpoint

ROOT = Path(__file__).parents[1]
IMAGE = np.full((48, 64, 3), 90, np.uint8)
# Every second frame is detected, and people take turns: whatever depends on earlier frames must agree too.
KEYS = {"detector.size": 320, "detector.every": 2, "pose.max_people": 3, "max_frames": 10}


@pytest.fixture(scope="module")
def vitpose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("vitpose"))


@pytest.fixture(scope="module")
def tracker(yolov8n: Path, vitpose: Path) -> Iterator[PoseTracker]:
    keys = {key.replace(".", "_"): value for key, value in KEYS.items()}
    with PoseTracker(pose_model=vitpose, **keys) as tracker:
        yield tracker
        tracker.reset()  # it was left usable by every test


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, yolov8n: Path) -> None:
    """Small models for code that names none, and a clip.mp4 in the current folder."""
    monkeypatch.setenv("REALTIME_POSE__MODEL", "none")
    monkeypatch.setenv("REALTIME_DETECTOR__SIZE", "160")
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", 6)


@pytest.fixture(scope="module")
def models(yolov8n: Path) -> Models:
    return load_models(load(environment={}, flags={"pose.model": "none", "detector.size": 160}), concurrency=1)


@pytest.fixture
def loaded(small: None, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `small`, but models that were loaded once serve all trackers, one after the other."""

    def load_again(config: AppConfig, concurrency: int) -> Models:
        for stage in (models.detect, models.track):
            stage.forget("cam0")
        return models

    monkeypatch.setattr("realtime.tracker.load_models", load_again)


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


# ---- the same poses as the program


def differences(message: dict[str, Any], poses: Poses, ids_from: int = 0) -> list[str]:
    """The keys in which a message of the program differs from poses, whose ids begin after `ids_from`."""
    points = np.concatenate([poses.keypoints, poses.keypoint_scores[..., np.newaxis]], axis=2)
    expected = {
        "frame": poses.frame.index, "media_s": poses.frame.media_s, "size": list(poses.frame.size),
        "track_ids": (poses.track_ids - ids_from).tolist(), "measured": poses.measured.tolist(),
        "scores": poses.scores, "boxes": poses.xyxy, "keypoints": points,
    }  # fmt: skip
    return [key for key, value in expected.items() if not np.array_equal(np.array(message[key], _dtype(value)), value)]


def _dtype(value: object) -> Any:
    return value.dtype if isinstance(value, np.ndarray) else None


def test_the_same_frames_and_times_give_the_poses_of_the_program(
    tmp_path: Path, tracker: PoseTracker, vitpose: Path
) -> None:
    record = tmp_path / "x.jsonl"
    flags = KEYS | {"cameras": [{"name": "cam0", "source": "demo"}], "record": str(record)}
    flags |= {"pose.model": str(vitpose), "publish.bind": [f"ipc://{tmp_path}/stream"]}
    Pipeline(load(environment={}, flags=flags)).run()
    messages = [json.loads(line) for line in record.read_text().splitlines()]
    assert sum(len(message["track_ids"]) for message in messages) >= 30

    tracked = list(tracker.track("demo"))
    before = max(int(poses.track_ids.max()) for poses in tracked)
    assert [differences(message, poses) for message, poses in zip(messages, tracked, strict=True)] == [[]] * 10

    buffer = np.empty_like(tracked[0].frame.image)  # a caller may reuse its array for each image
    for message, earlier in zip(messages, tracked, strict=True):
        np.copyto(buffer, earlier.frame.image)
        poses = tracker(buffer, time_s=earlier.frame.time_s)
        buffer[:] = 0
        assert differences(message | {"frame": poses.frame.index}, poses, before) == []


# ---- images


def test_an_image_is_neither_changed_nor_made_read_only(tracker: PoseTracker) -> None:
    image = IMAGE.copy()
    tracker.reset()
    poses = tracker(image, time_s=0)
    assert image.flags.writeable
    np.testing.assert_array_equal(image, IMAGE)
    assert not poses.frame.image.flags.writeable
    assert list(poses.frame.timing_ms) == ["detect", "track", "pose", "relink", "smooth"]


@pytest.mark.parametrize(
    ("time_s", "said"),
    [
        (1.0, "expected more than 1.0, the time of the image before, got 1.0; call reset() before another video"),
        (0.5, "expected more than 1.0, the time of the image before, got 0.5; call reset() before another video"),
        (float("nan"), "expected a finite number of seconds, got nan"),
        ("1.5", "expected a finite number of seconds, got '1.5'"),
        pytest.param(10**400, "expected a finite number of seconds, got one that is too large", id="huge"),
        (None, "expected a time for all images or for none; call reset() before a change"),
    ],
)
def test_a_time_that_does_not_rise_is_an_error(tracker: PoseTracker, time_s: Any, said: str) -> None:
    tracker.reset()
    tracker(IMAGE, time_s=1)
    with pytest.raises(ValueError, match=r"^time_s: ") as caught:
        tracker(IMAGE, time_s=time_s)
    assert str(caught.value) == f"time_s: {said}"
    assert tracker(IMAGE, time_s=1.04).frame.time_s == 1.04  # the refused image has changed nothing


def test_two_unix_times_of_a_message_can_be_told_apart(tracker: PoseTracker) -> None:
    tracker.reset()
    tracker(IMAGE, time_s=1764438000.04)
    with pytest.raises(ValueError, match=r"expected more than 1764438000\.04, .*, got 1764438000\.02;"):
        tracker(IMAGE, time_s=1764438000.02)


def test_another_size_and_a_reset_start_an_epoch_in_which_times_start_anywhere(tracker: PoseTracker) -> None:
    tracker.reset()
    first = tracker(IMAGE, time_s=5).frame
    wider = tracker(np.zeros((48, 80, 3), np.uint8), time_s=0).frame
    tracker.reset()
    again = tracker(np.zeros((48, 80, 3), np.uint8), time_s=0).frame
    assert [frame.epoch - first.epoch for frame in (first, wider, again)] == [0, 1, 2]
    assert [frame.index - first.index for frame in (first, wider, again)] == [0, 1, 2]


def test_without_times_the_images_are_live(tracker: PoseTracker) -> None:
    tracker.reset()
    first, second = tracker(IMAGE).frame, tracker(IMAGE).frame
    assert first.time_s < second.time_s
    assert (first.media_s, first.epoch) == (None, second.epoch)


def test_people_are_drawn_on_a_copy(tracker: PoseTracker) -> None:
    for poses in tracker.track("demo"):
        drawn = tracker.draw(poses)
        assert np.abs(drawn.astype(int) - poses.frame.image).max() > 50
        break


# ---- threads, and the end


@contextlib.contextmanager
def a_call_of_another_thread(tracker: PoseTracker) -> Iterator[None]:
    """During the block, another thread is in a call."""
    stage, entered, go = tracker._stages[0], threading.Event(), threading.Event()

    def wait(batch: list[Any], process: Any = stage.process) -> Any:
        entered.set()
        go.wait(30)
        return process(batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "process", wait, raising=False)
        tracker.reset()
        other = threading.Thread(target=tracker, args=(IMAGE,))
        other.start()
        entered.wait(30)
        try:
            yield
        finally:
            go.set()
            other.join()


def test_a_call_while_another_thread_is_in_one_is_an_error(tracker: PoseTracker) -> None:
    with (
        a_call_of_another_thread(tracker),
        pytest.raises(RuntimeError, match="another thread is in a call of this tracker"),
    ):
        tracker(IMAGE)


def test_calls_are_refused_as_of_a_closed_tracker_from_the_moment_another_thread_closes_it(loaded: None) -> None:
    tracker = PoseTracker()

    def refusal() -> str:
        with pytest.raises((RuntimeError, ValueError)) as caught:
            tracker(IMAGE)
        return str(caught.value)

    closer = threading.Thread(target=tracker.close)
    with a_call_of_another_thread(tracker):
        closer.start()  # it waits for the end of the call
        wait_until(lambda: refusal() == "PoseTracker: it is closed")
        assert closer.is_alive()
    closer.join()
    assert refusal() == "PoseTracker: it is closed"


def test_two_trackers_work_side_by_side_each_in_its_thread(small: None) -> None:
    before, found = threads(), dict[int, list[int]]()
    process = of_process()

    def work(number: int) -> None:
        with PoseTracker() as tracker:
            found[number] = [tracker(IMAGE, time_s=k).frame.index for k in range(3)]

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {0: [0, 1, 2], 1: [0, 1, 2]}
    assert threads() == before
    assert of_process() == process


def of_process() -> list[object]:
    """What a library should leave alone: open sockets, signal handlers, logging."""
    links = [each for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    sockets = [str(link.readlink()) for link in links if link.exists() and "socket:" in str(link.readlink())]
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    return [sockets, handlers, list(logging.root.handlers), logging.root.level]


def test_a_closed_tracker_can_be_closed_again_and_refuses_everything_else(loaded: None) -> None:
    tracker = PoseTracker()
    stream = tracker.track("demo")
    next(stream)
    before = threads()
    tracker.close()  # while track reads a source
    assert {thread.name for thread in before - threads()} == {"capture-cam0"}
    assert list(stream) == []
    tracker.close()
    with pytest.raises(ValueError, match="it is closed"):
        tracker(IMAGE)
    with pytest.raises(ValueError, match="it is closed"):
        next(tracker.track("demo"))


# ---- files and cameras


@pytest.mark.parametrize("end", ["break", "close", "exception", "end of the file"])
def test_no_thread_is_left_however_a_loop_ends(tracker: PoseTracker, tmp_path: Path, end: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 4)
    before = threads()
    with contextlib.suppress(ZeroDivisionError), contextlib.closing(tracker.track(clip, "b=demo")) as stream:
        for poses in stream:
            assert poses.frame.camera in ("cam0", "b")
            if end == "break":
                break
            if end == "close":
                stream.close()
            if end == "exception":
                1 / 0  # noqa: B018
    assert threads() == before
    assert tracker(IMAGE, time_s=0).frame.camera == "cam0"  # usable again, and times start anywhere


def test_a_break_or_an_exception_ends_the_threads_at_once(tracker: PoseTracker) -> None:
    before = threads()
    for _ in tracker.track("demo"):
        break
    assert threads() == before

    def fail() -> None:
        for _ in tracker.track("demo"):
            raise KeyError

    with pytest.raises(KeyError) as kept:  # with its traceback, as a notebook keeps the last one
        fail()
    assert threads() == before, kept


def test_each_frame_of_a_file_comes_in_order_and_of_a_live_camera_the_newest(loaded: None) -> None:
    with PoseTracker(realtime=True) as tracker:
        stream = tracker.track("demo")
        first = next(stream).frame.index
        assert tracker._sources is not None
        status = tracker._sources._fleet.status["cam0"]
        wait_until(lambda: status.captured > first + 10)  # while the caller does something else
        assert next(stream).frame.index >= first + 9
        stream.close()
    assert [poses.frame.index for poses in track("clip.mp4")] == [0, 1, 2, 3, 4, 5]


def test_sources_and_images_can_not_be_mixed(tracker: PoseTracker) -> None:
    with contextlib.closing(tracker.track("door=demo")) as stream:
        next(stream)
        with pytest.raises(RuntimeError, match="track is reading door with this tracker; close its generator first"):
            tracker(IMAGE)
        with pytest.raises(RuntimeError, match="track is reading door"):
            next(tracker.track("demo"))
        with pytest.raises(RuntimeError, match="track is reading door"):
            tracker.reset()


def test_a_truncated_file_is_an_error_after_its_intact_frames(tracker: PoseTracker, tmp_path: Path) -> None:
    whole = write_noise(tmp_path / "whole.mp4", frames=9).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    seen = []
    with pytest.raises(TruncatedError, match=r"^cam0: .*truncated"):
        seen.extend(tracker.track(tmp_path / "cut.mp4"))
    assert 0 < len(seen) < 9


@pytest.mark.parametrize(
    ("sources", "keys", "kind", "said"),
    [
        (["nope.mp4"], {}, SourceError, "nope.mp4: no such file"),
        ([], {}, ConfigError, "track: no source: expected the number of a webcam"),
        (["a=demo", "a=demo"], {}, ConfigError, "'a', expected different names (from source)"),
        (
            [IMAGE],
            {},
            ValueError,
            "expected a number, a path or a URL, got ndarray; use PoseTracker for images",
        ),
        ([True], {}, ValueError, "got bool"),
        ([{"source": "demo", "rotat": 90}], {}, ConfigError, "rotat"),
        ([{"rotate": 90}], {}, ConfigError, "source"),
        (["demo"], {"pose_modle": "none"}, ConfigError, "unknown keyword pose_modle, did you mean pose_model?"),
        (["demo"], {"config": "nope.yaml"}, ConfigError, "config: can't read nope.yaml"),
        ([""], {}, ConfigError, "source: cam0 has no source"),
    ],
)
def test_a_mistake_is_reported_by_the_call_before_models_are_loaded(
    sources: list[Any], keys: dict[str, Any], kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.tracker.load_models", None)
    with pytest.raises(kind) as caught:
        track(*sources, **keys)
    assert said in str(caught.value)
    assert "--" not in str(caught.value)  # a flag, which this caller did not use


def test_keys_of_files_keywords_and_cameras_are_used_and_others_cause_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text("detector: {size: 320, every: 3}\nrecord: never.jsonl\n")
    configurations = []

    def stop(config: Any, **how: Any) -> None:
        configurations.append(config)
        raise ModelError("enough")

    monkeypatch.setattr("realtime.tracker.load_models", stop)
    cameras = [{"name": "door", "source": "demo", "rotate": 90}]
    with pytest.raises(ModelError), pytest.warns(UserWarning, match="keyword report: no effect here"):
        track(config=tmp_path / "a.yaml", detector_every=2, cameras=cameras, report="never.json")
    [config] = configurations
    assert (config.detector.size, config.detector.every, config.cameras[0].rotate) == (320, 2, 90)


def test_a_source_can_be_the_keys_of_a_camera(loaded: None) -> None:
    [poses, *_] = track({"source": "clip.mp4", "rotate": 90}, max_frames=1)
    assert (poses.frame.camera, poses.frame.size) == ("cam0", (48, 64))


# ---- imports, and what the documents show


def test_importing_the_package_is_quick_and_the_names_do_not_depend_on_the_order_of_imports() -> None:
    code = """
        import sys, types, realtime
        heavy = {"torch", "cv2", "numpy", "pydantic", "zmq"} & set(sys.modules)
        assert not heavy and {"PoseTracker", "track"} <= set(dir(realtime)), heavy
        import realtime.track.coast, realtime.client
        tracker = sys.modules["realtime.tracker"] = types.ModuleType("stands in for the file, which takes seconds")
        tracker.track, tracker.PoseTracker = len, dict
        from realtime import PoseTracker, track
        import realtime.track.relink
        assert track is realtime.track is len and PoseTracker is dict
        try:
            realtime.nothing
        except AttributeError as error:
            assert str(error) == "module 'realtime' has no attribute 'nothing'"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=ROOT)


def test_the_example_draws_the_last_image_of_a_video(
    loaded: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["library.py", "clip.mp4", "out.png"])
    runpy.run_path(str(ROOT / "examples" / "library.py"), run_name="__main__")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0", "1", "2", "3", "4", "5"]
    assert cv2.imread("out.png").shape == (48, 64, 3)


def test_the_code_of_the_document_and_of_the_docstrings_runs(loaded: None, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL):
        if "PoseSubscriber" not in block:  # tests/examples/test_documents.py runs that one
            # These poses have no keypoints.
            exec(block.replace('tracker.skeleton.keypoint_names.index("left_wrist")', "slice(0)"), names)
    names["video"] = cv2.VideoCapture("clip.mp4")
    names["contextlib"] = contextlib
    for documented in (PoseTracker, track):
        block = re.split(r"::\n\n", str(documented.__doc__))[1].partition("\n\n    ")[0]
        exec(textwrap.dedent(block).replace("range(100)", "range(4)"), names)
    assert "cam0 5 0.5 0" in capsys.readouterr().out
