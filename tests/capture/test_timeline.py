import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture import timeline as module
from realtime.capture.backoff import HOPELESS_S, JITTER, LONGEST_S, Backoff
from realtime.capture.timeline import CATCH_UP, NUDGE_S, SPARE_S, Pacer, Playout, Timeline
from realtime.errors import SourceReason
from tests.clock import Clock

from .rig import RecordingStop

SIZE = (64, 48)


def timeline(live=False, fps=None):
    line = Timeline()
    line.reopened(100.0, live, fps)
    return line


@given(
    st.lists(
        st.tuples(st.sampled_from([(64, 48), (48, 64)]), st.one_of(st.none(), st.floats(-1e6, 1e6)), st.booleans()),
        max_size=40,
    ),
    st.booleans(),
)
def test_time_strictly_increases_within_an_epoch_and_epochs_never_decrease(steps, live):
    line, placed = timeline(live, 25.0), []
    for i, (size, media_s, reopens) in enumerate(steps):
        if reopens:
            line.reopened(100.0 + i, live, 25.0)
        placed.append((*line.place(size, media_s, 100.0 + i), size))
    for (epoch, time_s, size), (next_epoch, next_s, next_size) in itertools.pairwise(placed):
        assert next_epoch >= epoch
        assert next_epoch > epoch or (next_s > time_s and next_size == size)


def test_media_time_is_used_unchanged():
    line = timeline()
    assert [line.place(SIZE, s, 0.0) for s in (1.6, 1.7, 2.9)] == [(0, 1.6), (0, 1.7), (0, 2.9)]


def test_a_timestamp_that_does_not_increase_is_nudged_ahead():
    line = timeline()
    times = [line.place(SIZE, s, 0.0)[1] for s in (1.0, 1.0, 0.9, 1.1)]
    assert times == pytest.approx([1.0, 1.0 + NUDGE_S, 1.0 + 2 * NUDGE_S, 1.1])


def test_a_repeated_timestamp_of_a_live_source_advances_by_the_time_between_arrivals():
    line = timeline(live=True)
    placed = [line.place(SIZE, 5.0, 100.0 + k / 25) for k in range(1200)]
    assert placed == [(0, pytest.approx(5.0 + k / 25)) for k in range(1200)]
    # Later timestamps are behind; their own steps are used until they have caught up.
    later = [line.place(SIZE, 5.0 + k / 25, 148.0 + k / 25)[1] for k in range(1, 10)]
    assert [b - a for a, b in itertools.pairwise(later)] == pytest.approx([1 / 25] * 8)


