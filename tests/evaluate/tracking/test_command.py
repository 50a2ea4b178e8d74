import importlib.util
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from realtime.config import TrackerConfig
from realtime.evaluate.__main__ import main
from realtime.evaluate.tracking import command
from realtime.evaluate.tracking.command import OurTracker, Thinning, given_detections, read_results, score_tracks, track
from realtime.evaluate.tracking.metrics import Scores, combine, score
from realtime.evaluate.tracking.mot import MotSequence, compare, iou_of, open_sequence, read_rows, write_results
from realtime.evaluate.tracking.occlusion import Occlusions
from realtime.types import Detections, Frame

# The reference rounds to 0.001 percentage points.
REFERENCE_TOLERANCE = 0.0005
BOX = (100.0, 50.0, 40.0, 100.0)


def line(number: int, track_id: int, box: tuple[float, ...] = BOX, *rest: float) -> str:
    return ",".join(f"{value:g}" for value in (number, track_id, *box, *rest)) + "\n"


def make_sequence(folder: Path, truth: str, detections: str = "", frames: int = 4, info: bool = True) -> Path:
    for name, text in (("gt", truth), ("det", detections)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.txt").write_text(text)
    if info:
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname=x\nimDir=img1\nframeRate=10\nseqLength={frames}\nimWidth=640\nimHeight=480\n"
        )
    return folder


def truth_of_one(frames: int = 4) -> str:
    return "".join(line(n, 1, BOX, 1, -1, -1, -1) for n in range(1, frames + 1))


def tracks_of(*ids: int | None, box: tuple[float, ...] = BOX) -> dict[int, command.Boxes]:
    """One track with this id, or none, in each frame from frame 1."""
    return {n: (np.array([i]), np.array([box])) for n, i in enumerate(ids, 1) if i is not None}


@pytest.fixture
def one(tmp_path: Path) -> MotSequence:
    """A sequence of one person who stands still for four frames."""
    return open_sequence(make_sequence(tmp_path / "one", truth_of_one()))


def numbers(sequence: MotSequence, tracks: dict[int, command.Boxes]) -> dict[str, float]:
    return score_tracks(sequence, tracks, list(sequence.frames)).numbers()


# ---- scores, calculated by hand


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        # The person is found in every frame, with one id: all scores are 100.
        (tracks_of(7, 7, 7, 7), {"HOTA": 100, "DetA": 100, "AssA": 100, "MOTA": 100, "IDF1": 100, "IDSW": 0}),
        # The id changes after two of four frames. Each match has TPA 2, FNA 2, FPA 0: AssA 1/2. One switch in 4 frames:
        # MOTA 3/4. Either id has IDTP 2, IDFN 2, IDFP 2: IDF1 1/2.
        (tracks_of(7, 7, 8, 8), {"HOTA": 50**0.5 * 10, "DetA": 100, "AssA": 50, "MOTA": 75, "IDF1": 50, "IDSW": 1}),
        # The person is missed in half of the frames: DetA 1/2; TPA 2, FNA 2: AssA 1/2. IDTP 2, IDFN 2: IDF1 4/6.
        (tracks_of(7, 7, None, None), {"HOTA": 50, "DetA": 50, "AssA": 50, "MOTA": 50, "IDF1": 200 / 3, "IDSW": 0}),
        # The person is never found.
        ({}, {"HOTA": 0, "DetA": 0, "AssA": 0, "MOTA": 0, "IDF1": 0, "IDSW": 0}),
        # Every box is beside the person: four misses, four false positives.
        (
            tracks_of(7, 7, 7, 7, box=(400.0, 50.0, 40.0, 100.0)),
            {"HOTA": 0, "DetA": 0, "AssA": 0, "MOTA": -100, "IDF1": 0, "IDSW": 0},
        ),
        # Every box covers half of the person: IoU 0.5 is a match at .05, .10, ..., .50 (10 of 19 thresholds), and for
        # MOTA and IDF1.
        (
            tracks_of(7, 7, 7, 7, box=(100.0, 50.0, 20.0, 100.0)),
            {"HOTA": 1000 / 19, "DetA": 1000 / 19, "AssA": 1000 / 19, "MOTA": 100, "IDF1": 100, "IDSW": 0},
        ),
    ],
)
def test_the_scores_of_one_person_are_those_calculated_by_hand(
    one: MotSequence, tracks: dict[int, command.Boxes], expected: dict[str, float]
) -> None:
    found = numbers(one, tracks)
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_combined_scores_sum_counts_instead_of_averaging_percentages(tmp_path: Path) -> None:
    short = open_sequence(make_sequence(tmp_path / "short", truth_of_one(2), frames=2))
    long = open_sequence(make_sequence(tmp_path / "long", truth_of_one(8), frames=8))
    scores = [score_tracks(s, t, list(s.frames)) for s, t in ((short, {}), (long, tracks_of(*[1] * 8)))]
    together = combine(scores).numbers()
    assert (together["MOTA"], together["DetA"]) == pytest.approx((80, 80))
    assert together["AssA"] == pytest.approx(100)
    assert together["FN"] == 2


