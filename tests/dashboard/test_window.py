"""The bytes on their way to a page."""

from realtime.dashboard.window import LARGEST, SMALLEST, START, Window


def shown(window, size, took_s, now_s):
    window.sent(size)
    window.arrived(size, took_s, now_s)


def test_a_fast_page_gets_a_larger_window():
    window = Window()
    for step in range(1000):
        shown(window, window.size * 3 // 4, took_s=0.05, now_s=step)
    assert window.size == LARGEST


def test_a_window_that_is_not_used_does_not_grow():
    window = Window()
    for step in range(1000):
        shown(window, 1000, took_s=0.05, now_s=step)
    assert window.size == START


def test_a_slow_page_gets_a_smaller_window():
    window = Window()
    for step in range(100):
        shown(window, 10_000, took_s=1.5, now_s=10 * step)
    assert window.size == SMALLEST


def test_frames_that_were_late_together_count_once():
    window = Window()
    window.size = 1_000_000
    for _ in range(10):
        window.sent(10_000)
    for _ in range(10):
        window.arrived(10_000, took_s=0.8, now_s=5.0)
    assert window.size == 500_000


def test_a_link_is_filled_without_a_queue_that_grows():
    """A link of 70 kB/s, which frames of 7 kB wait for in turn."""
    window, free_s, queue, took = Window(), 0.0, [], []
    for step in range(3000):
        now_s = step / 100
        while queue and queue[0][1] <= now_s:
            sent_s, arrives_s = queue.pop(0)
            took.append(arrives_s - sent_s)
            window.arrived(7000, took[-1], now_s)
        if window.has_room(7000):
            window.sent(7000)
            free_s = max(free_s, now_s) + 0.1
            queue.append((now_s, free_s))
    assert len(took) > 290  # of 300 that the link can carry
    assert max(took) < 1.0
    assert sum(took[100:]) / len(took[100:]) < 0.5
