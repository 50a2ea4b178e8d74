"""The state of cameras and pipelines, with invented times."""

import pytest

from realtime import wire
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from tests.wire import publisher

ONE, TWO = "tcp://127.0.0.1:5555", "tcp://10.0.0.2:5555"
BEGAN_UNIX_MS = 1_800_000_000_000.0


def at(mono_s):
    return Moment(mono_s, BEGAN_UNIX_MS + mono_s * 1000)


def sent(mono_s, ahead_ms=0.0, **fields):
    """A pose that was published at this time, by a clock that is ahead of ours."""
    unix_ns = int((BEGAN_UNIX_MS + mono_s * 1000 + ahead_ms) * 1e6)
    return publisher.pose(captured_ns=unix_ns - 50_000_000, published_ns=unix_ns, **fields)


@pytest.fixture
def fleet():
    return Fleet([ONE, TWO], at(0))


def texts(fleet, kind=None):
    return [event.text for event in fleet.log.events if kind in (None, event.kind)]


def test_a_camera_appears_with_its_first_message(fleet):
    fleet.hear(ONE, sent(1, n=2), at(1))
    assert fleet.cameras["cam0"].people == 2
    assert fleet.cameras["cam0"].pipeline == ONE


def test_cameras_of_the_same_name_get_different_names(fleet):
    fleet.hear(ONE, sent(1), at(1))
    fleet.hear(TWO, sent(1), at(1))
    assert {name: camera.pipeline for name, camera in fleet.cameras.items()} == {"cam0": ONE, "cam0@2": TWO}
    assert fleet.cameras["cam0@2"].own_name == "cam0"


def test_cameras_are_shown_by_pipeline_and_name_whenever_they_appear():
    fleet = Fleet([ONE, TWO], at(0))
    assert fleet.waiting() == [ONE, TWO]
    for endpoint, name in ((TWO, "a"), (ONE, "cam10"), (ONE, "x" + "9" * 5000), (ONE, "cam2"), (ONE, "cam02")):
        fleet.hear(endpoint, publisher.status(name), at(1))
    assert [camera.name[:5] for camera in fleet.in_order()] == ["cam2", "cam02", "cam10", "x9999", "a"]
    assert fleet.waiting() == []


def test_a_silent_pipeline_is_gone_since_its_last_message(fleet):
    fleet.hear(ONE, sent(1), at(1))
    fleet.look(at(1.5))
    fleet.look(at(3.4))
    fleet.look(at(4.1))
    assert fleet.pipelines[ONE].gone_since_unix_ms == at(1).unix_ms
    assert fleet.cameras["cam0"].gone_since_unix_ms == pytest.approx(at(1).unix_ms)
    assert texts(fleet, "gone") == ["nothing received from this pipeline yet", "pipeline is silent"]


def test_a_pipeline_that_speaks_again_is_back(fleet):
    fleet.hear(ONE, sent(1), at(1))
    for mono_s in (2, 3.5, 5):
        fleet.look(at(mono_s))
    fleet.hear(ONE, sent(6, seq=1), at(6))
    assert fleet.pipelines[ONE].gone_since_unix_ms is None
    assert fleet.cameras["cam0"].gone_since_unix_ms is None
    assert texts(fleet, "back") == ["pipeline is back"]


def test_a_restart_is_told_once_for_all_cameras_of_the_pipeline(fleet):
    for session in ("s1", "s2"):
        for camera in ("cam0", "cam1"):
            fleet.hear(ONE, sent(1, camera=camera, session=session), at(1))
    assert texts(fleet, "back") == ["pipeline restarted: track ids start again"]


def test_a_restart_forgets_the_state_of_the_earlier_run(fleet):
    fleet.hear(ONE, publisher.status(), at(1))
    fleet.hear(ONE, sent(1, session="s2"), at(2))
    assert fleet.cameras["cam0"].status is None


def test_one_silent_camera_of_a_pipeline_is_gone_alone(fleet):
    fleet.hear(ONE, sent(1, camera="cam1"), at(1))
    for mono_s in (1, 2.5, 4, 4.5):
        fleet.hear(ONE, sent(mono_s), at(mono_s))
        fleet.look(at(mono_s))
    assert fleet.cameras["cam1"].gone_since_unix_ms == pytest.approx(at(1).unix_ms)
    assert fleet.cameras["cam0"].gone_since_unix_ms is None


def test_a_camera_that_its_pipeline_no_longer_mentions_leaves(fleet):
    fleet.hear(ONE, sent(0, camera="cam1"), at(0))
    for mono_s in range(62):
        fleet.hear(ONE, sent(mono_s), at(mono_s))
        fleet.look(at(mono_s))
    assert list(fleet.cameras) == ["cam0"]


def test_a_pipeline_that_is_back_has_a_minute_to_mention_its_cameras(fleet):
    for camera in ("cam0", "cam1"):
        fleet.hear(ONE, sent(0, camera=camera), at(0))
    for mono_s in range(120):
        fleet.look(at(mono_s))
    for mono_s in range(120, 180):
        fleet.hear(ONE, sent(mono_s), at(mono_s))
        fleet.look(at(mono_s))
        assert list(fleet.cameras) == ["cam0", "cam1"]
    fleet.hear(ONE, sent(181), at(181))
    fleet.look(at(181))
    assert list(fleet.cameras) == ["cam0"]


