import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.config import TrackerConfig, TrackerMethod, load
from realtime.errors import ConfigError
from realtime.evaluate.tracking.inputs import given_detections
from realtime.evaluate.tracking.mot import open_sequence
from realtime.track.association import Association, Rules
from realtime.track.boxmot import BoxmotAssociation
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame, Tracks
from tests.builders import make_detections, make_frame

IMAGE = np.zeros((480, 640, 3), np.uint8)
# Guarantees that hold for every method are tested with every method.
every_method = pytest.mark.parametrize("method", get_args(TrackerMethod))


def frame_at(time_s: float, epoch: int = 0, camera: str = "cam0") -> Frame:
    return make_frame(round(time_s * 1000), camera, epoch, IMAGE, time_s=time_s)


def detections(
    time_s: float, boxes: list[tuple[float, float, float, float]], scores: list[float] | None = None, epoch: int = 0,
    camera: str = "cam0",
) -> Detections:  # fmt: skip
    return make_detections(frame_at(time_s, epoch, camera), boxes, 0.9 if scores is None else scores)


def walker(k: int) -> tuple[float, float, float, float]:
    return (10.0 + 3 * k, 100.0, 60.0 + 3 * k, 250.0)


def follow(stage: TrackStage, items: list[Detections]) -> Iterator[Tracks]:
    for item in items:
        yield from stage.process([item])


@every_method
def test_a_walker_keeps_id_1_and_the_box_of_the_detection(method: TrackerMethod) -> None:
    stage = TrackStage(TrackerConfig(method=method))
    for k, tracks in enumerate(follow(stage, [detections(k / 30, [walker(k)]) for k in range(20)])):
        assert tracks.track_ids.tolist() == [1]
        np.testing.assert_array_equal(tracks.xyxy[0], np.float32(walker(k)))
        assert tracks.measured.all()


@every_method
def test_a_person_lying_down_is_tracked_like_a_standing_one(method: TrackerMethod) -> None:
    stage = TrackStage(TrackerConfig(method=method))
    lying = [detections(k / 30, [(100.0 + k, 300.0, 350.0 + k, 360.0)]) for k in range(5)]
    assert [tracks.track_ids.tolist() for tracks in follow(stage, lying)] == [[1]] * 5


@every_method
def test_frames_without_detections_have_no_tracks(method: TrackerMethod) -> None:
    stage = TrackStage(TrackerConfig(method=method))
    items = [detections(0.0, []), detections(0.1, [walker(0)]), detections(0.2, [])]
    assert [len(tracks) for tracks in follow(stage, items)][::2] == [0, 0]


def test_tracks_keep_the_order_and_the_keypoints_of_the_detections() -> None:
    stage = TrackStage(TrackerConfig())
    boxes = [(300.0, 10.0, 360.0, 200.0), (10.0, 10.0, 60.0, 200.0), (150.0, 10.0, 210.0, 200.0)]
    item = detections(0.0, boxes, [0.6, 0.9, 0.7])
    keypoints = np.arange(3, dtype=np.float32).reshape(3, 1, 1).repeat(17, 1).repeat(3, 2)
    item = Detections(item.frame, item.xyxy, item.scores, np.ascontiguousarray(keypoints))
    tracks = stage.process([item])[0]
    np.testing.assert_array_equal(tracks.xyxy, np.float32(boxes))
    assert tracks.keypoints is not None
    assert tracks.keypoints[:, 0, 0].tolist() == [0, 1, 2]


@every_method
def test_a_weak_detection_continues_a_track_but_does_not_start_one(method: TrackerMethod) -> None:
    config = TrackerConfig(track_score=0.5, low_score=0.1, method=method)
    stage = TrackStage(config)
    stage.process([detections(0.0, [walker(0)])])
    beside = (400.0, 100.0, 450.0, 250.0)
    assert stage.process([detections(0.1, [beside, walker(1)], [0.05, 0.2])])[0].track_ids.tolist() == [1]
    assert len(TrackStage(config).process([detections(0.0, [walker(0)], [0.2])])[0]) == 0


