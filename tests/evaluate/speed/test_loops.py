import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime.evaluate.speed import loops
from realtime.evaluate.speed.random_vitpose import save_checkpoint
from tests.evaluate.speed.made import BOX, SCENE


def test_hugging_face_finds_nearly_the_same_keypoints_in_fp16(tmp_path: Path) -> None:
    scene = replace(SCENE, pose=str(save_checkpoint(tmp_path / "vitpose")))
    image = np.random.default_rng(0).integers(0, 255, (120, 90, 3), np.uint8)
    boxes = np.array([[10, 10, 60, 100]], np.float32)
    full, half = (np.array(loops.HuggingFacePose(scene, half)(image, boxes)) for half in (False, True))
    assert full.shape == half.shape == (1, 17, 3)
    assert np.median(np.abs(full - half)[..., :2]) < 0.5  # pixels; a flat heatmap may peak elsewhere


def test_a_held_loop_waits_for_a_line_and_ends_after_that_time(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = replace(SCENE, video=str(clip), frames=20, held=True)
    monkeypatch.setattr("sys.stdin", io.StringIO("0\n"))
    assert loops.go(scene, "fake", lambda shot: BOX).frames == [0]
    assert capsys.readouterr().out == "ready\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("60\n"))
    assert loops.go(scene, "fake", lambda shot: BOX).frames == list(range(20))