def test_a_sequence_without_frames_scores_0() -> None:
    assert score([]).numbers()["HOTA"] == 0


def test_iou_is_1_for_equal_boxes_and_0_for_disjoint_or_empty_ones() -> None:
    boxes = np.array([(0.0, 0, 10, 10), (5, 0, 10, 10), (20, 20, 5, 5), (0, 0, 0, 0)])
    np.testing.assert_allclose(iou_of(boxes[:1], boxes), [[1, 1 / 3, 0, 0]])


# ---- which ground truth counts


def mot17(*rows: tuple[int, float, int, int]) -> str:
    """Ground truth of one frame with classes, from rows of (id, x, flag, class)."""
    return "".join(line(1, i, (x, 50, 40, 100), flag, kind, 1) for i, x, flag, kind in rows)


@pytest.mark.parametrize(
    ("name", "truth", "truths", "tracks"),
    [
        ("MOT17-00", mot17((1, 100, 1, 1)), [1], [9]),  # a pedestrian counts
        ("MOT17-00", mot17((1, 100, 0, 1)), [], [9]),  # not with flag 0: the track is a false positive
        ("MOT17-00", mot17((1, 100, 1, 3)), [], [9]),  # a car does not count
        ("MOT17-00", mot17((1, 100, 0, 7)), [], []),  # a static person is a distractor: its track does not count
        ("MOT17-00", mot17((1, 130, 0, 7)), [], [9]),  # this distractor is too far away
        ("MOT17-00", mot17((1, 110, 0, 7), (2, 100, 1, 1)), [2], [9]),  # the pedestrian overlaps more
        ("MOT17-00", mot17((1, 100, 0, 6)), [], [9]),  # a non-motorised vehicle is a distractor only in MOT20
        ("MOT20-00", mot17((1, 100, 0, 6)), [], []),
        ("PETS", line(1, 1, BOX, 1, 7, 1, 1), [1], [9]),  # MOT15: column 8 is a world coordinate, not a class
        ("PETS", line(1, 1, BOX, 0, 1, 1, 1), [], [9]),
    ],
)
def test_only_pedestrians_and_tracks_that_match_no_distractor_count(
    name: str, truth: str, truths: list[int], tracks: list[int], tmp_path: Path
) -> None:
    sequence = open_sequence(make_sequence(tmp_path / name, truth))
    compared = compare(sequence, 1, np.array([9]), np.array([BOX]))
    assert compared.truth_ids.tolist() == truths
    assert compared.track_ids.tolist() == tracks
    assert compared.iou.shape == (len(truths), len(tracks))


def test_without_seqinfo_the_sequence_ends_with_the_ground_truth(tmp_path: Path) -> None:
    sequence = open_sequence(make_sequence(tmp_path / "bare", truth_of_one(5), info=False))
    assert sequence.frames == range(1, 6)
    assert sequence.rate_hz is None


