"""What FFmpeg is asked for when a stream is opened."""

import av
import pytest

from realtime.capture import connect as module
from realtime.capture.connect import Link, connect
from realtime.errors import SourceError


def test_examining_a_stream_gets_the_time_that_connecting_left(monkeypatch):
    now_s, limits_s = [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])

    def slow(url, timeout, **options):
        for took_s in (3.0, 7.5):  # PyAV reads the limit before each of the two
            limits_s.append(float(timeout[0]))
            now_s[0] += took_s
        raise TimeoutError

    monkeypatch.setattr(av, "open", slow)
    with pytest.raises(SourceError, match="timed out"):
        connect("udp://127.0.0.1:1", Link(open_s=10.0), "none", 10**6)
    assert limits_s == [10.0, 7.0]
