import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.detect.cadence import Cadence
from realtime.evaluate.__main__ import main
from realtime.evaluate.tracking import command
from realtime.types import Detections, Frame
from tests.evaluate.tracking.sequences import line, make_sequence, standing, truth_of_one, walk


def evaluate(tmp_path: Path, *words: str) -> dict:
    file = tmp_path / "numbers.json"
    assert main(["tracking", *words, "--json", str(file)]) == 0
    return json.loads(file.read_text())


def test_detections_from_a_file_go_through_our_tracker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sequence(tmp_path / "mot" / "walk", *walk(), frames=12)
    found = evaluate(tmp_path, str(tmp_path / "mot"), "--detections", "det/det.txt")
    assert found["trackers"]["ours"]["walk"]["HOTA"] == pytest.approx(100)
    assert found["trackers"]["ours"]["COMBINED"]["IDSW"] == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert ["sequence", "tracker", "frames", "HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "looks", "ms"] in rows
    assert ["walk", "ours", "12", "100.00", "100.00", "100.00", "100.00", "100.00", "0", "12"] in [
        row[:-1] for row in rows
    ]
    assert found["trackers"]["ours"]["walk"]["ms"] > 0


def test_methods_that_use_images_work_without_an_image_size_in_seqinfo(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "walk", *walk(), frames=12)
    about = folder / "seqinfo.ini"
    about.write_text("".join(line for line in about.read_text().splitlines(True) if not line.startswith("im")))
    found = evaluate(tmp_path, str(folder), "--detections", "det/det.txt", "--tracker.method", "botsort")
    assert found["trackers"]["ours"]["walk"]["HOTA"] == pytest.approx(100)


def test_tracker_keys_can_be_set_with_flags(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "walk", *walk(), frames=12)
    for flag in ("--tracker.track-score", "--tracker.track_score"):
        found = evaluate(tmp_path, str(folder), "--detections", "det/det.txt", flag, "0.95")
        assert found["trackers"]["ours"]["walk"]["FN"] == 12
        assert found["tracker_config"]["track_score"] == 0.95


def test_boxmots_own_tracker_runs_on_the_same_frames_as_ours(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "walk", *walk(), frames=12)
    found = evaluate(tmp_path, str(folder), "--detections", "det/det.txt", "--against", "boxmot", "--every", "2")
    assert list(found["trackers"]) == ["ours", "boxmot constructor", "boxmot yaml"]
    assert found["frames"]["counted"] == {"walk": 6, "COMBINED": 6}
    assert found["trackers"]["boxmot yaml"]["walk"]["IDF1"] == pytest.approx(100)


def test_frames_that_the_detector_skips_are_scored_too(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "walk", *walk(), frames=12)
    words = "--detections", "det/det.txt", "--against", "naive", "--detector.every", "3"
    found = evaluate(tmp_path, str(folder), *words)
    scores = {name: sequences["walk"] for name, sequences in found["trackers"].items()}
    assert found["frames"]["counted"]["walk"] == 12
    assert found["detector_every"] == 3
    assert scores["nothing between"]["FN"] == 8
    assert scores["held between"]["FN"] == scores["ours"]["FN"] == 0
    # A box that stands still lags behind the walking person. Our box follows, except in the first three frames.
    assert scores["held between"]["MOTP"] < scores["ours"]["MOTP"] < 100


def test_every_other_method_runs_beside_the_configured_one(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "walk", *walk(), frames=12)
    words = "--detections", "det/det.txt", "--against", "methods", "--tracker.method", "ocsort"
    found = evaluate(tmp_path, str(folder), *words)["trackers"]
    assert sorted(found) == ["boosttrack", "botsort", "boxmot-bytetrack", "bytetrack", "ours", "sfsort"]
    assert {round(scores["walk"]["IDF1"]) for scores in found.values()} == {100}


@pytest.mark.parametrize(
    ("hidden_s", "ours", "without"), [("1", "kept", "kept"), ("2.2", "kept", "new"), ("6", "new", "new")]
)
def test_a_hidden_person_is_reidentified_within_relink_s(
    hidden_s: str, ours: str, without: str, tmp_path: Path
) -> None:
    words = [str(standing(tmp_path)), "--detections", "det/det.txt", "--hide", hidden_s, "--against", "no-relink"]
    trackers = evaluate(tmp_path, *words)["trackers"]
    for name, expected in (("ours", ours), ("without relink", without)):
        counts = {key: trackers[name]["COMBINED"][key] for key in ("kept", "taken", "new")}
        assert counts[expected] == sum(counts.values()) >= 1


def test_written_tracks_score_the_same_when_read_back(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "walk", *walk(), frames=12)
    tracked = evaluate(tmp_path, str(folder), "--detections", "det/det.txt", "--write", str(tmp_path / "out"))
    read = evaluate(tmp_path, str(folder), "--results", str(tmp_path / "out"))
    without_time = {name: {**scores, "ms": None, "looks": None} for name, scores in tracked["trackers"]["ours"].items()}
    assert read["trackers"]["results"] == without_time


def test_images_go_through_detector_and_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_sequence(tmp_path / "walk", *walk(4))
    (folder / "img1").mkdir()
    for n in range(1, 5):
        picture = np.zeros((240, 320, 3), np.uint8)
        cv2.rectangle(picture, (100 + 3 * n, 50), (139 + 3 * n, 149), (255, 255, 255), -1)
        cv2.imwrite(str(folder / "img1" / f"{n:06}.png"), picture)
    times_s = []

    def detect(frame: Frame) -> Detections:
        """Detect the white rectangle, which stands for a person."""
        times_s.append(frame.time_s)
        x, y, w, h = cv2.boundingRect(np.ascontiguousarray(frame.image[..., 0]))
        return Detections(frame, np.array([[x, y, x + w, y + h]], np.float32), np.array([0.9], np.float32))

    monkeypatch.setattr(command, "load_detect", lambda config, with_poses: (detect, "computed with a stand-in"))
    found = evaluate(tmp_path, str(folder), "--every", "2")
    assert found["trackers"]["ours"]["walk"]["HOTA"] == pytest.approx(100)
    assert times_s == pytest.approx([0.0, 0.2])  # seqinfo.ini's 10 frames per second


def test_with_a_motion_gate_the_detector_rests_while_a_person_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_sequence(tmp_path / "stand", truth_of_one(60), frames=60)
    (folder / "img1").mkdir()
    picture = np.zeros((240, 320, 3), np.uint8)
    cv2.rectangle(picture, (100, 50), (139, 149), (255, 255, 255), -1)
    for n in range(1, 61):
        cv2.imwrite(str(folder / "img1" / f"{n:06}.png"), picture)
    cadence, looked_s = Cadence(1), list[float]()

    def detect(frame: Frame) -> Detections:
        if not cadence.is_due(frame):
            return Detections.empty(frame, looked=False)
        looked_s.append(frame.time_s)
        return Detections(frame, np.array([[100, 50, 140, 150]], np.float32), np.array([0.9], np.float32))

    monkeypatch.setattr(command, "load_detect", lambda config, with_poses: (detect, "computed with a stand-in"))
    found = evaluate(tmp_path, str(folder), "--activity.mode", "on")
    assert found["trackers"]["ours"]["stand"]["looks"] == len(looked_s) < 40
    assert sum(time_s >= 3.0 for time_s in looked_s) == 3  # in the last three seconds of six


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{dir}/nothing"], "found no gt/gt.txt"),
        (["{dir}/one", "--detections", "det/none.txt"], "no such file"),
        (["{dir}/one", "--detections", "det/bad.txt"], "bad.txt:2: got '1,2,x,4,5,6'"),
        (["{dir}/bare", "--detections", "det/det.txt"], "expected --rate"),
        (["{dir}/one"], "img1: no such folder"),
        (["{dir}/one", "--results", "{dir}/twice"], "frame 1: got an id twice"),
        (["{dir}/one", "--results", "{dir}/twice", "--against", "boxmot"], "--against: got boxmot with --results"),
        (["{dir}/one", "{dir}/bare", "--video", "clip.mp4"], "got 2 sequences"),
        (["{dir}/one", "--every", "0"], "--every: got 0"),
        (["{dir}/one", "--drop", "1"], "--drop: got 1.0"),
        (["{dir}/one", "--hide", "0"], "--hide: got 0.0"),
        (["{dir}/one", "--results", "{dir}/twice", "--hide", "2"], "--hide: got 2.0 with --results"),
        (["{dir}/one", "--detections", "det/det.txt", "--activity.mode", "on"], "--activity.mode: got on with"),
        (["{dir}/one", "--detections", "det/det.txt", "--pose.model", "none"], "the pose model needs images"),
        (["{dir}/one", "--tracker.buffer_s", "long"], "tracker.buffer_s: got 'long'"),
    ],
)
def test_a_user_error_is_one_line_on_stderr(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_sequence(tmp_path / "one", *walk(4))
    (folder / "det" / "bad.txt").write_text("1,2,3,4,5,6\n1,2,x,4,5,6\n")
    make_sequence(tmp_path / "bare", *walk(4), info=False)
    (tmp_path / "twice").mkdir()
    (tmp_path / "twice" / "one.txt").write_text(line(1, 7) * 2)
    assert main(["tracking", *(word.format(dir=tmp_path) for word in words)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_boxmots_scores_equal_those_measured_before(shared_data: Path, tmp_path: Path) -> None:
    """HOTA, MOTA and IDF1 of boxmot's ByteTrack on TUD-Campus, measured independently of this program."""
    folder = shared_data / "mot" / "TUD-Campus"
    found = evaluate(tmp_path, str(folder), "--detections", "det/det.txt", "--against", "boxmot")["trackers"]
    for name, expected in {"constructor": (47.71, 54.04, 67.17), "yaml": (47.06, 61.00, 64.82)}.items():
        scores = found[f"boxmot {name}"]["TUD-Campus"]
        assert (scores["HOTA"], scores["MOTA"], scores["IDF1"]) == pytest.approx(expected, abs=0.005)
