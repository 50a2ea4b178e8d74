from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime.config import load
from realtime.evaluate.speed.runs import WARM_FRAMES, Run, Scene
from tests.evaluate.speed.made import BOX, SCENE, run


def test_figures_exclude_the_first_frames() -> None:
    side = run(fps=10, age_s=0.2)
    side.started_s, side.published_s[0] = -103.0, -100.0
    side.boxes[: WARM_FRAMES + 5] = [np.concatenate([BOX, BOX])] * (WARM_FRAMES + 5)
    assert side.figures() == pytest.approx(
        {"fps": 10, "people_per_s": 12, "people": 1.2, "p50_ms": 200, "p95_ms": 200, "first_s": 3, "thrown_away": 0}
    )


def test_a_run_that_is_too_short_has_no_figures() -> None:
    assert np.isnan(run(fps=10, age_s=0.2, frames=WARM_FRAMES + 1).figures()["fps"])


def test_a_run_and_a_scene_are_unchanged_after_writing_and_reading(tmp_path: Path) -> None:
    side = run(fps=10, age_s=0.2, frames=2)
    side.boxes[1] = np.zeros((0, 4), np.float32)
    side.write(tmp_path / "run.json")
    back = Run.read(tmp_path / "run.json")
    assert [boxes.shape for boxes in back.boxes] == [(1, 4), (0, 4)]
    assert (back.frames, back.published_s, back.engine) == (side.frames, side.published_s, "fake")
    assert Scene.from_json(SCENE.to_json()) == SCENE


def test_a_program_as_shipped_keeps_its_own_thresholds() -> None:
    shipped = replace(SCENE, as_shipped=True).configuration
    assert set(shipped) == {"device", "detector.weights", "pose.model", "pose.engine"}
    assert load(environment={}, flags=shipped).detector.min_score == load(environment={}, flags={}).detector.min_score


def test_a_scene_is_a_valid_configuration_of_our_program() -> None:
    config = load(environment={}, flags=SCENE.configuration)
    assert (config.detector.weights, config.pose.model, config.pose.engine) == ("yolov8n.pt", "none", "torch")


def test_a_person_is_found_if_boxes_overlap_in_the_same_frame() -> None:
    shifted = run(fps=10, age_s=0.1, boxes=BOX + np.array([0, 2, 0, 2], np.float32))  # IoU 0.82
    far = run(fps=10, age_s=0.1, boxes=BOX + np.float32(8))
    both = run(fps=10, age_s=0.1, boxes=np.concatenate([BOX, BOX + np.float32(8)]))
    assert run(10, 0.1).share_found_by(shifted) == 1
    assert run(10, 0.1).share_found_by(far) == 0
    assert both.share_found_by(shifted) == 0.5
    assert np.isnan(run(10, 0.1, frames=0).share_found_by(shifted))
