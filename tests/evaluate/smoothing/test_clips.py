import numpy as np

from realtime.evaluate.smoothing import clips
from tests.evaluate.smoothing.synthetic import clip_of, record, save


def test_times_and_boxes_in_a_file_are_used_unchanged(tmp_path):
    clip = clip_of(np.zeros(20))
    times_s = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.1, 20))
    [read] = clips.read_clips([save(tmp_path / "own.npz", clip, times_s=times_s, xyxy=clip.xyxy)])
    np.testing.assert_array_equal(read.times_s, times_s)
    np.testing.assert_array_equal(read.xyxy, clip.xyxy)


def test_a_recording_of_a_killed_run_is_read_up_to_its_incomplete_line(tmp_path):
    path = record(tmp_path / "run.jsonl", 40)
    path.write_bytes(path.read_bytes()[:-30])
    [clip] = clips.read_clips([path])
    assert len(clip) == 39
