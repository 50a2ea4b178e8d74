"""Real sockets between a publisher and the feed."""

import asyncio
import time

import pytest
import zmq

from realtime import wire
from realtime.dashboard import feed as feed_module
from realtime.dashboard.clock import Moment
from realtime.dashboard.feed import Feed
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.settings import Settings
from tests.dashboard.sample import picture
from tests.wire import publisher
from tests.wire.publisher import WAIT_S, Publisher


class Watching:
    """A feed on the loop of a test, with its publisher."""

    def __init__(self, *publishers, **settings):
        endpoints = tuple(each.endpoint for each in publishers)
        self.fleet = Fleet(endpoints, Moment.now())
        self.feed = Feed(self.fleet, Settings(connect=endpoints, **settings))
        self.pictures = []
        self.fleet.on_picture.append(lambda camera, message, width: self.pictures.append((camera.name, width)))

    async def until(self, is_done):
        """Let the loop turn until something is so."""
        end_s = time.monotonic() + WAIT_S
        while not is_done():
            assert time.monotonic() < end_s, "it did not happen"
            await asyncio.sleep(0.005)


def run(play, *publishers, **settings):
    async def whole():
        watching = Watching(*publishers, **settings)
        watching.feed.start()
        try:
            for each in publishers:
                await asyncio.to_thread(each.wait_for, b"pose/", b"status/", b"info/")
            await play(watching)
        finally:
            watching.feed.close()

    asyncio.run(whole())


@pytest.fixture
def source():
    source = Publisher()
    yield source
    source.context.destroy(linger=0)


def test_messages_of_all_kinds_arrive(source):
    async def play(watching):
        for message in (publisher.info(), publisher.status(), publisher.pose(seq=3)):
            source.send(message)
        await watching.until(lambda: "cam0" in watching.fleet.cameras and watching.fleet.cameras["cam0"].pose)
        camera = watching.fleet.cameras["cam0"]
        assert (camera.info.detector, camera.status.captured, camera.pose.seq) == ("d", 3, 3)

    run(play, source)


def test_nonsense_is_counted_told_once_and_harmless(source):
    async def play(watching):
        for topic, payload in ((b"pose/cam0/", b"\xc1"), (b"pose/", b""), (b"status/cam0/", b"{}")):
            source.socket.send_multipart([topic, payload])
        source.socket.send(b"pose/cam0/")
        source.socket.send_multipart([b"pose/cam0/"] * 50)
        source.send(publisher.pose())
        await watching.until(lambda: "cam0" in watching.fleet.cameras)
        assert watching.fleet.pipelines[source.endpoint].refused == 3
        told = [event.text for event in watching.fleet.log.events if "can't be read" in event.text]
        assert len(told) == 1

    run(play, source)


def test_an_enormous_message_costs_only_the_connection(source):
    async def play(watching):
        source.socket.send_multipart([b"pose/cam0/", bytes(20 * 2**20)])
        ends = [await asyncio.to_thread(source.socket.recv) for _ in range(3)]  # ZeroMQ has cut it off
        assert {end[:1] for end in ends} == {b"\x00"}
        source.topics.clear()
        watching.feed._replace_silent(time.monotonic() + 11.0)
        await asyncio.to_thread(source.wait_for, b"pose/")
        source.send(publisher.pose())
        await watching.until(lambda: "cam0" in watching.fleet.cameras)

    run(play, source)


def test_a_flood_of_cameras_is_bounded(source):
    async def play(watching):
        source.socket.sndhwm = 0
        payloads = [(f"c{number}", publisher.pose(f"c{number}", n=0)) for number in range(1500)]
        for number, (name, message) in enumerate(payloads):
            source.socket.send_multipart([wire.pose_topic(name), wire.encode(message, "msgpack")])
            if number % 20 == 0:  # as fast as it is read
                await asyncio.sleep(0.002)
        await watching.until(lambda: len(watching.fleet.cameras) == 1000)
        source.send(publisher.status("c5"))
        await watching.until(lambda: watching.fleet.cameras["c5"].status is not None)
        assert len(watching.fleet.cameras) == 1000

    run(play, source)


