import importlib.util
import json

import numpy as np
import pytest

from realtime import wire
from realtime.config import SmoothingConfig
from realtime.errors import ConfigError
from realtime.evaluate import clips, filters, motion, smoothing
from realtime.evaluate.__main__ import main
from realtime.evaluate.clips import Clip
from realtime.evaluate.motion import Score, measure
from realtime.evaluate.smoothing import Curve, Setting

FPS = 30.0
K = 4


def clip_of(truth, *, noise=0.0, times_s=None, scores=0.9, size=200.0):
    """Make a clip of true positions (T,) along x, the same for K keypoints, with white noise of `noise` px."""
    truth = np.asarray(truth, np.float64)[:, None, None] * [1.0, 0.0] + np.full((1, K, 1), 300.0)
    frames = len(truth)
    keypoints = truth + np.random.default_rng(0).normal(0, 1, truth.shape) * noise
    boxes = np.tile(np.array([200, 100, 300, 400], np.float32), (frames, 1))
    return Clip(
        "made",
        np.arange(frames) / FPS if times_s is None else times_s,
        keypoints,
        np.full((frames, K), scores),
        truth,
        size,
        boxes,
        np.ones(frames, np.bool_),
    )


def swing(times_s):
    """A motion that does not repeat itself within the range of lags that is searched."""
    return 80 * np.sin(2.1 * times_s) + 40 * np.sin(5.3 * times_s + 1) + 10 * np.sin(11 * times_s)


def step(frames=120):
    return np.where(np.arange(frames) < frames // 2, 0.0, 100.0)


# ---- measures of known cases


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


# ---- the filters


@pytest.mark.parametrize("method", ["one-euro", "kalman"])
def test_the_filters_of_the_program_reduce_jitter_and_fill_missed_keypoints(method):
    noisy = clip_of(np.zeros(200), noise=2.0)
    noisy.keypoints[50:55, 1] = np.nan
    score = measure(noisy, filters.as_the_program(noisy, SmoothingConfig(method=method)))
    assert score.rest_px < measure(noisy, noisy.keypoints).rest_px / 2
    assert score.missing_percent == 0.0


def test_a_person_who_is_not_measured_is_predicted_not_followed():
    waits = clip_of(np.where(np.arange(60) < 40, 0.0, 500.0))
    waits.measured[40:] = False
    out = filters.as_the_program(waits, SmoothingConfig())
    np.testing.assert_allclose(out, 300.0, atol=1e-3)


def test_the_curve_holds_the_settings_that_no_other_beats_and_filters_are_compared_with_it():
    points = [(0.0, 20.0), (10.0, 10.0), (20.0, 15.0), (30.0, 5.0)]  # the third has more lag and jitter than the second
    curve = Curve.of([Setting(1.0, 0.0, Score(lag_ms=lag, jitter_px=jitter)) for lag, jitter in points])
    np.testing.assert_array_equal(curve.lag_ms, [0.0, 10.0, 30.0])
    assert curve.jitter_ratio(Score(lag_ms=20.0, jitter_px=3.0)) == pytest.approx(0.4)
    assert curve.later_ms(Score(lag_ms=12.0, jitter_px=7.5)) == pytest.approx(-8.0)
    assert np.isnan(curve.jitter_ratio(Score(lag_ms=40.0, jitter_px=1.0)))


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
    ("one_euro(1.0,0)", lambda clip: smoothing._one_setting(1.0, 0.0, clip)),
    ("one_euro(0.5,.02)", lambda clip: smoothing._one_setting(0.5, 0.02, clip)),
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


# ---- files, and the command


def save(path, clip, **more):
    np.savez(path, gt=clip.truth, noisy=clip.keypoints, conf=clip.scores, fps=FPS, scale=clip.size, **more)
    return path


@pytest.fixture
def small_sweep(monkeypatch):
    monkeypatch.setattr(smoothing, "SWEEP_MIN_CUTOFF_HZ", np.array([0.5, 2.0, 8.0, 32.0]))
    monkeypatch.setattr(smoothing, "SWEEP_BETA", np.array([0.0, 0.01, 0.1]))


def test_the_command_prints_all_filters_and_writes_results_and_a_plot(tmp_path, small_sweep, capsys):
    for name, truth in (("moving", swing(np.arange(150) / FPS)), ("still", np.zeros(150))):
        made = clip_of(truth, noise=2.0)
        save(tmp_path / f"{name}.npz", made, xyxy=made.xyxy)
    numbers, picture = tmp_path / "numbers.json", tmp_path / "plot.png"
    assert main(["smoothing", str(tmp_path), "--json", str(numbers), "--plot", str(picture)]) == 0
    table = capsys.readouterr().out
    for label in ("none", "one-euro", "kalman", "reference 1, 0.007", "filterpy constant velocity"):
        assert f"\n{label} " in table
    found = json.loads(numbers.read_text())
    assert found["clips"] == ["moving", "still"]
    assert found["filters"]["none"]["mean"]["jitter_px"] == pytest.approx(2 * np.sqrt(12), rel=0.1)
    assert found["filters"]["none"]["clips"]["still"]["lag_ms"] is None
    assert 0 < found["filters"]["one-euro"]["jitter_to_reference"] < 2
    assert len(found["reference"]) == 12
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_configuration_keys_reach_the_filter(tmp_path, capsys):
    save(tmp_path / "still.npz", clip_of(np.zeros(150), noise=2.0))
    rest = {}
    for cutoff_hz in ("0.1", "10"):
        numbers = tmp_path / "numbers.json"
        words = ["smoothing", str(tmp_path / "still.npz"), "--filter", "one-euro", "--json", str(numbers)]
        assert main([*words, "--smoothing.min-cutoff-hz", cutoff_hz, "--smoothing.beta", "0"]) == 0
        rest[cutoff_hz] = json.loads(numbers.read_text())["filters"]["one-euro"]["mean"]["rest_px"]
    assert rest["0.1"] < rest["10"] / 10


def test_times_and_boxes_in_a_file_are_used_unchanged(tmp_path):
    clip = clip_of(np.zeros(20))
    times_s = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.1, 20))
    [read] = clips.read_clips([save(tmp_path / "own.npz", clip, times_s=times_s, xyxy=clip.xyxy)])
    np.testing.assert_array_equal(read.times_s, times_s)
    np.testing.assert_array_equal(read.xyxy, clip.xyxy)


