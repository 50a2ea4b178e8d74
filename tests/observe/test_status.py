import threading
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.observe import status as module
from realtime.observe.status import RECENT_S, REMOVED, CameraStatus, State
from tests.clock import Clock

STATES = get_args(State)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def status():
    return CameraStatus("cam0")


# ---- states


def test_a_camera_starts_without_frames(status):
    assert status.state == ("starting", None)
    assert (status.captured, status.dropped, status.published, status.reconnects) == (0, 0, 0, 0)
    assert (status.size, status.source_fps) == (None, None)
    assert not status.has_failed


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("last", ["ended", "failed"])
def test_a_camera_that_ended_or_failed_keeps_its_state_until_it_is_started_again(status, last, state):
    status.set_state(last, "missing")
    status.set_state(state, "timed out")
    assert status.state == (last, "missing")
    status.restart()
    assert status.state == ("starting", None)
    status.set_state(state, "timed out")
    assert status.state == (state, "timed out")


@pytest.mark.parametrize("last", ["ended", "failed"])
def test_a_camera_stays_live_until_its_last_frame_is_published_or_dropped(status, last):
    status.set_state("live")
    status.count_captured()
    status.count_captured()
    status.set_state(last, "connection lost")
    assert status.has_failed == (last == "failed")
    status.count_published(1.0)
    assert (status.state, status.unfinished()) == (("live", None), 1)
    status.count_dropped("too old")
    assert (status.state, status.unfinished()) == ((last, "connection lost"), 0)


@pytest.mark.parametrize("last", ["ended", "failed"])
def test_a_lost_camera_stays_lost_until_its_last_frame_is_published_or_dropped(status, last):
    status.set_state("live")
    status.count_captured()
    status.set_state("reconnecting", "timed out")
    status.set_state(last, "internal error")
    assert status.state == ("reconnecting", "timed out")
    status.count_published(1.0)
    assert status.state == (last, "internal error")


def test_a_state_begins_when_it_is_set_and_another_reason_does_not_begin_it_again(clock):
    status = CameraStatus("cam0")
    assert status.phase() == ("starting", None, 100 * 10**9)
    clock.now_s = 101.0
    status.explain("waiting for a key frame")
    assert status.phase() == ("starting", "waiting for a key frame", 100 * 10**9)
    clock.now_s = 102.0
    status.set_state("reconnecting", "timed out")
    clock.now_s = 103.0
    status.set_state("reconnecting", "connection refused")
    assert status.phase() == ("reconnecting", "connection refused", 102 * 10**9)
    clock.now_s = 104.0
    status.set_state("live")
    assert status.phase() == ("live", None, 104 * 10**9)


def test_a_camera_ends_when_its_last_frame_is_published(clock):
    status = CameraStatus("cam0")
    status.set_state("live")
    status.count_captured()
    clock.now_s = 101.0
    status.set_state("ended")
    assert status.phase() == ("live", None, 100 * 10**9)
    clock.now_s = 102.0
    status.count_published(1.0)
    clock.now_s = 103.0
    assert status.phase() == ("ended", None, 102 * 10**9)


# What came before the end of a run that was stopped, and the last state.
STOPPED_RUNS = [
    ([], ("ended", "stopped")),
    (["live", "captured"], ("ended", "stopped")),
    (["lost"], ("ended", "stopped")),
    (["captured", "ended", "published", "stop"], ("ended", None)),  # a file that had ended
    (["captured", "ended", "stop", "published"], ("ended", None)),  # its last frames were still published
    (["captured", "ended", "stop"], ("ended", "stopped")),  # its last frame was not
    (["captured", "ended", "stop", "stopping"], ("ended", "stopped")),
    (["captured", "stopping", "captured", "ended", "published", "stop"], ("ended", None)),  # replaced once
    (["captured", "stopping", "captured", "ended", "stop", "published"], ("ended", None)),
    (["failed", "stop"], ("failed", "missing")),
    (["removed", "stop"], ("ended", "removed")),
    (["stop", "failed"], ("failed", "missing")),  # while the run was ending
]


@pytest.mark.parametrize(("steps", "last"), STOPPED_RUNS)
def test_a_camera_that_had_not_ended_when_the_run_was_stopped_says_so(status, steps, last):
    more = {
        "ended": lambda: status.set_state("ended"),
        "stop": status.stop,
        "stopping": lambda: status.count_dropped("stopping"),
    }
    for step in steps:
        more[step]() if step in more else STEPS[step](status)
    status.stop()
    status.finish()
    assert status.state == last


