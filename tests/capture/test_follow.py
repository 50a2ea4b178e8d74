"""What strange HLS servers list and send. The playlists and the segments are made by hand."""

import contextlib
import socket
import threading
import time

import pytest

from realtime.capture.download import Downloads
from realtime.capture.follow import MOST_WAITING, Follower, find_playlist, names_playlist
from realtime.capture.tls import Tls
from realtime.errors import SourceError, SourceReason

from .clips import write_clip
from .served import Files, growing, opened, quick, reading

__all__ = ["quick"]  # a fixture that each test uses


@pytest.fixture
def segment(tmp_path):
    """Half a second of MPEG-TS."""
    return write_clip(tmp_path / "clip.ts", frames=5).read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n", b"\x47" * 5000, b"<html>404</html>" * 500, bytes(70_000)],
    ids=["empty", "another playlist", "sync bytes", "html", "zeros"],
)
def test_segments_without_video_are_one_line_and_open_nothing_else(content, capfd):
    files = {f"{n}_ts": content for n in range(100)}
    with Files(live_m3u8=growing(), **files) as server:
        with pytest.raises(SourceError, match=r"^http"):
            opened(server.url(), open_timeout_s=0.5, read_timeout_s=0.5)
        assert set(server.asked) <= {"/live.m3u8", *(f"/{n}.ts" for n in range(100))}
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "address", ["file:///etc/hostname", "ftp://127.0.0.1/x.ts", "data:video/mp2t,x", "gopher://x/", "http://[/"]
)
def test_nothing_but_http_is_opened(address):
    with Files(live_m3u8=growing(name=address + "{}")) as server, pytest.raises(SourceError):
        opened(server.url(), open_timeout_s=0.4, read_timeout_s=0.4)


def test_redirects_are_followed_a_few_times_only(segment):
    with Files(x_m3u8=growing(), **{f"{n}_ts": segment for n in range(50)}) as server:
        server.files["live_m3u8"] = server.url("/x.m3u8")
        with reading(server.url()) as source:
            assert source.read() is not None
        server.files["live_m3u8"] = server.url()
        asked = len(server.asked)
        with pytest.raises(SourceError):
            opened(server.url())
        assert len(server.asked) - asked <= 10


def test_a_redirect_to_another_server_does_not_get_the_login():
    with Files(x_m3u8=401) as other, Files(live_m3u8=other.url("/x.m3u8")) as server:
        with pytest.raises(SourceError):
            opened(server.url(userinfo="admin:s3cr3t@"))
        assert other.asked
        assert not any("Authorization" in headers for headers in other.headers)


def forbid(monkeypatch, path):
    monkeypatch.setattr(
        "realtime.capture.redirects.why_closed", lambda root, url, _: "this machine" if path in url else None
    )


def test_an_address_that_may_not_be_opened_is_not_asked_for(monkeypatch):
    forbid(monkeypatch, "/secret")
    with Files(live_m3u8=growing(name="/secret{}.ts")) as server:
        with pytest.raises(SourceError, match="this machine: not allowed, because the server is farther away"):
            opened(server.url(), open_timeout_s=1.5)
        server.files["live_m3u8"] = server.url("/secret.m3u8")
        with pytest.raises(SourceError, match="this machine: not allowed, because the server is farther away"):
            opened(server.url())
        assert set(server.asked) == {"/live.m3u8"}


@pytest.mark.parametrize("end", ["", "#EXT-X-ENDLIST\n"])
@pytest.mark.parametrize(
    "entry",
    [
        "#EXTINF:1,\n{}\n",
        '#EXT-X-MAP:URI="{}"\n#EXTINF:1,\na.ts\n',
        '#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:1,\na.ts\n',
    ],
)
def test_a_recording_that_leads_where_it_may_not_is_not_given_to_ffmpeg(entry, end, monkeypatch):
    forbid(monkeypatch, "127.0.0.2")
    text = "#EXTM3U\n#EXT-X-BYTERANGE:1\n" + entry.format("http://127.0.0.2:9/a.ts") + end
    with Files(live_m3u8=text) as server:
        with pytest.raises(SourceError) as caught:
            opened(server.url())
        assert caught.value.reason is SourceReason.REDIRECT
        assert set(server.asked) == {"/live.m3u8"}


def test_a_recording_on_too_many_hosts_is_not_looked_up():
    entries = "".join(f"#EXTINF:1,\nhttp://h{n}.invalid/a.ts\n" for n in range(50))
    playlist = f"#EXTM3U\n{entries}#EXT-X-ENDLIST\n"
    with Files(live_m3u8=playlist) as server, pytest.raises(SourceError, match="more than 8 hosts"):
        opened(server.url())


def test_a_file_that_is_too_large_is_refused():
    with Files(x=b"x" * 70_000) as server, pytest.raises(SourceError, match="too large"):
        Downloads(server.url()).get(server.url("/x"), 1 << 16, time.monotonic() + 5)


def test_a_server_that_is_silent_times_out():
    with Files(x=lambda: time.sleep(0.3) or b"x") as server, pytest.raises(SourceError) as caught:
        Downloads(server.url()).get(server.url("/x"), 1 << 16, time.monotonic() + 0.1)
    assert caught.value.reason is SourceReason.TIMEOUT


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.0 200 OK\r\nX: ", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(begins):
    def drip():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(begins)
            while not over.wait(0.02):
                connection.sendall(b"x")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(SourceError):
            Downloads(url).get(url, 1 << 20, time.monotonic() + 0.3)
        over.set()
        thread.join()


