"""OpenPose's files: their names, and the order of their keypoints."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from realtime.recordings.convert.openpose import BODY_25
from tests.recordings.convert.recordings import FEET, NAMES, NEAR, convert, error_of, people, recorded


def read(folder: Path) -> dict[str, dict]:
    return {path.name: json.loads(path.read_text()) for path in folder.iterdir()}


@pytest.mark.parametrize("skeleton", ["coco17", "coco25", "wholebody133"])
def test_keypoints_are_in_the_order_of_body_25(skeleton: str, tmp_path: Path) -> None:
    message = people(12, 2, skeleton)
    files = read(convert(recorded(tmp_path / "x.jsonl", message), "openpose", tmp_path / "out"))
    assert list(files) == ["cam0_000000000012_keypoints.json"]
    written = files["cam0_000000000012_keypoints.json"]["people"]
    assert [person["person_id"] for person in written] == [[1], [2]]
    body = np.array([person["pose_keypoints_2d"] for person in written]).reshape(2, 25, 3)
    ours = dict(zip(NAMES[skeleton], message.keypoints_array().transpose(1, 0, 2), strict=True))
    for name, middle in (("neck", "shoulder"), ("mid_hip", "hip")):
        left, right = ours[f"left_{middle}"], ours[f"right_{middle}"]
        midpoint = np.column_stack([(left[:, :2] + right[:, :2]) / 2, np.minimum(left[:, 2], right[:, 2])])
        ours.setdefault(name, midpoint)
    ours = {name: np.zeros((2, 3)) for name in FEET} | ours
    for place, name in enumerate(BODY_25):
        np.testing.assert_allclose(body[:, place], ours[name], atol=NEAR, err_msg=name)


def test_the_order_is_that_of_openpose() -> None:
    # openpose, doc/02_output.md
    theirs = (
        "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee LAnkle REye "
        "LEye REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
    )
    ours = [name.replace("right_", "r").replace("left_", "l").replace("_", "") for name in BODY_25]
    assert ours == theirs.lower().split()


def test_each_frame_and_camera_has_a_file(tmp_path: Path) -> None:
    messages = [people(0, 0), people(0, 1, camera="yard"), people(1, 1, camera="../up")]
    files = read(convert(recorded(tmp_path / "x.jsonl", *messages), "openpose", tmp_path / "out"))
    assert {name: len(content["people"]) for name, content in files.items()} == {
        "cam0_000000000000_keypoints.json": 0,
        "yard_000000000000_keypoints.json": 1,
        "___up_000000000001_keypoints.json": 1,
    }


def test_a_frame_before_the_first_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = recorded(tmp_path / "x.jsonl", people(6), msgspec.structs.replace(people(7), frame=-7), people(8))
    names = sorted(path.name for path in convert(path, "openpose", tmp_path / "out").iterdir())
    assert names == ["cam0_000000000006_keypoints.json", "cam0_000000000008_keypoints.json"]
    assert "x.jsonl:2: frame: got -7, expected at least 0; left out" in caplog.text


def test_an_empty_folder_is_used_and_any_other_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = recorded(tmp_path / "x.jsonl", people(0)), tmp_path / "out"
    out.mkdir()
    before = sorted(convert(path, "openpose", out).iterdir())
    assert len(before) == 1
    convert(path, "openpose", out, code=2)
    assert "expected a new or an empty folder" in error_of(capsys)
    assert sorted(out.iterdir()) == before
