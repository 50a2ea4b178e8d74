import json
from dataclasses import replace

import numpy as np
import pytest

from realtime.errors import ConfigError
from realtime.evaluate.__main__ import main
from realtime.evaluate.smoothing import clips, reference
from realtime.evaluate.smoothing.motion import measure
from tests.evaluate.smoothing.synthetic import FPS, clip_of, record, save, swing


@pytest.fixture
def small_sweep(monkeypatch):
    monkeypatch.setattr(reference, "SWEEP_MIN_CUTOFF_HZ", np.array([0.5, 2.0, 8.0, 32.0]))
    monkeypatch.setattr(reference, "SWEEP_BETA", np.array([0.0, 0.01, 0.1]))


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


def test_two_settings_are_compared_in_one_run_beside_the_raw_input_and_the_reference(tmp_path, small_sweep, capsys):
    save(tmp_path / "moving.npz", clip_of(swing(np.arange(150) / FPS), noise=2.0))
    numbers = tmp_path / "numbers.json"
    settings = ["--setting", "method=one-euro min_cutoff_hz=0.5", "--setting", "smoothing.method=kalman, noise=0.03"]
    assert main(["smoothing", str(tmp_path / "moving.npz"), *settings, "--json", str(numbers)]) == 0
    rows = json.loads(numbers.read_text())["filters"]
    assert list(rows) == ["none", "one-euro min_cutoff_hz=0.5", "kalman noise=0.03"]
    assert 0 < rows["kalman noise=0.03"]["jitter_to_reference"] < 2
    assert "can't be computed" not in capsys.readouterr().out


def test_it_says_why_there_is_no_comparison_with_the_reference(tmp_path, small_sweep, capsys):
    save(tmp_path / "still.npz", clip_of(np.zeros(60), noise=2.0))
    assert main(["smoothing", str(tmp_path / "still.npz"), "--filter", "none"]) == 0
    assert "can't be computed, because nothing moves" in capsys.readouterr().out
    assert main(["smoothing", str(record(tmp_path / "run.jsonl", 60)), "--filter", "none"]) == 0
    assert "can't be computed, because recordings have no ground truth" in capsys.readouterr().out


# the smoothing that x.info.json tells, whether the recording has raw keypoints, the warning
RECORDED = [
    ("kalman", False, "are already smoothed (kalman)"),
    (None, False, "may already be smoothed"),  # no x.info.json
    ("none", False, None),
    ("kalman", True, None),  # publish.raw_keypoints: those from before smoothing are used
]


@pytest.mark.parametrize(("smoothing", "raw", "said"), RECORDED)
def test_a_recording_that_is_already_smoothed_is_warned_about_before_the_table(tmp_path, capsys, smoothing, raw, said):
    path, numbers = record(tmp_path / "run.jsonl", 60, smoothing, raw), tmp_path / "numbers.json"
    assert main(["smoothing", str(path), "--filter", "none", "--json", str(numbers)]) == 0
    first = capsys.readouterr().out.partition("\n")[0]
    note = json.loads(numbers.read_text())["notes"][0]
    if said is None:
        assert first.startswith("smoothing: 1 clips")
        assert "smoothed" not in note
    else:
        assert first == f"warning: {note}"
        assert said in note


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
    (["short.jsonl"], "short.jsonl: its longest track has 3 frames"),
    (["nobody.jsonl"], "nobody.jsonl has no people with keypoints"),
    (["lost.npz"], "noisy: got no position"),
    (["unsure.npz"], "conf: got a score that is not in 0..1"),
    (["scale.npz"], "scale: got nan"),
    (["boxes.npz"], "xyxy: got (90, 2), expected (90, 4)"),
    (["hidden.npz"], "a frame without keypoints, expected xyxy"),
    (["good.npz", "--filter", "median"], "got 'median', expected some of"),
    (["good.npz", "--drop", "1"], "expected"),
    (["good.npz", "--setting", "min_cutof_hz=1"], "unknown key min_cutof_hz, did you mean smoothing.min_cutoff_hz?"),
    (["good.npz", "--setting", "min_cutoff_hz=1"], "min_cutoff_hz has no effect with kalman; add method=one-euro"),
    (["good.npz", "--setting", "noise"], "got 'noise', expected KEY=VALUE"),
    (["good.npz", "--setting", "noise=1 noise=2"], "noise is set twice"),
    (["good.npz", "--setting", "noise=-1"], "--setting 'noise=-1': smoothing.noise: got '-1'"),
    (["good.npz", "--setting", "gate=1.0", "--setting", "method=kalman"], "is the same as 'kalman gate=1.0'"),
    (["good.npz", "--setting", "predict_ms=age"], "got age, expected 0..500 ms"),
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
    record("short.jsonl", 3)
    record("nobody.jsonl", 40, people=0)
    good = clip_of(swing(np.arange(90) / FPS))
    save("lost.npz", replace(good, keypoints=np.full_like(good.keypoints, np.nan)))
    save("unsure.npz", replace(good, scores=good.scores * np.nan))
    save("scale.npz", replace(good, size=np.nan))
    save("boxes.npz", good, xyxy=np.zeros((90, 2)))
    save("hidden.npz", replace(good, truth=np.where(np.arange(90)[:, None, None] == 5, np.nan, good.truth)))
    assert main(["smoothing", *words]) == ConfigError.exit_code
    assert said in capsys.readouterr().err
