import importlib.util

import numpy as np
import pytest

from realtime.config import SmoothingConfig
from realtime.evaluate.smoothing import clips, filters, motion
from realtime.evaluate.smoothing.motion import measure
from realtime.evaluate.smoothing.reference import one_setting
from tests.evaluate.smoothing.synthetic import FPS, K, clip_of, step, swing


def test_a_delay_of_three_frames_is_a_lag_of_100_ms():
    times_s = np.arange(300) / FPS
    score = measure(clip_of(swing(times_s)), clip_of(swing(times_s - 0.1)).keypoints)
    # Tolerance 0.1 ms: the peak is not exactly a parabola, because the two ends of the motion differ.
    assert score.lag_ms == pytest.approx(100.0, abs=0.1)
    assert score.missing_percent == 0.0


# every Nth frame is kept, share of frames dropped
@pytest.mark.parametrize(("every", "drop"), [(2, 0.0), (1, 0.3), (2, 0.3)])
def test_a_delay_is_measured_correctly_when_frames_are_missing(every, drop):
    times_s = np.arange(600) / FPS
    late = clip_of(swing(times_s - 0.1)).keypoints
    thinned = clips.thin(clip_of(swing(times_s)), every, drop, np.random.default_rng(1))
    frames = np.searchsorted(times_s, thinned.times_s)
    # Linear interpolation between frames that are up to a fifth of a second apart costs a few milliseconds.
    assert measure(thinned, late[frames]).lag_ms == pytest.approx(100.0, abs=4.0)


def test_noise_at_rest_has_the_jitter_of_its_second_difference():
    # Var(x0 - 2 x1 + x2) = 6 on each of two axes. Tolerance 3 %: 4000 x 4 samples, each in three differences.
    score = measure(still := clip_of(np.zeros(4000), noise=2.0), still.keypoints)
    assert score.jitter_px == score.rest_px == pytest.approx(2.0 * np.sqrt(12), rel=0.03)
    assert score.rmse_px == pytest.approx(2.0 * np.sqrt(2), rel=0.03)
    assert score.rmse_percent == pytest.approx(score.rmse_px / 2)
    assert np.isnan([score.lag_ms, score.motion_px]).all()


def test_output_that_moves_exactly_as_the_truth_has_no_jitter():
    moving = clip_of(swing(np.arange(300) / FPS))
    score = measure(moving, moving.keypoints + np.array([30.0, -5.0]))
    assert score.jitter_px == pytest.approx(0.0, abs=1e-9)
    assert score.rmse_px == pytest.approx(np.hypot(30.0, 5.0))


def test_the_true_speed_separates_rest_from_motion():
    walk = np.concatenate([np.zeros(200), np.arange(200) * 10.0])
    noisy = clip_of(walk, noise=1.0)
    shaken = noisy.keypoints.copy()
    shaken[205:] += 4 * (shaken[205:] - noisy.truth[205:])
    score = measure(noisy, shaken)
    assert score.motion_px == pytest.approx(5 * score.rest_px, rel=0.2)


def test_the_second_difference_of_a_parabola_does_not_depend_on_missing_frames():
    times_s = np.arange(60) / FPS
    kept = np.random.default_rng(0).random(60) < 0.6
    bends = motion.second_difference((times_s**2)[kept, None, None], times_s[kept])
    steps = np.diff(times_s[kept])
    np.testing.assert_allclose(bends, 2 * np.median(steps) ** 2, rtol=1e-9)


def test_a_gap_does_not_count_as_jitter():
    times_s = np.concatenate([np.arange(10) / FPS, 5 + np.arange(10) / FPS])
    bends = motion.second_difference(np.where(times_s < 1, 0.0, 500.0)[:, None, None], times_s)
    assert np.isnan(bends[8:10]).all()
    assert (np.delete(bends, [8, 9]) == 0).all()


def test_overshoot_is_the_distance_beyond_the_range_of_the_truth():
    truth = clip_of(step())
    output = truth.truth.copy()
    output[63, :, 0] += 20.0  # beyond the new position
    output[10:20, :, 0] += 7.0  # beyond the old position, by less
    assert motion.overshoot(output, truth.truth, truth.times_s) == pytest.approx(20.0)


def test_kalman_overshoots_a_step_and_one_euro_does_not():
    still = clip_of(step())
    over = {
        method: measure(still, out := filters.as_the_program(still, SmoothingConfig(method=method)), out).overshoot_px
        for method in ("one-euro", "kalman")
    }
    assert over["one-euro"] == pytest.approx(0.0, abs=1e-3)
    assert over["kalman"] > 2.0


def test_missed_keypoints_are_counted_and_excluded_from_the_error():
    noisy = clip_of(np.zeros(200), noise=1.0)
    noisy.keypoints[100:, 0] = np.nan
    score = measure(noisy, noisy.keypoints)
    assert score.missing_percent == pytest.approx(100 * 100 / (185 * K))
    assert np.isfinite(score.rmse_px)


# ---- parity with the independent scoring script


@pytest.fixture(scope="module")
def theirs(shared_data):
    spec = importlib.util.spec_from_file_location("score_smoothing", shared_data / "score" / "score_smoothing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# name of the filter in the script, our filter
PAIRS = [
    ("raw", lambda clip: clip.keypoints),
    ("one_euro(1.0,0)", lambda clip: one_setting(1.0, 0.0, clip)),
    ("one_euro(0.5,.02)", lambda clip: one_setting(0.5, 0.02, clip)),
    ("kalman_cv(q4e4,r3)", filters.filterpy_kalman),
]


@pytest.mark.parametrize("name", ["cmu_02_01_walk_30hz", "cmu_02_03_run_60hz", "static_hold_30hz"])
@pytest.mark.parametrize(("their_name", "ours"), PAIRS, ids=[name for name, _ in PAIRS])
def test_filters_and_measures_equal_those_of_the_script(shared_data, theirs, name, their_name, ours):
    path = shared_data / "motion" / f"{name}.npz"
    with np.load(path) as data:
        gt, fps = data["gt"], float(data["fps"])
        wanted = theirs.metrics(theirs.run(their_name, data["noisy"], fps), gt, fps, float(data["scale"]))
    [clip] = clips.read_clips([path])
    score = measure(clip, ours(clip))
    got = {"rmse": score.rmse_px, "rmse_n": score.rmse_percent, "j2": score.jitter_px, "lag": score.lag_ms}
    got["miss"] = score.missing_percent
    # The script computes differences of the truth in float32. Its Kalman filter starts at the first frame, filterpy's
    # when a keypoint is first seen.
    tolerance = 1e-3 if "kalman" in their_name else 1e-4
    for key, value in got.items():
        assert value == pytest.approx(wanted[key], rel=tolerance, abs=tolerance, nan_ok=True), key