@every_method
@pytest.mark.parametrize(
    ("fps", "gap_s", "kept"),
    [
        (30.0, 0.8, True),  # within the buffer of 1 s
        (30.0, 1.5, False),  # beyond the buffer
        (5.0, 0.8, True),  # the same at another frame rate
        (5.0, 1.5, False),
    ],
)
def test_the_id_of_a_lost_person_is_kept_for_seconds_not_frames(
    fps: float, gap_s: float, kept: bool, method: TrackerMethod
) -> None:
    stage = TrackStage(TrackerConfig(buffer_s=1.0, method=method))
    box = (100.0, 100.0, 160.0, 300.0)
    frames = round(2 * fps)
    seen = [detections(k / fps, [box]) for k in range(frames)]
    gone = [detections((frames + k) / fps, []) for k in range(round(gap_s * fps))]
    back = [detections((frames + len(gone) + k) / fps, [box]) for k in range(3)]
    last = list(follow(stage, seen + gone + back))[-1]
    assert last.track_ids.tolist() == ([1] if kept else [2])


@every_method
def test_the_id_of_a_lost_person_ends_exactly_once_when_the_buffer_expires(method: TrackerMethod) -> None:
    stage = TrackStage(TrackerConfig(buffer_s=0.5, method=method))
    seen = [detections(k / 30, [walker(k)]) for k in range(10)]
    gone = [detections((10 + k) / 30, []) for k in range(30)]
    ended = [(tracks.frame.time_s, tracks.ended) for tracks in follow(stage, seen + gone) if tracks.ended]
    assert [ids for _, ids in ended] == [(1,)]
    assert ended[0][0] == pytest.approx(9 / 30 + 0.5, abs=2.1 / 30)


@every_method
def test_a_new_epoch_reuses_no_ids(method: TrackerMethod) -> None:
    stage = TrackStage(TrackerConfig(method=method))
    stage.process([detections(0.0, [walker(0), (300.0, 10.0, 360.0, 200.0)])])
    assert stage.process([detections(0.0, [walker(0)], epoch=1)])[0].track_ids.tolist() == [3]


@every_method
def test_a_forgotten_camera_starts_without_people_and_reuses_no_ids(method: TrackerMethod) -> None:
    stage = TrackStage(TrackerConfig(method=method))
    for camera in ("cam0", "cam1"):
        stage.process([detections(0.0, [walker(0), (300.0, 10.0, 360.0, 200.0)], camera=camera)])
    stage.forget("cam0")
    assert len(stage.process([not_looked(0.1)])[0]) == 0
    assert stage.process([detections(0.2, [walker(0)])])[0].track_ids.tolist() == [3]
    assert stage.process([detections(0.2, [walker(0)], epoch=1)])[0].track_ids.tolist() == [4]
    assert stage.process([detections(0.1, [walker(0)], camera="cam1")])[0].track_ids.tolist() == [1]


def test_each_camera_counts_its_ids_separately() -> None:
    stage = TrackStage(TrackerConfig())
    first, second = stage.process([detections(0.0, [walker(0)]), detections(0.0, [walker(9)], camera="cam1")])
    assert first.track_ids.tolist() == second.track_ids.tolist() == [1]


def test_a_fast_walker_keeps_their_id_at_irregular_intervals() -> None:
    """300 px/s, 60 px wide, intervals from 1/30 to 1/6 s: a fixed time step would produce about 20 ids."""
    random, time_s = np.random.default_rng(0), 0.0
    stage, ids = TrackStage(TrackerConfig()), set()
    for _ in range(60):
        x = 50 + (300 * time_s) % 3000
        ids |= set(stage.process([detections(time_s, [(x, 100, x + 60, 280)])])[0].track_ids.tolist())
        time_s += random.uniform(1 / 30, 1 / 6)
    assert len(ids) <= 3


@pytest.mark.parametrize("classes", [0, 2])
@every_method
def test_memory_stays_bounded_while_people_come_and_go(method: TrackerMethod, classes: int) -> None:
    stage = TrackStage(TrackerConfig(buffer_s=0.2, method=method))
    random = np.random.default_rng(0)
    for k in range(600):
        x, y = random.uniform(0, 580), random.uniform(0, 400)
        labels = [f"class {k // 3 % classes}"] if classes else None
        stage.process([make_detections(frame_at(k / 30), [(x, y, x + 40, y + 70)], labels=labels)])
    tracker = stage._cameras.get("cam0")
    assert len(tracker._association.known()) < 50
    assert len(tracker._ids) < 50
    if method != "bytetrack":
        assert len(getattr(tracker._association._tracker, "removed_stracks", ())) <= 200 * (classes or 1)
        assert len(tracker._association._times_s) < 20


