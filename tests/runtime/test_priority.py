"""A thread whose work may be late has a lower priority, and no other one has."""

import os
import sys
import threading

import pytest

from realtime.runtime.priority import lower_priority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no priority of a single thread")


def test_only_the_calling_thread_gives_way() -> None:
    usual, lower = os.getpriority(os.PRIO_PROCESS, 0), []

    def late() -> None:
        lower_priority(3)
        lower.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=late)
    thread.start()
    thread.join()
    assert lower == [min(19, usual + 3)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == usual


def test_the_main_thread_keeps_its_priority_for_all_that_it_starts_later() -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    lower_priority(1)
    assert os.getpriority(os.PRIO_PROCESS, 0) == usual
