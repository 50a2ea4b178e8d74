"""The wall clock of frames, with all times given. No test reads a real clock."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture.clock import AHEAD_S, BEHIND_S, CLOCK_OFF_S, WallClock

NOW_S = 1_800_000_000.0


def read(clock, off_s, delay_s=0.05, kind="rtcp"):
    """Read the clock for a frame taken now, by a camera whose clock is off by `off_s`."""
    told_s, word = clock.read(NOW_S + off_s, NOW_S + delay_s, NOW_S + delay_s, kind)
    return round(told_s - NOW_S, 6), word


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", ["rtcp", "playlist"])
def test_a_usable_clock_tells_the_capture(kind, caplog):
    assert read(WallClock("cam0", True), -0.3, kind=kind) == (-0.3, kind)
    assert not warnings_of(caplog)


def test_a_clock_that_is_not_trusted_is_ignored(caplog):
    assert read(WallClock("cam0", False), -0.3) == (0.05, "arrival")
    assert read(WallClock("cam0", False), 14.0) == (0.05, "arrival")
    assert not warnings_of(caplog)


@given(st.floats(-100, 100), st.floats(0, 20), st.floats(0, 20), st.sampled_from(["rtcp", "playlist"]))
def test_no_capture_is_later_than_the_arrival(off_s, captured_s, held_s, kind):
    arrived_s = NOW_S + captured_s + held_s
    told_s, word = WallClock("cam0", True).read(NOW_S + off_s, NOW_S + captured_s, arrived_s, kind)
    assert told_s <= arrived_s
    assert word in ("arrival", kind)


def test_a_clock_that_is_slightly_ahead_gives_way_to_the_arrival_frame_by_frame(caplog):
    clock = WallClock("cam0", True)
    assert [read(clock, off_s)[1] for off_s in (0.2, -0.1, 0.2)] == ["arrival", "rtcp", "arrival"]
    assert not warnings_of(caplog)


@pytest.mark.parametrize("kind", ["rtcp", "playlist"])
def test_a_clock_that_is_ahead_is_not_used_again_in_this_opening_and_reported_once(kind, caplog):
    clock = WallClock("cam0", True)
    assert [read(clock, off_s, kind=kind)[1] for off_s in (14.0, 0.0, 14.0)] == ["arrival"] * 3
    clock.reopened()
    assert [read(clock, off_s, kind=kind)[1] for off_s in (0.0, 14.0, 0.0)] == [kind, "arrival", "arrival"]
    (warning,) = warnings_of(caplog)
    whose = "playlist" if kind == "playlist" else "camera"
    assert warning.startswith(f"cam0: the {whose}'s clock is 14.0 s ahead, using arrival time instead")


def test_a_frame_that_was_held_back_does_not_make_the_clock_look_ahead():
    # It was taken now and arrives 3 s later; by its timestamp it would have arrived in 0.01 s.
    assert WallClock("cam0", True).read(NOW_S, NOW_S - 0.01, NOW_S + 3) == (NOW_S, "rtcp")


def test_a_clock_that_is_behind_is_used_and_reported_once(caplog):
    clock = WallClock("cam0", True)
    assert [read(clock, off_s) for off_s in (-1.9, -2.5, -30.0)] == [(-1.9, "rtcp"), (-2.5, "rtcp"), (-30.0, "rtcp")]
    (warning,) = warnings_of(caplog)
    assert warning.startswith("cam0: the camera's clock is 2.5 s behind")


def test_a_playlist_that_is_seconds_behind_is_as_usual(caplog):
    assert read(WallClock("cam0", True), -5 * BEHIND_S, kind="playlist") == (-10.0, "playlist")
    assert not warnings_of(caplog)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_clock_that_is_far_off_is_reported_when_it_goes_off(sign, caplog):
    clock, off_s = WallClock("cam0", True), sign * (CLOCK_OFF_S + AHEAD_S + 1)
    assert [read(clock, s)[1] for s in (0.0, off_s, off_s, 0.0, off_s)] == ["rtcp", *["arrival"] * 2, "rtcp", "arrival"]
    assert len(warnings_of(caplog)) == 2
