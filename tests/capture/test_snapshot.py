"""A URL that gives a single image: a camera that is polled."""

import io
import itertools
import threading
from functools import partial

import cv2
import pytest
from PIL import Image

from realtime.capture import snapshot
from realtime.capture.camera import GRACE_S
from realtime.capture.hls import HlsSource
from realtime.capture.open import open_source
from realtime.capture.snapshot import MOST_FAILURES, SnapshotSource
from realtime.errors import SourceError, SourceReason
from tests.clock import Clock

from .httpcam import HttpCamera, jpeg, part
from .rig import Rig, ScriptedSource, picture
from .served import opened, reading
from .servers import Scripted

BASIC = 'WWW-Authenticate: Basic realm="x"'
DIGEST = 'WWW-Authenticate: Digest realm="x", nonce="1", qop="auth"'


def url(server, login="", path="/cgi-bin/snapshot.cgi?channel=1"):
    return f"http://{login}127.0.0.1:{server.port}{path}"


def answered(body, *fields, status="200 OK", protocol="HTTP/1.1", length=None):
    length = len(body) if length is None else length
    return "\r\n".join([f"{protocol} {status}", f"Content-Length: {length}", *fields, "", ""]).encode() + body


def encoded(form, animated=False):
    pictures = [Image.new("RGB", (64, 48), (value, value, value)) for value in (200, 90)]
    data = io.BytesIO()
    pictures[0].save(data, form, **({"save_all": True, "append_images": pictures[1:]} if animated else {}))
    return data.getvalue()


def values(pictures):
    """The grey value of each picture; the fault of one that has one."""
    return [round(float(picture.image.mean())) if picture.fault is None else picture.fault for picture in pictures]


