import threading

import pytest

from realtime.publish.frame_queue import FrameQueue
from realtime.runtime.channel import Closed
from tests.doubles import wait_until


def test_items_come_out_in_order_and_the_bytes_bound_how_many_wait() -> None:
    queue: FrameQueue[int] = FrameQueue(most_items=10, most_bytes=100)
    assert [queue.put(item, 30, wait=False) for item in range(5)] == [True, True, True, False, False]
    assert queue.take() == 0
    assert queue.put(5, 40, wait=False)
    assert not queue.put(6, 1, wait=False)
    assert [queue.take() for _ in range(3)] == [1, 2, 5]


def test_the_number_of_items_is_bounded_too() -> None:
    queue: FrameQueue[int] = FrameQueue(most_items=3, most_bytes=100)
    assert [queue.put(item, 0, wait=False) for item in range(4)] == [True, True, True, False]


def test_two_items_of_any_size_fit() -> None:
    queue: FrameQueue[int] = FrameQueue(most_items=10, most_bytes=100)
    assert [queue.put(item, 10_000, wait=False) for item in range(3)] == [True, True, False]


def test_an_item_that_waits_goes_in_when_another_is_taken() -> None:
    queue: FrameQueue[int] = FrameQueue(most_items=2, most_bytes=100)
    put: list[bool] = []
    thread = threading.Thread(target=lambda: put.extend(queue.put(item, 1, wait=True) for item in range(4)))
    thread.start()
    assert [queue.take() for _ in range(4)] == [0, 1, 2, 3]
    thread.join(10)
    assert put == [True] * 4


@pytest.mark.parametrize("end", [FrameQueue.close, FrameQueue.abort])
def test_a_queue_that_ends_wakes_those_who_wait(end) -> None:
    queue: FrameQueue[int] = FrameQueue(most_items=2, most_bytes=100)
    queue.put(0, 1, wait=False)
    queue.put(1, 1, wait=False)
    ended: list[str] = []

    def wait() -> None:
        try:
            queue.put(2, 1, wait=True)
        except Closed:
            ended.append("put")

    thread = threading.Thread(target=wait)
    thread.start()
    end(queue)
    thread.join(10)
    assert ended == ["put"]


def test_a_closed_queue_hands_out_its_items_and_an_aborted_one_does_not() -> None:
    closed, aborted = (FrameQueue[int](most_items=2, most_bytes=100) for _ in range(2))
    for queue in (closed, aborted):
        queue.put(1, 1, wait=False)
    closed.close()
    aborted.abort()
    assert closed.take() == 1
    for queue in (closed, aborted):
        with pytest.raises(Closed):
            queue.take()
        with pytest.raises(Closed):
            queue.put(1, 1, wait=False)


def test_the_taker_waits_for_an_item() -> None:
    queue: FrameQueue[int] = FrameQueue(most_items=2, most_bytes=100)
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.put(7, 1, wait=False)
    wait_until(lambda: taken == [7])
    thread.join(10)
