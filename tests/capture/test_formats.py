"""Local files that name other files or addresses, under honest and false suffixes."""

import os

import cv2
import numpy as np
import pytest

from realtime.capture.formats import allowed_formats, playlist_kind
from realtime.capture.stream import StreamSource
from realtime.errors import SourceError, SourceReason

from .clips import write_clip
from .servers import Scripted, reply

LISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.0,\n{other}\n#EXT-X-ENDLIST\n",
    "hls master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{other}\n",
    "hls with a byte order mark": "\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.0,\n{other}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{other}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>\n",
    "ffconcat": "ffconcat version 1.0\nfile '{other}'\n",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\n",
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\ntimestamp: 00:00:00:000, "
    "filepos: 000000000\n",
}  # fmt: skip


def error_of(path):
    with pytest.raises(SourceError) as caught:
        StreamSource(str(path), network=False).close()
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "mpd", "ts", "ffconcat", "sdp", "idx", ""])
@pytest.mark.parametrize("kind", LISTS)
def test_a_file_that_is_a_list_opens_no_address(kind, suffix, tmp_path):
    with Scripted(lambda asked: reply(asked, "404 Not Found", protocol="HTTP/1.1")) as server:
        path = tmp_path / f"clip.{suffix}"
        path.write_text(LISTS[kind].format(other=f"http://127.0.0.1:{server.port}/clip.ts"))
        error = error_of(path)
    assert error.reason is SourceReason.NOT_MEDIA
    assert "names other files or addresses" in str(error)
    assert not server.connections


@pytest.mark.parametrize("kind", ["hls", "ffconcat", "dash"])
@pytest.mark.parametrize("spelling", ["clip.ts", "{folder}/clip.ts", "file:{folder}/clip.ts"])
def test_a_file_that_is_a_list_opens_no_other_file(kind, spelling, tmp_path):
    write_clip(tmp_path / "clip.ts")
    path = tmp_path / "list.mp4"
    path.write_text(LISTS[kind].format(other=spelling.format(folder=tmp_path)))
    assert error_of(path).reason is SourceReason.NOT_MEDIA


@pytest.mark.parametrize(
    "name",
    ["clip%03d.mp4", "concat:a|b.mp4", "subfile,,start,0,end,0,,:x.mp4", "data:text.mp4", "http:x.mp4", "pipe:0.mp4"],
)
def test_a_name_that_looks_like_a_pattern_or_a_protocol_is_a_file(name, tmp_path, monkeypatch):
    write_clip(tmp_path / "plain.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    source = StreamSource(name, network=False)
    source.close()
    assert source.size == (64, 48)


@pytest.mark.parametrize("name", ["photo.jfif", "photo", "shot%03d.jpeg", "shot*.jpeg"])
def test_an_image_under_any_name_is_read_and_not_its_neighbours(name, tmp_path):
    for path, width in [(tmp_path / "shot001.jpeg", 64), (tmp_path / name, 80)]:
        path.write_bytes(cv2.imencode(".jpg", np.zeros((48, width, 3), np.uint8))[1].tobytes())
    source = StreamSource(str(tmp_path / name), network=False)
    source.close()
    assert source.size == (80, 48)


@pytest.mark.parametrize("name", ["mov", "mp4", "matroska", "avi", "mpegts", "h264", "gif", "flv", "mjpeg"])
def test_formats_that_hold_their_own_video_are_allowed(name):
    assert name in allowed_formats().split(",")


def test_a_named_pipe_is_not_read_to_name_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert playlist_kind(str(tmp_path / "pipe")) is None  # opening it would wait for a writer
