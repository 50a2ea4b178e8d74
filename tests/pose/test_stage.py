from __future__ import annotations

import numpy as np
import pytest

from realtime.pose.passthrough import PassThrough
from realtime.pose.stage import PoseStage, with_keypoints
from realtime.skeleton import COCO17, NO_SKELETON
from realtime.types import Frame, Tracks


def tracks_of(camera, boxes, keypoints=None, index=0, epoch=0):
    frame = Frame(camera, epoch, index, np.zeros((120, 160, 3), np.uint8), index / 30, 0, 0)
    count = len(boxes)
    return Tracks(
        frame,
        np.array(boxes, np.float32, order="C").reshape(-1, 4),
        np.linspace(0.5, 0.9, count, dtype=np.float32),
        np.arange(1, count + 1, dtype=np.int64),
        np.arange(count) % 2 == 0,
        keypoints,
    )


class FakeModel:
    """Puts every keypoint at the top left corner of the box with score 0.5, and records the calls."""

    name = "fake"
    engine_name = "fake engine"
    skeleton = COCO17

    def __init__(self):
        self.calls = []
        self.warm = False

    def estimate(self, images, xyxy):
        self.calls.append((list(images), list(xyxy)))
        found = [np.full((len(boxes), 17, 3), 0.5, np.float32) for boxes in xyxy]
        for keypoints, boxes in zip(found, xyxy, strict=True):
            keypoints[..., :2] = boxes[:, np.newaxis, :2]
        return found

    def warm_up(self):
        self.warm = True


A, B, C = (10, 10, 50, 100), (60, 20, 90, 110), (5, 5, 40, 40)


def test_people_of_all_cameras_go_through_the_model_in_one_call():
    model = FakeModel()
    batch = [tracks_of("door", [A, B]), tracks_of("yard", []), tracks_of("hall", [C]), tracks_of("door", [C], index=1)]
    poses = PoseStage(model).process(batch)
    assert len(model.calls) == 1
    assert [image is tracks.frame.image for image, tracks in zip(model.calls[0][0], batch, strict=True)] == [True] * 4
    assert [len(boxes) for boxes in model.calls[0][1]] == [2, 0, 1, 1]
    assert [(p.frame.camera, p.frame.index, len(p)) for p in poses] == [
        ("door", 0, 2), ("yard", 0, 0), ("hall", 0, 1), ("door", 1, 1),
    ]  # fmt: skip
    np.testing.assert_array_equal(poses[0].keypoints[:, 0], [[10, 10], [60, 20]])
    np.testing.assert_array_equal(poses[2].keypoints[:, 0], [[5, 5]])


def test_ids_boxes_and_scores_pass_through_unchanged():
    tracks = tracks_of("door", [A, B])
    poses = PoseStage(FakeModel()).process([tracks])[0]
    assert poses.frame is tracks.frame
    for field in ("track_ids", "xyxy", "scores"):
        np.testing.assert_array_equal(getattr(poses, field), getattr(tracks, field))


def test_a_pose_in_a_predicted_box_counts_as_measured():
    """The model ran on this frame's image, no matter where the box came from (here every second box is predicted)."""
    tracks = tracks_of("door", [A, B], np.zeros((2, 17, 3), np.float32))
    assert tracks.measured.tolist() == [True, False]
    assert PoseStage(FakeModel()).process([tracks])[0].measured.tolist() == [True, True]
    for no_model in (PassThrough(NO_SKELETON), PassThrough(COCO17)):  # they read no image
        assert no_model.process([tracks])[0].measured.tolist() == [True, False]


def test_an_empty_batch_has_no_poses():
    assert PoseStage(FakeModel()).process([]) == []


def test_without_people_the_keypoints_have_the_right_shape():
    poses = PoseStage(FakeModel()).process([tracks_of("door", [])])[0]
    assert poses.keypoints.shape == (0, 17, 2)


def test_the_stage_exposes_its_models_skeleton_engine_and_warm_up():
    model = FakeModel()
    stage = PoseStage(model)
    assert (stage.name, stage.skeleton) == ("pose", COCO17)
    assert stage.engine_name == "fake engine"
    stage.warm_up()
    assert model.warm
    stage.close()


@pytest.mark.filterwarnings("error")
def test_keypoints_are_always_finite_and_scores_within_0_and_1():
    keypoints = np.full((1, 17, 3), 7, np.float32)
    keypoints[0, :6] = [
        [np.nan, 1, 0.5], [1, np.inf, 0.5], [1, 1, np.nan],  # not finite: moved to the middle of the box, score 0
        [1, 2, -0.5], [1, 2, 1.5], [1, 2, 0.25],  # finite: the position stays, the score is clipped
    ]  # fmt: skip
    poses = with_keypoints(tracks_of("door", [A]), keypoints)
    np.testing.assert_array_equal(poses.keypoints[0, :6], [[30, 55]] * 3 + [[1, 2]] * 3)
    np.testing.assert_array_equal(poses.keypoint_scores[0, :6], [0, 0, 0, 0, 1, 0.25])


# ---- more people than the budget

FIELDS = ("track_ids", "xyxy", "scores", "keypoints", "keypoint_scores", "measured")


def same(left, right):
    return all(np.array_equal(getattr(left, field), getattr(right, field)) for field in FIELDS)


