import threading

import pytest

from realtime.runtime import channel as channels
from realtime.runtime.channel import Channel, Closed
from tests.doubles import RecordingWatch
from tests.runtime.blocked import until_blocked


def test_take_returns_all_items_in_order() -> None:
    channel: Channel[int] = Channel(3)
    for item in (1, 2, 3):
        channel.put(item)
    assert channel.take() == [1, 2, 3]


def test_the_wait_of_each_item_is_reported(monkeypatch) -> None:
    now_s, watch = [0.0], RecordingWatch()
    monkeypatch.setattr(channels.time, "monotonic", lambda: now_s[0])
    channel: Channel[int] = Channel(3, "track", watch)
    for now_s[0] in (1.0, 1.5):
        channel.put(1)
    now_s[0] = 4.0
    channel.take()
    assert watch.waits_s == [3.0, 2.5]


def test_take_returns_an_empty_list_after_the_timeout() -> None:
    assert Channel[int](1).take(timeout_s=0.0) == []


def test_a_closed_channel_returns_its_remaining_items_and_then_raises_closed() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.close()
    assert channel.take() == [1]
    with pytest.raises(Closed):
        channel.take()
    with pytest.raises(Closed):
        channel.put(2)


def test_aborting_discards_the_items_inside() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.abort()
    with pytest.raises(Closed):
        channel.take()


def test_try_put_is_refused_by_a_full_channel_which_keeps_its_items() -> None:
    channel: Channel[int] = Channel(1)
    assert channel.try_put(1)
    assert not channel.try_put(2)
    assert channel.take() == [1]


@pytest.mark.parametrize("end", ["close", "abort"])
def test_ending_a_full_channel_wakes_the_blocked_producer(end: str) -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    outcome: list[str] = []

    def produce() -> None:
        try:
            channel.put(2)
        except Closed:
            outcome.append("closed")

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    until_blocked(producer)
    getattr(channel, end)()
    producer.join(30)
    assert outcome == ["closed"]


def test_taking_from_a_full_channel_wakes_the_blocked_producer() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    producer = threading.Thread(target=channel.put, args=(2,), daemon=True)
    producer.start()
    until_blocked(producer)
    assert channel.take() == [1]
    producer.join(30)
    assert not producer.is_alive()
    assert channel.take(timeout_s=0.0) == [2]


def test_no_item_is_lost_or_reordered_between_two_threads() -> None:
    channel: Channel[int] = Channel(2)
    taken: list[int] = []

    def consume() -> None:
        try:
            while True:
                taken.extend(channel.take())
        except Closed:
            pass

    consumer = threading.Thread(target=consume)
    consumer.start()
    for item in range(2000):
        channel.put(item)
    channel.close()
    consumer.join(10)
    assert taken == list(range(2000))
