"""Cameras with a known delay, by a clock that the test turns: what `Freshness` says of each of their pictures."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture.freshness import (
    BEHIND_S,
    DRIFT,
    MOST_OPENINGS,
    PATIENCE_S,
    START_S,
    WELL_S,
    Freshness,
)

OPENED_S = 5000.0
# Of a camera's first stamp. Negative in no camera, but whatever it is must not matter.
FIRST_STAMPS_S = st.sampled_from([0.0, 0.04, 95443.7, -3.0])
RATES = st.sampled_from([5.0, 25.0, 29.97, 60.0])
# Rounding: stamps are seconds as floats, of up to days.
EPS_S = 1e-6


class Seen(NamedTuple):
    """A picture that was judged: when it was really sent, came in, and what was said of it."""

    sent_s: float
    arrived_s: float
    captured_s: float
    verdict: str

    @property
    def lag_s(self):
        return self.arrived_s - self.captured_s

    @property
    def error_s(self):
        return abs(self.captured_s - self.sent_s)


def opened(at_s=OPENED_S):
    freshness = Freshness()
    freshness.reopened(at_s)
    return freshness


def judged(freshness, sent_s, arrived_s, stamp_s=0.0, rate=1.0):
    """Judge pictures sent and arrived at these times, stamped from `stamp_s` by a clock that runs `rate` times ours.

    Up to the first that is "behind": then the camera is opened again.
    """
    seen = []
    # In order, as they come over one connection.
    for sent, arrived in zip(sent_s.tolist(), np.maximum.accumulate(arrived_s).tolist(), strict=True):
        seen.append(Seen(sent, arrived, *freshness.judge(stamp_s + (sent - float(sent_s[0])) * rate, arrived)))
        if seen[-1].verdict == "behind":
            break
    return seen


def sending(seconds, fps=25.0, since_s=OPENED_S):
    """When a camera sends that is never late."""
    return since_s + np.arange(1, round(seconds * fps) + 1) / fps


def reopened(freshness, rate, opened_s, fps=25.0, seconds=3600.0):
    """All pictures of the next opening of a camera that is never late, and whose clock runs at `rate`."""
    freshness.reopened(opened_s)
    sent_s = sending(seconds, fps, opened_s)
    return judged(freshness, sent_s, sent_s, rate=rate)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e6, 1e6), st.floats(0.0, 20.0)),  # its stamp
            st.one_of(st.just(0.0), st.floats(0.0, 1.0), st.floats(0.0, 1e4)),  # time since the last
            st.sampled_from([False] * 9 + [True]),  # the camera was opened again
        ),
        max_size=60,
    )
)
def test_whatever_comes_nothing_was_taken_after_it_arrived_and_a_verdict_is_given(steps):
    now_s, freshness = OPENED_S, opened()
    for stamp_s, gap_s, reopens in steps:
        now_s += gap_s
        if reopens:
            freshness.reopened(now_s)
        captured_s, verdict = freshness.judge(stamp_s, now_s)
        assert captured_s <= now_s
        assert verdict in ("fresh", "stored", "behind")


@given(st.lists(st.floats(0.0, 0.8), min_size=2, max_size=200), RATES, FIRST_STAMPS_S, st.floats(0.0, 2.0))
def test_the_lag_is_the_delay_beyond_the_quickest(delays_s, fps, stamp_s, always_s):
    delays_s[0] = 0.0
    sent_s = sending(len(delays_s) / fps, fps)
    seen = judged(opened(), sent_s, sent_s + always_s + delays_s, stamp_s)
    for picture in seen:
        delay_s = picture.arrived_s - picture.sent_s - always_s
        # What every picture takes can't be told; of what is beyond it DRIFT a second is put down to the clocks.
        forgiven_s = DRIFT * (picture.arrived_s - seen[0].arrived_s)
        assert delay_s - forgiven_s - EPS_S <= picture.lag_s <= delay_s + EPS_S


@given(st.lists(st.floats(0.0, 0.1), min_size=150, max_size=150), FIRST_STAMPS_S)
def test_jitter_alone_makes_nothing_stored_beyond_the_start_nor_behind(delays_s, stamp_s):
    sent_s = sending(len(delays_s) / 25)
    seen = judged(opened(), sent_s, sent_s + delays_s, stamp_s)
    assert {picture.verdict for picture in seen if picture.arrived_s - OPENED_S > START_S} == {"fresh"}


@pytest.mark.parametrize("fps", [1.0, 5.0, 25.0, 60.0])
def test_of_a_camera_that_has_nothing_stored_the_first_picture_alone_is_not_trusted(fps):
    sent_s = sending(6, fps)
    verdicts = [picture.verdict for picture in judged(opened(), sent_s, sent_s)]
    assert verdicts == ["stored"] + ["fresh"] * (len(verdicts) - 1)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([10.0, 25.0, 29.97]),
    FIRST_STAMPS_S,
    st.floats(3.0, 9.0),
)
def test_pictures_that_a_stall_held_back_are_dated_by_when_they_were_sent(seed, fps, stamp_s, stalls_after_s):
    sent_s = sending(15, fps)
    jitter_s = np.random.default_rng(seed).uniform(0.0, 0.02, len(sent_s))
    stalled_s, goes_on_s = OPENED_S + stalls_after_s, OPENED_S + stalls_after_s + 3.0
    held = sent_s > stalled_s
    # The burst, at 5 times their rate, until it has caught up.
    burst_s = goes_on_s + np.cumsum(held) / (5 * fps)
    arrived_s = np.where(held, np.maximum(sent_s, burst_s), sent_s) + jitter_s
    seen = judged(opened(), sent_s, arrived_s, stamp_s)
    late = [picture for picture in seen if stalled_s < picture.sent_s < goes_on_s]
    assert max(picture.arrived_s - picture.sent_s for picture in late) > 2.8
    assert max(picture.error_s for picture in late) < 0.05
    assert {picture.verdict for picture in seen[1:] if picture.sent_s > OPENED_S + 1} == {"fresh"}
    # And the live ones after it are as fresh as those before.
    assert max(picture.lag_s for picture in seen if picture.sent_s > goes_on_s + 1) < 0.05


@pytest.mark.parametrize("stored_s", [0.2, 1.0, 4.0, 10.0])
@pytest.mark.parametrize("times", [5, 10, 100])  # faster than live: over a slow line, over a quick one
@pytest.mark.parametrize("fps", [10.0, 25.0])
def test_what_a_camera_had_stored_is_told_from_what_is_live(stored_s, times, fps):
    sent_s = sending(stored_s + 8, fps, OPENED_S - stored_s)
    catching_up_s = OPENED_S + np.arange(1, len(sent_s) + 1) / (times * fps)
    seen = judged(opened(), sent_s, np.maximum(sent_s, catching_up_s))
    stored = [picture.verdict == "stored" for picture in seen]
    assert all(was for was, picture in zip(stored, seen, strict=True) if picture.sent_s < OPENED_S - EPS_S)
    # Up to two intervals after the burst has caught up with the camera, the last of it can't be told from the next.
    caught_up_s = next(a.arrived_s for a in seen if a.arrived_s - a.sent_s < 1 / fps / times + EPS_S)
    assert not any(was for was, p in zip(stored, seen, strict=True) if p.arrived_s > caught_up_s + 2 / fps + EPS_S)
    assert max(p.error_s for was, p in zip(stored, seen, strict=True) if not was) < 0.05


def test_a_camera_that_sends_faster_than_its_stamps_for_long_just_sends_so():
    # Its stamps are wrong, not its pictures old: 25 a second, each stamped as if 50 ms after the last.
    sent_s = sending(10)
    seen = judged(opened(), sent_s, sent_s, rate=1.25 + 1e-6)
    stored = [picture for picture in seen if picture.verdict == "stored"]
    assert stored[-1].arrived_s - OPENED_S == pytest.approx(START_S, abs=0.05)
    assert max(picture.lag_s for picture in seen) < EPS_S


def test_a_camera_that_sends_groups_of_pictures_is_fresh_from_the_second_group_on():
    # Ten at a time, each 0.4 s: as encoders do that wait for a whole group.
    sent_s = sending(8)
    arrived_s = np.repeat(sent_s[9::10], 10)
    seen = judged(opened(), sent_s, arrived_s)
    assert [picture.verdict for picture in seen] == ["stored"] * 10 + ["fresh"] * 190
    # The last of a group waits for nothing, the first for nine others.
    for i in range(10):
        assert [p.lag_s for p in seen[10 + i :: 10]] == pytest.approx([0.36 - 0.04 * i] * 19, abs=0.005)


@pytest.mark.parametrize("back_s", [0.55, 3.0, 3600.0])
def test_stamps_that_jump_back_are_a_new_clock_and_no_lag(back_s):
    freshness, sent_s = opened(), sending(20)
    judged(freshness, sent_s, sent_s, stamp_s=5000.0)
    after_s = sending(20, since_s=sent_s[-1])
    seen = judged(freshness, after_s, after_s, stamp_s=5020.0 - back_s)
    assert max(picture.lag_s for picture in seen) < EPS_S
    assert "behind" not in {picture.verdict for picture in seen}
    assert {picture.verdict for picture in seen[1:]} == {"fresh"}


def test_nothing_is_stored_before_the_start_long_after_it():
    freshness, sent_s = opened(), sending(20)
    judged(freshness, sent_s, sent_s, stamp_s=5000.0)
    after_s = sending(1, since_s=sent_s[-1])
    assert {picture.verdict for picture in judged(freshness, after_s, after_s)} == {"fresh"}


@pytest.mark.parametrize(("back_s", "fps"), [(0.4, 25.0), (1.4, 1.0)])
def test_stamps_that_jump_back_a_little_are_no_lag_either(back_s, fps):
    # No delay turns stamps back: a clock was set. 1.4 s at 1 fps has the camera opened again.
    freshness, sent_s = opened(), sending(20, fps)
    judged(freshness, sent_s, sent_s, stamp_s=5000.0)
    after_s = sending(60, fps, since_s=sent_s[-1])
    seen = judged(freshness, after_s, after_s, stamp_s=5020.0 - back_s)
    assert seen[-1].verdict == "fresh"
    assert seen[-1].lag_s < 0.1


@pytest.mark.parametrize("jump_s", [0.3, 3.0, 3600.0])
def test_stamps_that_jump_ahead_are_no_lag(jump_s):
    freshness, sent_s = opened(), sending(20)
    judged(freshness, sent_s, sent_s)
    after_s = sending(20, since_s=sent_s[-1])
    seen = judged(freshness, after_s, after_s, stamp_s=20.0 + jump_s)
    assert max(picture.lag_s for picture in seen) < EPS_S
    assert {picture.verdict for picture in seen} == {"fresh"}


@pytest.mark.parametrize("ppm", [-100, 100, 400])
def test_a_clock_that_drifts_for_two_hours_is_no_lag_and_never_behind(ppm):
    fps = 10.0
    sent_s = sending(2 * 3600, fps)
    jitter_s = np.random.default_rng(0).uniform(0.0, 0.02, len(sent_s))
    seen = judged(opened(), sent_s, sent_s + jitter_s, rate=1 + ppm * 1e-6)
    assert [picture.verdict for picture in seen] == ["stored"] + ["fresh"] * (len(seen) - 1)
    assert max(picture.lag_s for picture in seen) < 0.03


def test_a_path_that_became_longer_is_taken_for_the_usual_one_in_time():
    # 0.3 s more for every picture from then on: old at first, by and by what can't be told from a clock that was set.
    freshness, sent_s = opened(), sending(20)
    judged(freshness, sent_s, sent_s)
    after_s = sending(0.3 / DRIFT + 5, since_s=sent_s[-1])
    seen = judged(freshness, after_s, after_s + 0.3, stamp_s=20.0)
    lags_s = [picture.lag_s for picture in seen]
    assert lags_s[0] == pytest.approx(0.3, abs=0.001)
    assert lags_s[round(0.15 / DRIFT * 25)] == pytest.approx(0.15, abs=0.03)
    assert lags_s[-1] < EPS_S


def test_a_camera_that_stays_behind_is_told_after_patience_and_not_before():
    sent_s = sending(30)
    late = sent_s > OPENED_S + 10
    seen = judged(opened(), sent_s, sent_s + np.where(late, BEHIND_S + 0.2, 0.0))
    first_late_s = next(p.arrived_s for p in seen if p.lag_s > BEHIND_S)
    behind = [picture for picture in seen if picture.verdict == "behind"]
    assert behind[0].arrived_s - first_late_s == pytest.approx(PATIENCE_S, abs=0.05)


@pytest.mark.parametrize(
    "delay_s",
    [
        lambda t: np.where(t > 10, BEHIND_S - 0.05, 0.0),  # less late than that, for good
        lambda t: np.where(t > 10, np.maximum(0.0, PATIENCE_S - 0.5 - (t - 10)), 0.0),  # late, and it catches up
        lambda t: np.where(t % 6 < 3, BEHIND_S + 0.5, 0.0),  # late again and again, never for long
    ],
)
def test_a_camera_that_is_late_and_catches_up_is_not_behind(delay_s):
    sent_s = sending(60)
    seen = judged(opened(), sent_s, sent_s + delay_s(sent_s - OPENED_S))
    assert max(picture.lag_s for picture in seen) > BEHIND_S - 0.1
    assert "behind" not in {picture.verdict for picture in seen}


def test_of_a_clock_that_is_three_percent_slow_the_stamps_are_given_up_after_so_many_openings():
    freshness, now_s = Freshness(), OPENED_S
    for _ in range(MOST_OPENINGS):
        assert freshness.trusts_stamps
        seen = reopened(freshness, 0.97, now_s)
        assert seen[-1].verdict == "behind"
        loses = 0.03 - 0.97 * DRIFT  # a second
        assert seen[-1].arrived_s - now_s == pytest.approx(BEHIND_S / loses + PATIENCE_S, abs=0.2)
        now_s = seen[-1].arrived_s + 1.0
    assert not freshness.trusts_stamps
    seen = reopened(freshness, 0.97, now_s, seconds=120)
    assert {(picture.lag_s, picture.verdict) for picture in seen} == {(0.0, "fresh")}


def test_a_camera_that_falls_behind_now_and_then_keeps_its_stamps():
    freshness, now_s = Freshness(), OPENED_S
    for _ in range(2 * MOST_OPENINGS):
        sent_s = sending(WELL_S + 30, 5.0, now_s)
        freshness.reopened(now_s)
        seen = judged(freshness, sent_s, sent_s + np.where(sent_s > now_s + WELL_S + 10, 2 * BEHIND_S, 0.0))
        assert seen[-1].verdict == "behind"
        now_s = seen[-1].arrived_s
    assert freshness.trusts_stamps


@pytest.mark.parametrize("rate", [29.97 / 30, 1 - 0.0006, 1 - 0.002])
def test_a_clock_that_is_a_little_slow_makes_no_picture_too_old_for_long(rate):
    freshness, now_s, old, of, openings = Freshness(), OPENED_S, 0, 0, 0
    while now_s - OPENED_S < 3 * 3600:
        seen = reopened(freshness, rate, now_s, fps=5.0, seconds=3 * 3600)
        old, of, openings = old + sum(p.lag_s > 0.5 for p in seen), of + len(seen), openings + 1
        now_s = seen[-1].arrived_s + 1.0
    assert old / of < 0.05  # LatencyConfig.max_age_ms: the door begins none of these
    assert openings <= MOST_OPENINGS + 1


def test_pictures_without_a_stamp_are_fresh_when_they_come():
    freshness = opened()
    for gap_s in (0.0, 0.0, 3.0, 0.001):
        assert freshness.judge(None, OPENED_S + gap_s) == (OPENED_S + gap_s, "fresh")


@pytest.mark.parametrize("first_s", [0.0, 1000.0, 1010.5, 5000.0])
def test_another_opening_knows_nothing_of_the_last_ones_stamps(first_s):
    freshness, sent_s = opened(), sending(10)
    judged(freshness, sent_s, sent_s, stamp_s=1000.0)
    # Ten seconds later: a camera that begins at 0 for each client, or that counted on for a part of the time.
    freshness.reopened(OPENED_S + 20)
    seen = judged(freshness, sent_s + 20, sent_s + 20, stamp_s=first_s)
    assert max(picture.lag_s for picture in seen) < EPS_S
    assert [picture.verdict for picture in seen[:2]] == ["stored", "fresh"]
