import logging
import threading

import pytest

from realtime.errors import ConfigError
from realtime.reload import Reload

from .doubles import wait_until


def fail(error):
    raise error


def result_of(reload):
    """Ask, and poll until the thread has ended."""
    reload.ask()
    assert reload.poll() is None  # it only starts to read
    thread = reload._thread
    thread.join(10)
    return reload.poll()


def test_each_request_is_read_once():
    values = iter([1, 2])
    reload = Reload(lambda: next(values))
    assert [result_of(reload), result_of(reload)] == [1, 2]
    assert reload.poll() is None


@pytest.mark.parametrize("error", [ConfigError("odd"), ValueError("odd"), RecursionError(), MemoryError(), KeyError(1)])
def test_a_mistake_changes_nothing_whatever_it_raises(caplog, error):
    outcomes = [lambda: fail(error), lambda: "good"]
    reload = Reload(lambda: outcomes.pop(0)())
    assert result_of(reload) is None
    [record] = caplog.records
    assert record.message.startswith("reload: ")
    assert record.message.endswith("nothing was changed")
    assert (record.exc_info is None) == isinstance(error, ConfigError)
    assert result_of(reload) == "good"


def test_a_read_that_hangs_holds_up_nobody_and_is_not_started_twice(caplog):
    caplog.set_level(logging.WARNING)
    let_go = threading.Event()
    reload = Reload(lambda: let_go.wait(30))
    reload.ask()
    assert reload.poll() is None
    reload.ask()
    assert [reload.poll(), reload.poll()] == [None, None]
    assert [record.message for record in caplog.records] == [
        "reload: the configuration files are still being read; nothing was changed"
    ]
    let_go.set()
    wait_until(lambda: reload.poll() is True)
