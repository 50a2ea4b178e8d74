"""When the stream has ended, or is lost: the states of a reader, without sockets."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime.wire.ending import Ending
from tests.wire.publisher import info, pose, status

LOST_S = 5.0


class Reader:
    """A reader of some endpoints; its clock is `now_s`."""

    def __init__(self, publishers=1, cameras=None):
        self.ending = Ending(publishers, cameras, LOST_S)
        self.now_s = 100.0
        for publisher in range(publishers):
            self.connected(publisher)

    def connected(self, publisher=0):
        self.ending.connection(publisher, True, self.now_s)

    def lost(self, publisher=0):
        self.ending.connection(publisher, False, self.now_s)

    def hears(self, *messages, publisher=0):
        for message in messages:
            self.ending.hear(publisher, message, self.now_s)
        return self

    @property
    def is_over(self):
        return self.ending.is_over()

    @property
    def is_lost(self):
        at_s = self.ending.lost_at_s()
        assert at_s is None or at_s <= self.now_s + LOST_S
        return at_s is not None


def ended(camera="a", reason=None, **changes):
    return status(camera, "ended", reason=reason, **changes)


# The last states of the cameras a and b when the connection is lost, whether the stream has ended, whether it is lost.
LAST_STATES = [
    (("ended", None), ("ended", None), True, False),
    (("failed", "the file is truncated"), ("ended", None), True, False),
    (("failed", "the run failed"), ("failed", "login failed"), True, False),
    (("ended", None), ("ended", "removed"), True, False),  # a camera that was removed doesn't count
    (("ended", "removed"), ("ended", "removed"), False, False),  # the next run may have it again
    (("ended", "stopped"), ("ended", "stopped"), False, False),  # Ctrl-C: wait for the next run
    (("ended", "stopped"), ("ended", None), False, False),  # a file had ended before
    (("ended", "stopped"), ("failed", "missing"), False, False),
    (("live", None), ("live", None), False, True),  # kill -9
    (("live", None), ("ended", None), False, True),
    (("starting", None), ("ended", "removed"), False, True),
    (("reconnecting", "timed out"), ("ended", "stopped"), False, True),
]


@pytest.mark.parametrize(("of_a", "of_b", "is_over", "is_lost"), LAST_STATES)
@pytest.mark.parametrize("cameras", [None, ["a", "b"]])
def test_the_last_states_decide_what_a_closed_connection_means(cameras, of_a, of_b, is_over, is_lost):
    reader = Reader(cameras=cameras).hears(info("a"), info("b"))
    reader.hears(status("a", of_a[0], reason=of_a[1]), status("b", of_b[0], reason=of_b[1]))
    reader.lost()
    assert (reader.is_over, reader.is_lost) == (is_over, is_lost)


def test_a_reader_that_joins_hears_of_all_cameras_before_it_ends():
    reader = Reader().hears(ended("a"), info("a"), ended("a"))
    assert not reader.is_over  # another camera may be live
    reader.hears(status("b", "live"), ended("a"), status("b", "live"))
    assert not reader.is_over
    assert Reader().hears(ended("a"), ended("a"), ended("a")).is_over
    assert Reader(cameras=["a"]).hears(ended("a")).is_over  # it reads no other


def test_a_camera_that_the_reader_named_is_waited_for():
    reader = Reader(cameras=["a", "never"]).hears(ended("a"), ended("a"), ended("a"))
    assert not reader.is_over
    assert reader.ending.reason(reader.now_s) == "a is ended, nothing was heard of never: is the name right?"
    reader.lost()
    assert reader.is_lost  # the run is over, and the camera was not in it
    assert reader.ending.reason(reader.now_s) == "the run is over, and nothing was heard of never: is the name right?"


def test_a_reload_that_removes_a_camera_and_adds_one_does_not_end_the_stream():
    reader = Reader().hears(*[ended("a"), status("b")] * 3, ended("b", "removed"))
    assert not reader.is_over  # a was alone for a moment
    reader.hears(status("c", "starting"), ended("a"), status("c", "live"))
    assert not reader.is_over


def test_a_removed_camera_counts_again_when_it_is_back():
    reader = Reader().hears(status("a"), ended("b", "removed"), status("b", "starting"), ended("a"))
    reader.lost()
    assert not reader.is_over


def test_poses_after_the_end_of_a_camera_mean_that_it_has_started_again():
    reader = Reader().hears(ended("a"), ended("a"), ended("a"), pose("a"))
    assert not reader.is_over


def test_a_new_session_makes_the_states_of_the_one_before_void():
    reader = Reader().hears(status("a"), ended("b", "stopped"))
    reader.lost()
    reader.connected()
    assert not reader.is_lost
    reader.hears(ended("c", session="s2"))
    reader.lost()
    assert reader.is_over


def test_a_run_that_had_ended_is_over_although_the_next_one_has_begun():
    reader = Reader().hears(status("a"), ended("a"))
    reader.lost()
    reader.connected()
    reader.hears(pose("a", session="s2"))
    assert reader.ending.is_past


def test_cameras_with_sessions_of_their_own_do_not_end_each_others():
    # A camera that moved to another machine has a session of its own.
    reader = Reader().hears(ended("a", session="s1"), status("b", session="s2"))
    for _ in range(5):
        assert not reader.is_over
        reader.hears(ended("a", session="s1"), status("b", session="s2"))
    reader.hears(*[ended("b", session="s2"), ended("a", session="s1")] * 3)
    assert reader.is_over


def test_an_endpoint_that_was_never_heard_is_waited_for():
    reader = Reader(publishers=2).hears(*[ended("a")] * 3)
    assert reader.ending.unheard() == [1]
    assert not reader.is_over
    reader.lost(1)
    assert not reader.is_lost  # it may still load its models
    reader.hears(*[ended("a", session="s2")] * 3, publisher=1)
    assert reader.is_over


def test_a_camera_of_the_same_name_on_two_endpoints_is_two_cameras():
    reader = Reader(publishers=2).hears(*[ended("a")] * 3)
    reader.hears(status("a", session="s2"), publisher=1)
    reader.lost(0)
    assert not reader.is_over


def test_a_lost_endpoint_is_no_reason_to_give_up_while_another_one_runs():
    reader = Reader(publishers=2).hears(status("a"))
    reader.hears(status("b", session="s2"), publisher=1)
    reader.lost(0)
    assert not reader.is_lost
    reader.hears(ended("b", session="s2"), publisher=1)
    assert reader.is_lost


def test_lost_s_begins_with_the_last_message_the_loss_or_the_last_error():
    reader = Reader().hears(status("a"))
    reader.now_s = 103.0
    reader.lost()
    assert reader.ending.lost_at_s() == 103.0 + LOST_S
    reader.now_s = 104.0
    reader.hears(pose("a"))  # it was still in the queue
    assert reader.ending.lost_at_s() == 104.0 + LOST_S
    reader.ending.give_up(109.0)
    assert reader.ending.lost_at_s() == 109.0 + LOST_S


def test_before_anything_was_heard_nothing_is_lost():
    reader = Reader()
    reader.lost()
    assert (reader.is_lost, reader.is_over) == (False, False)


def test_a_publisher_that_is_connected_and_silent_is_named():
    reader = Reader().hears(status("a"))
    assert reader.ending.reason(103.0) == "its cameras are live"
    assert reader.ending.reason(110.0).startswith("connected, but silent for 10 s: is the publisher suspended")


# ---- any run

REMOVED = ("ended", "removed")
STATES = [("live", None), ("reconnecting", "timed out"), ("ended", None), ("failed", "missing")]
CHANGES = st.dictionaries(st.sampled_from("abc"), st.sampled_from([*STATES, REMOVED]), max_size=2)


@example(  # in one moment, a camera ends and another one begins again
    ticks=[
        ({"a": ("live", None), "b": ("ended", None)}, False),
        ({"a": ("live", None), "c": ("ended", None)}, True),
        ({"a": ("ended", None), "c": ("live", None)}, True),
    ],
    joins=(0, 0),
    stops="end",
)
@given(
    ticks=st.lists(st.tuples(CHANGES, st.booleans()), min_size=1, max_size=12),
    joins=st.tuples(st.integers(0, 5), st.integers(0, 3)),
    stops=st.sampled_from(["end", "stop", "kill"]),
)
def test_a_reader_never_ends_before_the_cameras_and_always_knows_how_the_run_ended(ticks, joins, stops):
    """A publisher sends the states that have changed in each tick, and in some ticks all; the reader joins anywhere."""
    reader, cameras, told = Reader(), {"a": ("starting", None)}, {}

    def is_true():
        counted = [state for state in cameras.values() if state != REMOVED]
        return bool(counted) and all(state == ("ended", None) or state[0] == "failed" for state in counted)

    for number, (changes, is_round) in enumerate(ticks):
        was_true = number > 0 and is_true()
        cameras |= changes
        due = {name: state for name, state in cameras.items() if state != REMOVED or told.get(name) != state}
        sent = [info(name) for name in due if number == joins[0] + 1 or name not in told]
        for name, state in due.items():
            if told.get(name) != state or is_round:
                sent.append(status(name, state[0], reason=state[1]))
        told = dict(cameras)
        for message in sent[joins[1] :] if number == joins[0] else sent if number > joins[0] else []:
            reader.hears(message)
            if reader.is_over:
                assert is_true() or was_true
                return
    last = {"end": ("ended", None), "stop": ("ended", "stopped")}
    for name, state in cameras.items():
        if stops == "kill":
            break
        if state[0] not in ("ended", "failed"):
            cameras[name] = last[stops]
        if state != REMOVED:
            reader.hears(status(name, cameras[name][0], reason=cameras[name][1]))
    was_heard = not reader.ending.unheard()
    reader.lost()
    if was_heard and stops != "kill":
        heard = reader.ending._publishers[0].cameras
        assert reader.is_over == (is_true() and any(not camera.is_removed for camera in heard.values()))
        assert not reader.is_lost
    assert not (reader.is_over and reader.is_lost)