def test_boxmot_and_torch_are_loaded_for_the_methods_of_boxmot_only() -> None:
    code = (
        "import sys; from realtime.config import TrackerConfig; from realtime.track.stage import TrackStage\n"
        "TrackStage(TrackerConfig(method=sys.argv[1])); print({'torch', 'boxmot', 'scipy'} & set(sys.modules))\n"
    )
    loaded = {
        method: subprocess.run([sys.executable, "-c", code, method], check=True, capture_output=True, text=True).stdout
        for method in ("bytetrack", "boxmot-bytetrack")
    }
    assert loaded["bytetrack"] == "set()\n"
    assert "'boxmot'" in loaded["boxmot-bytetrack"]


# ---- frames without a detection run


def not_looked(time_s: float, epoch: int = 0) -> Detections:
    return Detections.empty(frame_at(time_s, epoch), looked=False)


@every_method
@pytest.mark.parametrize("every", [2, 3, 5])
def test_people_keep_their_ids_between_detection_runs(every: int, method: TrackerMethod) -> None:
    stage = TrackStage(TrackerConfig(method=method))
    people = [[walker(k), (400.0 - 2 * k, 200.0, 450.0 - 2 * k, 350.0)] for k in range(6 * every)]
    items = [detections(k / 30, boxes) if k % every == 0 else not_looked(k / 30) for k, boxes in enumerate(people)]
    for k, tracks in enumerate(follow(stage, items)):
        assert tracks.track_ids.tolist() == [1, 2]
        assert tracks.measured.tolist() == [k % every == 0] * 2
        if k > every:  # a speed needs two detection runs
            np.testing.assert_allclose(tracks.xyxy, people[k], atol=0.01)


def test_a_person_missing_from_a_detection_run_is_not_extrapolated() -> None:
    stage = TrackStage(TrackerConfig())
    items = [detections(0.0, [walker(0)]), not_looked(0.03), detections(0.06, [walker(2)]), detections(0.09, [])]
    assert [len(tracks) for tracks in follow(stage, [*items, not_looked(0.12)])] == [1, 1, 1, 0, 0]


def test_a_new_epoch_starts_without_people() -> None:
    stage = TrackStage(TrackerConfig())
    stage.process([detections(0.0, [walker(0)])])
    assert len(stage.process([not_looked(0.1, epoch=1)])[0]) == 0


@pytest.mark.parametrize(("gap_s", "kept"), [(0.8, True), (1.5, False)])
def test_the_buffer_is_in_seconds_at_any_cadence(gap_s: float, kept: bool) -> None:
    stage = TrackStage(TrackerConfig(buffer_s=1.0))
    box = (100.0, 100.0, 160.0, 300.0)
    times_s = np.arange(0, 4, 1 / 30)
    items = [
        not_looked(t) if k % 5 else detections(t, [] if 1.0 < t < 1.0 + gap_s else [box]) for k, t in enumerate(times_s)
    ]
    assert list(follow(stage, items))[-1].track_ids.tolist() == ([1] if kept else [2])


def test_a_fast_walker_keeps_their_id_with_few_detection_runs() -> None:
    """300 px/s, 60 px wide: boxes up to 1/6 s apart hardly overlap, so boxmot needs the true time between them."""
    random, time_s = np.random.default_rng(0), 0.0
    stage, ids = TrackStage(TrackerConfig()), set()
    for k in range(120):
        x = 20 + 300 * time_s % 600
        due = k % 4 == 0
        item = detections(time_s, [(x, 100, x + 60, 280)]) if due else not_looked(time_s)
        ids |= set(stage.process([item])[0].track_ids.tolist())
        time_s += random.uniform(1 / 60, 1 / 25)
    assert len(ids) <= 9  # the walker jumps back to the left every 2 s


@pytest.mark.parametrize("method", ["bytetrack", "boxmot-bytetrack"])
def test_coasting_changes_nothing_if_the_detector_runs_on_every_frame(shared_data: Path, method: TrackerMethod) -> None:
    """Compares ids and boxes of 100 real frames with the association alone, bit for bit."""
    sequence = open_sequence(shared_data / "mot" / "MOT17-04-FRCNN")
    items = list(given_detections(sequence, Path("det/det.txt"), list(sequence.frames[:100])))
    config, ids = TrackerConfig(method=method), dict[int, int]()
    plain = Association(Rules.of(config)) if method == "bytetrack" else BoxmotAssociation(config, (1920, 1080))
    stage = TrackStage(config)
    for item in items:
        rows, theirs = plain.update(item)
        tracks = stage.process([item])[0]
        np.testing.assert_array_equal(tracks.xyxy, item.xyxy[rows])
        assert tracks.track_ids.tolist() == [ids.setdefault(each, len(ids) + 1) for each in theirs.tolist()]
        assert tracks.measured.all()


