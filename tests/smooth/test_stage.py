from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.config import SmoothingConfig
from realtime.smooth.stage import SmoothStage
from tests.builders import BOX, make_frame, make_poses
from tests.clock import Clock

METHODS = ["one-euro", "kalman"]
IMAGE = np.zeros((2, 2, 3), np.uint8)
K = 3


def poses_of(time_s, keypoints, *, ids=None, scores=0.9, boxes=BOX, measured=True, camera="cam0", epoch=0):
    """Make the poses of N people from keypoints (N, K, 2); scores, boxes and measured are broadcast."""
    frame = make_frame(0, camera, epoch, IMAGE, time_s=time_s)
    return make_poses(frame, keypoints, boxes, ids, keypoint_scores=scores, measured=measured)


def points(x, y=150.0, n=1, k=K):
    return np.full((n, k, 2), (x, y))


def smooth(stage, poses):
    [out] = stage.process([poses])
    return out.keypoints


def stage_of(method, **keys):
    return SmoothStage(SmoothingConfig(method=method, **{"min_score": 0.2, "reset_s": 0.5, **keys}))


def run(method, sequence, dt_s, **keys):
    """Smooth a sequence of T frames of keypoints (N, K, 2) and return it as (T, N, K, 2)."""
    stage, times = stage_of(method), np.cumsum(dt_s)
    return np.stack([smooth(stage, poses_of(t, frame, **keys)) for t, frame in zip(times, sequence, strict=True)])


