from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from realtime.pose.crop import Crowd
from realtime.types import Detections
from tests.bench.gpu import parity
from tests.bench.gpu.parity import (
    BOXES_PX,
    CLEAR,
    batch_figures,
    compared,
    corner_figures,
    distances,
    float32_errors,
    largest,
    missed,
    p99,
)
from tests.bench.gpu.record import Record, read
from tests.bench.gpu.steps import Job
from tests.builders import make_frame


@pytest.mark.parametrize(
    ("figures", "count"),
    [
        ({"p99_px": 0.5, "lost": 0}, 0),
        ({"p99_px": 0.51, "lost": 0}, 1),
        ({"p99_px": 0.51, "lost": 1}, 2),
        ({"p99_px": math.nan, "lost": 0}, 1),  # nothing was compared
        ({"p99_px": math.inf, "lost": 0}, 1),
        ({"lost": 0}, 1),  # not measured
        ({"p99_px": 0, "lost": 0, "max_px": 9}, 0),  # without a limit
    ],
)
def test_a_figure_beyond_its_limit_is_a_failure(figures, count):
    assert len(missed("fp16", figures, {"p99_px": 0.5, "lost": 0})) == count


def test_a_comparison_of_nothing_fails():
    for figure in (p99, largest):
        assert missed("fp16", {"px": figure(np.zeros(0))}, {"px": 1})
    for limits in BOXES_PX.values():
        assert len(missed("fp16", corner_figures(np.zeros((0, 4))), limits)) == len(limits)


def test_only_keypoints_with_a_clear_expected_score_count():
    expected = np.zeros((1, 3, 3), np.float32)
    expected[0, :, 2] = CLEAR, CLEAR - 0.01, 1
    found = expected + np.float32([3, 4, 0])
    assert distances(expected, found).tolist() == [5, 5]


@pytest.mark.parametrize(("precision", "shift"), [("fp32", 0.2), ("fp16", 0.6), ("bf16", 0.6)])
def test_boxes_that_are_shifted_fail(precision, shift):
    moved = corner_figures(np.full((10, 4), shift))
    assert missed(precision, moved, BOXES_PX[precision])
    assert not missed(precision, corner_figures(np.full((10, 4), 0.01)), BOXES_PX[precision])


def test_one_box_that_is_far_off_fails():
    corners = np.zeros((200, 4))
    corners[7] = 10
    for limits in BOXES_PX.values():
        assert missed("boxes", corner_figures(corners), limits)


PERSON = [100.0, 100, 200, 400]


def seen(*people):
    boxes = np.array([box for box, _ in people], np.float32).reshape(-1, 4)
    return Detections(make_frame(), boxes, np.array([score for _, score in people], np.float32), None)


def test_boxes_are_matched_by_their_overlap():
    other = [400.0, 100, 500, 400]
    found = compared(seen((PERSON, 0.9), (other, 0.6)), seen((other, 0.7), ([101.0, 100, 200, 398], 0.8)))
    np.testing.assert_allclose(found.corners_px, [[1, 0, 0, 2], [0, 0, 0, 0]])
    np.testing.assert_allclose(found.scores, [0.1, 0.1], atol=1e-6)
    assert found.lost == 0


@pytest.mark.parametrize(
    ("expected", "found", "lost"),
    [
        ([(PERSON, 0.9)], [], 1),
        ([], [(PERSON, 0.9)], 1),  # a person who is not there
        ([(PERSON, 0.9)], [([150.0, 100, 250, 400], 0.9)], 2),  # another person
        ([(PERSON, 0.51)], [(PERSON, 0.49)], 0),
        ([(PERSON, 0.49)], [(PERSON, 0.51)], 0),
        ([(PERSON, 0.4)], [], 0),  # too weak to count
    ],
)
def test_a_person_on_one_side_only_is_lost(expected, found, lost):
    assert compared(seen(*expected), seen(*found)).lost == lost


