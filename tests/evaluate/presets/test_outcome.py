import json
import math
from pathlib import Path

import pytest

from realtime import wire
from realtime.evaluate.presets.outcome import Outcome
from tests.evaluate.presets.made import BOX, MODELS, message, outcome

FAR = (300.0, 0.0, 350.0, 100.0)


def test_an_outcome_does_not_differ_from_itself() -> None:
    one = outcome(message(0, [BOX, FAR]), message(1))
    assert one.change_from(one) == (1.0, 0.0, 0.0)


def test_keypoints_change_in_percent_of_the_person_s_size() -> None:
    assert outcome(message(0, shift=3)).change_from(outcome(message(0))) == pytest.approx((1, 3, 3))


def test_people_who_are_missed_count_as_not_found_and_others_do_not() -> None:
    few, many = outcome(message(0, [BOX])), outcome(message(0, [FAR, BOX]))
    assert few.change_from(many) == pytest.approx((0.5, 0, 0))
    assert many.change_from(few) == pytest.approx((1.0, 0, 0))


def test_a_person_is_found_once_although_two_boxes_overlap_with_theirs() -> None:
    twice = outcome(message(0, [BOX, (0, 0, 50, 98)]))
    assert twice.change_from(outcome(message(0))).found == 1
    assert outcome(message(0)).change_from(twice).found == 0.5


def test_frames_that_only_one_has_do_not_count() -> None:
    assert outcome(message(0)).change_from(outcome(message(0), message(1))).found == 1


def test_keypoints_that_the_other_is_not_sure_of_do_not_count() -> None:
    unsure = outcome(message(0, score=0.2))
    assert math.isnan(outcome(message(0, shift=9)).change_from(unsure).p50)
    assert unsure.change_from(outcome(message(0, shift=9))).p50 == pytest.approx(9)


@pytest.mark.parametrize("messages", [[], [message(0, [])]])  # no frames, and a frame without people
def test_nothing_is_found_where_there_is_no_one(messages: list[wire.PoseMessage]) -> None:
    change = outcome(*messages).change_from(outcome(*messages))
    assert all(map(math.isnan, change))


def test_the_files_of_a_run_are_read(tmp_path: Path) -> None:
    recording, report = tmp_path / "x.jsonl", tmp_path / "x.json"
    recording.write_bytes(b"".join(wire.encode(message(i, fps=20), "json") + b"\n" for i in range(40)))
    report.write_text(json.dumps({"models": MODELS, "device": "cpu"}))
    read = Outcome.read(recording, report)
    assert read.fps == pytest.approx(20)
    assert (len(read.poses), read.people) == (40, 1)
    assert read.networks == "yolov8n in openvino bf16, no keypoints"


def test_a_run_that_published_nothing_has_no_figures(tmp_path: Path) -> None:
    recording, report = tmp_path / "x.jsonl", tmp_path / "x.json"
    recording.touch()
    report.write_text(json.dumps({"models": MODELS, "device": "cpu"}))
    read = Outcome.read(recording, report)
    assert math.isnan(read.fps)
    assert math.isnan(read.people)
