"""Recordings and encrypted streams, which FFmpeg reads: every file comes through our own client."""

import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from realtime.capture.download import Downloads
from realtime.capture.nested import Nested, decrypted
from realtime.capture.open import open_source
from realtime.capture.stream import StreamSource
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason
from tests.faults.marks import index_of, mark

from .servers import Scripted, self_signed

KEY = bytes(range(16))
KINDS = {
    "encrypted": {"hls_key_info_file": "info"},
    "parts": {"hls_flags": "single_file"},
    "fmp4": {"hls_segment_type": "fmp4"},
    "fmp4 in parts": {"hls_segment_type": "fmp4", "hls_flags": "single_file"},
}
FRAMES = 40


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The files of each kind, by name; four segments of ten frames."""
    return {kind: recording(tmp_path_factory.mktemp("hls"), options) for kind, options in KINDS.items()}


def recording(folder, options):
    (folder / "key").write_bytes(KEY)
    (folder / "info").write_text(f"key\n{folder / 'key'}\n")
    options = {key: str(folder / value) if value == "info" else value for key, value in options.items()}
    options |= {"hls_time": "0.4", "hls_list_size": "0", "hls_playlist_type": "vod"}
    with av.open(str(folder / "a.m3u8"), "w", format="hls", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "10", "sc_threshold": "0", "threads": "1", "bf": "0"}
        for number in range(FRAMES):
            image = np.full((120, 160, 3), 128, np.uint8)
            mark(image, number)
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Web(Scripted):
    """Serves files by name; `odd` may answer instead."""

    def __init__(self, files, odd=lambda asked: None, **keys):
        super().__init__(self._serve_file, **keys)
        self.files, self.odd, self.has_parts = files, odd, True

    def url(self, name="a.m3u8", login="", scheme="http"):
        return f"{scheme}://{login}127.0.0.1:{self.port}/{name}"

    def names(self):
        return [asked.url.lstrip("/") for asked in self.asked]

    def _serve_file(self, asked):
        if (answer := self.odd(asked)) is not None:
            return answer
        content = self.files.get(asked.url.lstrip("/"))
        if content is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        head = "200 OK"
        if self.has_parts and "range" in asked.fields:
            first, _, last = asked.fields["range"].removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last) + 1]
            head = f"206 Partial\r\nContent-Range: bytes {first}-{last}/*"
        return f"HTTP/1.1 {head}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def opened(url, **keys):
    keys = {"open_timeout_s": 5.0, "read_timeout_s": 5.0} | keys
    return open_source(CameraConfig(name="cam0", source=url, **keys))


def numbers(url, **keys):
    source = opened(url, **keys)
    assert isinstance(source, StreamSource)
    try:
        return [index_of(picture.image) for picture in iter(source.read, None)]
    finally:
        source.close()


def failure(url, **keys):
    with pytest.raises(SourceError) as caught:
        numbers(url, **keys)
    assert "\n" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_parts", [True, False])
def test_every_frame_is_read(kind, has_parts, recordings, capfd):
    with Web(recordings[kind]) as server:
        server.has_parts = has_parts
        assert numbers(server.url()) == list(range(FRAMES))
    assert not capfd.readouterr().err


def test_a_login_is_sent_for_every_file(recordings):
    def wants_login(asked):
        if not asked.login.startswith("Basic "):
            return b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
        return None

    with Web(recordings["encrypted"], wants_login) as server:
        assert numbers(server.url(login="admin:s3cr3t@")) == list(range(FRAMES))
        assert failure(server.url(login="")).reason is SourceReason.AUTH


@pytest.mark.parametrize(
    ("kind", "name"), [("encrypted", "key"), ("encrypted", "a1.ts"), ("fmp4", "init.mp4"), ("fmp4", "a0.m4s")]
)
def test_a_file_on_a_server_with_an_untrusted_certificate_is_not_read(kind, name, recordings, tmp_path):
    files = recordings[kind]
    trusted, other = self_signed(tmp_path), self_signed(tmp_path, "localhost")
    with Web(files, certificate=other) as there:
        files = files | {"a.m3u8": files["a.m3u8"].replace(name.encode(), there.url(name, scheme="https").encode())}
        with Web(files, certificate=trusted) as server:
            address = server.url(scheme="https")
            assert numbers(address) == list(range(FRAMES))  # unverified
            count = len(there.asked)
            error = failure(address, tls_verify=True, tls_ca=str(trusted[0]))
    assert error.reason is SourceReason.CERTIFICATE
    assert len(there.asked) == count


@pytest.mark.parametrize("name", ["key", "a0.ts", "a2.ts"])
def test_a_redirect_to_where_it_may_not_lead_ends_the_stream(name, recordings, monkeypatch, capfd):
    monkeypatch.setattr(
        "realtime.capture.redirects.why_closed", lambda at, to, _: "this machine" if "inside" in to else None
    )

    def redirect(asked):
        if asked.url == f"/{name}":
            return b"HTTP/1.1 302 Found\r\nLocation: /inside\r\nContent-Length: 0\r\n\r\n"
        return None

    with Web(recordings["encrypted"], redirect) as server:
        error = failure(server.url())
        assert "inside" not in server.names()
    assert error.reason is SourceReason.REDIRECT
    assert "this machine: not allowed, because the server is farther away" in str(error)
    assert not capfd.readouterr().err


def test_a_redirect_of_a_segment_is_followed(recordings):
    def redirect(asked):
        if asked.url == "/a1.ts":
            return b"HTTP/1.1 302 Found\r\nLocation: /a1.ts?x\r\nContent-Length: 0\r\n\r\n"
        return None

    files = recordings["encrypted"]
    with Web(files | {"a1.ts?x": files["a1.ts"]}, redirect) as server:
        assert numbers(server.url()) == list(range(FRAMES))


def test_a_segment_with_any_name_is_read(recordings):
    files = recordings["encrypted"]
    playlist = files["a.m3u8"].replace(b"a1.ts", b"a 1?name=x.php")
    with Web(files | {"a.m3u8": playlist, "a%201?name=x.php": files["a1.ts"]}) as server:
        assert numbers(server.url()) == list(range(FRAMES))


@pytest.mark.parametrize(
    ("missing", "reason"),
    [("a3.ts", SourceReason.NOT_FOUND), ("key", SourceReason.NOT_FOUND), ("a1.ts", None), ("a2.ts", None)],
)
def test_a_file_that_is_missing_is_skipped_or_named(missing, reason, recordings, capfd):
    files = {name: content for name, content in recordings["encrypted"].items() if name != missing}
    with Web(files) as server:
        if reason is None:
            assert len(numbers(server.url())) == FRAMES - 10
        else:
            error = failure(server.url())
            assert error.reason is reason
            assert missing in str(error)
    assert not capfd.readouterr().err


def test_a_list_of_files_that_are_missing_is_given_up():
    entries = b"#EXTINF:1,\na.ts\n" * 10_000
    with Web({"a.m3u8": b"#EXTM3U\n" + entries + b"#EXT-X-ENDLIST\n"}) as server:
        assert failure(server.url()).reason is SourceReason.NOT_FOUND
        assert len(server.asked) <= 10


def test_a_live_stream_whose_key_is_missing_is_named(recordings):
    playlist = recordings["encrypted"]["a.m3u8"].replace(b"#EXT-X-ENDLIST", b"").replace(b"VOD", b"EVENT")
    files = {name: content for name, content in recordings["encrypted"].items() if name != "key"}
    with Web(files | {"a.m3u8": playlist}) as server:
        assert "/key: not found" in str(failure(server.url(), open_timeout_s=2.0, read_timeout_s=2.0))


def test_another_list_for_ffmpeg_has_the_same_limits(recordings):
    files = recordings["encrypted"]
    hosts = "".join(f"#EXTINF:1,\nhttp://127.0.0.{n}/a.ts\n" for n in range(2, 12)).encode()
    others = iter([files["a.m3u8"], b"#EXTM3U\n" + hosts + b"#EXT-X-ENDLIST\n"])

    def another(asked):
        if asked.url != "/a.m3u8":
            return None
        content = next(others)
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content

    with Web(files, another) as server:
        error = failure(server.url())
    assert error.reason is SourceReason.TOO_LARGE
    assert "more than 8 hosts" in str(error)


@pytest.mark.parametrize("drip", [b"x", b"\x47" + 187 * b"\xff"], ids=["a byte now and then", "video without end"])
@pytest.mark.parametrize("name", ["a0.m4s", "a1.m4s"])
def test_a_segment_without_end_or_video_is_given_up(name, drip, recordings):
    over = threading.Event()

    def endless(asked):
        if asked.url != f"/{name}":
            return None

        def parts():
            yield b"HTTP/1.1 200 OK\r\n\r\n"
            while not over.wait(0.02 if len(drip) == 1 else 0):
                yield drip if len(drip) == 1 else 100 * drip

        return parts()

    with Web(recordings["fmp4"], endless) as server:
        error = failure(server.url(), open_timeout_s=1.0, read_timeout_s=1.0)
        over.set()
    assert error.reason is SourceReason.TIMEOUT


def test_closing_ends_the_connection(recordings):
    gone, never = threading.Event(), threading.Event()

    def endless(asked):
        if asked.url != "/a0.m4s":
            return None

        def parts():
            try:
                yield b"HTTP/1.1 200 OK\r\n\r\n" + recordings["fmp4"]["a0.m4s"]
                while not never.wait(0.005):
                    yield b"\0"
            finally:
                gone.set()

        return parts()

    with Web(recordings["fmp4"], endless) as server:
        source = opened(server.url(), open_timeout_s=1.0)  # FFmpeg would examine more of it
        assert [index_of(source.read().image) for _ in range(5)] == list(range(5))
        source.close()
        assert gone.wait(30)
        source.close()


def test_after_a_fatal_problem_ffmpeg_gets_no_other_file():
    nested = Nested("http://127.0.0.1/a.m3u8", Downloads("http://127.0.0.1/a.m3u8"), 5.0)
    nested.renew()
    assert nested.open("file:///etc/passwd", 1, {}).read(10) == b""
    assert nested.problem.reason is SourceReason.REDIRECT
    assert nested.open("http://127.0.0.1:1/a.ts", 1, {}).read(10) == b""
    assert nested.problem.reason is SourceReason.REDIRECT


def test_a_segment_is_decrypted_without_its_padding():
    # NIST SP 800-38A, F.2.2: the plain text of four blocks, of which the last is taken for padding.
    key, iv = "2b7e151628aed2a6abf7158809cf4f3c", "000102030405060708090a0b0c0d0e0f"
    data = bytes.fromhex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2")
    assert decrypted(data, key, iv)[:16] == bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")


@pytest.mark.parametrize("key", ["", "00", 64 * "0"])
def test_a_key_of_another_length_is_refused(key):
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        decrypted(bytes(32), key, 32 * "0")


def test_a_segment_that_cannot_be_decrypted_is_not_in_the_message():
    with pytest.raises(SourceError) as caught:
        decrypted(bytes(32), 32 * "x", 32 * "0")
    assert str(caught.value) == "a segment can't be decrypted"
    assert caught.value.__context__ is None
