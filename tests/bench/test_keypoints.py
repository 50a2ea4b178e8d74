"""Check that the benchmark runs, not what it measures."""

from __future__ import annotations

import pytest

from tests.bench import keypoints


@pytest.mark.parametrize("step", [keypoints.decoding, keypoints.smoothing, keypoints.encoding])
def test_a_step_is_measured_with_both_numbers_of_keypoints(monkeypatch, step):
    monkeypatch.setattr(keypoints, "ROUNDS", 1)
    seconds, ratio = keypoints.in_turns({name: step(name) for name in keypoints.SETS}, calls=1)
    assert list(seconds) == ["coco17", "wholebody133"]
    assert ratio > 0


def test_the_publisher_of_the_benchmark_takes_both():
    for name in keypoints.SETS:
        with keypoints.publisher(name) as stage:
            stage.process([keypoints.poses(name)])
