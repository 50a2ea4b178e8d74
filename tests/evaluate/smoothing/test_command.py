import json

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