def test_missing_columns_are_1_and_spaces_may_stand_for_commas(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("3 -1 1 2 3 4\n\n")
    np.testing.assert_array_equal(read_rows(tmp_path / "rows.txt")[3], [[3, -1, 1, 2, 3, 4, 1, 1, 1]])


# ---- dropped frames


def test_every_nth_frame_is_kept_starting_with_the_first() -> None:
    assert Thinning(every=3).of(range(1, 11)) == [1, 4, 7, 10]


def test_the_seed_determines_which_frames_are_dropped() -> None:
    kept = Thinning(drop=0.3, seed=0).of(range(1, 2001))
    assert len(kept) == pytest.approx(1400, abs=60)
    assert kept == Thinning(drop=0.3, seed=0).of(range(1, 2001))
    assert kept != Thinning(drop=0.3, seed=1).of(range(1, 2001))


def test_only_kept_frames_are_scored(one: MotSequence) -> None:
    assert score_tracks(one, tracks_of(7, None, 7, None), Thinning(every=2).of(one.frames)).numbers()["MOTA"] == 100


# ---- the subcommand


def evaluate(tmp_path: Path, *words: str) -> dict:
    file = tmp_path / "numbers.json"
    assert main(["tracking", *words, "--json", str(file)]) == 0
    return json.loads(file.read_text())


def walk(frames: int = 12) -> tuple[str, str]:
    """Ground truth and detections of one walking person, at 10 frames per second."""
    boxes = [(100.0 + 3 * n, 50.0, 40.0, 100.0) for n in range(1, frames + 1)]
    truth = "".join(line(n, 1, box, 1, -1, -1, -1) for n, box in enumerate(boxes, 1))
    return truth, "".join(line(n, -1, box, 0.9) for n, box in enumerate(boxes, 1))


def test_detections_from_a_file_go_through_our_tracker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sequence(tmp_path / "mot" / "walk", *walk(), frames=12)
    found = evaluate(tmp_path, str(tmp_path / "mot"), "--detections", "det/det.txt")
    assert found["trackers"]["ours"]["walk"]["HOTA"] == pytest.approx(100)
    assert found["trackers"]["ours"]["COMBINED"]["IDSW"] == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert ["sequence", "tracker", "frames", "HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "ms"] in rows
    assert ["walk", "ours", "12", "100.00", "100.00", "100.00", "100.00", "100.00", "0"] in [row[:-1] for row in rows]
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
    assert sorted(found) == ["boosttrack", "botsort", "bytetrack", "ours", "sfsort"]
    assert {round(scores["walk"]["IDF1"]) for scores in found.values()} == {100}


def standing(tmp_path: Path, seconds: int = 20) -> Path:
    """A sequence of one person who stands still and is detected in every frame, at 10 frames per second."""
    frames = range(1, 10 * seconds + 1)
    found = "".join(line(n, -1, BOX, 0.9) for n in frames)
    return make_sequence(tmp_path / "standing", truth_of_one(frames[-1]), found, frames[-1])


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


def test_only_the_detections_of_hidden_people_are_withheld(tmp_path: Path) -> None:
    sequence = open_sequence(standing(tmp_path))
    beside = "".join(line(n, -1, (300.0, 50.0, 40.0, 100.0), 0.8) for n in sequence.frames)
    file = sequence.folder / "det" / "det.txt"
    file.write_text(file.read_text() + beside)
    occlusions = Occlusions(sequence, 3.0, seed=1)
    left = [len(item) for item in occlusions.withheld(given_detections(sequence, file, list(sequence.frames)))]
    assert set(left) == {1, 2}
    assert left.count(1) == 30 * len(occlusions) > 0
    assert left[:20] == left[-20:] == [2] * 20


def test_an_id_that_another_person_had_before_counts_as_taken(tmp_path: Path) -> None:
    sequence = open_sequence(standing(tmp_path, 12))
    tracks = {n: (np.array([7, 8]), np.array([BOX, (300.0, 50.0, 40.0, 100.0)])) for n in range(1, 45)}
    after = {n: (np.array([8]), np.array([BOX])) for n in range(45, 121)}
    assert Occlusions(sequence, 3.0, seed=0).outcomes(tracks | after) == {"taken": 1}


def test_written_tracks_score_the_same_when_read_back(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path / "walk", *walk(), frames=12)
    tracked = evaluate(tmp_path, str(folder), "--detections", "det/det.txt", "--write", str(tmp_path / "out"))
    read = evaluate(tmp_path, str(folder), "--results", str(tmp_path / "out"))
    without_time = {name: {**scores, "ms": None} for name, scores in tracked["trackers"]["ours"].items()}
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

    monkeypatch.setattr(command, "_detector", lambda config, with_poses: detect)
    found = evaluate(tmp_path, str(folder), "--every", "2")
    assert found["trackers"]["ours"]["walk"]["HOTA"] == pytest.approx(100)
    assert times_s == pytest.approx([0.0, 0.2])  # seqinfo.ini's 10 frames per second


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


# ---- comparison with the reference on real sequences


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score_mot", shared_data / "score" / "score_mot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_scores_equal_those_of_the_reference(shared_data: Path, reference: ModuleType, tmp_path: Path) -> None:
    """A sequence with classes and distractors, one with a moving camera, one with ignored ground truth, a short one."""
    ours, raw = [], []
    for name in ("MOT17-04-FRCNN", "KITTI-17", "ETH-Bahnhof", "TUD-Campus"):
        sequence = open_sequence(shared_data / "mot" / name)
        kept = list(sequence.frames[:300])
        detections = given_detections(sequence, Path("det/det.txt"), kept)
        written = tmp_path / f"{name}.txt"
        write_results(written, track(detections, {"ours": OurTracker(TrackerConfig())})["ours"])
        ours.append(score_tracks(sequence, read_results(sequence, tmp_path), kept))
        truth = sequence.folder / "gt" / "gt.txt"
        expected, counts = reference.score_files(str(truth), str(written), frames=(1, kept[-1]))
        raw.append(counts)
        check(ours[-1], expected)
    check(combine(ours), reference.finish(*(reference.add([counts[k] for counts in raw]) for k in range(3))))


def check(ours: Scores, expected: dict[str, float]) -> None:
    wanted = {key: expected["IDs" if key == "IDSW" else key] for key in ours.numbers()}
    assert ours.numbers() == pytest.approx(wanted, abs=REFERENCE_TOLERANCE, rel=0)


def test_boxmots_scores_equal_those_measured_before(shared_data: Path, tmp_path: Path) -> None:
    """HOTA, MOTA and IDF1 of boxmot's ByteTrack on TUD-Campus, measured independently of this program."""
    folder = shared_data / "mot" / "TUD-Campus"
    found = evaluate(tmp_path, str(folder), "--detections", "det/det.txt", "--against", "boxmot")["trackers"]
    for name, expected in {"constructor": (47.71, 54.04, 67.17), "yaml": (47.06, 61.00, 64.82)}.items():
        scores = found[f"boxmot {name}"]["TUD-Campus"]
        assert (scores["HOTA"], scores["MOTA"], scores["IDF1"]) == pytest.approx(expected, abs=0.005)
