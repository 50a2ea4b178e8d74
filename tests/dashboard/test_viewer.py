"""What a page gets next, with invented times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.dashboard.viewer import Viewer, width_class
from realtime.dashboard.window import SMALLEST
from tests.dashboard.sample import frame


def watching(*names, width=320, pictures=True):
    viewer = Viewer()
    viewer.watch([(name, width) for name in names], pictures, 0.0)
    return viewer


def sent(viewer, now_s):
    chosen = viewer.next_frame(now_s)
    return None if chosen is None else (chosen.camera.name, chosen.pose.seq)


def test_a_page_gets_nothing_that_it_does_not_watch():
    viewer = watching("cam0")
    assert not viewer.offer(frame("cam1"), 0.0)
    assert not Viewer().offer(frame("cam0"), 0.0)


def test_only_the_newest_frame_waits():
    viewer = watching("cam0")
    for seq in range(5):
        viewer.offer(frame(seq=seq), 0.0)
    assert sent(viewer, 0.1) == ("cam0", 4)
    assert sent(viewer, 0.1) is None


def test_of_many_cameras_each_has_one_frame_on_its_way():
    viewer = watching("cam0", "cam1")
    viewer.offer(frame(seq=0), 0.0)
    assert sent(viewer, 0.0) == ("cam0", 0)
    viewer.offer(frame(seq=1), 0.1)
    assert sent(viewer, 0.1) is None
    assert viewer.shown("cam0", 0, None, 0.2)
    assert sent(viewer, 0.2) == ("cam0", 1)


def test_a_camera_alone_may_have_two_frames_on_their_way():
    viewer = watching("cam0")
    for seq in range(3):
        viewer.offer(frame(seq=seq), 0.0)
        viewer.next_frame(0.0)
    assert len(viewer.tiles["cam0"].in_flight) == 2


def test_cameras_take_turns():
    viewer = watching("cam0", "cam1", "cam2")
    turns = []
    for step in range(6):
        for name in viewer.tiles:
            viewer.offer(frame(name, seq=step), step)
        turns.append(viewer.next_frame(step).camera.name)
        viewer.shown(turns[-1], step, None, step)
    assert turns == ["cam0", "cam1", "cam2"] * 2


def test_the_bytes_on_their_way_are_bounded_by_the_window():
    viewer = watching("cam0", "cam1", "cam2")
    viewer.window.size = 25_000
    for name in viewer.tiles:
        viewer.offer(frame(name, size=10_000), 0.0)
    assert [sent(viewer, 0.0) is not None for _ in range(3)] == [True, True, False]
    viewer.shown("cam0", 0, None, 0.1)
    assert sent(viewer, 0.1) == ("cam2", 0)


def test_a_frame_larger_than_the_window_is_sent_alone():
    viewer = watching("cam0", "cam1")
    viewer.window.size = SMALLEST
    viewer.offer(frame("cam0", size=500_000), 0.0)
    assert sent(viewer, 0.0) == ("cam0", 0)


def test_frames_of_cameras_that_are_no_longer_watched_leave_the_window():
    viewer = watching("cam0", "cam1")
    viewer.offer(frame("cam0"), 0.0)
    viewer.next_frame(0.0)
    viewer.watch([("cam1", 320.0)], True, 0.1)
    assert viewer.window.in_flight == 0


def test_a_repeated_watch_keeps_what_is_on_its_way():
    viewer = watching("cam0", "cam1")
    viewer.offer(frame("cam0"), 0.0)
    viewer.next_frame(0.0)
    viewer.watch([("cam0", 320.0), ("cam0", 320.0)], True, 0.1)
    assert viewer.shown("cam0", 0, None, 0.2)
    assert viewer.window.in_flight == 0


def test_an_acknowledgement_covers_the_frames_before_it():
    viewer = watching("cam0")
    for seq in (0, 1):
        viewer.offer(frame(seq=seq), 0.0)
        viewer.next_frame(0.0)
    assert viewer.shown("cam0", 1, None, 0.1)
    assert viewer.window.in_flight == 0


def test_an_unknown_acknowledgement_changes_nothing():
    viewer = watching("cam0")
    assert not viewer.shown("cam0", 77, None, 0.1)
    assert not viewer.shown("cam9", 0, None, 0.1)
    assert viewer.window.in_flight == 0


def test_a_picture_of_another_width_is_not_taken():
    viewer = watching("cam0", width=600)
    assert not viewer.offer(frame(width="320"), 0.0)
    assert viewer.offer(frame(width="640"), 0.0)


def test_the_width_follows_the_size_of_the_tile():
    viewer = watching("cam0")
    viewer.shown("cam0", 0, 1000, 0.0)
    assert viewer.tiles["cam0"].width == "1280"


@pytest.mark.parametrize(
    ("asked", "current", "expected"),
    [
        (330, None, "640"),
        (330, "320", "320"),  # ten percent more than the class is drawn larger
        (360, "320", "640"),
        (310, "640", "640"),  # a smaller class must have room to spare
        (270, "640", "320"),
        (100, "full", "320"),
        (-5, None, "320"),
        (1e300, "320", "full"),
    ],
)
def test_the_width_class_does_not_flap(asked, current, expected):
    assert width_class(asked, current) == expected


def test_an_idle_camera_gets_a_still_every_five_seconds():
    viewer = watching("cam0")
    times_s = []
    for step in range(120):
        viewer.offer(frame(seq=step, is_idle=True), step / 10)
        if viewer.next_frame(step / 10):
            times_s.append(step / 10)
            viewer.shown("cam0", step, None, step / 10)
    assert times_s == [0.0, 5.0, 10.0]


def test_a_still_that_is_not_due_does_not_wait_and_grow_old():
    viewer = watching("cam0")
    viewer.offer(frame(seq=0, is_idle=True), 0.0)
    viewer.next_frame(0.0)
    viewer.shown("cam0", 0, None, 0.1)
    assert not viewer.offer(frame(seq=1, is_idle=True), 1.0)
    assert sent(viewer, 9.0) is None


def test_a_camera_that_wakes_up_is_shown_at_once():
    viewer = watching("cam0")
    viewer.offer(frame(seq=0, is_idle=True), 0.0)
    viewer.next_frame(0.0)
    viewer.shown("cam0", 0, None, 0.1)
    viewer.offer(frame(seq=1), 0.2)
    assert sent(viewer, 0.2) == ("cam0", 1)


@pytest.mark.parametrize(("names", "most"), [(["cam0"], 30), (["cam0", "cam1"], 15)])
def test_skeletons_without_pictures_have_a_limit_per_second(names, most):
    viewer = watching(*names, pictures=False)
    count = 0
    for step in range(1000):  # ten seconds of 100 fps
        viewer.offer(frame(seq=step, width=None), step / 100)
        if viewer.next_frame(step / 100):
            count += 1
            viewer.shown("cam0", step, None, step / 100)
    assert count == pytest.approx(10 * most, rel=0.1)


def test_a_skeleton_that_must_wait_says_when():
    viewer = watching("cam0", "cam1", pictures=False)
    viewer.offer(frame(seq=0, width=None), 10.0)
    viewer.next_frame(10.0)
    viewer.shown("cam0", 0, None, 10.0)
    viewer.offer(frame(seq=1, width=None), 10.01)
    assert viewer.next_frame(10.01) is None
    wake_s = viewer.wake_s(10.01)
    assert 10.01 < wake_s <= 10.07
    assert sent(viewer, wake_s) == ("cam0", 1)


def test_no_pictures_are_sent_to_a_page_that_wants_skeletons():
    viewer = watching("cam0", pictures=False)
    assert not viewer.offer(frame(), 0.0)
    assert viewer.offer(frame(width=None), 0.0)


def test_a_picture_that_waits_is_dropped_when_the_page_wants_skeletons():
    viewer = watching("cam0")
    viewer.offer(frame(), 0.0)
    viewer.watch([("cam0", 320.0)], False, 0.1)
    assert sent(viewer, 0.1) is None


def test_skeletons_replace_pictures_that_do_not_come():
    viewer = watching("cam0")
    lacks = [viewer.tiles["cam0"].lacks_picture(False, step / 10) for step in range(100)]
    assert lacks.index(True) == 51


def test_a_slow_camera_with_pictures_is_not_mistaken_for_one_without():
    viewer = watching("cam0")
    for seq in range(5):  # a frame every 10 s, whose picture comes just after its pose
        assert not viewer.tiles["cam0"].lacks_picture(False, seq * 10.0)
        viewer.offer(frame(seq=seq), seq * 10.0 + 0.05)


def test_a_page_that_acknowledges_nothing_is_stalled():
    viewer = watching("cam0")
    viewer.offer(frame(), 0.0)
    viewer.next_frame(0.0)
    tile = viewer.tiles["cam0"]
    assert not tile.is_stalled(9.0)
    assert tile.is_stalled(11.0)
    viewer.shown("cam0", 0, None, 60.0)
    assert not tile.is_stalled(60.0)


def test_only_the_last_text_of_a_camera_waits():
    viewer = Viewer()
    for number in range(3):
        viewer.tell("camera cam0", f"text {number}")
    assert [viewer.next_text(), viewer.next_text()] == ["text 2", None]


def test_the_list_replaces_the_texts_of_its_cameras():
    viewer = Viewer()
    viewer.tell("hello", "hello")
    viewer.tell("camera cam0", "old")
    viewer.tell_all_cameras("all")
    assert [viewer.next_text() for _ in range(3)] == ["hello", "all", None]


def test_no_more_than_200_events_wait():
    viewer = Viewer()
    for number in range(1000):
        viewer.tell_event(str(number))
    waiting = list(iter(viewer.next_text, None))
    assert (len(waiting), waiting[-1]) == (200, "999")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["offer", "send", "shown", "watch"]),
            st.sampled_from(["cam0", "cam1", "cam2"]),
            st.integers(0, 200_000),
            st.floats(0.001, 2.0),
        ),
        max_size=60,
    )
)
def test_whatever_happens_the_window_is_kept(steps):
    viewer, now_s = watching("cam0", "cam1", "cam2"), 0.0
    for seq, (what, name, size, pause_s) in enumerate(steps):
        now_s += pause_s
        if what == "offer":
            viewer.offer(frame(name, seq=seq, size=size), now_s)
        elif what == "send":
            viewer.next_frame(now_s)
        elif what == "shown" and name in viewer.tiles and viewer.tiles[name].in_flight:
            viewer.shown(name, viewer.tiles[name].in_flight[0].seq, None, now_s)
        elif what == "watch":
            viewer.watch([(each, 320.0) for each in {"cam0", name}], True, now_s)
        on_way = [each.size for tile in viewer.tiles.values() for each in tile.in_flight]
        assert viewer.window.in_flight == sum(on_way)
        assert len(on_way) <= 1 or all(len(tile.in_flight) <= 2 for tile in viewer.tiles.values())