def test_pictures_come_from_the_announced_endpoint_while_subscribed_to(source):
    pictures = Publisher()

    async def play(watching):
        port = pictures.endpoint.rpartition(":")[2]
        announced = publisher.info()
        fields = {key: getattr(announced, key) for key in announced.__struct_fields__}
        source.send(wire.InfoMessage(**fields | {"pictures": f"tcp://0.0.0.0:{port}"}))
        await watching.until(lambda: "cam0" in watching.fleet.cameras)
        assert watching.fleet.cameras["cam0"].has_pictures
        watching.feed.subscribe(source.endpoint, b"picture/cam0/320/", True)
        await asyncio.to_thread(pictures.wait_for, b"picture/cam0/320/")
        pictures.socket.send_multipart([b"picture/cam0/320/", wire.encode(picture(), "msgpack")])
        await watching.until(lambda: watching.pictures)
        assert watching.pictures == [("cam0", "320")]
        watching.feed.subscribe(source.endpoint, b"picture/cam0/320/", False)
        assert await asyncio.to_thread(pictures.socket.recv) == b"\x00picture/cam0/320/"

    try:
        run(play, source)
    finally:
        pictures.context.destroy(linger=0)


def test_a_connection_is_not_replaced_because_no_picture_was_wanted_for_long(source):
    async def play(watching):
        announced = publisher.info()
        fields = {key: getattr(announced, key) for key in announced.__struct_fields__}
        source.send(wire.InfoMessage(**fields | {"pictures": "tcp://127.0.0.1:1"}))
        await watching.until(lambda: "cam0" in watching.fleet.cameras)
        reader = watching.feed._pictures[source.endpoint]
        reader.heard_s -= 3600
        watching.feed.subscribe(source.endpoint, b"picture/cam0/320/", True)
        for silent_s, is_same in ((feed_module.REPLACE_S - 1, True), (feed_module.REPLACE_S + 1, False)):
            watching.feed._replace_silent(time.monotonic() + silent_s)
            assert (watching.feed._pictures[source.endpoint] is reader) == is_same

    run(play, source)


def test_without_pictures_none_are_read(source):
    async def play(watching):
        announced = publisher.info()
        fields = {key: getattr(announced, key) for key in announced.__struct_fields__}
        source.send(wire.InfoMessage(**fields | {"pictures": "tcp://127.0.0.1:1"}))
        await watching.until(lambda: "cam0" in watching.fleet.cameras)
        assert not watching.fleet.cameras["cam0"].has_pictures

    run(play, source, has_pictures=False)


def test_a_reader_that_fell_behind_takes_only_the_newest_of_each_topic():
    taken = []
    context = zmq.Context()
    out, into = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    out.sndhwm = into.rcvhwm = 0
    port = out.bind_to_random_port("tcp://127.0.0.1")
    into.connect(f"tcp://127.0.0.1:{port}")

    async def play():
        reader = feed_module._Reader("x", into, lambda topic, payload: taken.append((topic, payload)))
        for number in range(feed_module.MOST_PER_TURN):
            out.send_multipart([b"ab"[number % 2 : number % 2 + 1], str(number).encode()])
        while not into.poll(WAIT_S * 1000):
            pass
        await asyncio.sleep(0.2)  # all have arrived
        reader.start()
        while len(taken) < 2:
            await asyncio.sleep(0.01)
        reader.stop()

    try:
        asyncio.run(play())
    finally:
        context.destroy(linger=0)
    last = feed_module.MOST_PER_TURN - 1
    assert taken == [(b"a", str(last - 1).encode()), (b"b", str(last).encode())]


def test_a_turn_that_takes_too_long_goes_on_with_the_rest_in_the_next(monkeypatch):
    monkeypatch.setattr(feed_module, "LONGEST_TURN_S", -1.0)  # each message takes too long
    taken = []
    context = zmq.Context()
    out, into = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    out.bind("inproc://stream")
    into.connect("inproc://stream")
    sent = [(b"status/cam%d/" % number, b"ended") for number in range(5)]

    async def play():
        for message in sent:
            out.send_multipart(message)
        reader = feed_module._Reader("x", into, lambda topic, payload: taken.append((topic, payload)))
        reader.start()
        async with asyncio.timeout(WAIT_S):
            while len(taken) < len(sent):
                await asyncio.sleep(0.01)
        reader.stop()

    try:
        asyncio.run(play())
    finally:
        context.destroy(linger=0)
    assert taken == sent


def test_an_endpoint_that_can_not_be_connected_to_is_refused():
    with pytest.raises(ValueError, match="connect"):
        Feed(Fleet(["tcp://a b:1"], Moment.now()), Settings(connect=("tcp://a b:1",)))