def test_a_budget_changes_nothing_for_frames_within_it():
    batch = [tracks_of("door", [A, B], index=i) for i in range(3)]
    without, within = PoseStage(FakeModel()).process(batch), PoseStage(FakeModel(), max_people=2).process(batch)
    assert all(same(*pair) for pair in zip(without, within, strict=True))


def test_the_model_runs_on_at_most_the_budgets_people_per_frame():
    model = FakeModel()
    PoseStage(model, max_people=2).process(
        [tracks_of("door", [A, B, C]), tracks_of("yard", [A]), tracks_of("hall", [])]
    )
    [(images, xyxy)] = model.calls
    assert len(images) == 3
    assert [len(boxes) for boxes in xyxy] == [2, 1, 0]


def test_people_over_the_budget_are_predicted_from_their_box_and_not_measured():
    stage = PoseStage(FakeModel(), max_people=1)
    first, second = stage.process([tracks_of("door", [A, C]), tracks_of("door", [np.add(A, 20), C], index=1)])
    assert (first.measured.tolist(), second.measured.tolist()) == ([True, False], [False, True])
    # The first is measured, at the corner of its box. The second was never measured: middle of its box, score 0.
    np.testing.assert_allclose(first.keypoints[:, 0], [[10, 10], [22.5, 22.5]])
    np.testing.assert_allclose(first.keypoint_scores[:, 0], [0.5, 0])
    # The first moved with its box. The second is measured for the first time.
    np.testing.assert_allclose(second.keypoints[:, 0], [[30, 30], [5, 5]], rtol=1e-6)
    np.testing.assert_allclose(second.keypoint_scores[:, 0], [0.5, 0.5])


def test_a_forgotten_camera_starts_without_poses():
    stage = PoseStage(FakeModel(), max_people=1)
    stage.process([tracks_of("door", [A, C]), tracks_of("yard", [A, C])])
    stage.forget("door")
    door, yard = stage.process([tracks_of("door", [A, C], index=1), tracks_of("yard", [A, C], index=1)])
    assert (door.measured.tolist(), yard.measured.tolist()) == ([True, False], [False, True])
    assert door.keypoint_scores[1, 0] == 0  # never measured since


@pytest.mark.parametrize("max_people", [1, 2, 3])
def test_a_batch_of_frames_has_the_same_poses_as_each_frame_alone(max_people):
    random = np.random.default_rng(1)
    batch = [
        tracks_of(
            camera, random.uniform(0, 60, (4, 2))[:, [0, 1, 0, 1]] + [0, 0, 30, 60], index=index, epoch=index // 4
        )
        for index in range(8)  # a new epoch in the middle
        for camera in ("door", "yard")
    ]
    alone = PoseStage(FakeModel(), max_people)
    together = PoseStage(FakeModel(), max_people).process(batch)
    assert all(same(poses, *alone.process([tracks])) for poses, tracks in zip(together, batch, strict=True))


# ---- no pose model


def test_the_model_none_publishes_people_without_keypoints():
    stage = PassThrough(NO_SKELETON)
    own = np.ones((2, 17, 3), np.float32)
    for tracks in (tracks_of("door", [A, B]), tracks_of("door", [A, B], own)):
        poses = stage.process([tracks])[0]
        assert poses.keypoints.shape == (2, 0, 2)
        assert poses.keypoint_scores.shape == (2, 0)
        np.testing.assert_array_equal(poses.track_ids, tracks.track_ids)


def test_the_model_detector_publishes_the_detectors_own_keypoints():
    own = np.random.default_rng(0).uniform(0, 1, (2, 17, 3)).astype(np.float32)
    stage = PassThrough(COCO17)
    first, second = stage.process([tracks_of("door", [A, B], own), tracks_of("yard", [])])
    np.testing.assert_array_equal(first.keypoints, own[..., :2])
    np.testing.assert_array_equal(first.keypoint_scores, own[..., 2])
    assert second.keypoints.shape == (0, 17, 2)
    assert (stage.name, stage.skeleton) == ("pose", COCO17)


NOT_PROMISED = [
    None,  # no keypoints
    np.ones((2, 5, 3), np.float32),  # a different number of keypoints
]


@pytest.mark.parametrize("keypoints", NOT_PROMISED)
def test_keypoints_that_do_not_match_the_skeleton_are_an_internal_error(keypoints):
    with pytest.raises(ValueError, match="expected 17"):
        PassThrough(COCO17).process([tracks_of("door", [A, B], keypoints)])


@pytest.mark.parametrize(("max_people", "threads", "parts"), [(None, 2, 4), (3, 2, 2), (None, 1, 1), (3, 1, 1)])
def test_work_divided_among_threads_yields_the_same_poses(max_people, threads, parts):
    whole, divided = (PoseStage(FakeModel(), max_people) for _ in range(2))
    for index in range(4):
        tracks = tracks_of("door", [A, B, C, A, B, C, A], index=index)
        work = divided.divide(tracks, threads)
        assert len(work.parts) == parts
        assert sum(part.units for part in work.parts) == (max_people or 7)
        for part in reversed(work.parts):
            part.run()
        expected, found = whole.process([tracks])[0], work.finish()
        for field in ("track_ids", "xyxy", "keypoints", "keypoint_scores", "measured"):
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))