def record(path, frames):
    """Write a recording of two people who stand still; the second leaves after 20 frames."""
    random = np.random.default_rng(0)
    lines = []
    for index in range(frames):
        people = 2 if index < 20 else 1
        keypoints = np.concatenate([random.normal(150, 2, (people, 17, 2)), np.ones((people, 17, 1))], axis=2)
        message = wire.PoseMessage(
            session="s", camera="door", epoch=0, seq=index, frame=index, captured_ns=index * 10**6, clock="arrival",
            published_ns=0, media_s=index / FPS, size=(640, 480), skeleton="coco17",
            track_ids=list(range(1, people + 1)), scores=[1.0] * people,
            boxes=wire.pack(np.tile(np.array([100, 100, 200, 300], np.float32), (people, 1))),
            keypoints=wire.pack(keypoints), measured=[True] * people, timing_ms={},
        )  # fmt: skip
        lines.append(wire.encode(message, "json"))
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_a_recording_of_a_killed_run_is_read_up_to_its_incomplete_line(tmp_path):
    path = record(tmp_path / "run.jsonl", 40)
    path.write_bytes(path.read_bytes()[:-30])
    [clip] = clips.read_clips([path])
    assert len(clip) == 39


def test_long_tracks_of_a_recording_become_clips_with_jitter_only(tmp_path, capsys):
    path = record(tmp_path / "run.jsonl", 90)
    [clip] = clips.read_clips([path])
    assert (clip.name, len(clip), clip.truth) == ("door/0/1", 90, None)
    np.testing.assert_allclose(clip.times_s, np.arange(90) / FPS)
    score = measure(clip, clip.keypoints)
    assert score.jitter_px == pytest.approx(2 * np.sqrt(12), rel=0.1)
    assert np.isnan([score.rmse_px, score.lag_ms, score.overshoot_px]).all()
    assert main(["smoothing", str(path)]) == 0
    assert "1 clips have no ground truth" in capsys.readouterr().out


# words on the command line, part of the error
WRONG = [
    (["nowhere.npz"], "nowhere.npz"),
    (["empty"], "found no clips"),
    (["keys.npz"], "expected gt, noisy, conf, fps and scale"),
    (["damaged.npz"], "damaged.npz: can't be read"),
    (["cut.npz"], "cut.npz: can't be read"),
    (["array.npy"], "array.npy: can't be read"),
    (["backwards.npz"], "expected them to increase"),
    (["damaged.jsonl"], "damaged.jsonl:1"),
    (["good.npz", "--filter", "median"], "got 'median', expected some of"),
    (["good.npz", "--drop", "1"], "expected"),
    (["good.npz", "--smoothing.beta", "-1"], "smoothing.beta"),
    (["good.npz", "--every", "100"], "fewer than 4 frames"),
    (["good.npz", "--plot", "nowhere/plot.png"], "--plot: can't write"),
    (["good.npz", "--plot", "plot.word"], "--plot: got plot.word"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_a_wrong_input_is_reported_in_one_line(tmp_path, monkeypatch, small_sweep, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    np.savez("keys.npz", gt=np.zeros((5, 2, 2)))
    (tmp_path / "damaged.npz").write_bytes(b"PK nothing")
    (tmp_path / "damaged.jsonl").write_bytes(b"{}\n")
    np.save("array.npy", np.zeros(3))
    save("backwards.npz", clip_of(np.zeros(3)), times_s=np.array([0.0, 1.0, 0.5]))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "keys.npz").read_bytes()[:-30])
    save("good.npz", clip_of(swing(np.arange(90) / FPS), noise=1.0))
    assert main(["smoothing", *words]) == ConfigError.exit_code
    assert said in capsys.readouterr().err