def test_a_camera_that_starts_again_begins_a_state_even_if_it_was_starting(clock):
    status = CameraStatus("cam0")
    clock.now_s = 101.0
    status.restart()
    assert status.phase() == ("starting", None, 101 * 10**9)


def test_a_silent_camera_is_lost_since_its_silence_was_noticed(clock):
    status = CameraStatus("cam0")
    status.set_state("live")
    status.expect(2.5)
    clock.now_s = 102.6
    assert status.check_silence()
    clock.now_s = 110.0
    assert status.phase() == ("reconnecting", "timed out", 102_600_000_000)


def test_a_camera_that_starts_again_starts_anew(clock):
    status = CameraStatus("cam0")
    clock.now_s = 101.0
    status.remove()
    assert status.phase() == (*REMOVED, 101 * 10**9)
    clock.now_s = 102.0
    status.restart()
    assert status.phase() == ("starting", None, 102 * 10**9)


def test_only_a_live_camera_that_is_lost_counts_as_a_reconnect(status):
    for state in ("reconnecting", "live", "reconnecting", "reconnecting", "live", "reconnecting", "live"):
        status.set_state(state)
    assert status.reconnects == 2


def test_losses_are_counted_by_the_reason_for_which_the_camera_was_lost(status):
    for reason in ("timed out", "connection lost", "timed out", None):
        status.set_state("live")
        status.set_state("reconnecting", reason)
        status.set_state("reconnecting", "connection refused")  # the next attempt failed too
    assert status.losses == {"timed out": 2, "connection lost": 2}
    assert status.reconnects == 4


def test_a_removed_camera_is_removed_once_its_frames_are_done(status):
    status.set_state("live")
    status.count_captured()
    status.remove()
    assert not status.is_removed
    status.count_dropped("stopping")
    assert status.is_removed
    assert status.state == REMOVED == ("ended", "removed")


@pytest.mark.parametrize("state", STATES)
def test_a_camera_in_any_state_can_be_removed_and_nothing_but_a_restart_brings_it_back(status, state):
    status.set_state(state)
    status.remove()
    status.set_state("live")
    status.finish()
    assert status.is_removed
    status.restart()
    assert not status.is_removed


def test_the_counters_continue_when_a_camera_starts_again(status):
    status.count_captured()
    status.count_published(1.0)
    status.remove()
    status.restart()
    status.count_captured()
    status.count_dropped("too old")
    assert (status.captured, status.published, dict(status.drops)) == (2, 1, {"too old": 1})


@pytest.mark.parametrize("state", STATES)
def test_only_a_camera_that_is_not_live_yet_is_given_another_reason(status, state):
    status.set_state(state, "one reason")
    status.explain("another")
    assert status.state == (state, "another" if state in ("starting", "reconnecting") else "one reason")


# ---- silence


def test_a_camera_that_is_silent_for_longer_than_expected_is_reconnecting(status, clock):
    status.expect(2.5)
    status.set_state("live")
    clock.now_s += 2.4
    assert not status.check_silence()
    status.heard()  # a frame, good or not
    clock.now_s += 2.4
    assert not status.check_silence()
    clock.now_s += 0.2
    assert status.check_silence()
    assert (status.state, status.reconnects) == (("reconnecting", "timed out"), 1)
    assert not status.check_silence()  # the state has not changed again


def test_a_camera_that_opens_and_never_sends_a_frame_is_silent_too(status, clock):
    status.expect(2.5)
    clock.now_s += 2.6
    assert status.check_silence()
    assert (status.state, status.reconnects) == (("reconnecting", "timed out"), 0)


@pytest.mark.parametrize("state", ["reconnecting", "ended", "failed"])
def test_no_silence_is_reported_of_a_camera_from_which_no_frame_is_expected(status, clock, state):
    status.set_state("live")
    clock.now_s += 3600.0
    assert not status.check_silence()  # a file, or a source that is not open
    status.expect(2.5)
    status.expect(None)
    clock.now_s += 3600.0
    assert not status.check_silence()
    status.set_state(state, "connection lost")
    status.expect(2.5)
    clock.now_s += 3600.0
    assert not status.check_silence()
    assert status.state == (state, "connection lost")


# ---- counts and rates