class Leaky:
    """An engine whose result depends on the batch size by `grows` and on the first frame by `leaks`."""

    def __init__(self, grows=0.0, leaks=0.0):
        self._grows, self._leaks = grows, leaks

    def peaks(self, crowd):
        found = np.ones((len(crowd.owners), 17, 3), np.float32)
        found[..., 0] += self._grows * len(found) + self._leaks * crowd.images[0].mean()
        return found


@pytest.mark.parametrize(
    ("engine", "wrong"),
    [
        (Leaky(), set()),
        (Leaky(grows=0.1), {"alone_p99_px", "fives_p99_px"}),
        (Leaky(leaks=0.1), {"other_camera_max_px"}),
    ],
)
def test_a_result_that_depends_on_the_batch_or_on_another_camera_is_found(engine, wrong):
    image = np.zeros((240, 320, 3), np.uint8)
    crowd = Crowd.of([image], [np.tile(np.array(PERSON, np.float32), (12, 1))], (192, 256))
    figures = batch_figures(engine, crowd, engine.peaks(crowd))
    limits = dict.fromkeys(("alone_p99_px", "fives_p99_px", "other_camera_max_px"), 0.01)
    assert {name for name in limits if missed("", figures, {name: limits[name]})} == wrong


def test_sums_with_fewer_bits_fail(monkeypatch):
    assert not missed("", float32_errors(torch.device("cpu")), dict.fromkeys(("matmul_error",), parity._EXACT))
    exact = torch.matmul

    def as_tf32(first, second):
        def short(values):  # ten bits of mantissa
            return (values.view(torch.int32) & ~0x1FFF).view(torch.float32) if values.dtype == torch.float32 else values

        return exact(short(first), short(second))

    monkeypatch.setattr(torch, "matmul", as_tf32)
    assert missed("", float32_errors(torch.device("cpu")), dict.fromkeys(("matmul_error",), parity._EXACT))


def test_a_check_that_raises_fails_the_step_and_the_others_run(tmp_path, monkeypatch):
    def breaks(job):
        raise RuntimeError("out of memory")

    checks = [parity._Check("first", 0, breaks), parity._Check("second", 0, lambda job: job.record.put("second", px=1))]
    monkeypatch.setattr(parity, "_checks", lambda job: [*checks, parity._Check("third", 1e9, breaks)])
    record = Record(tmp_path / "gpu.json", "parity")
    job = Job("cpu", True, record, time.monotonic() + 100, tmp_path, tmp_path)
    parity.run(job)
    part = read(tmp_path / "gpu.json")["steps"]["parity"]
    assert record.failures == ["first: RuntimeError: out of memory"]
    assert part["entries"] == {"second": {"px": 1}}
    assert "third" in part["left_out"][0]


def test_on_a_slow_machine_a_check_that_would_not_end_in_time_is_left_out(tmp_path, monkeypatch):
    checks = [parity._Check(name, 1, lambda job, name=name: clock.append(clock[-1] + 5)) for name in ("one", "two")]
    clock = [0.0]
    monkeypatch.setattr(parity, "_checks", lambda job: checks)
    monkeypatch.setattr(parity, "_load_libraries", lambda device: None)
    monkeypatch.setattr(time, "monotonic", lambda: clock[-1])
    parity.run(Job("cpu", True, Record(tmp_path / "gpu.json", "parity"), 6.5, tmp_path, tmp_path))
    assert clock == [0, 5]
    left_out = read(tmp_path / "gpu.json")["steps"]["parity"]["left_out"]
    assert left_out == ["two: 2 s were left, it may need 2 s"]


def test_a_check_that_is_left_out_proves_nothing_about_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "_checks", lambda job: [parity._Check("one", 9, lambda job: None)])
    monkeypatch.setattr(parity, "_load_libraries", lambda device: None)
    record = Record(tmp_path / "gpu.json", "parity")
    parity.run(Job("cuda:0", False, record, time.monotonic() + 1, tmp_path, tmp_path))
    assert record.failures == ["one: 1 s were left, it may need 9 s"]
