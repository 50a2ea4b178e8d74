"""Subscriptions to pictures, with invented times."""

import asyncio

import pytest

from realtime.dashboard.fleet import Fleet
from realtime.dashboard.pictures import Pictures
from tests.dashboard.sample import at, picture
from tests.wire import publisher

ENDPOINT = "tcp://127.0.0.1:5555"
TOPIC = b"picture/cam0/320/"


@pytest.fixture
def fleet():
    fleet = Fleet([ENDPOINT], at(0))
    fleet.hear(ENDPOINT, publisher.status(), at(0)).has_pictures = True
    return fleet


@pytest.fixture
def asked():
    return []


@pytest.fixture
def pictures(fleet, asked):
    return Pictures(fleet, lambda endpoint, topic, is_on: asked.append((endpoint, topic, is_on)))


def test_a_wish_is_subscribed_to_once(pictures, asked):
    for mono_s in (0.0, 0.1, 5.0):
        pictures.want({("cam0", "320")}, mono_s)
    assert asked == [(ENDPOINT, TOPIC, True)]


def test_a_wish_that_comes_back_within_a_second_changes_nothing(pictures, asked):
    for mono_s in (0.0, 0.8, 1.6, 2.4):
        pictures.want({("cam0", "320")} if int(mono_s / 0.8) % 2 == 0 else set(), mono_s)
    assert asked == [(ENDPOINT, TOPIC, True)]


def test_a_wish_that_is_gone_ends_after_a_second(pictures, asked):
    for mono_s, wanted in ((0.0, {("cam0", "320")}), (1.0, set()), (1.9, set()), (2.1, set()), (9.0, set())):
        pictures.want(wanted, mono_s)
    assert asked == [(ENDPOINT, TOPIC, True), (ENDPOINT, TOPIC, False)]


def test_an_unknown_camera_and_one_without_pictures_are_not_subscribed_to(pictures, asked, fleet):
    fleet.cameras["cam0"].has_pictures = False
    pictures.want({("cam0", "320"), ("cam9", "320")}, 0.0)
    assert asked == []


def test_the_subscription_of_a_camera_that_left_ends(pictures, asked, fleet):
    pictures.want({("cam0", "320")}, 0.0)
    del fleet.cameras["cam0"]
    for mono_s in (0.1, 1.2):
        pictures.want(set(), mono_s)
    assert asked[-1] == (ENDPOINT, TOPIC, False)


def test_the_topic_has_the_camera_s_own_name(fleet, pictures, asked):
    other = "tcp://10.0.0.2:5555"
    two = Fleet([ENDPOINT, other], at(0))
    for endpoint in (ENDPOINT, other):
        two.hear(endpoint, publisher.status(), at(0)).has_pictures = True
    Pictures(two, lambda *call: asked.append(call)).want({("cam0@2", "320")}, 0.0)
    assert asked == [(other, TOPIC, True)]


def test_one_picture_serves_all_who_wait_for_it(fleet, pictures, asked):
    async def play():
        waiting = [asyncio.create_task(pictures.newest("cam0", "320", 20.0)) for _ in range(3)]
        await asyncio.sleep(0)
        fleet.hear_picture(ENDPOINT, picture(), "320")
        return await asyncio.gather(*waiting)

    assert [found.jpeg for found in asyncio.run(play())] == [picture().jpeg] * 3
    assert asked == [(ENDPOINT, TOPIC, True)]


def test_a_picture_that_does_not_come_is_none(pictures):
    assert asyncio.run(pictures.newest("cam0", "320", 0.01)) is None
    assert asyncio.run(pictures.newest("cam9", "320", 0.01)) is None
