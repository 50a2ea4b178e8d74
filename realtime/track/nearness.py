"""How near detections are to where people are expected, if their boxes need not overlap. Used by track/association.py.

IoU can't tell how far apart two boxes are once they don't overlap. Boxes that are enlarged until they overlap (C-BIoU,
WACV 2023) accept as large an offset upwards as sideways, which is a whole height of the person. This measure is the
likelihood of the offset instead, as in DeepSORT's gate (Wojke et al., ICIP 2017), with spreads that were measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.track.kalman import HEIGHT, MEAN, VAR, X, Y

Floats = NDArray[np.float64]

# Standard deviations of the offset of a person's box from its prediction, measured on MOT sequences where people are
# seen again after a gap: in heights of the person, of someone whose place is certain; the parts of the filter's own
# standard deviation, which is too large, that are added sideways and upwards; and of the log ratio of the heights.
_CERTAIN = 0.06
_OF_FILTER = np.array([[0.5], [0.35]])
_HEIGHT_RATIO = 0.2


def log_nearness(state: Floats, xyxy: Floats) -> Floats:
    """Logarithm of the likelihood that each detection is each person, by its place and height.

    The likelihood is a normal distribution with the filter's variance. Its peak falls as it gets wider: the less
    certain a place is, the less likely is a person to be at any one place of it. So lost people need to be nearer, in
    parts of the spread, than those seen in the last frame.

    >>> from realtime.track.kalman import Filter, Noise
    >>> motion = Filter(Noise())
    >>> state = motion.begin(np.array([[100.0, 100, 140, 200]]))
    >>> places = np.array([[100.0, 100, 140, 200], [120, 100, 160, 200], [100, 120, 140, 220]])
    >>> for step_s in (0.0, 0.1, 1.0):
    ...     print(np.exp(log_nearness(motion.predict(state, step_s), places)).round(3).tolist())
    [[0.664, 0.025, 0.011]]
    [[0.276, 0.084, 0.038]]
    [[0.005, 0.005, 0.005]]

    Args:
        state: float64 (5, N, 4), the filter's state of N people (track/kalman.py), predicted for the time of the frame.
        xyxy: float64 (M, 4), detected boxes x1, y1, x2, y2 in pixels.

    Returns:
        float64 (N, M), at most 0, which is someone exactly where expected if that is certain.
    """
    height = state[MEAN, :, HEIGHT]
    spread2 = (_CERTAIN * height) ** 2 + _OF_FILTER**2 * state[VAR, :, X : Y + 1].T
    off = (xyxy[:, :2] + xyxy[:, 2:]).T[:, np.newaxis] / 2 - state[MEAN, :, X : Y + 1].T[:, :, np.newaxis]
    off *= off
    off /= spread2[:, :, np.newaxis]
    unlike = (np.log(xyxy[:, 3] - xyxy[:, 1]) - np.log(height)[:, np.newaxis]) / _HEIGHT_RATIO
    peak = np.log((_CERTAIN * height) ** 2) - np.log(spread2).sum(0) / 2
    near: Floats = peak[:, np.newaxis] - (off[0] + off[1] + unlike * unlike) / 2
    return near
