import pytest

from realtime.evaluate.tracking.inputs import Thinning


def test_every_nth_frame_is_kept_starting_with_the_first() -> None:
    assert Thinning(every=3).of(range(1, 11)) == [1, 4, 7, 10]


def test_the_seed_determines_which_frames_are_dropped() -> None:
    kept = Thinning(drop=0.3, seed=0).of(range(1, 2001))
    assert len(kept) == pytest.approx(1400, abs=60)
    assert kept == Thinning(drop=0.3, seed=0).of(range(1, 2001))
    assert kept != Thinning(drop=0.3, seed=1).of(range(1, 2001))