def test_numbers_that_start_again_are_followed(segment):
    files = {f"{n}_ts": segment for n in range(600)}
    with Files(live_m3u8=growing(first=500), **files) as server, reading(server.url()) as source:
        source.read()
        server.files["live_m3u8"] = growing(first=3)
        while "/4.ts" not in server.asked:
            assert source.read() is not None


def test_an_older_version_of_the_playlist_changes_nothing(segment):
    text, sent = growing(), []

    def every_second_one_is_old():
        sent.append(text() if len(sent) % 2 == 0 else sent[-3] if len(sent) > 2 else sent[-1])
        return sent[-1]

    with Files(live_m3u8=every_second_one_is_old, **{f"{n}_ts": segment for n in range(600)}) as server:
        with reading(server.url()) as source:
            for _ in range(12):
                assert source.read() is not None
        loaded = [path for path in server.asked if path.endswith(".ts")]
        assert len(loaded) == len(set(loaded))


def test_an_empty_version_of_the_playlist_changes_nothing(segment):
    text, count = growing(), iter(range(1000))
    empty = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"

    def every_third_one_is_empty():
        return empty if next(count) % 3 == 2 else text()

    files = {f"{n}_ts": segment for n in range(600)}
    with Files(live_m3u8=every_third_one_is_empty, **files) as server, reading(server.url()) as source:
        while "/7.ts" not in server.asked:
            assert source.read() is not None
        loaded = [path for path in server.asked if path.endswith(".ts")]
    assert len(loaded) == len(set(loaded))


def test_a_reader_that_is_too_slow_skips_to_the_newest_segments(segment):
    files = {f"{n}_ts": segment for n in range(600)}
    with Files(live_m3u8=growing(), **files) as server, reading(server.url()) as source:
        source.read()
        while "/12.ts" not in server.asked:  # the reader does nothing meanwhile
            time.sleep(0.01)
        assert len(source._follower._waiting) <= MOST_WAITING
        assert source._follower._waiting[0].breaks


@pytest.mark.parametrize(("duration_s", "read"), [(0.5, [4, 5, 6, 7]), (1.5, [6, 7]), (0.0, [6, 7])])
def test_after_an_interruption_the_last_two_seconds_are_read(duration_s, read):
    def listed():
        newest = 3 if len(server.asked) < 2 else 7
        entries = "".join(f"#EXTINF:{duration_s},\n{n}.ts\n" for n in range(1, newest + 1))
        return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:1\n{entries}"

    with Files(live_m3u8=listed, **{f"{n}_ts": bytes([n]) for n in range(1, 8)}) as server:
        follower = Follower(find_playlist(server.url(), time.monotonic() + 5, Tls()), timeout_s=5)
        try:
            segments = [follower.take(5, may_break=True) for _ in read]
        finally:
            follower.stop()
    assert [segment.data[0] for segment in segments] == read
    assert [segment.breaks for segment in segments] == [True] + [False] * (len(read) - 1)


def test_short_segments_with_large_initialisation_sections_take_no_more_memory():
    def listed():
        newest = 0 if len(server.asked) < 2 else 7
        entries = "".join(f'#EXT-X-MAP:URI="{n}.mp4"\n#EXTINF:0.1,\n{n}.m4s\n' for n in range(newest + 1))
        return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n{entries}"

    files = {f"{n}_mp4": bytes(25 << 20) for n in range(8)} | {f"{n}_m4s": b"x" for n in range(8)}
    with Files(live_m3u8=listed, **files) as server:
        follower = Follower(find_playlist(server.url(), time.monotonic() + 5, Tls()), timeout_s=30)
        try:
            while "/7.m4s" not in server.asked:
                assert sum(len(each.init) for each in list(follower._waiting)) <= 3 * (25 << 20)
                time.sleep(0.01)
        finally:
            follower.stop()
        assert len(follower._waiting) == 2


def test_an_encrypted_stream_is_left_to_ffmpeg():
    text = '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF:1,\na.ts\n'
    with Files(live_m3u8=text) as server:
        assert not find_playlist(server.url(), time.monotonic() + 5, Tls()).is_live


def test_a_list_of_variants_that_names_itself_is_not_followed():
    with Files(live_m3u8="#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8\n") as server:
        assert find_playlist(server.url(), time.monotonic() + 5, Tls()) is None
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, SourceReason.AUTH), (403, SourceReason.AUTH), (404, SourceReason.NOT_FOUND), (500, SourceReason.SERVER)],
)
def test_an_error_of_the_server_has_its_reason(status, reason):
    with Files(live_m3u8=status) as server, pytest.raises(SourceError) as caught:
        opened(server.url())
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("url", "is_playlist"),
    [
        ("http://cam/live.m3u8", True), ("HTTPS://cam/LIVE.M3U8?x=1", True), ("http://cam/video.mjpg", False),
        ("http://cam/?file=x.m3u8", False), ("rtsp://cam/live.m3u8", False),
    ],
)  # fmt: skip
def test_a_playlist_is_known_by_its_path(url, is_playlist):
    assert names_playlist(url) is is_playlist