def test_a_removed_camera_leaves_after_a_minute(fleet):
    fleet.hear(ONE, publisher.status(state="ended", reason="removed"), at(0))
    for mono_s in range(60):
        fleet.look(at(mono_s))
    assert "cam0" in fleet.cameras
    fleet.look(at(60.5))
    assert not fleet.cameras
    assert texts(fleet, "removed") == ["camera removed"]


def test_a_camera_of_a_gone_pipeline_stays(fleet):
    fleet.hear(ONE, sent(0), at(0))
    for mono_s in range(600):
        fleet.look(at(mono_s))
    assert fleet.cameras["cam0"].pose is not None


def test_no_pipeline_is_gone_after_this_program_stood_still(fleet):
    fleet.hear(ONE, sent(0), at(0))
    fleet.look(at(0.5))
    fleet.look(at(3600))
    assert fleet.pipelines[ONE].gone_since_unix_ms is None


def test_a_change_of_state_is_told_with_its_reason(fleet):
    fleet.hear(ONE, publisher.status(), at(1))
    fleet.hear(ONE, publisher.status(state="reconnecting", reason="timed out"), at(2))
    fleet.hear(ONE, publisher.status(state="reconnecting", reason="timed out"), at(3))
    fleet.hear(ONE, publisher.status(), at(4))
    assert texts(fleet)[1:] == ["live", "reconnecting: timed out", "live again (was: timed out)"]
    assert fleet.cameras["cam0"].since_unix_ms == at(4).unix_ms


def test_the_publisher_says_since_when_a_state_holds(fleet):
    fleet.hear(ONE, publisher.status(since_ns=int((BEGAN_UNIX_MS - 5000) * 1e6)), at(1))
    assert fleet.cameras["cam0"].since_unix_ms == pytest.approx(BEGAN_UNIX_MS - 5000)


def test_what_the_pipeline_lowers_is_told_once_for_all_cameras(fleet):
    for lowered in ([], ["detector.every=2"], []):
        for camera in ("cam0", "cam1"):
            fleet.hear(ONE, publisher.status(camera, lowered=lowered), at(1))
    assert texts(fleet, "lowered") == [
        "reduced to keep the latency low: detector.every=2",
        "nothing is reduced any more",
    ]


def test_ages_are_right_if_the_publisher_s_clock_is_an_hour_ahead(fleet):
    camera = fleet.hear(ONE, sent(1, ahead_ms=3_600_000), at(1.01))
    assert camera.age_ms(camera.pose.captured_ns, at(1.11)) == pytest.approx(150, abs=1)


def test_since_when_a_camera_without_frames_is_lost_is_right_too_if_that_clock_is_an_hour_ahead(fleet):
    hour_ms = 3_600_000
    for session in ("s1", "s2"):
        fleet.hear(ONE, sent(1, session=session, ahead_ms=hour_ms), at(1.01))
        lost = publisher.status("cam1", "reconnecting", session=session, since_ns=int((at(0).unix_ms + hour_ms) * 1e6))
        assert fleet.hear(ONE, lost, at(2)).since_unix_ms == pytest.approx(at(0).unix_ms, abs=20)


def test_a_delay_on_the_way_counts_as_age(fleet):
    camera = fleet.hear(ONE, sent(1), at(1.2))
    assert camera.age_ms(camera.pose.captured_ns, at(1.2)) == pytest.approx(250, abs=1)


def test_a_camera_without_people_is_idle_after_ten_seconds(fleet):
    camera = fleet.hear(ONE, sent(1), at(1))
    fleet.hear(ONE, sent(5, n=0), at(5))
    assert not camera.is_idle(at(10.9))
    assert camera.is_idle(at(11.1))


def test_activity_decides_if_the_pipeline_reports_it(fleet):
    camera = fleet.hear(ONE, publisher.status(activity="still"), at(1))
    assert not camera.is_idle(at(100))
    fleet.hear(ONE, publisher.status(activity="empty"), at(101))
    assert camera.is_idle(at(101))


def test_a_flood_of_changes_does_not_fill_the_event_log(fleet):
    for number in range(10_000):
        fleet.hear(ONE, publisher.status(state="reconnecting", reason=str(number)), at(1))
    assert len(fleet.log.events) == 200


def test_a_picture_of_an_unknown_camera_is_ignored(fleet):
    picture = wire.PictureMessage(
        session="s1", camera="cam9", epoch=0, seq=0, frame=0, captured_ns=0, size=(640, 480), width=320, height=240,
        jpeg=b"",
    )  # fmt: skip
    fleet.on_picture.append(lambda *_: pytest.fail("it was taken"))
    fleet.hear_picture(ONE, picture, "320")
    assert not fleet.cameras


def test_listeners_hear_of_poses_and_of_the_list(fleet):
    heard = []
    fleet.on_pose.append(lambda camera, pose: heard.append((camera.name, pose.seq)))
    fleet.on_list.append(lambda: heard.append("list"))
    fleet.hear(ONE, sent(1, seq=7), at(1))
    assert heard == ["list", ("cam0", 7)]