def test_the_recent_rate_and_latencies_forget_frames_older_than_recent_s(status, clock):
    for latency_ms in (900.0, 950.0):  # a slow start
        status.count_published(latency_ms)
        clock.now_s += 1.0
    clock.now_s += RECENT_S
    for number in range(41):
        clock.now_s += 0.1
        status.count_published(10.0 + number)
    fps, latency_ms = status.recent()
    assert fps == pytest.approx(10.0)
    assert latency_ms == pytest.approx({"p50": 30.0, "p95": 48.0, "p99": 49.6})
    assert status.latency.max == 950.0  # the whole run has not forgotten them


def test_a_camera_that_stopped_publishing_has_no_recent_rate(status, clock):
    nothing = (0.0, {"p50": 0.0, "p95": 0.0, "p99": 0.0})
    assert status.recent() == nothing
    status.count_published(40.0)
    assert status.recent() == (0.0, {"p50": 40.0, "p95": 40.0, "p99": 40.0})  # one frame has no rate
    clock.now_s += RECENT_S + 0.1
    assert status.recent() == nothing


def test_the_rate_of_the_run_is_from_the_first_to_the_last_published_frame(status, clock):
    assert status.fps() == 0.0
    clock.now_s += 60.0
    status.count_published(1.0)
    assert status.fps() == 0.0
    for _ in range(20):
        clock.now_s += 0.5
        status.count_published(1.0)
    clock.now_s += 60.0
    assert status.fps() == pytest.approx(2.0)


STEPS = {
    "captured": lambda status: status.count_captured(),
    "published": lambda status: status.unfinished() > 0 and status.count_published(1.0),
    "dropped": lambda status: status.unfinished() > 0 and status.count_dropped("too old"),
    "live": lambda status: status.set_state("live"),
    "lost": lambda status: status.set_state("reconnecting", "timed out"),
    "removed": lambda status: status.remove(),
    "restarted": lambda status: status.restart(),
    "failed": lambda status: status.set_state("failed", "missing"),
}


@given(st.lists(st.sampled_from(list(STEPS)), max_size=60))
def test_at_the_end_of_any_run_captured_frames_are_published_or_dropped(steps):
    status = CameraStatus("cam0")
    for step in steps:
        STEPS[step](status)
        assert status.captured == status.published + status.dropped + status.unfinished()
        assert status.unfinished() >= 0
    unfinished, dropped = status.unfinished(), status.dropped
    status.finish()
    assert status.captured == status.published + status.dropped
    assert status.dropped == dropped + unfinished  # frames that did not arrive count as dropped
    assert status.state[0] in ("ended", "failed")


@given(st.lists(st.tuples(st.sampled_from([*STEPS, "silent"]), st.sampled_from([0.0, 1.0])), max_size=60))
def test_a_state_lasts_from_since_ns_until_the_next_and_losses_are_the_ends_of_live_states(steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock := Clock())
        status = CameraStatus("cam0")
        began_ns, lost = clock.time_ns(), 0
        for step, pause_s in steps:
            clock.now_s += pause_s
            before = status.state[0]
            if step == "silent":
                status.expect(0.0)
                status.check_silence()
            else:
                STEPS[step](status)
            state, reason, since_ns = status.phase()
            if state != before or step == "restarted":
                began_ns = clock.time_ns()
            lost += (before, state) == ("live", "reconnecting")
            assert (state, reason) == status.state
            assert since_ns == began_ns
            assert status.reconnects == lost


def test_frames_that_never_arrived_are_dropped_by_the_stop_also_if_they_come_late(status):
    for _ in range(5):
        status.count_captured()
    status.count_published(1.0)
    status.count_dropped("too old")
    status.finish()
    assert status.counts() == (5, 1, {"too old": 1, "stopping": 3})
    status.count_captured()  # by a thread that was stuck
    status.count_dropped("newer frame")
    counts = status.counts()
    assert counts.drops == {"too old": 1, "newer frame": 1, "stopping": 3}
    assert counts.captured == counts.published + counts.dropped


def test_no_frame_is_lost_if_threads_count_at_the_same_time(status):
    started = threading.Barrier(3)

    def repeat(count):
        started.wait()
        for _ in range(1000):
            count()

    counts = (status.count_captured, lambda: status.count_dropped("too old"), lambda: status.count_published(1.0))
    threads = [threading.Thread(target=repeat, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (status.captured, status.drops["too old"], status.published, status.latency.count) == (1000,) * 4


def test_what_the_source_reports_is_kept(status):
    status.describe((640, 480), None)
    assert (status.size, status.source_fps) == ((640, 480), None)