@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_newcomer_is_published_with_the_second_detection_run_and_then_in_all_frames(every: int) -> None:
    stage, sits = TrackStage(TrackerConfig()), (400.0, 200.0, 450.0, 350.0)
    boxes = [[sits] if k < 2 * every else [sits, walker(k)] for k in range(6 * every)]
    items = [detections(k / 25, boxes[k]) if k % every == 0 else not_looked(k / 25) for k in range(6 * every)]
    counts = [len(tracks) for tracks in follow(stage, items)]
    assert counts == [1] * 3 * every + [2] * 3 * every


def test_a_newcomer_who_is_not_published_yet_keeps_the_camera_awake() -> None:
    stage, told = TrackStage(TrackerConfig()), list[tuple[int, bool]]()
    stage.looked = lambda tracks, is_settled: told.append((len(tracks), is_settled))
    for k, score in enumerate([None, 0.45, 0.45, 0.45, 0.45, 0.45]):
        stage.process([detections(k / 25, [walker(k)] if score else [], [score] if score else [])])
    assert told == [(0, True), (0, False), (0, False), (0, False), (1, True), (1, True)]


# ---- trackers that use the image


@every_method
def test_a_person_who_is_looked_at_once_a_second_for_minutes_keeps_their_id_and_walks_away_with_it(
    method: TrackerMethod,
) -> None:
    random, stage = np.random.default_rng(5), TrackStage(TrackerConfig(method=method))
    sits = np.array([100.0, 100.0, 160.0, 260.0])
    seen: set[int] = set()
    for second in range(180):
        [found] = stage.process([detections(float(second), [tuple(sits + random.normal(0, 1.5, 4))])])
        [between] = stage.process([not_looked(second + 0.5)])
        assert between.track_ids.tolist() == found.track_ids.tolist()
        seen |= set(found.track_ids.tolist())
    for step in range(50):
        walks = sits + np.array([4.0, 0, 4, 0]) * step
        seen |= set(stage.process([detections(179.6 + step / 25, [tuple(walks)])])[0].track_ids.tolist())
    assert seen == {1}


@every_method
def test_a_tracker_is_settled_while_it_sees_all_people_it_knows_and_some_time_after_they_left(
    method: TrackerMethod,
) -> None:
    stage, told = TrackStage(TrackerConfig(method=method, buffer_s=1.0)), list[bool]()
    stage.looked = lambda tracks, is_settled: told.append(is_settled)
    people = [walker(0), (400.0, 200.0, 450.0, 350.0)]
    for k in range(120):
        stage.process([detections(k / 25, people if k < 50 else [])])
    assert all(told[3:50])
    assert not any(told[51:70])
    assert all(told[85:])


def test_people_whom_the_tracker_has_lost_or_not_confirmed_yet_are_told_as_unsettled() -> None:
    stage, told = TrackStage(TrackerConfig(buffer_s=1.0)), list[tuple[list[int], bool]]()
    stage.looked = lambda tracks, is_settled: told.append((tracks.track_ids.tolist(), is_settled))
    sitting, newcomer = walker(0), (300.0, 100.0, 360.0, 260.0)
    found = [[sitting], [sitting, newcomer], [sitting, newcomer], [newcomer], [newcomer], [newcomer], [newcomer]]
    for time_s, boxes in zip((0.0, 0.1, 0.2, 0.3, 1.1, 1.6, 1.7), found, strict=True):
        stage.process([detections(time_s, boxes)])
        stage.process([not_looked(time_s + 0.05)])  # tells nothing
    assert told[:3] == [([1], True), ([1], False), ([1, 2], True)]
    # The buffer expires 1.0 s after 0.2 s.
    assert told[3:] == [([2], False)] * 2 + [([2], True)] * 2


def panned(random: np.random.Generator) -> Iterator[Detections]:
    """Two people stand still and the camera pans: within one frame, everything moves by 60 px, their own width."""
    wide = cv2.GaussianBlur(random.integers(0, 255, (480, 900, 3), np.uint8), (0, 0), 12)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    for k in range(12):
        left = 60 if k >= 8 else 0
        boxes = np.array([(200, 100, 260, 280), (420, 120, 480, 300)], np.float32) - np.float32((left, 0, left, 0))
        yield make_detections(make_frame(k, image=np.ascontiguousarray(wide[:, left : left + 640])), boxes)


