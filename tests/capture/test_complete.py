"""A file is called truncated if it is, and only then."""

import struct

import av
import numpy as np
import pytest

from realtime.capture.complete import ending_of
from realtime.capture.stream import StreamSource
from realtime.errors import SourceError, TruncatedError

from .clips import MS, write_clip
from .servers import Scripted

LATE_MS = [0, 400, 5000, 1_700_000_000_000]  # the last one is a Unix time


def read_all(source):
    """Return the number of frames of an open source, and the error at its end or None."""
    count = 0
    try:
        while source.read() is not None:
            count += 1
    except SourceError as error:
        return count, error
    finally:
        source.close()
    return count, None


def read_file(path):
    return read_all(StreamSource(str(path), network=False))


def write_late(path, start_ms, codec="mpeg4"):
    return write_clip(path, 20, codec=codec, pts_ms=[start_ms + 100 * i for i in range(20)])


def cut(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    return path


def avi_with_empty_chunks(path, is_empty):
    """Write a motion JPEG AVI of 20 frames in which those chunks hold nothing."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "bgr24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    start = at = data.index(b"movi") + 4
    chunks = []
    while data[at : at + 4] == b"00dc":
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append(data[at : at + 8 + length + length % 2] if not is_empty(len(chunks)) else b"00dc" + bytes(4))
        at += 8 + length + length % 2
    movi, offset, index = b"".join(chunks), 4, b""
    for chunk in chunks:
        index += struct.pack("<4sIII", b"00dc", 16, offset, int.from_bytes(chunk[4:8], "little"))
        offset += len(chunk)
    head = bytearray(data[:start])
    struct.pack_into("<I", head, start - 8, 4 + len(movi))
    whole = head + movi + b"idx1" + struct.pack("<I", len(index)) + index
    struct.pack_into("<I", whole, 4, len(whole) - 8)
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize("start_ms", LATE_MS)
@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "mpeg4"), ("webm", "libvpx")])
def test_a_matroska_file_that_begins_late_is_whole(tmp_path, suffix, codec, start_ms):
    assert read_file(write_late(tmp_path / f"clip.{suffix}", start_ms, codec)) == (20, None)


@pytest.mark.parametrize("start_ms", LATE_MS[:3])  # the time stamps of these formats have 32 or 33 bits
@pytest.mark.parametrize(("suffix", "codec"), [("wmv", "wmv2"), ("ts", "libx264"), ("flv", "flv"), ("nut", "mpeg4")])
def test_any_other_file_that_begins_late_is_whole(tmp_path, suffix, codec, start_ms):
    assert read_file(write_late(tmp_path / f"clip.{suffix}", start_ms, codec)) == (20, None)


def test_a_picture_that_begins_after_the_sound_is_whole(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=10), container.add_stream("aac", rate=8000)
        video.width, video.height, video.pix_fmt, video.codec_context.time_base = 64, 48, "yuv420p", MS
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 24000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(audio.encode(sound) + audio.encode())
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "bgr24")
            frame.pts, frame.time_base = 400 + 100 * i, MS
            container.mux(video.encode(frame))
        container.mux(video.encode())
    assert read_file(path) == (10, None)


@pytest.mark.parametrize("start_ms", LATE_MS)
@pytest.mark.parametrize("kept", [0.97, 0.6])
def test_a_matroska_file_that_was_cut_off_is_truncated_wherever_it_begins(tmp_path, start_ms, kept):
    _, error = read_file(cut(write_late(tmp_path / "clip.mkv", start_ms), kept))
    assert isinstance(error, TruncatedError)


def test_a_duration_that_counts_from_the_first_picture_does_not_hide_a_cut(tmp_path):
    """mkvmerge writes the length of the recording, not the time of its end."""
    path = write_late(tmp_path / "clip.mkv", 5000)
    data = path.read_bytes().replace(struct.pack(">d", 7000.0), struct.pack(">d", 2000.0))
    path.write_bytes(data.replace(b"00:00:07.000000000", b"00:00:02.000000000"))
    assert read_file(path) == (20, None)
    assert isinstance(read_file(cut(path, 0.6))[1], TruncatedError)


def test_a_tag_that_a_cutting_program_left_as_it_was_is_no_truncation(tmp_path):
    path = write_late(tmp_path / "clip.mkv", 0)
    path.write_bytes(path.read_bytes().replace(b"00:00:02.000000000", b"00:01:02.000000000"))
    assert read_file(path) == (20, None)


def test_a_recording_without_a_size_is_not_judged_by_its_structure(tmp_path):
    path = write_clip(tmp_path / "clip.mkv", options={"live": "1"}, codec="mpeg4")
    assert ending_of(str(path)) == "unknown"
    assert read_file(path) == (10, None)


@pytest.mark.parametrize("kept", [0.97, 0.6])
def test_a_wmv_file_that_was_cut_off_is_truncated(tmp_path, kept):
    _, error = read_file(cut(write_clip(tmp_path / "clip.wmv", 20, codec="wmv2"), kept))
    assert isinstance(error, TruncatedError)


def test_a_fragmented_file_is_truncated_only_if_it_is(tmp_path):
    flags = {"movflags": "frag_every_frame+empty_moov"}
    path = write_clip(tmp_path / "clip.mp4", options=flags)
    assert read_file(path) == (10, None)
    last = path.read_bytes().rindex(b"moof")
    path.write_bytes(path.read_bytes()[: last + 20])  # in the header of the last fragment
    assert isinstance(read_file(path)[1], TruncatedError)


@pytest.mark.parametrize(
    ("is_empty", "empty"),
    [
        (lambda i: i >= 8, 12),
        (lambda i: 5 <= i < 15, 10),
        (lambda i: i % 2, 10),
        (lambda i: False, 0),
    ],
)
def test_an_empty_chunk_of_an_avi_repeats_a_picture(tmp_path, is_empty, empty):
    path = avi_with_empty_chunks(tmp_path / "clip.avi", is_empty)
    assert ending_of(str(path)) == "whole"
    assert read_file(path) == (20 - empty, None)


def test_an_avi_with_empty_chunks_that_was_cut_off_is_truncated(tmp_path):
    path = cut(avi_with_empty_chunks(tmp_path / "clip.avi", lambda i: 5 <= i < 8), 0.6)
    assert isinstance(read_file(path)[1], TruncatedError)


def test_a_picture_that_stays_for_long_at_the_end_is_no_truncation(tmp_path):
    path = tmp_path / "clip.mkv"
    write_clip(tmp_path / "plain.mkv", codec="mpeg4")
    with av.open(str(tmp_path / "plain.mkv")) as plain, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(plain.streams.video[0])
        packets = [packet for packet in plain.demux() if packet.dts is not None]
        packets[-1].duration = 5000
        for packet in packets:
            packet.stream = stream
            copy.mux(packet)
    assert read_file(path) == (10, None)


def with_empty_packets(path, codec="mpeg4", sound=False):
    """Write 20 frames, the last 8 of which are empty packets: the picture before stays. Sound may be twice as long."""
    plain = write_clip(path.with_name(f"plain{path.suffix}"), 20, codec=codec)
    with av.open(str(plain)) as whole, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(whole.streams.video[0])
        audio = copy.add_stream("aac", rate=8000) if sound else None
        for i, packet in enumerate(packet for packet in whole.demux() if packet.dts is not None):
            kept = packet
            if i >= 12:
                kept = av.Packet(0)
                kept.pts, kept.dts, kept.time_base = packet.pts, packet.dts, packet.time_base
            kept.stream = stream
            copy.mux(kept)
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 64000), np.float32), format="fltp", layout="mono")
            samples.sample_rate = 8000
            copy.mux(audio.encode(samples) + audio.encode())
    return path


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "mpeg4"), ("wmv", "wmv2"), ("flv", "flv")])
def test_empty_packets_at_the_end_are_no_truncation(tmp_path, suffix, codec, sound):
    path = with_empty_packets(tmp_path / f"clip.{suffix}", codec, sound)
    assert read_file(path) == (12, None)
    assert isinstance(read_file(cut(path, 0.8))[1], TruncatedError)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ts", "libx264"), ("ogg", "libvpx"), ("ivf", "libvpx"), ("avi", "mpeg4")]
)
def test_a_file_that_ends_within_a_part_is_truncated(tmp_path, suffix, codec):
    path = write_clip(tmp_path / f"clip.{suffix}", 20, codec=codec)
    assert read_file(path) == (20, None)
    path.write_bytes(path.read_bytes()[:-5])
    assert isinstance(read_file(path)[1], TruncatedError)


# ---- over HTTP, from a server that tells no length


def sent(data, kind, kept=1.0):
    """Return a server that sends the file, or its first part, and closes the connection."""
    part, fields = data[: int(len(data) * kept)], b""
    body = part
    if kind == "chunked":
        fields = b"Transfer-Encoding: chunked\r\n"
        body = b"%x\r\n%b\r\n" % (len(part), part) + (b"0\r\n\r\n" if kept == 1 else b"")
    elif kind == "length":
        fields = b"Content-Length: %d\r\n" % len(data)

    def answer(asked):
        yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + fields + b"\r\n" + body
        raise ConnectionAbortedError  # the server closes the connection

    return Scripted(answer)


@pytest.mark.parametrize("kind", ["close", "chunked", "length"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "flv"])
def test_a_file_from_a_server_is_truncated_only_if_it_is(tmp_path, suffix, kind):
    path = tmp_path / f"clip.{suffix}"
    if suffix == "avi":
        avi_with_empty_chunks(path, lambda i: False)
    else:
        options = {"movflags": "faststart"} if suffix == "mp4" else {}
        write_clip(path, 20, codec="flv" if suffix == "flv" else "mpeg4", options=options)
    data = path.read_bytes()
    with sent(data, kind) as server:
        assert read_all(StreamSource(f"http://127.0.0.1:{server.port}/clip", network=True)) == (20, None)
    with sent(data, kind, kept=0.6) as server:
        _, error = read_all(StreamSource(f"http://127.0.0.1:{server.port}/clip", network=True))
    assert isinstance(error, TruncatedError)
