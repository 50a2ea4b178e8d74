"""Requests for single pictures, and the subscriptions that they share."""

import asyncio

import pytest

from realtime import wire
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.pictures import LINGER_S, Pictures
from tests.dashboard.asking import ONE
from tests.wire import publisher

TOPIC = b"picture/cam0/320/"
PICTURE = wire.PictureMessage(
    session="s1",
    camera="cam0",
    epoch=0,
    seq=7,
    frame=7,
    captured_ns=0,
    size=(640, 480),
    width=320,
    height=240,
    jpeg=b"",
)
LONG_S = 30.0  # far longer than anything here takes


class Watched:
    """A fleet with one camera, and what was subscribed to."""

    def __init__(self, *, has_pictures=True):
        self.fleet = Fleet([ONE], Moment.now())
        self.calls = []
        self.pictures = Pictures(self.fleet, lambda endpoint, topic, wanted: self.calls.append((topic, wanted)))
        self.fleet.hear(ONE, publisher.status(), Moment.now())
        self.fleet.cameras["cam0"].has_pictures = has_pictures

    def ask(self, timeout_s=LONG_S):
        return asyncio.create_task(self.pictures.newest("cam0", "320", timeout_s))

    def send(self):
        self.fleet.hear_picture(ONE, PICTURE, "320")


@pytest.fixture
def watched():
    return Watched()


def test_requests_at_the_same_time_share_a_subscription_and_get_the_same_picture(watched):
    async def three():
        asked = [watched.ask() for _ in range(3)]
        await asyncio.sleep(0)
        watched.send()
        return await asyncio.gather(*asked)

    assert asyncio.run(three()) == [PICTURE] * 3
    assert watched.calls == [(TOPIC, True)]


def test_a_request_that_gives_up_does_not_take_the_picture_from_a_later_one(watched):
    async def two():
        first, second = watched.ask(timeout_s=0.001), watched.ask()
        gave_up = await first
        watched.send()
        return gave_up, await second

    assert asyncio.run(two()) == (None, PICTURE)


@pytest.mark.parametrize("ends", ["answered", "timed out", "cancelled"])
def test_the_subscription_ends_some_time_after_the_last_request(watched, ends):
    async def one():
        asked = watched.ask(timeout_s=0.001 if ends == "timed out" else LONG_S)
        await asyncio.sleep(0)
        if ends == "answered":
            watched.send()
        if ends == "cancelled":
            asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    asyncio.run(one())
    watched.pictures.want(set(), 100.0)
    watched.pictures.want(set(), 100.0 + LINGER_S / 2)
    assert watched.calls == [(TOPIC, True)]
    watched.pictures.want(set(), 100.0 + LINGER_S)
    assert watched.calls == [(TOPIC, True), (TOPIC, False)]


def test_the_subscription_stays_while_a_request_waits(watched):
    async def one():
        asked = watched.ask()
        await asyncio.sleep(0)
        for now_s in (100.0, 200.0, 300.0):
            watched.pictures.want(set(), now_s)
        watched.send()
        return await asked

    assert asyncio.run(one()) == PICTURE
    assert watched.calls == [(TOPIC, True)]


def test_a_camera_without_pictures_is_not_subscribed_to():
    watched = Watched(has_pictures=False)
    assert asyncio.run(watched.pictures.newest("cam0", "320", 0.001)) is None
    assert not watched.calls