@st.composite
def motions(draw):
    """Random walks of 2 people with arbitrary positive time steps: keypoints (T, 2, K, 2) and dt_s (T,)."""
    frames = draw(st.integers(2, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dt_s = draw(st.lists(st.floats(1e-6, 2.0), min_size=frames, max_size=frames))
    return random.normal(0, 10, (frames, 2, K, 2)).cumsum(axis=0) + 200, dt_s


# ---- properties of both filters


@pytest.mark.parametrize("method", METHODS)
@given(x=st.floats(-1e4, 1e4), dt_s=st.lists(st.floats(1e-6, 2.0), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_a_constant_input_stays_constant(method, x, dt_s):
    out = run(method, [points(x)] * len(dt_s), dt_s)
    np.testing.assert_allclose(out, np.broadcast_to(points(x), out.shape), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@given(motion=motions(), shift=st.floats(-1000, 1000))
@settings(max_examples=50, deadline=None)
def test_shifting_everything_shifts_the_output(method, motion, shift):
    keypoints, dt_s = motion
    moved = run(method, keypoints + shift, dt_s, boxes=np.add(BOX, shift))
    # Keypoints and boxes are float32, spaced by 1.2e-4 px above 1024. The Kalman filter amplifies their rounding if
    # time steps are short: to 8e-4 px in 1500 random motions.
    np.testing.assert_allclose(moved, run(method, keypoints, dt_s) + shift, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
@given(motion=motions(), scale=st.floats(0.05, 20))
@settings(max_examples=50, deadline=None)
def test_scaling_everything_scales_the_output(method, motion, scale):
    keypoints, dt_s = motion
    scaled = run(method, keypoints * scale, dt_s, boxes=np.multiply(BOX, scale))
    np.testing.assert_allclose(scaled, run(method, keypoints, dt_s) * scale, atol=1e-3 * scale, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@given(
    motion=motions(), where=st.tuples(st.integers(0, 1), st.integers(0, K - 1)), bad=st.sampled_from([np.nan, np.inf])
)
@settings(max_examples=50, deadline=None)
def test_a_value_that_is_not_finite_affects_only_its_keypoint_and_is_never_published(method, motion, where, bad):
    keypoints, dt_s = motion
    spoilt = keypoints.copy()
    spoilt[(slice(1, None), *where, 0)] = bad
    clean, out = run(method, keypoints, dt_s), run(method, spoilt, dt_s)
    others = np.ones((2, K), np.bool_)
    others[where] = False
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(out[:, others], clean[:, others])


@pytest.mark.parametrize("method", METHODS)
@given(
    value=st.floats(width=32, allow_nan=True, allow_infinity=True),
    score=st.floats(0, 1, width=32) | st.just(float("nan")),
    dt_s=st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_the_output_is_finite_float32_for_any_input(method, value, score, dt_s):
    sequence = [points(value if t % 2 else 150.0) for t in range(len(dt_s))]
    out = run(method, sequence, dt_s, scores=score)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()


@pytest.mark.parametrize("method", METHODS)
def test_noise_around_a_still_person_is_reduced(method):
    keypoints = points(150.0) + np.random.default_rng(3).normal(0, 2, (90, 1, K, 2))
    out = run(method, keypoints, [1 / 30] * 90)
    assert np.diff(out[30:], axis=0).std() < 0.5 * np.diff(keypoints[30:], axis=0).std()


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_its_frames_processed_one_by_one(method):
    frames = [poses_of(t / 30, points(100.0 + t * t), camera=c) for t in range(5) for c in ("a", "b")]
    together = stage_of(method).process(frames)
    alone = stage_of(method)
    for got, frame in zip(together, frames, strict=True):
        np.testing.assert_array_equal(got.keypoints, smooth(alone, frame))


# ---- state per camera, epoch and track


@pytest.mark.parametrize("method", METHODS)
def test_a_new_epoch_restarts_the_filter_even_if_its_time_runs_backwards(method):
    stage = stage_of(method)
    smooth(stage, poses_of(10.0, points(100.0)))
    out = smooth(stage, poses_of(0.0, points(180.0), epoch=1))
    np.testing.assert_array_equal(out, points(180.0))


@pytest.mark.parametrize("method", METHODS)
# gap in seconds, whether the state survives it (reset_s is 0.5)
@pytest.mark.parametrize(("gap_s", "survives"), [(0.4, True), (0.6, False)])
def test_a_track_keeps_its_state_only_if_it_returns_within_reset_s(method, gap_s, survives):
    stage = stage_of(method)
    for t in range(10):
        smooth(stage, poses_of(t / 30, points(100.0)))
    smooth(stage, poses_of(9 / 30 + 0.1, points(0.0, n=0)))
    out = smooth(stage, poses_of(9 / 30 + gap_s, points(180.0)))
    assert (out[..., 0] < 180.0).all() == survives
    assert (out[..., 0] == 180.0).all() != survives


@pytest.mark.parametrize("method", METHODS)
def test_tracks_keep_their_state_when_their_order_changes(method):
    stage = stage_of(method)
    smooth(stage, poses_of(0.0, [points(100.0)[0], points(500.0)[0]], ids=[7, 3]))
    out = smooth(stage, poses_of(0.1, [points(500.0)[0], points(300.0)[0], points(100.0)[0]], ids=[3, 5, 7]))
    np.testing.assert_allclose(out[:, 0, 0], [500.0, 300.0, 100.0])


@pytest.mark.parametrize("method", METHODS)
def test_ids_that_are_exchanged_take_their_state_along(method):
    right, mixed_up = stage_of(method), stage_of(method)
    for step in range(20):
        both = np.concatenate([points(100.0 + 3 * step), points(300.0 - 2 * step)])
        expected = smooth(right, poses_of(step / 30, both, ids=[1, 2]))
        poses = poses_of(step / 30, both, ids=[2, 1] if step < 10 else [1, 2])
        got = smooth(mixed_up, replace(poses, swapped=((1, 2),) if step == 10 else ()))
        np.testing.assert_array_equal(got, expected)
    newcomer = replace(poses_of(1.0, both, ids=[7, 2]), swapped=((1, 7),))  # 7 was never seen
    np.testing.assert_array_equal(smooth(mixed_up, newcomer), smooth(right, poses_of(1.0, both, ids=[1, 2])))


@pytest.mark.parametrize("method", METHODS)
def test_two_cameras_with_the_same_track_ids_do_not_mix(method):
    stage = stage_of(method)
    for t in range(3):
        left, right = stage.process(
            [poses_of(t / 30, points(100.0), camera="a"), poses_of(5 + t / 30, points(900.0), camera="b")]
        )
    np.testing.assert_allclose(left.keypoints, points(100.0))
    np.testing.assert_allclose(right.keypoints, points(900.0))


def test_state_stays_bounded_if_every_frame_has_new_people():
    stage = stage_of("one-euro")
    for t in range(1000):
        smooth(stage, poses_of(t / 30, points(100.0, n=2), ids=[2 * t + 1, 2 * t + 2]))
        assert stage.remembered("cam0") <= 2 * (0.5 * 30 + 1)
    smooth(stage, poses_of(1000.0, points(100.0, n=0)))
    assert stage.remembered("cam0") == 0


def test_a_time_that_does_not_increase_raises_an_error_that_names_the_camera():
    stage = stage_of("one-euro")
    smooth(stage, poses_of(1.0, points(100.0)))
    with pytest.raises(ValueError, match=r"cam0: smooth: time went from 1\.0 s to 1\.0 s, expected it to increase"):
        smooth(stage, poses_of(1.0, points(100.0)))


# ---- keypoints that can't be seen


def lose_one(stage, upto_s, **lost):
    """Measure keypoint 0 at 100 px for a second, then lose it; return the output at `upto_s`."""
    for t in np.arange(0, 1.001, 0.1):
        smooth(stage, poses_of(float(t), points(100.0)))
    out = np.empty(0)
    for t in np.arange(1.1, upto_s + 0.001, 0.1):
        keypoints, scores = points(100.0), np.full((1, K), 0.9)
        keypoints[:, 0, 0], scores[:, 0] = lost.get("value", 100.0), lost.get("score", 0.9)
        out = smooth(stage, poses_of(float(t), keypoints, scores=scores))
    return out


@pytest.mark.parametrize("method", METHODS)
# how the keypoint is lost
@pytest.mark.parametrize("lost", [{"value": 900.0, "score": 0.1}, {"value": np.nan}, {"value": 900.0, "score": np.nan}])
def test_a_lost_keypoint_is_held(method, lost):
    np.testing.assert_allclose(lose_one(stage_of(method), 1.4, **lost), points(100.0), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_keypoint_lost_for_longer_than_reset_s_passes_through_unfiltered(method):
    assert lose_one(stage_of(method), 1.7, value=900.0, score=0.1)[0, 0, 0] == 900.0


@pytest.mark.parametrize("method", METHODS)
def test_a_keypoint_that_remains_without_a_value_keeps_its_last_position(method):
    np.testing.assert_allclose(lose_one(stage_of(method), 3.0, value=np.nan), points(100.0), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_keypoint_that_returns_after_reset_s_restarts_and_the_others_keep_their_state(method):
    stage = stage_of(method)
    lose_one(stage, 1.7, value=900.0, score=0.1)
    out = smooth(stage, poses_of(1.8, points(180.0)))
    assert out[0, 0, 0] == 180.0
    assert (out[0, 1:, 0] < 180.0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_keypoint_that_never_had_a_value_is_put_at_the_centre_of_the_box(method):
    out = smooth(stage_of(method), poses_of(0.0, points(np.nan)))
    np.testing.assert_array_equal(out, points(150.0, 200.0))


@pytest.mark.parametrize("method", METHODS)
def test_a_weak_keypoint_without_history_passes_through_unfiltered(method):
    out = smooth(stage_of(method), poses_of(0.0, points(180.0), scores=0.1))
    np.testing.assert_array_equal(out, points(180.0))


def test_kalman_extrapolates_a_lost_keypoint_and_one_euro_holds_it():
    after = {}
    for method in METHODS:
        stage = stage_of(method)
        for t in range(20):
            before = smooth(stage, poses_of(t / 30, points(100.0 + 10 * t)))
        after[method] = smooth(stage, poses_of(20 / 30, points(np.nan))) - before
    np.testing.assert_array_equal(after["one-euro"], 0.0)
    np.testing.assert_allclose(after["kalman"][..., 0], 10.0, atol=1.0)


# ---- people who wait to be measured: the pose model did not run on them, their keypoints are a prediction

FPS = 30.0
WALK = 10.0  # px per frame


@st.composite
def crowds(draw):
    """2 random people and their boxes in T frames, each waiting in some of them: the arguments of `follow`."""
    keypoints, dt_s = draw(motions())
    frames = len(dt_s)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = random.normal(0, 10, (frames, 2, 2)).cumsum(axis=0) + 150
    boxes = np.concatenate([corners, corners + random.uniform(50, 200, (frames, 2, 2))], axis=2)
    return keypoints, boxes, random.random((frames, 2)) < 0.4, np.cumsum(dt_s)


def follow(stage, keypoints, boxes, measured, times_s):
    """Smooth keypoints (T, N, K, 2) with boxes (T, N, 4), measured (T, N) and times (T,); return (T, N, K, 2)."""
    return np.stack(
        [
            smooth(stage, poses_of(float(time_s), frame, boxes=box, measured=looked_at))
            for frame, box, looked_at, time_s in zip(keypoints, boxes, measured, times_s, strict=True)
        ]
    )


def walk(stage, frames, waits, *, speed=WALK * FPS, fps=FPS, wrong=0.0):
    """Smooth a person who walks to the right from 100 px with their box; return the keypoints (T, 1, K, 2).

    The person waits in the frames `waits`. The input keypoints of these frames are off by `wrong` px.
    """
    times_s = np.arange(frames) / fps
    way = np.broadcast_to(speed, frames).cumsum() / fps
    waiting = np.zeros((frames, 1), np.bool_)
    waiting[waits] = True
    keypoints = points(100.0) + way[:, None, None, None] * [1, 0] + np.where(waiting, wrong, 0.0)[..., None, None]
    boxes = np.array([BOX]) + way[:, None, None] * [1, 0, 1, 0]
    return follow(stage, keypoints, boxes, ~waiting, times_s)


@pytest.mark.parametrize("method", METHODS)
def test_a_waiting_person_moves_with_their_box(method):
    out = walk(stage_of(method), 50, slice(40, 50), wrong=500.0)
    # The tolerance is a tenth of a step: after 40 frames the box's filter is that close to the true speed.
    np.testing.assert_allclose(np.diff(out[39:, 0, :, 0], axis=0), WALK, atol=0.1 * WALK)


@pytest.mark.parametrize("method", METHODS)
def test_the_box_of_a_waiting_person_is_filtered_like_a_keypoint(method):
    stage, random = stage_of(method), np.random.default_rng(5)
    boxes = np.array([BOX]) + random.normal(0, 4, (90, 1, 4))
    still = np.broadcast_to(points(150.0), (90, 1, K, 2))
    out = follow(stage, still, boxes, np.arange(90)[:, None] < 30, np.arange(90) / FPS)
    carried = boxes[30:, :, 0] + (boxes[30:, :, 2] - boxes[30:, :, 0]) / 2
    assert np.diff(out[30:, 0, 0, 0]).std() < 0.5 * np.diff(carried[:, 0]).std()


@pytest.mark.parametrize("method", METHODS)
@given(crowd=crowds(), wrong=st.floats(-1e4, 1e4) | st.just(float("nan")), score=st.floats(0, 1, width=32))
@settings(max_examples=50, deadline=None)
def test_the_keypoints_of_a_waiting_person_are_never_used_as_a_measurement(method, crowd, wrong, score):
    right, spoilt = stage_of(method, reset_s=10.0), stage_of(method, reset_s=10.0)  # longer than any gap between frames
    seen = np.zeros(2, np.bool_)
    for keypoints, boxes, measured, time_s in zip(*crowd, strict=True):
        said = np.where(measured[:, None, None], keypoints, wrong)
        scores = np.where(measured[:, None], 0.9, score)
        out = smooth(spoilt, poses_of(time_s, said, scores=scores, boxes=boxes, measured=measured))
        expected = smooth(right, poses_of(time_s, keypoints, boxes=boxes, measured=measured))
        seen |= measured
        np.testing.assert_array_equal(out[seen], expected[seen])


@pytest.mark.parametrize("method", METHODS)
@given(crowd=crowds())
@settings(max_examples=50, deadline=None)
def test_a_waiting_person_does_not_affect_the_others(method, crowd):
    keypoints, boxes, measured, times_s = crowd
    measured[:, 0] = True
    beside_one_who_waits = follow(stage_of(method), keypoints, boxes, measured, times_s)
    alone = follow(stage_of(method), keypoints[:, :1], boxes[:, :1], measured[:, :1], times_s)
    np.testing.assert_array_equal(beside_one_who_waits[:, :1], alone)


@pytest.mark.parametrize("method", METHODS)
@given(crowd=crowds(), shift=st.floats(-1000, 1000), scale=st.floats(0.05, 20))
@settings(max_examples=50, deadline=None)
def test_shifting_and_scaling_everything_shifts_and_scales_the_prediction(method, crowd, shift, scale):
    keypoints, boxes, measured, times_s = crowd
    plain = follow(stage_of(method), keypoints, boxes, measured, times_s)
    moved = follow(stage_of(method), keypoints * scale + shift, boxes * scale + shift, measured, times_s)
    # Keypoints and boxes are rounded to float32, and the error grows with the scale. The tolerance is well above it.
    np.testing.assert_allclose(moved, plain * scale + shift, atol=2e-3 * max(scale, 1), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@given(
    crowd=crowds(),
    side=st.floats(width=32) | st.sampled_from([np.nan, np.inf, -np.inf]),
    score=st.floats(0, 1, width=32) | st.just(float("nan")),
)
@settings(max_examples=100, deadline=None)
def test_the_prediction_is_finite_for_any_box(method, crowd, side, score):
    stage = stage_of(method)
    for t, (keypoints, boxes, measured, time_s) in enumerate(zip(*crowd, strict=True)):
        boxes[:, t % 4] = side if t % 2 else boxes[:, t % 4]
        assert np.isfinite(
            smooth(stage, poses_of(time_s, keypoints, boxes=boxes, measured=measured, scores=score))
        ).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_person_who_waits_longer_than_reset_s_still_moves_and_keeps_their_state(method):
    stage = stage_of(method)
    out = walk(stage, 75, slice(40, 75), wrong=500.0)  # 35 frames are more than twice reset_s
    assert np.diff(out[39:, 0, 0, 0]).min() > 0.5 * WALK
    before = out[-1, 0, 0, 0]
    after = smooth(stage, poses_of(75 / FPS, points(before + 80.0), boxes=BOX))[0, 0, 0]
    assert before < after < before + 80.0  # a filter that restarts would return the value itself


@pytest.mark.parametrize("method", METHODS)
def test_a_person_who_stopped_while_waiting_does_not_overshoot_when_measured_again(method):
    # The person walks for 40 frames and then stands. Frames 38 to 69 are not measured.
    speed = np.where(np.arange(75) < 40, WALK * FPS, 0.0)
    out = walk(stage_of(method), 75, slice(38, 70), speed=speed)
    # With its velocity from before the wait, the Kalman filter would overshoot by 0.4 of a step.
    np.testing.assert_allclose(out[70:, 0, :, 0], 100.0 + 40 * WALK, atol=0.05 * WALK)


@pytest.mark.parametrize("method", METHODS)
def test_a_keypoint_missing_after_a_wait_counts_as_lost_since_its_last_measurement(method):
    stage, lost = stage_of(method), points(900.0)
    for t in np.arange(0, 2.001, 0.1):
        smooth(stage, poses_of(float(t), points(100.0), measured=t < 1.05))
    at_the_look = smooth(stage, poses_of(2.1, lost, scores=0.1))
    np.testing.assert_allclose(at_the_look, points(100.0), rtol=1e-6)
    np.testing.assert_array_equal(smooth(stage, poses_of(2.2, lost, scores=0.1)), lost)


@pytest.mark.parametrize("method", METHODS)
def test_a_predicted_keypoint_without_a_state_passes_through_unfiltered(method):
    out = smooth(stage_of(method), poses_of(0.0, points(180.0), measured=False))
    np.testing.assert_array_equal(out, points(180.0))  # the person was never measured
    stage = stage_of(method)
    lose_one(stage, 1.7, value=900.0, score=0.1)  # unseen for longer than reset_s
    out = smooth(stage, poses_of(1.8, points(180.0), measured=False))
    np.testing.assert_allclose(out[0, :, 0], [180.0, 100.0, 100.0], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_prediction_of_a_waiting_person_is_the_same_at_any_frame_rate(method):
    slow = walk(stage_of(method), 45, slice(30, 45), fps=30.0)
    fast = walk(stage_of(method), 90, slice(60, 90), fps=60.0)
    # Both runs lag by up to a frame, which is at most one step of the slower run.
    np.testing.assert_allclose(fast[1::2, :, :, 0][30:], slow[30:, :, :, 0], atol=WALK)


# ---- inputs and outputs


def test_method_none_passes_the_same_objects():
    frames = [poses_of(0.0, points(np.nan)), poses_of(0.0, points(1.0))]
    out = stage_of("none").process(frames)
    assert [id(o) for o in out] == [id(f) for f in frames]


@pytest.mark.parametrize("method", METHODS)
# people and keypoints: no people, --pose.model none, neither
@pytest.mark.parametrize(("n", "k"), [(0, K), (2, 0), (0, 0)])
def test_no_people_and_no_keypoints_are_accepted(method, n, k):
    stage = stage_of(method)
    for t in range(3):
        assert smooth(stage, poses_of(float(t), np.zeros((n, k, 2)))).shape == (n, k, 2)


@pytest.mark.parametrize("method", METHODS)
def test_everything_but_the_keypoints_is_kept(method):
    poses = poses_of(0.0, points(1.0, n=2), ids=[4, 9])
    [out] = stage_of(method).process([poses])
    for field in ("frame", "track_ids", "xyxy", "scores", "keypoint_scores", "measured"):
        assert getattr(out, field) is getattr(poses, field)


def test_the_input_poses_are_not_modified():
    poses = poses_of(0.0, points(np.nan))
    before = poses.keypoints.copy()
    stage_of("one-euro").process([poses])
    np.testing.assert_array_equal(poses.keypoints, before)


@pytest.mark.parametrize("method", METHODS)
def test_a_forgotten_camera_starts_without_state(method):
    stage = stage_of(method)
    for camera in ("a", "b"):
        smooth(stage, poses_of(1.0, points(100.0), camera=camera))
    stage.forget("a")
    assert [stage.remembered(camera) for camera in ("a", "b")] == [0, 1]
    # Its time may start again, and its first keypoints are unfiltered.
    np.testing.assert_allclose(smooth(stage, poses_of(0.0, points(900.0), camera="a")), points(900.0))


def test_close_drops_all_state():
    stage = stage_of("one-euro")
    smooth(stage, poses_of(0.0, points(1.0)))
    stage.close()
    assert stage.remembered("cam0") == 0


# ---- prediction


def test_a_keypoint_with_constant_velocity_is_published_where_it_will_be():
    ahead, here = stage_of("kalman", predict_ms=100.0), stage_of("kalman")
    for t in range(90):
        poses = poses_of(t / 30, points(100 + 5.0 * t))  # 150 px/s
        there = smooth(ahead, poses)[0, 0] - smooth(here, poses)[0, 0]
    np.testing.assert_allclose(there, [15.0, 0.0], atol=0.5)


def test_a_keypoint_that_no_filter_follows_is_not_predicted_ahead():
    stage = stage_of("kalman", predict_ms=200.0)
    for t in range(30):
        smooth(stage, poses_of(t / 30, points(100 + 5.0 * t)))
    late = poses_of(30 / 30 + 5.0, points(700.0), scores=0.1)  # unseen for 5 s, and below min_score now
    np.testing.assert_array_equal(smooth(stage, late), late.keypoints)


def test_predict_ms_age_extrapolates_by_the_age_of_the_frame(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("realtime.smooth.stage.time", clock)
    shifts = {}
    for age_ms in (0, 40, 80, 5000):
        ahead, here = stage_of("kalman", predict_ms="age"), stage_of("kalman")
        for t in range(60):
            poses = poses_of(t / 30, points(100 + 5.0 * t))
            aged = replace(poses, frame=replace(poses.frame, captured_mono_ns=clock.monotonic_ns() - age_ms * 10**6))
            shifts[age_ms] = (smooth(ahead, aged) - smooth(here, poses))[0, 0, 0]
    assert shifts[0] == 0.0
    assert shifts[80] == pytest.approx(2 * shifts[40], rel=1e-3)
    assert shifts[5000] == pytest.approx(500 / 40 * shifts[40], rel=1e-3)  # at most half a second


def test_raw_holds_the_keypoints_before_smoothing():
    stage, poses = stage_of("kalman"), poses_of(0.0, points(100))
    smooth(stage, poses)
    moved = poses_of(0.1, points(150))
    [out] = stage.process([moved])
    assert not np.array_equal(out.keypoints, moved.keypoints)
    np.testing.assert_array_equal(out.raw, moved.keypoints)


# ---- people who are still


def still_poses(time_s, keypoints, boxes=BOX):
    poses = poses_of(time_s, keypoints, boxes=boxes, measured=False)
    return replace(poses, still=np.ones(len(poses), np.bool_))


def settled(method, **keys):
    """A stage after 2 s of noisy measurements of one person, 0.04 s apart, and its last output."""
    stage, random = stage_of(method, **keys), np.random.default_rng(0)
    for i in range(50):
        out = smooth(stage, poses_of(i / 25, points(150.0) + random.normal(0, 1, (1, K, 2))))
    return stage, out


@pytest.mark.parametrize("method", METHODS)
def test_the_keypoints_of_a_still_person_stay_where_they_are_while_the_box_jitters(method):
    stage, before = settled(method)
    random = np.random.default_rng(1)
    for i in range(50, 250):
        out = smooth(stage, still_poses(i / 25, points(150.7), BOX + random.normal(0, 5, 4)))
        np.testing.assert_array_equal(out, before)


def test_a_still_person_is_not_extrapolated():
    stage, _ = settled("kalman", predict_ms=200.0)
    first, *others = (smooth(stage, still_poses(i / 25, points(150.7))) for i in range(50, 60))
    for out in others:
        np.testing.assert_array_equal(out, first)


@pytest.mark.parametrize("method", METHODS)
def test_the_next_measurement_of_a_still_person_counts_as_if_it_followed_the_last_one(method):
    """So its noise does not pass through, and a movement that begins is followed as it would be without the pause."""
    paused, _ = settled(method)
    for i in range(50, 200):
        smooth(paused, still_poses(i / 25, points(150.0)))
    at_once, _ = settled(method)
    outs = []
    for now, time_s in [(paused, 200 / 25), (at_once, 50 / 25)]:
        outs.append(smooth(now, poses_of(time_s, points(152.0))))
    np.testing.assert_allclose(*outs, atol=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_a_keypoint_that_was_lost_before_a_person_became_still_is_not_lost_for_longer(method):
    stage, held = settled(method)
    lost = points(900.0)
    held = smooth(stage, poses_of(50 / 25, lost, scores=0.1))
    for i in range(51, 100):
        held = smooth(stage, still_poses(i / 25, lost))
    out = smooth(stage, poses_of(100 / 25, lost, scores=0.1))
    np.testing.assert_allclose(out, held, atol=1.0)


def test_without_smoothing_a_repeated_pose_is_published_as_it_was():
    poses = still_poses(0.0, points(150.0))
    assert stage_of("none").process([poses])[0] is poses
