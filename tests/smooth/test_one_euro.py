import math

import numpy as np

from realtime.smooth import one_euro


class LowPass:
    """Algorithm 2 of Casiez, Roussel and Vogel, CHI 2012: exponential smoothing of one number."""

    def __init__(self):
        self.before = None

    def filter(self, value, alpha):
        self.before = value if self.before is None else alpha * value + (1 - alpha) * self.before
        return self.before


class PaperOneEuro:
    """Algorithm 1 for one number, with the time step of each call instead of 1/rate."""

    def __init__(self, min_cutoff_hz, beta, derivative_cutoff_hz):
        self.min_cutoff_hz, self.beta, self.derivative_cutoff_hz = min_cutoff_hz, beta, derivative_cutoff_hz
        self.place, self.speed = LowPass(), LowPass()

    def filter(self, value, dt_s):
        speed = 0.0 if self.place.before is None else (value - self.place.before) / dt_s
        smooth_speed = self.speed.filter(speed, self.alpha(dt_s, self.derivative_cutoff_hz))
        return self.place.filter(value, self.alpha(dt_s, self.min_cutoff_hz + self.beta * abs(smooth_speed)))

    @staticmethod
    def alpha(dt_s, cutoff_hz):
        tau = 1.0 / (2 * math.pi * cutoff_hz)
        return 1.0 / (1.0 + tau / dt_s)


def test_with_size_1_it_equals_the_filter_of_the_paper():
    # Tolerance 1e-9 px: the same float64 arithmetic in a different order.
    random = np.random.default_rng(1)
    people, keypoints, frames = 3, 5, 60
    values = random.normal(0, 5, (frames, people, keypoints, 2)).cumsum(axis=0) + 300
    dt_s = random.uniform(0.005, 0.3, (frames, people))
    options = {"min_cutoff_hz": 0.7, "beta": 0.02, "derivative_cutoff_hz": 1.3}
    papers = {i: PaperOneEuro(**options) for i in np.ndindex(values.shape[1:])}
    state = one_euro.start(values[0])
    for t in range(frames):
        if t:
            state = one_euro.step(state, values[t], dt_s[t], **options)
        expected = [paper.filter(values[(t, *i)], dt_s[t, i[0]]) for i, paper in papers.items()]
        np.testing.assert_allclose(state[..., one_euro.PLACE].ravel(), expected, atol=1e-9, rtol=0)


def test_the_speed_is_divided_by_the_size_before_it_is_multiplied_by_beta():
    state = one_euro.start(np.zeros((2, 1, 2)))
    values = np.full((2, 1, 2), 10.0)
    by_size = one_euro.step(state, values, 0.1, size=np.array([1.0, 50.0]), beta=2.0)
    by_beta = [one_euro.step(state, values, 0.1, beta=beta)[0] for beta in (2.0, 2.0 / 50.0)]
    np.testing.assert_allclose(by_size, by_beta)


def test_one_time_step_per_keypoint_equals_filtering_each_keypoint_alone():
    random = np.random.default_rng(2)
    state = one_euro.start(random.normal(size=(2, 3, 2)))
    values, dt_s = random.normal(size=(2, 3, 2)), random.uniform(0.01, 1, (2, 3))
    together = one_euro.step(state, values, dt_s, beta=0.1)
    for n, k in np.ndindex(2, 3):
        alone = one_euro.step(state[n : n + 1, k : k + 1], values[n : n + 1, k : k + 1], dt_s[n, k], beta=0.1)
        np.testing.assert_array_equal(together[n, k], alone[0, 0])