def test_a_live_source_that_stamps_two_frames_alike_keeps_its_pace():
    line = timeline(live=True)
    times = [line.place(SIZE, k // 2 / 15, 100.0 + k / 30)[1] for k in range(20)]
    assert times == pytest.approx([k / 30 for k in range(20)])


def test_a_timestamp_that_jumps_back_after_repeated_ones_starts_an_epoch():
    line = timeline(live=True)
    placed = [line.place(SIZE, stamp_s, 100.0 + k)[0] for k, stamp_s in enumerate([5.0, 5.0, 5.0, 4.9, 4.3, 4.4])]
    assert placed == [0, 0, 0, 0, 1, 1]


def test_a_timestamp_that_jumps_back_starts_an_epoch():
    line = timeline()
    assert [line.place(SIZE, s, 0.0) for s in (5.0, 5.1, 0.0, 0.1)] == [(0, 5.0), (0, 5.1), (1, 0.0), (1, 0.1)]


def test_a_live_source_without_timestamps_is_timed_by_arrival():
    line = timeline(live=True, fps=30.0)
    assert [line.place(SIZE, None, s)[1] for s in (100.5, 101.25)] == [0.5, 1.25]


def test_a_file_without_timestamps_follows_its_nominal_rate():
    line = timeline(fps=20.0)
    assert [line.place(SIZE, None, 7.0)[1] for _ in range(3)] == pytest.approx([0.0, 0.05, 0.1])


def test_a_new_size_starts_an_epoch_and_so_does_reopening():
    line = timeline()
    epochs = [line.place((64, 48), 0.0, 0.0)[0], line.place((48, 64), 0.1, 0.0)[0]]
    line.reopened(200.0, False, None)
    epochs.append(line.place((64, 48), 0.0, 0.0)[0])  # the size of the first frame is not a change
    assert epochs == [0, 1, 2]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_frame_is_held_back_until_it_is_due(clock):
    stop = RecordingStop()
    pacer = Pacer(stop, "cam0")
    # The waits take no time, so each frame waits for the whole time since the first one.
    assert all(pacer.wait(s, 10.0) for s in (3.0, 3.5, 5.0))
    clock.now_s += 5.0
    assert pacer.wait(6.0, 10.0)  # late
    assert stop.waits == pytest.approx([0.0, 0.5, 2.0, 0.0])


def test_the_last_frame_before_a_loop_lasts_for_its_interval(clock):
    stop = RecordingStop()
    pacer = Pacer(stop, "cam0")
    for time_s in (0.0, 1.0, 0.0, 1.0):
        pacer.wait(time_s, 2.0)
    assert stop.waits == pytest.approx([0.0, 1.0, 1.5, 2.5])


def played_at(times_s, fps):
    """Return when each frame is shown, if each wait takes its time."""
    clock, stop = Clock(), RecordingStop()
    pacer, shown_s = Pacer(stop, "cam0"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        for time_s in times_s:
            pacer.wait(time_s, fps)
            clock.now_s += stop.waits[-1]
            shown_s.append(clock.now_s)
    return [each - shown_s[0] for each in shown_s]


@pytest.mark.parametrize(
    ("times_s", "fps", "expected_s"),
    [
        # an hour between two recordings; the rate of an MP4 is an average over the gap
        ([0.0, 0.1, 0.2, 3600.0, 3600.1], 10.0, [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([0.0, 0.1, 0.2, 3600.0, 3600.1], 5 / 3600.1, [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([0.0, 3600.0, 3600.1], 10.0, [0.0, 0.1, 0.2]),
        ([0.0, 3600.0, 3600.1], 3 / 3600.1, [0.0, 1 / 30, 1 / 30 + 0.1]),
        # a pause of a variable rate
        ([0.0, 0.1, 10.1, 10.2], 10.0, [0.0, 0.1, 10.1, 10.2]),
        # a time lapse
        ([0.0, 20.0, 40.0, 60.0], 0.05, [0.0, 20.0, 40.0, 60.0]),
        # an unknown rate
        ([0.0, 0.5, 1.0, 100.0, 100.5], None, [0.0, 0.5, 1.0, 1.5, 2.0]),
    ],
)
def test_a_gap_is_played_as_one_step_and_a_pause_as_it_is(times_s, fps, expected_s):
    assert played_at(times_s, fps) == pytest.approx(expected_s)


def test_the_first_gap_is_logged(caplog):
    caplog.set_level("INFO")
    played_at([0.0, 0.1, 3600.0, 3600.1, 9000.0], 10.0)
    assert [record.message for record in caplog.records] == [
        "cam0: the timestamps jump by 3600 s; playing on without this gap, and any other"
    ]


def test_pacing_does_not_wait_when_the_run_is_stopping():
    stop = threading.Event()
    pacer = Pacer(stop, "cam0")
    pacer.wait(0.0, None)
    stop.set()
    assert not pacer.wait(3.0, None)


def test_waits_double_up_to_the_longest_and_restart_after_a_reset():
    backoff = Backoff()
    waits = [backoff.wait_s(SourceReason.REFUSED) for _ in range(8)]
    for wait_s, nominal_s in zip(waits, [0.25, 0.5, 1, 2, 4, 5, 5, LONGEST_S], strict=True):
        assert wait_s == pytest.approx(nominal_s, rel=JITTER + 1e-9)
    backoff.reset()
    assert backoff.wait_s(SourceReason.LOST) <= 0.3


@pytest.mark.parametrize("reason", [SourceReason.AUTH, SourceReason.NOT_FOUND])
def test_a_wrong_password_or_path_has_the_long_wait(reason):
    assert Backoff().wait_s(reason) >= HOPELESS_S * (1 - JITTER)


def test_the_duration_of_an_attempt_counts_as_waiting():
    backoff = Backoff()
    for _ in range(5):
        backoff.wait_s(SourceReason.TIMEOUT)
    assert backoff.wait_s(SourceReason.TIMEOUT, tried_s=3.0) == pytest.approx(2.0, rel=JITTER + 1e-9)
    assert backoff.wait_s(SourceReason.TIMEOUT, tried_s=10.0) <= 0.3


# ---- playout of segments

FPS = 25


def played(ready_s, segment_s=2.0, began_s=1000.0):
    """Release the frames of segments that are ready at these times; return when each is due, by segment."""
    playout, now_s, released = Playout(), began_s, []
    for i, ready in enumerate(ready_s):
        due_s = []
        for k in range(round(segment_s * FPS)):
            now_s = max(now_s, ready)
            now_s = playout.due_s(i * segment_s + k / FPS, ready, now_s)
            due_s.append(now_s)
        released.append(due_s)
    return released


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=40))
def test_frames_are_released_in_order_and_never_before_they_are_there(late_s):
    ready_s = [1000.0 + 2.0 * i + late for i, late in enumerate(late_s)]
    released = played(ready_s)
    times_s = list(itertools.chain(*released))
    assert times_s == sorted(times_s)
    assert all(due_s >= ready for ready, dues_s in zip(ready_s, released, strict=True) for due_s in dues_s)
    # A frame waits for the latest segment so far, and for nothing else.
    for i, dues_s in enumerate(released):
        assert dues_s[0] - (1000.0 + 2.0 * i) <= max(late_s[: i + 1]) + 1e-6


def test_after_one_late_segment_frames_come_evenly():
    ready_s = [1000.0 + 2.0 * i + (0.6 if i == 2 else 0.1 * (i % 2)) for i in range(8)]
    times_s = list(itertools.chain(*played(ready_s)))
    gaps_s = [b - a for a, b in itertools.pairwise(times_s)]
    assert max(gaps_s[2 * 2 * FPS + 1 :]) == pytest.approx(1 / FPS)


def test_after_an_interruption_the_lost_time_is_made_up():
    # Segments 5 to 8 come together, 6 s late.
    ready_s = [1000.0 + 2.0 * i if not 5 <= i < 8 else 1016.0 for i in range(80)]
    released = played(ready_s)
    assert released[8][0] - ready_s[8] > 5.0
    assert released[79][0] - ready_s[79] == pytest.approx(SPARE_S, abs=0.02)
    steps_s = [b - a for a, b in itertools.pairwise(itertools.chain(*released[9:]))]
    assert min(steps_s) == pytest.approx((1 - CATCH_UP) / FPS, rel=0.01)


@pytest.mark.parametrize("jump_s", [-5.0, 3600.0])
def test_a_new_timeline_is_released_at_once(jump_s):
    playout = Playout()
    playout.due_s(10.0, 100.0, 100.0)
    assert playout.due_s(10.0 + jump_s, 100.5, 100.5) == 100.5
    assert playout.due_s(10.2 + jump_s, 100.5, 100.5) == pytest.approx(100.7)


def test_after_a_break_the_next_frame_is_released_at_once_but_not_before_the_last_one():
    playout = Playout()
    playout.due_s(10.0, 100.0, 100.0)
    last_s = playout.due_s(11.0, 100.0, 100.0)
    playout.restart()
    assert playout.due_s(19.0, 100.0, 100.1) == last_s == 101.0
