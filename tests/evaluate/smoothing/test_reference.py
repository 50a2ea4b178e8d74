import numpy as np
import pytest

from realtime.evaluate.smoothing.motion import Score
from realtime.evaluate.smoothing.reference import Curve, Setting


def test_the_curve_holds_the_settings_that_no_other_beats_and_filters_are_compared_with_it():
    points = [(0.0, 20.0), (10.0, 10.0), (20.0, 15.0), (30.0, 5.0)]  # the third has more lag and jitter than the second
    curve = Curve.of([Setting(1.0, 0.0, Score(lag_ms=lag, jitter_px=jitter)) for lag, jitter in points])
    np.testing.assert_array_equal(curve.lag_ms, [0.0, 10.0, 30.0])
    assert curve.jitter_ratio(Score(lag_ms=20.0, jitter_px=3.0)) == pytest.approx(0.4)
    assert curve.later_ms(Score(lag_ms=12.0, jitter_px=7.5)) == pytest.approx(-8.0)
    assert np.isnan(curve.jitter_ratio(Score(lag_ms=40.0, jitter_px=1.0)))
