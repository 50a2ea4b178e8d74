"""A camera whose stream is odd harms no other camera of the run, and each kind of trouble is one line."""

import itertools
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from realtime.capture.convert import Converter
from realtime.config import load
from realtime.errors import TruncatedError
from realtime.pipeline import Pipeline
from tests.capture.clips import write_clip
from tests.capture.httpcam import HttpCamera, jpeg, part
from tests.faults.fakecam import FakeCamera
from tests.faults.rig import QUICK, Program, Run
from tests.faults.session import Session

TICK = threading.Event()


def huge(write) -> None:  # type: ignore[no-untyped-def]
    for _ in range(20):
        write(part(jpeg()))
        TICK.wait(0.02)
    picture = jpeg(size=(12000, 8000))
    while True:
        write(part(picture))
        TICK.wait(0.1)


def endless(write) -> None:  # type: ignore[no-untyped-def]
    write(part(jpeg()))
    write(part(b"", length=2_000_000_000))
    while True:
        write(b"z" * 65536)


def odd_bytes(write) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    for _ in itertools.count():
        write(part(jpeg()[:300] + rng.bytes(500)))
        TICK.wait(0.02)


def test_a_healthy_camera_goes_on_beside_odd_ones_and_the_memory_stays_flat(tmp_path: Path, yolov8n: Path) -> None:
    with (
        FakeCamera() as healthy,
        HttpCamera(huge) as large,
        HttpCamera(endless) as flood,
        HttpCamera(odd_bytes) as odd,
    ):
        sources = {"a": healthy.url(), "large": large.url, "flood": flood.url, "odd": odd.url}
        config = tmp_path / "cameras.yaml"
        config.write_text(yaml.safe_dump({"cameras": [{"name": n, "source": s} for n, s in sources.items()]}))
        with Program("--config", str(config), folder=tmp_path) as run:
            run.until_pose("a")
            before_mb = run.resident_mb()
            for name in ("large", "flood"):
                assert run.until_state("reconnecting", name).body["reason"] == "too large"
            reached_s = time.monotonic()
            run.until_pose("a", since_s=reached_s + 1.0)
            assert run.resident_mb() - before_mb < 300
            assert run.states("large")[-1].body["dropped"] >= 1
            assert run.states("a")[-1].body["state"] == "live"
            assert run.end(signal.SIGTERM)[0] == 0
    log = "".join(run.log)
    assert "Traceback" not in log
    assert log.count("large: ") >= 2
    assert "too large: got 12000x8000, expected at most 64,000,000 pixels (cameras[].max_pixels); trying again" in log
    assert "too large: a part has more than 32,000,000 bytes" in log


def test_an_unexpected_error_in_a_camera_s_library_ends_no_other_camera(
    tmp_path: Path, yolov8n: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second camera's frames make the converter fail in a way that nothing here expects."""
    convert = Converter.__call__

    def fail_for_small_ones(self: Converter, frame: object) -> object:
        if frame.width == 96:  # type: ignore[attr-defined]
            raise LookupError("an error of another library")
        return convert(self, frame)

    monkeypatch.setattr(Converter, "__call__", fail_for_small_ones)
    with FakeCamera() as healthy, FakeCamera(sizes=((96, 80),)) as odd:
        with Run({"a": healthy.url(), "odd": odd.url()}, tmp_path) as run:
            run.until_pose("a")
            assert run.until_state("reconnecting", "odd").body["reason"] == "internal error"
            run.until_pose("a", since_s=time.monotonic() + 0.5)
        assert not run.poses("odd")


def test_a_session_name_that_is_not_utf_8_is_published_like_any_camera(
    tmp_path: Path, yolov8n: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = Session._description
    monkeypatch.setattr(Session, "_description", lambda self: described(self).replace("s=fakecam", "s=T\udcfcr"))
    with FakeCamera() as camera, Run({"a": camera.url()}, tmp_path) as run:
        run.until_pose("a")


def test_a_file_that_fails_in_its_middle_ends_the_run_with_1_after_the_other_files(
    tmp_path: Path, yolov8n: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("good", (64, 48)), ("odd", (96, 80))):
        write_clip(tmp_path / f"{name}.mp4", frames=12, size=size)
    convert, seen = Converter.__call__, itertools.count()

    def fail_later(self: Converter, frame: object) -> object:
        if frame.width == 96 and next(seen) > 8:  # type: ignore[attr-defined]
            raise LookupError("an error of another library")
        return convert(self, frame)

    monkeypatch.setattr(Converter, "__call__", fail_later)
    cameras = [{"name": name, "source": str(tmp_path / f"{name}.mp4")} for name in ("odd", "good")]
    flags = QUICK | {"cameras": cameras, "publish.bind": [f"ipc://{tmp_path}/stream"]}
    pipeline = Pipeline(load(environment={}, flags=flags))
    with pytest.raises(TruncatedError, match=r"^odd: .*odd\.mp4: internal error: LookupError: an error of"):
        pipeline.run()
    assert pipeline.status["good"].published == 12
    assert 0 < pipeline.status["odd"].published < 12
