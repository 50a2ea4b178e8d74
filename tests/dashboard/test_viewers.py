"""What pages get while cameras come, change and go. A page is an object here, not a socket."""

import asyncio
import contextlib

import pytest

from realtime.dashboard import viewers as viewers_module
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.pictures import Pictures
from realtime.dashboard.settings import Settings
from realtime.dashboard.viewers import MOST_VIEWERS, Viewers
from tests.dashboard.page import Page
from tests.dashboard.sample import picture
from tests.wire import publisher

ENDPOINT = "tcp://127.0.0.1:5555"


class Stage:
    """A fleet with viewers, and the subscriptions that they asked for."""

    def __init__(self):
        self.topics = []
        self.fleet = Fleet([ENDPOINT], Moment.now())
        self.pictures = Pictures(self.fleet, lambda endpoint, topic, is_on: self.topics.append((topic, is_on)))
        self.viewers = Viewers(self.fleet, self.pictures, Settings(connect=(ENDPOINT,)))

    def hear(self, message):
        return self.fleet.hear(ENDPOINT, message, Moment.now())

    def camera(self, name="cam0", has_pictures=True):
        camera = self.hear(publisher.status(name))
        camera.has_pictures = has_pictures
        self.viewers._tick(Moment.now())
        return camera

    @contextlib.asynccontextmanager
    async def page(self, *watched, pictures=True, width=320):
        page = Page()
        serving = asyncio.create_task(self.viewers.serve(page))
        if watched:
            cameras = [{"name": name, "width": width} for name in watched]
            page.say(type="watch", cameras=cameras, pictures=pictures)
        await turns()
        yield page
        page.leave()
        await serving


async def turns():
    for _ in range(20):
        await asyncio.sleep(0)


def run(play):
    async def whole():
        async with asyncio.timeout(20):
            await play(Stage())

    asyncio.run(whole())


def test_a_new_page_gets_hello_the_cameras_and_the_events_in_this_order():
    async def play(stage):
        stage.camera()
        async with stage.page() as page:
            assert [text["type"] for text in page.texts] == ["hello", "cameras", "events"]

    run(play)


def test_a_page_gets_the_picture_with_the_pose_of_the_same_frame():
    async def play(stage):
        stage.camera()
        async with stage.page("cam0") as page:
            for seq in range(3):
                stage.hear(publisher.pose(seq=seq))
            stage.fleet.hear_picture(ENDPOINT, picture(seq=1), "320")
            await turns()
            assert [(frame["seq"], frame["jpeg_size"]) for frame in page.frames] == [(1, [320, 240])]

    run(play)


def test_a_picture_that_comes_before_its_pose_waits_for_it():
    async def play(stage):
        stage.camera()
        async with stage.page("cam0") as page:
            stage.fleet.hear_picture(ENDPOINT, picture(seq=4), "320")
            stage.hear(publisher.pose(seq=3))
            await turns()
            assert page.frames == []
            stage.hear(publisher.pose(seq=4))
            await turns()
            assert [frame["seq"] for frame in page.frames] == [4]

    run(play)


def test_a_picture_of_an_earlier_session_is_not_joined_with_a_pose_of_this_one():
    async def play(stage):
        stage.camera()
        async with stage.page("cam0") as page:
            stage.hear(publisher.pose(seq=4))
            stage.fleet.hear_picture(ENDPOINT, picture(seq=4, session="earlier"), "320")
            await turns()
            assert page.frames == []

    run(play)


def test_pictures_are_subscribed_to_while_a_page_watches():
    async def play(stage):
        stage.camera()
        async with stage.page("cam0", width=600):
            assert stage.topics == [(b"picture/cam0/640/", True)]
        now = Moment.now()
        for later_s in (0.1, 0.9, 1.2):
            stage.viewers._tick(Moment(now.mono_s + later_s, 0.0))
        assert stage.topics[1:] == [(b"picture/cam0/640/", False)]

    run(play)


@pytest.mark.parametrize("has_pictures", [False, True])
def test_skeletons_go_out_without_pictures(has_pictures):
    async def play(stage):
        stage.camera(has_pictures=has_pictures)
        async with stage.page("cam0", pictures=not has_pictures) as page:
            stage.hear(publisher.pose(seq=0))
            await turns()
            assert [frame["jpeg_size"] for frame in page.frames] == [None]
            assert stage.topics == []

    run(play)


def test_the_last_skeletons_are_shown_at_once():
    async def play(stage):
        stage.camera(has_pictures=False)
        stage.hear(publisher.pose(seq=9))
        async with stage.page("cam0") as page:
            assert [frame["seq"] for frame in page.frames] == [9]

    run(play)


def test_a_page_that_acknowledges_nothing_gets_no_more_frames_and_stays():
    async def play(stage):
        for name in ("cam0", "cam1"):
            stage.camera(name, has_pictures=False)
        async with stage.page("cam0", "cam1") as page:
            for seq in range(50):
                stage.hear(publisher.pose(seq=seq))
                await turns()
            assert [frame["seq"] for frame in page.frames] == [0]
            page.say(type="shown", camera="cam0", seq=0, width=320)
            await asyncio.sleep(0.1)  # the limit for skeletons of several cameras is 15 per second
            assert [frame["seq"] for frame in page.frames] == [0, 49]
            assert page.closed is None

    run(play)


def test_a_change_of_state_is_told_at_once_with_its_event():
    async def play(stage):
        stage.camera()
        async with stage.page() as page:
            stage.hear(publisher.status(state="reconnecting", reason="timed out"))
            await turns()
            assert [(text["state"], text["reason"]) for text in page.of("camera")] == [("reconnecting", "timed out")]
            assert page.of("event")[-1]["text"] == "reconnecting: timed out"

    run(play)


