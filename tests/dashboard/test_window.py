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
    for _ in range(10):
        window.sent(10_000)
    for _ in range(10):
        window.arrived(10_000, took_s=1.5, now_s=5.0)
    assert window.size == int(START * 0.7)