class Waits(threading.Event):
    """An event whose waits pass at once, on a clock that shows their time."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def wait(self, timeout=None):
        if threading.current_thread().name == "snapshot-watch":
            return super().wait(timeout)
        self.clock.now_s += timeout
        return self.is_set()


class Served:
    """What `Downloads` finds at each request: bytes, an error, or a pair of seconds that it takes and one of these."""

    name = "http://cam/snapshot.jpg"

    def __init__(self, *replies, clock, kind="image/jpeg"):
        self.replies, self.clock, self.kind, self.asked_s, self.deadlines_s = list(replies), clock, kind, [], []

    def __call__(self, source, tls):
        return self

    def open(self, url, ends_s, *, keep):
        self.asked_s.append(self.clock.now_s - 100.0)
        self.deadlines_s.append(ends_s - self.clock.now_s)
        self.reply = self.replies.pop(0)
        if isinstance(self.reply, tuple):
            seconds, self.reply = self.reply
            self.clock.now_s += seconds
        if isinstance(self.reply, SourceError):
            raise self.reply
        return self

    def rest(self, most):
        return self.reply

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def stop(self):
        pass

    close = stop


@pytest.fixture
def polled(monkeypatch):
    """Return a function that opens a source whose server gives these replies, on a clock of its own."""
    sources = []

    def open_polled(*replies, **keys):
        clock = Clock()
        served = Served(*replies, clock=clock, kind=keys.pop("kind", "image/jpeg"))
        monkeypatch.setattr(snapshot, "time", clock)
        monkeypatch.setattr(snapshot, "Downloads", served)
        sources.append(SnapshotSource(served.name, Waits(clock), read_timeout_s=10.0, **keys))
        return sources[-1], served

    yield open_polled
    for source in sources:
        source.close()


def error(reason=SourceReason.LOST):
    return SourceError(f"http://cam: {reason.value}", reason)


# ---- which addresses are polled


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM"])
@pytest.mark.parametrize("path", ["/snapshot.jpg", "/cgi-bin/snapshot.cgi?channel=1"])
def test_a_url_that_gives_an_image_is_polled_whatever_its_format_and_name(form, path, monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)
    body = encoded(form)
    with Scripted(lambda asked: answered(body)) as server, reading(url(server, path=path)) as source:
        assert (type(source), source.live, source.prompt, source.size) == (SnapshotSource, True, False, (64, 48))
        pictures = [source.read() for _ in range(3)]
    assert values(pictures) == pytest.approx([200] * 3, abs=2)
    assert {picture.media_s for picture in pictures} == {None}


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_shows_its_first_picture(form, monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)
    body = encoded(form, animated=True)
    with Scripted(lambda asked: answered(body)) as server, reading(url(server)) as source:
        assert values([source.read() for _ in range(2)]) == pytest.approx([200] * 2, abs=2)


def test_motion_jpeg_and_videos_with_the_name_of_an_image_are_not_polled():
    def respond(write):
        for _ in range(50):
            write(part(jpeg()))

    with HttpCamera(respond) as camera, reading(camera.url + ".jpg") as source:
        assert not isinstance(source, SnapshotSource | HlsSource)


def ended_by_the_connection(asked):
    yield b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(70)
    raise ValueError  # closes the connection


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (lambda asked: answered(jpeg(70)), 1),
        (lambda asked: answered(jpeg(70), 'ETag: "1"', "Cache-Control: max-age=60"), 1),
        (lambda asked: answered(jpeg(70), "Connection: close"), 4),
        (lambda asked: answered(jpeg(70), protocol="HTTP/1.0"), 4),
        (ended_by_the_connection, 4),
        (
            lambda asked: (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(jpeg(70))
                + jpeg(70)
                + b"\r\n0\r\n\r\n"
            ),
            1,
        ),
    ],
)
def test_pictures_come_over_one_connection_if_the_server_keeps_it(answer, connections, monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)
    with Scripted(answer) as server, reading(url(server)) as source:
        assert values([source.read() for _ in range(4)]) == [70] * 4
    assert server.connections == 1 + connections  # FFmpeg's own
    assert not [asked for asked in server.asked if "if-none-match" in asked.fields]


def test_a_server_that_closes_its_idle_connection_loses_no_picture(monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)

    def answer(asked):
        is_first = [earlier.connection for earlier in server.asked].count(asked.connection) == 1
        return answered(jpeg(70)) if is_first else None

    with Scripted(answer) as server, reading(url(server)) as source:
        assert values([source.read() for _ in range(4)]) == [70] * 4


@pytest.mark.parametrize("challenge", [BASIC, DIGEST])
def test_the_login_is_sent(challenge, monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)

    def answer(asked):
        return answered(jpeg(70)) if asked.login else answered(b"", challenge, status="401 Unauthorized")

    with Scripted(answer) as server, reading(url(server, "admin:s3cr3t@")) as source:
        assert values([source.read() for _ in range(3)]) == [70] * 3


def test_a_redirect_is_followed_at_each_picture(monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)

    def answer(asked):
        return answered(jpeg(70)) if asked.url == "/1.jpg" else answered(b"", "Location: /1.jpg", status="302 Found")

    with Scripted(answer) as server, reading(url(server)) as source:
        assert values([source.read() for _ in range(3)]) == [70] * 3


# ---- errors of the opening


@pytest.mark.parametrize(
    ("body", "keys", "reason"),
    [
        (b"<html><body>Please log in</body></html>", {}, SourceReason.NOT_MEDIA),
        (jpeg(70)[:-200], {}, SourceReason.NOT_MEDIA),
        (jpeg(70), {"max_pixels": 64 * 48 - 1}, SourceReason.TOO_LARGE),
    ],
)
def test_a_first_answer_that_is_no_picture_is_one_line(body, keys, reason):
    with Scripted(lambda asked: answered(body)) as server, pytest.raises(SourceError) as caught:
        opened(url(server, "admin:s3cr3t@", path="/snapshot.jpg"), **keys)
    assert caught.value.reason is reason
    assert "\n" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_source_that_can_not_be_opened_leaves_no_thread(polled):
    before = threading.active_count()
    with pytest.raises(SourceError):
        polled(b"no picture")
    assert threading.active_count() == before


# ---- the clock


def test_a_picture_is_requested_once_a_second_without_drift(polled):
    source, served = polled(*[(0.3, jpeg(k)) for k in range(6)])
    pictures = [source.read() for _ in range(6)]
    assert values(pictures) == list(range(6))
    assert served.asked_s == pytest.approx([0.0, 1.3, 2.3, 3.3, 4.3, 5.3])
    assert [picture.came_s - 100.0 for picture in pictures] == pytest.approx([0.3, 1.6, 2.6, 3.6, 4.6, 5.6])
    assert source.fps == 1.0


def test_after_a_slow_answer_no_requests_make_up_for_it(polled):
    source, served = polled(jpeg(), (5.0, jpeg()), (5.0, jpeg()), (0.1, jpeg()), (0.1, jpeg()))
    assert len([source.read() for _ in range(5)]) == 5
    assert served.asked_s == pytest.approx([0.0, 1.0, 6.0, 11.0, 12.0])


@pytest.mark.parametrize(("target_fps", "interval_s"), [(None, 1.0), (25.0, 1.0), (0.1, 10.0)])
def test_a_target_rate_below_one_requests_fewer_pictures(target_fps, interval_s, polled):
    source, served = polled(*[jpeg()] * 4, target_fps=target_fps)
    assert len([source.read() for _ in range(4)]) == 4
    assert served.asked_s == pytest.approx([0.0, interval_s, 2 * interval_s, 3 * interval_s])
    assert source.fps == pytest.approx(1 / interval_s)


def test_a_target_rate_close_to_zero_waits_until_the_camera_is_stopped(polled):
    source, served = polled(jpeg(), target_fps=1e-12)
    source.read()
    source._stop.set()
    assert source.read() is None
    assert len(served.asked_s) == 1


# ---- failures later on


@pytest.mark.parametrize("failure", [error(), error(SourceReason.SERVER), error(SourceReason.NOT_FOUND)])
def test_a_few_failed_requests_lose_no_camera(failure, polled):
    source, served = polled(jpeg(1), failure, failure, jpeg(2), failure, failure, jpeg(3), target_fps=0.5)
    assert values([source.read() for _ in range(3)]) == [1, 2, 3]
    assert served.asked_s == pytest.approx([0.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0])  # sooner after a failure


def test_the_camera_is_lost_after_too_many_failures_with_the_last_reason(polled):
    source, served = polled(jpeg(), *[error()] * (MOST_FAILURES - 1), error(SourceReason.REFUSED))
    source.read()
    with pytest.raises(SourceError) as caught:
        source.read()
    assert caught.value.reason is SourceReason.REFUSED
    assert not served.replies


def test_the_camera_is_lost_after_the_silence_that_the_configuration_allows(polled):
    source, served = polled(jpeg(), (6.0, error()), (4.0, error(SourceReason.TIMEOUT)))
    source.read()
    with pytest.raises(SourceError) as caught:
        source.read()
    assert caught.value.reason is SourceReason.TIMEOUT
    assert served.deadlines_s[1:] == pytest.approx([10.0, 4.0])


@pytest.mark.parametrize("reason", [SourceReason.AUTH, SourceReason.REDIRECT, SourceReason.CERTIFICATE])
def test_a_refused_login_is_not_tried_again_and_again(reason, polled):
    source, _served = polled(jpeg(), error(reason))
    source.read()
    with pytest.raises(SourceError) as caught:
        source.read()
    assert caught.value.reason is reason


def test_pictures_that_can_not_be_decoded_are_counted_and_some_in_a_row_lose_the_camera(polled):
    bad = jpeg(9)[:-200]
    source, _served = polled(jpeg(1), bad, b"<html>", jpeg(2), *[bad] * MOST_FAILURES)
    assert values([source.read() for _ in range(4 + MOST_FAILURES)]) == [
        *(1, "undecodable", "undecodable", 2),
        *["undecodable"] * MOST_FAILURES,
    ]
    with pytest.raises(SourceError) as caught:
        source.read()
    assert caught.value.reason is SourceReason.NOT_MEDIA


def test_a_picture_that_is_too_large_is_counted_before_the_camera_is_lost(polled):
    source, _served = polled(jpeg(1), jpeg(2, (640, 480)), max_pixels=64 * 48)
    assert values([source.read() for _ in range(2)]) == [1, "too large"]
    with pytest.raises(SourceError, match="640x480, expected at most 3,072 pixels") as caught:
        source.read()
    assert caught.value.reason is SourceReason.TOO_LARGE


def test_the_size_in_the_header_decides_before_a_picture_is_decoded(polled, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(SourceError, match="640x480"):
        polled(jpeg(2, (640, 480)), max_pixels=64 * 48)


def test_a_picture_that_breaks_off_is_dropped_and_the_next_one_is_read(monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)
    bodies = iter([jpeg(1), jpeg(1), jpeg(2)[:-9], jpeg(3)])

    def answer(asked):
        body = next(bodies)
        yield answered(body, length=len(jpeg(1)))
        if len(body) < len(jpeg(1)):
            raise ValueError  # closes the connection

    with Scripted(answer) as server, reading(url(server)) as source:
        assert values([source.read() for _ in range(3)]) == [1, "corrupt", 3]


def test_a_body_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(snapshot, "SEGMENT_BYTES", 1 << 20)
    bodies = iter([jpeg(1), jpeg(1), None])

    def answer(asked):
        body = next(bodies)
        if body is not None:
            yield answered(body)
        else:
            yield b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n"
            while True:
                yield jpeg(1) * 100

    monkeypatch.setattr(snapshot, "POLL_S", 0.001)
    with Scripted(answer) as server, reading(url(server), max_pixels=64 * 48) as source:
        assert values([source.read() for _ in range(2)]) == [1, "too large"]
        with pytest.raises(SourceError, match="too large: more than 1 MiB"):
            source.read()


def test_a_server_that_begins_to_send_a_stream_is_opened_again(polled):
    source, served = polled(jpeg(1), *[jpeg(2)] * MOST_FAILURES)
    source.read()
    served.kind = "multipart/x-mixed-replace; boundary=frame"
    with pytest.raises(SourceError, match="sends a stream now") as caught:
        source.read()
    assert caught.value.reason is SourceReason.LOST


# ---- in a camera


def test_the_camera_ends_at_once_while_a_picture_is_on_its_way():
    answers = iter([answered(jpeg(1))] * 2)
    waiting, release = threading.Event(), threading.Event()

    def answer(asked):
        reply = next(answers, None)
        if reply is None:
            waiting.set()
            release.wait(30.0)
        return reply

    with Scripted(answer) as server:
        stop = threading.Event()
        rig = Rig(url(server), stop=stop, opener=partial(open_source, stop=stop), read_timeout_s=60.0)
        rig.start()
        assert waiting.wait(30.0)
        stop.set()
        rig.join()
        release.set()
    assert "reconnecting" not in [state[0] for state in rig.states]


def test_pictures_of_one_camera_are_one_epoch_unless_their_size_changes(monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)
    bodies = iter([jpeg(1)] * 4 + [jpeg(1, (32, 24))] * 100)
    with Scripted(lambda asked: answered(next(bodies))) as server:
        frames = Rig(url(server), enough=6).run()
    assert [frame.epoch for frame in frames] == [0, 0, 0, 1, 1, 1]
    assert [frame.index for frame in frames] == list(range(6))
    assert {(frame.clock, frame.media_s) for frame in frames} == {("arrival", None)}


def test_the_camera_comes_back_in_a_new_epoch(monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)
    requests = itertools.count()

    def answer(asked):
        broken = 4 <= next(requests) < 4 + MOST_FAILURES
        return answered(b"", status="503 Busy") if broken else answered(jpeg(1))

    with Scripted(answer) as server:
        rig = Rig(url(server), enough=lambda frame: frame.epoch == 1, max_frames=20)
        rig.run()
    assert [state for state in rig.states if state[0] == "reconnecting"] == [("reconnecting", "server error")]


def test_the_last_frame_that_is_asked_for_ends_the_camera(monkeypatch):
    monkeypatch.setattr(snapshot, "POLL_S", 0.001)
    with Scripted(lambda asked: answered(jpeg(1))) as server:
        rig = Rig(url(server), max_frames=3, realtime=True, loop=True)
        assert len(rig.run()) == 3
    assert rig.state[0] == "ended"


def test_a_camera_with_a_picture_every_ten_seconds_is_not_silent_in_between():
    rig = Rig("http://10.0.0.5/1.jpg", ScriptedSource(picture(), live=True, fps=0.1), max_frames=1, target_fps=0.1)
    limits_s = []
    rig.status.expect = limits_s.append
    rig.run()
    assert limits_s[0] == pytest.approx(10.0 + 10.0 + GRACE_S)


def test_a_camera_that_fails_because_it_was_stopped_is_not_reported_as_lost():
    stop = threading.Event()

    def opener(config):
        stop.set()
        raise error()

    rig = Rig("http://10.0.0.5/1.jpg", stop=stop, opener=opener)
    rig.run()
    assert rig.states == []