def test_other_changes_are_told_once_a_second():
    async def play(stage):
        stage.camera()
        now = Moment.now()
        async with stage.page() as page:
            for tenth in range(31):
                stage.hear(publisher.status(fps=float(tenth)))
                stage.viewers._tick(Moment(now.mono_s + tenth / 10, 0.0))
                await turns()
            assert 2 <= len(page.of("camera")) <= 4

    run(play)


def test_a_camera_that_is_added_comes_with_the_whole_list():
    async def play(stage):
        stage.camera()
        async with stage.page() as page:
            stage.camera("cam1")
            await turns()
            assert [camera["name"] for camera in page.of("cameras")[-1]["cameras"]] == ["cam0", "cam1"]

    run(play)


def test_details_of_the_camera_that_was_asked_for():
    async def play(stage):
        stage.camera()
        async with stage.page() as page:
            page.say(type="details", camera="cam0")
            await turns()
            (details,) = page.of("details")
            assert details["status"]["captured"] == 3
            assert (details["info"], details["clock_difference_ms"]) == (None, 0.0)
            page.say(type="details", camera=None)
            await turns()
            stage.viewers._tick(Moment(Moment.now().mono_s + 5, 0.0))
            await turns()
            assert len(page.of("details")) == 1

    run(play)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("{", 1007),
        ("[]", 1007),
        ('"watch"', 1007),
        ("{}", 1007),
        ('{"type": "unknown"}', 1007),
        ('{"type": "watch", "cameras": "cam0"}', 1007),
        ('{"type": "watch", "cameras": [{"name": 5}]}', 1007),
        ('{"type": "shown", "camera": "cam0", "seq": 1e400}', 1007),
        ('{"type": "shown", "camera": "cam0", "seq": ' + "9" * 5000 + "}", 1007),
        ("[" * 15_000, 1007),
        ('{"type": "watch", "cameras": [' + ",".join('{"name":"a"}' for _ in range(257)) + "]}", 1007),
        (b"\x00", 1003),
    ],
)
def test_a_page_that_breaks_the_protocol_is_told_and_closed(said, code):
    async def play(stage):
        async with stage.page() as page:
            (page.say_bytes if isinstance(said, bytes) else page.say_text)(said)
            await turns()
            assert page.closed[0] == code
            assert len(page.of("error")) == 1
            assert stage.viewers.count == 0

    run(play)


def test_a_page_that_floods_is_closed():
    async def play(stage):
        async with stage.page() as page:
            for number in range(500):
                page.say(type="ping", id=number)
            for _ in range(30):
                await turns()
            assert page.closed[0] == 1008

    run(play)


def test_acknowledgements_of_frames_are_no_flood():
    async def play(stage):
        stage.camera(has_pictures=False)
        connection = None
        async with stage.page("cam0") as page:
            connection = stage.viewers._connections[0]
            tile = connection.viewer.tiles["cam0"]
            for seq in range(500):
                tile.due_s = 0.0
                stage.hear(publisher.pose(seq=seq))
                await turns()
                page.say(type="shown", camera="cam0", seq=seq)
                await turns()
            assert (len(page.frames), page.closed) == (500, None)

    run(play)


def test_one_page_too_many_is_told_why():
    async def play(stage):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(MOST_VIEWERS):
                await stack.enter_async_context(stage.page())
            async with stage.page() as page:
                assert page.closed[0] == 1013
                assert "pages are open already" in page.closed[1]
            assert stage.viewers.count == MOST_VIEWERS
        assert stage.viewers.count == 0

    run(play)


def test_an_idle_camera_is_subscribed_to_only_when_a_still_is_due():
    async def play(stage):
        camera = stage.camera()
        camera.last_people_mono_s -= 60
        async with stage.page("cam0"):
            assert stage.topics == [(b"picture/cam0/320/", True)]
            stage.hear(publisher.pose(n=0))
            stage.fleet.hear_picture(ENDPOINT, picture(), "320")
            await turns()
            tile = stage.viewers._connections[0].viewer.tiles["cam0"]
            assert tile.sent_s is not None
            tile.in_flight.clear()
            for later_s in (0.1, 1.2):
                stage.viewers._tick(Moment(tile.sent_s + later_s, 0.0))
            assert stage.topics[-1] == (b"picture/cam0/320/", False)
            stage.viewers._tick(Moment(tile.sent_s + 5.1, 0.0))
            assert stage.topics[-1] == (b"picture/cam0/320/", True)

    run(play)


def test_no_pictures_are_encoded_for_a_stalled_page():
    async def play(stage):
        stage.camera()
        async with stage.page("cam0"):
            stage.hear(publisher.pose())
            stage.fleet.hear_picture(ENDPOINT, picture(), "320")
            await turns()
            now = Moment.now()
            stage.camera().last_people_mono_s = now.mono_s + 100
            for later_s in (11.0, 12.1):
                stage.viewers._tick(Moment(now.mono_s + later_s, 0.0))
            assert stage.topics[-1] == (b"picture/cam0/320/", False)

    run(play)


def test_a_camera_that_leaves_is_no_trouble():
    async def play(stage):
        stage.camera()
        async with stage.page("cam0") as page:
            page.say(type="details", camera="cam0")
            await turns()
            stage.hear(publisher.status(state="ended", reason="removed"))
            now = Moment.now()
            stage.fleet._looked_mono_s = now.mono_s + 60
            stage.fleet.look(Moment(now.mono_s + 61, 0.0))
            stage.viewers._tick(Moment(now.mono_s + 61, 0.0))
            await turns()
            assert page.of("cameras")[-1]["cameras"] == []

    run(play)


def test_events_have_the_fields_of_the_protocol():
    assert set(viewers_module.Event.__struct_fields__) == {"time_ms", "camera", "pipeline", "kind", "text"}
