"""The verdicts of `Freshness` on simulated cameras with known delays. No test reads a real clock."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture.freshness import (
    BEHIND_S,
    DRIFT,
    FRESHER_S,
    LONGEST_START_S,
    MOST_OPENINGS,
    PATIENCE_S,
    SETTLING,
    START_S,
    WELL_S,
    Freshness,
)

OPENED_S = 5000.0
# The first timestamp of a camera. No camera sends a negative one, but its value must not matter.
FIRST_STAMPS_S = st.sampled_from([0.0, 0.04, 95443.7, -3.0])
RATES = st.sampled_from([5.0, 25.0, 29.97, 60.0])
# Rounding error: timestamps are floats, in seconds, and reach up to days.
EPS_S = 1e-6


class Seen(NamedTuple):
    """A judged frame: when it was sent and arrived, and what `judge` returned for it."""

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
    """Judge frames that are sent and arrive at these times, up to the first verdict "behind".

    The camera's clock starts at `stamp_s` and runs at `rate` times the speed of ours.
    """
    seen = []
    # Frames arrive in order, as over one connection.
    for sent, arrived in zip(sent_s.tolist(), np.maximum.accumulate(arrived_s).tolist(), strict=True):
        seen.append(Seen(sent, arrived, *freshness.judge(stamp_s + (sent - float(sent_s[0])) * rate, arrived)))
        if seen[-1].verdict == "behind":
            break
    return seen


def sending(seconds, fps=25.0, since_s=OPENED_S):
    """Return the times at which a camera without delay sends its frames."""
    return since_s + np.arange(1, round(seconds * fps) + 1) / fps


def reopened(freshness, rate, opened_s, fps=25.0, seconds=3600.0):
    """Judge the frames of the next opening of a camera without delay, whose clock runs at `rate`."""
    freshness.reopened(opened_s)
    sent_s = sending(seconds, fps, opened_s)
    return judged(freshness, sent_s, sent_s, rate=rate)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e6, 1e6), st.floats(0.0, 20.0)),  # the timestamp
            st.one_of(st.just(0.0), st.floats(0.0, 1.0), st.floats(0.0, 1e4)),  # time since the last frame
            st.sampled_from([False] * 9 + [True]),  # whether the camera is reopened first
        ),
        max_size=60,
    )
)
def test_any_frame_gets_a_verdict_and_a_capture_time_not_later_than_its_arrival(steps):
    now_s, freshness = OPENED_S, opened()
    for stamp_s, gap_s, reopens in steps:
        now_s += gap_s
        if reopens:
            freshness.reopened(now_s)
        captured_s, verdict = freshness.judge(stamp_s, now_s)
        assert captured_s <= now_s
        assert verdict in ("fresh", "stored", "behind")


@given(st.lists(st.floats(0.0, 0.8), min_size=2, max_size=200), RATES, FIRST_STAMPS_S, st.floats(0.0, 2.0))
def test_the_lag_is_the_delay_beyond_the_smallest_one(delays_s, fps, stamp_s, always_s):
    delays_s[0] = 0.0
    sent_s = sending(len(delays_s) / fps, fps)
    seen = judged(opened(), sent_s, sent_s + always_s + delays_s, stamp_s)
    for picture in seen:
        delay_s = picture.arrived_s - picture.sent_s - always_s
        # A delay that all frames share can't be measured. DRIFT per second of the rest is attributed to the clocks.
        forgiven_s = DRIFT * (picture.arrived_s - seen[0].arrived_s)
        assert delay_s - forgiven_s - EPS_S <= picture.lag_s <= delay_s + EPS_S


@given(st.lists(st.floats(0.0, 0.1), min_size=150, max_size=150), FIRST_STAMPS_S)
def test_with_jitter_alone_every_frame_is_fresh_after_the_start(delays_s, stamp_s):
    sent_s = sending(len(delays_s) / 25)
    seen = judged(opened(), sent_s, sent_s + delays_s, stamp_s)
    assert {picture.verdict for picture in seen if picture.arrived_s - OPENED_S > START_S} == {"fresh"}


@pytest.mark.parametrize(
    ("fps", "stored"),
    [(0.2, 1), (1.0, 3), (5.0, SETTLING), (25.0, SETTLING), (60.0, SETTLING)],  # at low rates, START_S comes first
)
def test_only_the_first_frames_are_judged_stored_if_the_camera_has_no_backlog(fps, stored):
    sent_s = sending(60, fps)
    verdicts = [picture.verdict for picture in judged(opened(), sent_s, sent_s)]
    assert verdicts == ["stored"] * stored + ["fresh"] * (len(verdicts) - stored)


@pytest.mark.parametrize(
    "steps_s",
    [
        [0.033, 0.067],  # 30 fps cut to 20 fps by leaving out frames
        [0.04, 0.0],  # each timestamp twice
    ],
)
@pytest.mark.parametrize("arrive", ["when due", "evenly"])
def test_an_irregular_cadence_is_fresh_within_a_second(steps_s, arrive):
    stamps_s = np.cumsum(np.tile(steps_s, 50))
    due_s = OPENED_S + stamps_s
    even_s = np.linspace(due_s[0], due_s[-1], len(due_s))
    freshness = opened()
    for stamp_s, now_s in zip(stamps_s, due_s if arrive == "when due" else even_s, strict=True):
        _, verdict = freshness.judge(stamp_s, now_s)
        assert verdict == "fresh" or now_s - due_s[0] < 1.0


def test_a_variable_rate_is_fresh_within_a_second():
    arrived_s = OPENED_S + np.cumsum(np.tile([0.04, 0.04, 0.04, 0.2, 0.5], 20))
    seen = judged(opened(), arrived_s, arrived_s)
    assert {picture.verdict for picture in seen if picture.arrived_s > OPENED_S + 1.0} == {"fresh"}


def test_a_camera_whose_timestamps_stand_still_is_fresh_after_the_start():
    freshness, arrived_s = opened(), sending(5)
    verdicts = [freshness.judge(7.0, now_s)[1] for now_s in arrived_s]
    assert verdicts[0] == "stored"
    assert {v for v, now_s in zip(verdicts, arrived_s, strict=True) if now_s - OPENED_S > START_S + 0.1} == {"fresh"}


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([10.0, 25.0, 29.97, 60.0]),
    st.floats(0.5, 6.0),
    st.floats(0.0, 0.004),
    st.integers(0, 5),  # START_S is over after six hiccups of HICCUP_S
)
def test_hiccups_in_the_burst_do_not_pass_stored_frames_off_as_fresh(seed, fps, stored_s, decoding_s, hiccups):
    # A loaded machine reads the burst as fast as it decodes, with pauses. No two pauses are closer than three frames.
    rng = np.random.default_rng(seed)
    sent_s = sending(stored_s + 6, fps, OPENED_S - stored_s)
    pauses_s = np.zeros(len(sent_s))
    places = 3 * rng.permutation(len(sent_s) // 3)[:hiccups] + 2
    pauses_s[places[places < len(sent_s)]] = rng.uniform(0.02, 1.0, np.sum(places < len(sent_s)))
    arrived_s, now_s = [], OPENED_S
    for sent, pause_s in zip(sent_s, pauses_s, strict=True):
        now_s = max(sent, now_s + decoding_s + pause_s)
        arrived_s.append(now_s)
    seen = judged(opened(), sent_s, np.array(arrived_s))
    for picture in seen:
        age_s = picture.arrived_s - picture.sent_s
        assert picture.verdict != "fresh" or picture.lag_s > age_s - FRESHER_S - 2 / fps - 0.05


def test_a_busy_machine_that_reads_nothing_for_seconds_still_finds_the_backlog():
    # The camera is opened, and its first frame is read. Then a model is compiled for 5 s, while video piles up.
    sent_s = sending(15)
    held = (sent_s > OPENED_S + 0.05) & (sent_s < OPENED_S + 5)
    burst_s = OPENED_S + 5 + np.cumsum(held) * 0.004
    seen = judged(opened(), sent_s, np.where(held, burst_s, sent_s))
    assert {p.verdict for p in seen if p.arrived_s - p.sent_s > 0.5} == {"stored"}
    assert {p.verdict for p in seen if p.sent_s > OPENED_S + 6.5} == {"fresh"}


def test_a_backlog_that_comes_in_two_bursts_is_found_again():
    # A dozen frames at live pace lie between the bursts, as if a relay on the way had a backlog of its own.
    sent_s = sending(15, since_s=OPENED_S - 4)
    steps_s = np.where(np.arange(len(sent_s)) % 50 < 38, 0.002, 0.04)[: len(sent_s)]
    arrived_s = np.maximum(sent_s, OPENED_S + np.cumsum(steps_s))
    seen = judged(opened(), sent_s, arrived_s)
    in_burst = [p for i, p in enumerate(seen) if 4 <= i % 50 < 38 and p.arrived_s - p.sent_s > 0.5]
    assert len(in_burst) > 60
    assert {p.verdict for p in in_burst} == {"stored"}


def test_stored_video_at_exactly_live_pace_cannot_be_told_from_live_video():
    # Only the camera's own clock would show it.
    sent_s = sending(10, since_s=OPENED_S - 3)
    seen = judged(opened(), sent_s, sent_s + 3)
    assert {(picture.verdict, round(picture.lag_s, 6)) for picture in seen[SETTLING:]} == {("fresh", 0.0)}


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([10.0, 25.0, 29.97]),
    FIRST_STAMPS_S,
    st.floats(3.0, 9.0),
)
def test_frames_held_back_by_a_stall_are_dated_by_when_they_were_sent(seed, fps, stamp_s, stalls_after_s):
    sent_s = sending(15, fps)
    jitter_s = np.random.default_rng(seed).uniform(0.0, 0.02, len(sent_s))
    stalled_s, goes_on_s = OPENED_S + stalls_after_s, OPENED_S + stalls_after_s + 3.0
    held = sent_s > stalled_s
    # The burst arrives at 5 times the frame rate, until it has caught up.
    burst_s = goes_on_s + np.cumsum(held) / (5 * fps)
    arrived_s = np.where(held, np.maximum(sent_s, burst_s), sent_s) + jitter_s
    seen = judged(opened(), sent_s, arrived_s, stamp_s)
    late = [picture for picture in seen if stalled_s < picture.sent_s < goes_on_s]
    assert max(picture.arrived_s - picture.sent_s for picture in late) > 2.8
    assert max(picture.error_s for picture in late) < 0.05
    assert {picture.verdict for picture in seen[1:] if picture.sent_s > OPENED_S + 1} == {"fresh"}
    # The live frames after the burst are as fresh as those before the stall.
    assert max(picture.lag_s for picture in seen if picture.sent_s > goes_on_s + 1) < 0.05


@pytest.mark.parametrize("stored_s", [0.2, 1.0, 4.0, 10.0])
@pytest.mark.parametrize("times", [5, 10, 100])  # faster than live, from a slow line to a fast one
@pytest.mark.parametrize("fps", [10.0, 25.0])
def test_stored_frames_are_told_apart_from_live_frames(stored_s, times, fps):
    sent_s = sending(stored_s + 8, fps, OPENED_S - stored_s)
    catching_up_s = OPENED_S + np.arange(1, len(sent_s) + 1) / (times * fps)
    seen = judged(opened(), sent_s, np.maximum(sent_s, catching_up_s))
    stored = [picture.verdict == "stored" for picture in seen]
    assert all(was for was, picture in zip(stored, seen, strict=True) if picture.sent_s < OPENED_S - EPS_S)
    # It takes SETTLING intervals to see that the burst has caught up, and two more to tell its last frames apart.
    caught_up_s = next(a.arrived_s for a in seen if a.arrived_s - a.sent_s < 1 / fps / times + EPS_S)
    settled_s = caught_up_s + (SETTLING + 2) / fps + EPS_S
    assert not any(was for was, p in zip(stored, seen, strict=True) if p.arrived_s > settled_s)
    assert max(p.error_s for was, p in zip(stored, seen, strict=True) if not was) < 0.05


def test_a_camera_that_always_sends_faster_than_its_timestamps_is_fresh_after_the_start():
    # The timestamps are wrong and the frames are not old: they arrive every 40 ms, stamped 50 ms apart.
    sent_s = sending(15)
    seen = judged(opened(), sent_s, sent_s, rate=1.25 + 1e-6)
    stored = [picture for picture in seen if picture.verdict == "stored"]
    assert stored[-1].arrived_s - OPENED_S == pytest.approx(LONGEST_START_S, abs=0.05)
    assert max(picture.lag_s for picture in seen) < EPS_S


def test_a_camera_that_sends_frames_in_groups_is_fresh_after_the_start():
    # Ten frames at a time, every 0.4 s, like an encoder that waits for a whole group of pictures.
    sent_s = sending(8)
    arrived_s = np.repeat(sent_s[9::10], 10)
    seen = judged(opened(), sent_s, arrived_s)
    stored = sum(picture.verdict == "stored" for picture in seen)
    assert [picture.verdict for picture in seen] == ["stored"] * stored + ["fresh"] * (len(seen) - stored)
    assert seen[stored].arrived_s - seen[0].arrived_s == pytest.approx(START_S, abs=0.4)
    # In each group, the last frame isn't delayed, and the first waits for nine others.
    for i in range(10):
        lags_s = [p.lag_s for p in seen[stored + 10 + i :: 10]]
        assert lags_s == pytest.approx([0.36 - 0.04 * i] * len(lags_s), abs=0.005)


@pytest.mark.parametrize("back_s", [0.55, 3.0, 3600.0])
def test_timestamps_that_jump_back_far_do_not_count_as_lag(back_s):
    freshness, sent_s = opened(), sending(20)
    judged(freshness, sent_s, sent_s, stamp_s=5000.0)
    after_s = sending(20, since_s=sent_s[-1])
    seen = judged(freshness, after_s, after_s, stamp_s=5020.0 - back_s)
    assert max(picture.lag_s for picture in seen) < EPS_S
    assert "behind" not in {picture.verdict for picture in seen}
    assert {picture.verdict for picture in seen[1:]} == {"fresh"}


def test_no_frame_is_stored_long_after_the_opening():
    freshness, sent_s = opened(), sending(20)
    judged(freshness, sent_s, sent_s, stamp_s=5000.0)
    after_s = sending(1, since_s=sent_s[-1])
    assert {picture.verdict for picture in judged(freshness, after_s, after_s)} == {"fresh"}


@pytest.mark.parametrize(("back_s", "fps"), [(0.4, 25.0), (1.4, 1.0)])
def test_timestamps_that_jump_back_a_little_do_not_count_as_lag(back_s, fps):
    # No delay turns timestamps back, so the camera set its clock. As lag, 1.4 s would have the camera reopened.
    freshness, sent_s = opened(), sending(20, fps)
    judged(freshness, sent_s, sent_s, stamp_s=5000.0)
    after_s = sending(60, fps, since_s=sent_s[-1])
    seen = judged(freshness, after_s, after_s, stamp_s=5020.0 - back_s)
    assert seen[-1].verdict == "fresh"
    assert seen[-1].lag_s < 0.1


@pytest.mark.parametrize("jump_s", [0.3, 3.0, 3600.0])
def test_timestamps_that_jump_ahead_do_not_count_as_lag(jump_s):
    freshness, sent_s = opened(), sending(20)
    judged(freshness, sent_s, sent_s)
    after_s = sending(20, since_s=sent_s[-1])
    seen = judged(freshness, after_s, after_s, stamp_s=20.0 + jump_s)
    assert max(picture.lag_s for picture in seen) < EPS_S
    assert {picture.verdict for picture in seen} == {"fresh"}


@pytest.mark.parametrize("ppm", [-100, 100, 400])
def test_a_clock_that_drifts_for_two_hours_does_not_count_as_lag(ppm):
    fps = 10.0
    sent_s = sending(2 * 3600, fps)
    jitter_s = np.random.default_rng(0).uniform(0.0, 0.02, len(sent_s))
    seen = judged(opened(), sent_s, sent_s + jitter_s, rate=1 + ppm * 1e-6)
    assert {picture.verdict for picture in seen[2 * SETTLING :]} == {"fresh"}
    assert max(picture.lag_s for picture in seen) < 0.03


def test_a_constant_extra_delay_fades_over_time():
    # Each frame takes 0.3 s longer from then on. That counts as lag at first, and fades as if the clock had drifted.
    freshness, sent_s = opened(), sending(20)
    judged(freshness, sent_s, sent_s)
    after_s = sending(0.3 / DRIFT + 5, since_s=sent_s[-1])
    seen = judged(freshness, after_s, after_s + 0.3, stamp_s=20.0)
    lags_s = [picture.lag_s for picture in seen]
    assert lags_s[0] == pytest.approx(0.3, abs=0.001)
    assert lags_s[round(0.15 / DRIFT * 25)] == pytest.approx(0.15, abs=0.03)
    assert lags_s[-1] < EPS_S


def test_a_camera_that_stays_late_is_behind_after_patience_s_and_not_before():
    sent_s = sending(30)
    late = sent_s > OPENED_S + 10
    seen = judged(opened(), sent_s, sent_s + np.where(late, BEHIND_S + 0.2, 0.0))
    first_late_s = next(p.arrived_s for p in seen if p.lag_s > BEHIND_S)
    behind = [picture for picture in seen if picture.verdict == "behind"]
    assert behind[0].arrived_s - first_late_s == pytest.approx(PATIENCE_S, abs=0.05)


@pytest.mark.parametrize(
    "delay_s",
    [
        lambda t: np.where(t > 10, BEHIND_S - 0.05, 0.0),  # late for ever, but by less than BEHIND_S
        lambda t: np.where(t > 10, np.maximum(0.0, PATIENCE_S - 0.5 - (t - 10)), 0.0),  # late, then catches up
        lambda t: np.where(t % 6 < 3, BEHIND_S + 0.5, 0.0),  # late again and again, but never for PATIENCE_S
    ],
)
def test_a_camera_that_is_slightly_or_briefly_late_is_not_behind(delay_s):
    sent_s = sending(60)
    seen = judged(opened(), sent_s, sent_s + delay_s(sent_s - OPENED_S))
    assert max(picture.lag_s for picture in seen) > BEHIND_S - 0.1
    assert "behind" not in {picture.verdict for picture in seen}


def test_timestamps_of_a_clock_that_is_three_percent_slow_are_ignored_after_a_few_openings():
    freshness, now_s = Freshness(), OPENED_S
    for _ in range(MOST_OPENINGS):
        assert freshness.trusts_stamps
        seen = reopened(freshness, 0.97, now_s)
        assert seen[-1].verdict == "behind"
        loses = 0.03 - 0.97 * DRIFT  # lag gained per second
        assert seen[-1].arrived_s - now_s == pytest.approx(BEHIND_S / loses + PATIENCE_S, abs=0.2)
        now_s = seen[-1].arrived_s + 1.0
    assert not freshness.trusts_stamps
    seen = reopened(freshness, 0.97, now_s, seconds=120)
    assert {(picture.lag_s, picture.verdict) for picture in seen} == {(0.0, "fresh")}


def test_timestamps_of_a_camera_that_rarely_falls_behind_are_still_trusted():
    freshness, now_s = Freshness(), OPENED_S
    for _ in range(2 * MOST_OPENINGS):
        sent_s = sending(WELL_S + 30, 5.0, now_s)
        freshness.reopened(now_s)
        seen = judged(freshness, sent_s, sent_s + np.where(sent_s > now_s + WELL_S + 10, 2 * BEHIND_S, 0.0))
        assert seen[-1].verdict == "behind"
        now_s = seen[-1].arrived_s
    assert freshness.trusts_stamps


@pytest.mark.parametrize("rate", [29.97 / 30, 1 - 0.0006, 1 - 0.002])
def test_a_clock_that_is_a_little_slow_makes_few_frames_too_old(rate):
    freshness, now_s, old, of, openings = Freshness(), OPENED_S, 0, 0, 0
    while now_s - OPENED_S < 3 * 3600:
        seen = reopened(freshness, rate, now_s, fps=5.0, seconds=3 * 3600)
        old, of, openings = old + sum(p.lag_s > 0.5 for p in seen), of + len(seen), openings + 1
        now_s = seen[-1].arrived_s + 1.0
    assert old / of < 0.05  # the door drops frames older than LatencyConfig.max_age_ms
    assert openings <= MOST_OPENINGS + 1


def test_frames_without_a_timestamp_are_fresh_and_dated_by_arrival():
    freshness = opened()
    for gap_s in (0.0, 0.0, 3.0, 0.001):
        assert freshness.judge(None, OPENED_S + gap_s) == (OPENED_S + gap_s, "fresh")


@pytest.mark.parametrize("first_s", [0.0, 1000.0, 1010.5, 5000.0])
def test_a_new_opening_forgets_the_timestamps_of_the_last_one(first_s):
    freshness, sent_s = opened(), sending(10)
    judged(freshness, sent_s, sent_s, stamp_s=1000.0)
    # Ten seconds later, the timestamps may start at 0, as for each client, or continue with or without a jump.
    freshness.reopened(OPENED_S + 20)
    seen = judged(freshness, sent_s + 20, sent_s + 20, stamp_s=first_s)
    assert max(picture.lag_s for picture in seen) < EPS_S
    assert [picture.verdict for picture in seen[: SETTLING + 1]] == ["stored"] * SETTLING + ["fresh"]
