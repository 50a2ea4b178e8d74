"""What FFmpeg is asked for when a stream is opened."""

import av
import pytest

from realtime.capture import connect as module
from realtime.capture.attempt import Link
from realtime.capture.complete import _MATROSKA_DURATION
from realtime.capture.connect import connect
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


def test_a_busy_server_is_not_asked_again_when_the_time_is_over(monkeypatch):
    now_s, asked, takes_s = [100.0], [], iter([8.9, 0.85, 0.1])
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(module.time, "sleep", lambda pause_s: now_s.__setitem__(0, now_s[0] + pause_s))
    monkeypatch.setattr(module.rtsp, "look", lambda url, *_: module.rtsp.Seen(url, True))

    def busy(url, **options):
        asked.append(url)
        now_s[0] += next(takes_s)
        raise ConnectionRefusedError

    monkeypatch.setattr(av, "open", busy)
    with pytest.raises(SourceError, match="refused"):
        connect("rtsp://127.0.0.1:1/", Link(open_s=10.0), "none", 10**6)
    assert len(asked) == 2  # the third would begin after 10.35 s


@pytest.mark.parametrize("duration", ["99999:00:00", 5000 * "9" + ":00:00"])
def test_a_duration_of_any_length_is_read_or_ignored(duration):
    found = _MATROSKA_DURATION.fullmatch(duration)
    assert found is None or int(found[1]) == 99999
