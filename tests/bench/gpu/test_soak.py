import itertools
import math
import time
from pathlib import Path

import numpy as np
import pytest

from realtime.errors import SourceError
from realtime.models.yolo import Found
from realtime.observe.status import CameraStatus
from tests.bench.gpu import soak
from tests.bench.gpu.record import Record, read
from tests.bench.gpu.soak import Changing, Log, growth_per_min, judge, lossy
from tests.bench.gpu.steps import Job

LOOKS = 60
NOISE = np.random.default_rng(0).normal(size=LOOKS)
FLAT = np.full(LOOKS, 2000.0)
MINUTE = np.arange(LOOKS) / LOOKS  # 0..1
LATE = MINUTE >= 0.7


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rss_mib", FLAT),
        ("rss_mib", FLAT + 30 * NOISE),  # noise alone, larger than the limit
        ("rss_mib", FLAT + 300 * np.minimum(MINUTE, 0.2)),  # caches fill at the start
        ("rss_mib", FLAT - 300 * MINUTE),  # falls
        ("reserved_mib", FLAT + 40 * LATE),  # two blocks more
        ("threads", 40 + (np.arange(LOOKS) % 5 == 0)),  # a thread that comes and goes
        ("fps", 200 + 30 * NOISE),
        ("p95_ms", 20 + 100 * MINUTE),  # not judged: the frame rate is
        ("seconds", 60 * MINUTE),
    ],
)
def test_a_steady_program_passes(name: str, values: np.ndarray) -> None:
    assert judge({name: values.tolist()}) == []


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("rss_mib", FLAT + 60 * MINUTE, "rss_mib: grew from at most 2029.0"),  # 60 MiB per minute, 5 KiB per frame
        ("rss_mib", FLAT + 150 * MINUTE + 10 * NOISE, "rss_mib: grew"),
        ("allocated_mib", FLAT + 20 * LATE, "allocated_mib: grew"),  # a jump in the second half
        ("reserved_mib", FLAT + 60 * LATE, "reserved_mib: grew"),
        ("device_mib", FLAT + 60 * LATE, "device_mib: grew"),
        ("pinned_mib", FLAT + 60 * MINUTE, "pinned_mib: grew"),
        ("threads", 40 + np.arange(LOOKS) // 10, "threads: at most 42"),  # one more each time a camera is lost
        ("open_files", 18 + LATE, "open_files: at most 18"),
        ("fps", 200 - 50 * MINUTE, "fps: fell from"),
        ("fps", 200 * ~LATE, "fps: fell from 200.0 in the first half to 0.0"),
    ],
)
def test_growth_and_a_falling_frame_rate_are_failures(name: str, values: np.ndarray, said: str) -> None:
    wrong = judge({name: values.tolist()})
    assert len(wrong) == 1
    assert wrong[0].startswith(said)


def test_growth_is_per_minute() -> None:
    assert growth_per_min([1, 2, 3], [10, 11, 12]) == pytest.approx(60)
    assert math.isnan(growth_per_min([1], [10]))


def test_the_log_records_frames_since_the_look_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("cpu", True, Record(tmp_path / "gpu.json", "soak"), time.monotonic() + 60, tmp_path, tmp_path)
    log = Log(job, seconds=10, looks=10)
    count = log.counting(lambda status, latency_ms: None)
    now_s = itertools.count()
    monkeypatch.setattr(soak.time, "monotonic", lambda: next(now_s))
    monkeypatch.setattr(soak.time, "sleep", lambda seconds: [count(CameraStatus("a"), 30.0) for _ in range(4)])
    log.follow()
    entry = read(tmp_path / "gpu.json")["steps"]["soak"]["entries"]["eight live cameras"]
    assert set(entry["series"]) == {"fps", "p95_ms", "threads", "open_files", "rss_mib", "seconds"}
    assert entry["series"]["p95_ms"] == [30.0] * 10
    assert all(fps > 0 for fps in entry["series"]["fps"])


def test_the_log_ends_when_no_frame_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("cpu", True, Record(tmp_path / "gpu.json", "soak"), time.monotonic() + 60, tmp_path, tmp_path)
    log = Log(job, seconds=0.06, looks=60)
    log.follow()
    assert log.series["fps"] == [0.0] * 5


def test_people_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    class Net:
        def predict(self, images: np.ndarray, *_: float) -> list[Found]:
            return [Found(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 17, 3)), np.zeros(0, np.int64))]

    crowd = Changing(Net(), people=20, wave_s=8)
    images = np.zeros((1, 1080, 1920, 3), np.uint8)
    counts = []
    for second in range(9):
        monkeypatch.setattr(soak.time, "monotonic", lambda second=second: float(second))
        boxes, scores, keypoints, _ = crowd.predict(images, 0.1, 0.7)[0]
        assert len(boxes) == len(scores) == len(keypoints)
        counts.append(len(boxes))
    assert counts[0] == counts[8] == 0
    assert counts[4] == 20
    assert counts[2] == 10


def test_one_camera_is_lost_and_comes_back() -> None:
    class Street:
        def read(self) -> str:
            return "picture"

    street = lossy(Street, cameras=2, every_s=-1)
    lost, kept, again = street(), street(), street()
    assert kept.read() == "picture"
    for source in (lost, again):
        with pytest.raises(SourceError, match="lost on purpose"):
            source.read()
