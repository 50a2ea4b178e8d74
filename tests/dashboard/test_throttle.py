"""Tries of tokens, with invented times."""

from realtime.dashboard.throttle import MOST_ADDRESSES, Throttle


def test_five_wrong_tokens_in_a_minute_slow_the_address_down_until_they_are_old():
    throttle = Throttle()
    for second in range(5):
        assert throttle.delay_s("a", second) == 0.0
        throttle.failed("a", second)
    assert throttle.delay_s("a", 59.0) == 1.0
    assert throttle.delay_s("a", 61.0) == 0.0


def test_a_flood_from_many_addresses_takes_bounded_memory():
    throttle = Throttle()
    for number in range(5000):
        throttle.failed(str(number), 0.0)
    assert len(throttle._failed_s) == MOST_ADDRESSES


def test_four_may_wait():
    throttle = Throttle()
    assert [throttle.may_wait("a") for _ in range(5)] == [True] * 4 + [False]
    throttle.waited("a")
    assert throttle.may_wait("a")
