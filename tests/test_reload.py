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
    for _ in range(3):
        assert reload.poll() is None
        reload.ask()
        assert reload.poll() is None
    assert [record.message for record in caplog.records] == [
        "reload: the configuration files are still being read; they will be read again"
    ]
    let_go.set()
    wait_until(lambda: reload.poll() is True)


def test_a_request_during_a_read_reads_again_because_the_files_may_have_changed():
    content, let_go = ["old"], threading.Event()

    def read():
        found = content[0]
        let_go.wait(30)
        return found

    reload = Reload(read)
    reload.ask()
    reload.poll()
    content[0] = "new"
    reload.ask()
    reload.poll()
    let_go.set()
    results = []
    wait_until(lambda: results.append(reload.poll()) or "new" in results)
    assert [result for result in results if result] == ["old", "new"]


def test_without_threads_nothing_is_changed_and_the_run_goes_on(caplog, monkeypatch):
    reload = Reload(lambda: "good")
    reload.ask()
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", lambda _: fail(RuntimeError("can't start new thread")))
        assert [reload.poll(), reload.poll()] == [None, None]
    assert [record.message for record in caplog.records] == ["reload: can't start new thread; nothing was changed"]
    assert result_of(reload) == "good"