@pytest.mark.parametrize(("method", "ids"), [("bytetrack", 4), ("botsort", 2), ("boosttrack", 2)])
def test_trackers_that_use_the_image_compensate_for_a_camera_pan(method: TrackerMethod, ids: int) -> None:
    stage = TrackStage(TrackerConfig(method=method))
    assert len({i for tracks in follow(stage, list(panned(np.random.default_rng(0)))) for i in tracks.track_ids}) == ids


@pytest.fixture(scope="module")
def appearance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An untrained OSNet, which still distinguishes colours."""
    from boxmot.reid.core.registry import ReIDModelRegistry

    torch.manual_seed(0)
    network = ReIDModelRegistry.build_model("osnet_x0_25", None, num_classes=4, pretrained=False, use_gpu=False)
    file = tmp_path_factory.mktemp("reid") / "osnet_x0_25_msmt17.pt"
    torch.save(network.state_dict(), file)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a network this small is slower with several threads
    yield file
    torch.set_num_threads(threads)


@pytest.mark.parametrize("method", ["botsort", "boosttrack"])
def test_the_appearance_network_is_loaded_from_a_file(method: TrackerMethod, appearance: Path) -> None:
    stage = TrackStage(TrackerConfig(method=method, reid=appearance))
    images = [IMAGE.copy() for _ in range(6)]
    for k, image in enumerate(images):
        image[100:250, 10 + 3 * k : 60 + 3 * k] = (200, 30, 60)
    items = [make_detections(make_frame(k, image=images[k]), [walker(k)]) for k in range(6)]
    assert [tracks.track_ids.tolist() for tracks in follow(stage, items)] == [[1]] * 6
    (track,) = [t for name in ("active_tracks", "trackers") for t in getattr(tracker_of(stage), name, ())][:1]
    features = track.smooth_feat if method == "botsort" else track.get_emb()
    assert features.shape == (512,)


def tracker_of(stage: TrackStage) -> object:
    return stage._cameras.get("cam0")._association._tracker


@pytest.mark.parametrize(
    ("method", "file", "said"),
    [
        ("botsort", "none.pt", "expected an existing .pt or .pth file"),  # boxmot would download it
        ("botsort", "osnet.onnx", "expected an existing .pt or .pth file"),
        ("botsort", "osnet_x0_25.pt", "boxmot can't load it"),  # the file is not a network
        ("bytetrack", "osnet_x0_25.pt", "expected botsort or boosttrack"),
    ],
)
def test_an_unusable_appearance_network_is_an_error(method: str, file: str, said: str, tmp_path: Path) -> None:
    for name in ("osnet.onnx", "osnet_x0_25.pt"):
        (tmp_path / name).write_bytes(b"no network")
    flags = {"tracker.method": method, "tracker.reid": str(tmp_path / file)}
    with pytest.raises(ConfigError, match=said):
        TrackStage(load((), {}, flags).tracker)


# ---- several classes


@every_method
def test_a_cat_in_front_of_a_person_has_an_id_of_its_own(method: TrackerMethod) -> None:
    stage = TrackStage(TrackerConfig(method=method))
    for k in range(8):
        boxes = [walker(k), walker(k)] if k % 2 else [walker(k), walker(k)][::-1]
        labels = ["person", "cat"] if k % 2 else ["cat", "person"]
        [tracks] = stage.process([make_detections(frame_at(k / 30), boxes, [0.9, 0.8], labels=labels)])
        assert dict(zip(tracks.labels.tolist(), tracks.track_ids.tolist(), strict=True)) == {"cat": 1, "person": 2}
        assert tracks.labels.tolist() == labels  # in the order of the detections


@every_method
def test_each_class_is_tracked_as_if_there_were_no_other(method: TrackerMethod) -> None:
    both, random = TrackStage(TrackerConfig(method=method, buffer_s=0.5)), np.random.default_rng(1)
    alone = {label: TrackStage(TrackerConfig(method=method, buffer_s=0.5)) for label in ("cat", "person")}
    same: dict[int, tuple[str, int]] = {}
    for k in range(80):
        here = np.flatnonzero((random.random(4) > 0.2) & ((k % 60 < 40) | (np.arange(4) > 0)))
        x, y = 30 + 140 * here + 40 * np.sin(k / 15 + here), 100 + 20 * np.sin(k / 9 + here)
        boxes, scores = np.stack([x, y, x + 70, y + 160], 1), random.uniform(0.2, 0.95, len(here)).astype(np.float32)
        labels = np.array(["cat", "person"])[here % 2]
        [tracks] = both.process([make_detections(frame_at(k / 25), boxes, scores, labels=labels)])
        for label, stage in alone.items():
            rows = labels == label
            [expected] = stage.process([make_detections(frame_at(k / 25), boxes[rows], scores[rows])])
            np.testing.assert_array_equal(tracks.xyxy[tracks.labels == label], expected.xyxy)
            ids = tracks.track_ids[tracks.labels == label].tolist()
            for track_id, own in zip(ids, expected.track_ids.tolist(), strict=True):
                assert same.setdefault(track_id, (label, own)) == (label, own)
    assert len(same) >= 4


def test_one_whose_class_flickers_is_two_tracks_and_each_keeps_its_class() -> None:
    stage = TrackStage(TrackerConfig())
    labels = ["cat", "cat", "person", "person", "cat", "person", "cat"]
    ids = [
        stage.process([make_detections(frame_at(k / 30), [walker(k)], labels=[label])])[0].track_ids.tolist()
        for k, label in enumerate(labels)
    ]
    assert ids == [[1], [1], [], [2], [1], [2], [1]]  # a new track is confirmed by its second detection


def test_labels_are_kept_in_frames_without_a_detection_run_and_without_anyone() -> None:
    stage = TrackStage(TrackerConfig(buffer_s=0.1))
    boxes = [(100, 100, 160, 280), (300, 100, 360, 280)]
    for k in range(2):
        stage.process([make_detections(frame_at(k / 30), boxes, labels=["cat", "person"])])
    [between] = stage.process([Detections.empty(frame_at(3 / 30), looked=False)])
    assert (between.labels.tolist(), between.track_ids.tolist()) == (["cat", "person"], [1, 2])
    nobody = stage.process([make_detections(frame_at(time_s), [], labels=[]) for time_s in (1.0, 2.0, 3.0)])
    assert [tracks.labels.tolist() for tracks in nobody] == [[]] * 3
    assert sorted(track_id for tracks in nobody for track_id in tracks.ended) == [1, 2]
    [still_nobody] = stage.process([Detections.empty(frame_at(3.1), looked=False)])
    assert still_nobody.labels.tolist() == []


def test_the_tracker_is_settled_once_it_is_with_every_class() -> None:
    stage, settled = TrackStage(TrackerConfig()), []
    stage.looked = lambda tracks, is_settled: settled.append(is_settled)
    person, cat = (100, 100, 160, 280), (300, 100, 360, 280)
    for k, labels in enumerate([["person", "cat"], ["person", "cat"], ["person"], ["person", "cat"]]):
        stage.process([make_detections(frame_at(k / 30), [person, cat][: len(labels)], labels=labels)])
    assert settled == [True, True, False, True]  # the cat is lost in the third frame


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_a_track_never_changes_its_class(data: st.DataObject) -> None:
    """Boxes that overlap, come and go, and whose class flickers, with frames between them that are not looked at."""
    method = data.draw(st.sampled_from(get_args(TrackerMethod)))
    stage, class_of = TrackStage(TrackerConfig(method=method, buffer_s=0.3)), {}
    places = st.tuples(st.integers(0, 3), st.sampled_from(["person", "cat"]), st.floats(0.1, 1.0))
    for k in range(data.draw(st.integers(5, 25))):
        found = data.draw(st.lists(places, max_size=4))
        boxes = [(100 + 15 * x + k, 100, 160 + 15 * x + k, 260) for x, _, _ in found]
        frame = frame_at(k / 15)
        item = make_detections(frame, boxes, [score for *_, score in found], labels=[label for _, label, _ in found])
        [tracks] = stage.process([item if data.draw(st.booleans()) or not k else Detections.empty(frame, looked=False)])
        ids, labels = tracks.track_ids.tolist(), tracks.labels.tolist()
        assert len(set(ids)) == len(ids)
        for track_id, label in zip(ids, labels, strict=True):
            assert class_of.setdefault(track_id, label) == label
        assert not set(tracks.ended) & set(ids)
    assert sorted(class_of) == list(range(1, len(class_of) + 1))  # one counter for all classes
