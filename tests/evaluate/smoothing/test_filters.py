import numpy as np
import pytest

from realtime.config import SmoothingConfig
from realtime.evaluate.smoothing import filters
from realtime.evaluate.smoothing.motion import measure
from tests.evaluate.smoothing.synthetic import clip_of


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
