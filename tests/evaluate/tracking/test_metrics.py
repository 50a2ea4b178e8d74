import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from realtime.config import TrackerConfig
from realtime.evaluate.tracking.inputs import Thinning, given_detections, read_results
from realtime.evaluate.tracking.metrics import Scores, combine, score, score_tracks
from realtime.evaluate.tracking.mot import Boxes, MotSequence, open_sequence, write_results
from realtime.evaluate.tracking.trackers import OurTracker, run_trackers
from tests.evaluate.tracking.sequences import BOX, make_sequence, truth_of_one

# The reference rounds to 0.001 percentage points.
REFERENCE_TOLERANCE = 0.0005


def tracks_of(*ids: int | None, box: tuple[float, ...] = BOX) -> dict[int, Boxes]:
    """One track with this id, or none, in each frame from frame 1."""
    return {n: (np.array([i]), np.array([box])) for n, i in enumerate(ids, 1) if i is not None}


@pytest.fixture
def one(tmp_path: Path) -> MotSequence:
    """A sequence of one person who stands still for four frames."""
    return open_sequence(make_sequence(tmp_path / "one", truth_of_one()))


def numbers(sequence: MotSequence, tracks: dict[int, Boxes]) -> dict[str, float]:
    return score_tracks(sequence, tracks, list(sequence.frames)).numbers()


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
    one: MotSequence, tracks: dict[int, Boxes], expected: dict[str, float]
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


def test_only_kept_frames_are_scored(one: MotSequence) -> None:
    assert score_tracks(one, tracks_of(7, None, 7, None), Thinning(every=2).of(one.frames)).numbers()["MOTA"] == 100


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
        write_results(written, run_trackers(detections, {"ours": OurTracker(TrackerConfig())})["ours"])
        ours.append(score_tracks(sequence, read_results(sequence, tmp_path), kept))
        truth = sequence.folder / "gt" / "gt.txt"
        expected, counts = reference.score_files(str(truth), str(written), frames=(1, kept[-1]))
        raw.append(counts)
        check(ours[-1], expected)
    check(combine(ours), reference.finish(*(reference.add([counts[k] for counts in raw]) for k in range(3))))


def check(ours: Scores, expected: dict[str, float]) -> None:
    wanted = {key: expected["IDs" if key == "IDSW" else key] for key in ours.numbers()}
    assert ours.numbers() == pytest.approx(wanted, abs=REFERENCE_TOLERANCE, rel=0)
