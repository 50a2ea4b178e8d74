"""`python -m realtime.models FILE`: what a model file is, in a few lines."""

from __future__ import annotations

import pytest
import torch

from realtime.models.__main__ import main
from tests.models.published import SIX_SETS, original
from tests.pose.checkpoints import save_checkpoint


def described(tmp_path, capsys, name="people", **made):
    file = tmp_path / f"{name}.pth"
    torch.save(original(**made), file)
    assert main([str(file)]) == 0
    return capsys.readouterr().out


def test_a_file_with_one_head_is_described(tmp_path, capsys):
    lines = described(tmp_path, capsys, "vitpose-s-wholebody", keypoints=133).splitlines()
    assert lines[0].endswith("vitpose-s-wholebody.pth: ViTPose, one data set")
    assert lines[1].startswith("  size: S (width 384, 2 layers), ")
    assert lines[2:] == [
        "  input: 256x192",
        "  head: keypoint_head, 133 keypoints, classic decoder, wholebody133 (plain crops)",
        "  pose.skeleton: auto, wholebody133",
    ]


def test_a_file_with_several_heads_names_each_and_has_no_auto(tmp_path, capsys):
    text = described(tmp_path, capsys, experts=6, associated=SIX_SETS[1:])
    assert text.count("  head: ") == 6
    assert text.endswith("pose.skeleton: coco17, aic14, mpii16, ap10k, apt36k, wholebody133\n")


def test_a_folder_and_several_files_are_described_one_after_the_other(tmp_path, capsys, yolo11n_pose):
    folder = save_checkpoint(tmp_path / "folder")
    assert main([str(folder), str(yolo11n_pose)]) == 0
    text = capsys.readouterr().out
    assert f"{folder}: a Hugging Face folder of a ViTPose checkpoint\n" in text
    assert "pose.skeleton: auto, coco17, ap10k, apt36k, posetrack18\n" in text
    assert "a YOLO file of ultralytics" in text


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", None])
def test_what_is_no_model_is_one_line_and_exit_code_4(tmp_path, capsys, content):
    file = tmp_path / "x.pth"
    if content is not None:
        file.write_bytes(content)
    assert main([str(file)]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {file}: ")
    assert said.err.count("\n") == 1


def test_a_wrong_command_line_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as raised:
        main([])
    assert raised.value.code == 2
