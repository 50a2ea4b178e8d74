"""Real streams of several codings, of which packets are lost: which frames count as whole, and whether they are."""

import subprocess
import sys
import threading

import av
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from realtime.capture.losses import Losses
from realtime.errors import SourceError, SourceReason

FRAMES = 100
GROUP = 25  # frames from one key frame to the next
SIZE = (192, 144)

PLAIN = {"preset": "ultrafast", "tune": "zerolatency", "g": str(GROUP)}
B_FRAMES = {"preset": "ultrafast", "bf": "2", "g": str(GROUP)}
X265 = "log-level=none:keyint=25:min-keyint=25:scenecut=0:repeat-headers=1:pools=1:frame-threads=1"


def images():
    """Yield frames in which everything moves, so that what is wrong in one frame stays wrong in the next."""
    patches = np.random.default_rng(0).integers(0, 255, (18, 24), np.uint8)
    still = cv2.cvtColor(cv2.resize(patches, SIZE), cv2.COLOR_GRAY2BGR)
    for i in range(FRAMES):
        yield np.roll(still, 3 * i, axis=1)


def write(path, codec="libx264", pix_fmt="yuv420p", **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        stream.options = options
        for image in images():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode())
    return path


def played(path, lost=(), cut=(), first=0, told=True, fps=25, without=""):
    """Play a file as if it were a live stream of which packets are missing, and others are cut short.

    Args:
        told: whether the packet before a missing one, and a cut one, are marked, as FFmpeg does.
        without: a kind of H.264 units to leave out.

    Returns:
        By timestamp: the fault and the grey image of each frame. And the error that ended the stream, or None.
    """
    frames, error = {}, None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        losses = Losses(stream, has_datagrams=False, now_s=first / fps)
        packets = container.demux(stream)
        if without:
            leave_out = BitStreamFilterContext(f"filter_units=remove_types={without}", stream)
            packets = [kept for packet in packets if packet.size for kept in leave_out.filter(packet)]
        for number, packet in enumerate(packets):
            if number < first or number in lost:
                continue
            now_s = number / fps
            if number in cut:
                data = bytes(packet)
                new = av.Packet(data[: len(data) // 2])
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.stream, new.is_keyframe = packet.stream, packet.is_keyframe
                packet = new
            packet.is_corrupt = told and (number + 1 in lost or number in cut)
            try:
                losses.received(packet, now_s)
                for frame in stream.decode(packet):
                    frames[frame.pts] = losses.fault_of(frame, now_s), frame.to_ndarray(format="gray8")
            except av.FFmpegError:
                losses.failed(now_s)
            try:
                losses.check("cam", now_s)
            except SourceError as lasting:
                error = lasting
                break
    return frames, error


def compared(path, **losses):
    """Return one letter per frame of a whole file: "." if a frame counts as whole and is, "x" if it counts as damaged,
    "w" if it waits for a key frame, "-" if it didn't come, and "G" for a ghost: it counts as whole and is wrong.
    """
    whole, _ = played(path, without=losses.get("without", ""))
    seen, _ = played(path, **losses)
    letters = []
    for pts in sorted(whole):
        fault, image = seen.get(pts, ("-", None))
        if fault is None:
            is_right = np.abs(image.astype(int) - whole[pts][1]).mean() < 1.0
            letters.append("." if is_right else "G")
        else:
            letters.append({"-": "-", "corrupt": "x", "waiting for a key frame": "w"}[fault])
    return "".join(letters)


@pytest.mark.parametrize(
    ("codec", "options", "first_whole"),
    [
        ("libx264", PLAIN, 50),
        ("libx264", PLAIN | {"intra-refresh": "1"}, 50 + 12),  # SIZE is 12 blocks wide, and one column comes per frame
        ("libx264", PLAIN | {"slices": "4"}, 50),
        ("libx264", PLAIN | {"flags": "+ildct+ilme"}, 50),  # interlaced
        ("libx264", B_FRAMES, 50),
        ("libx264", B_FRAMES | {"x264-params": "open-gop=1"}, 50),
        ("libx265", {"preset": "ultrafast", "x265-params": X265 + ":bframes=0"}, 50),
        ("libx265", {"preset": "ultrafast", "x265-params": X265 + ":bframes=2:open-gop=1"}, 50),
        ("mpeg2video", {"g": str(GROUP)}, 48),
    ],
    ids=["plain", "intra refresh", "slices", "interlaced", "b frames", "open groups", "hevc", "hevc open", "mpeg2"],
)
@pytest.mark.parametrize("kind", ["lost", "cut"])
def test_after_a_loss_frames_count_as_whole_from_the_first_that_is(codec, options, first_whole, kind, tmp_path):
    path = write(tmp_path / "clip.ts", codec, **options)
    seen = compared(path, **{kind: [35]})
    assert "G" not in seen, seen
    assert seen[first_whole + 2 :] == "." * (FRAMES - first_whole - 2), seen
    assert seen[:30] == "." * 30, seen
    assert seen.count(".") < FRAMES - 10, seen  # the damage spread


def test_a_damaged_motion_jpeg_frame_harms_no_other(tmp_path):
    seen = compared(write(tmp_path / "clip.avi", "mjpeg", "yuvj420p"), cut=[35])
    assert seen == "." * 35 + "x" + "." * (FRAMES - 36)


def test_nothing_is_damaged_without_a_loss(tmp_path):
    for options in (PLAIN, PLAIN | {"intra-refresh": "1"}, B_FRAMES, B_FRAMES | {"x264-params": "open-gop=1"}):
        assert compared(write(tmp_path / "clip.ts", **options)) == "." * FRAMES


@pytest.mark.parametrize(
    ("codec", "options", "first_whole"),
    [
        ("libx264", PLAIN, 25),
        ("libx264", PLAIN | {"intra-refresh": "1"}, 25 + 12),
        ("libx264", B_FRAMES | {"x264-params": "open-gop=1"}, 25),
        ("libx265", {"preset": "ultrafast", "x265-params": X265 + ":bframes=2:open-gop=1"}, 25),
        ("mpeg4", {"g": str(GROUP)}, 25),
    ],
    ids=["plain", "intra refresh", "open groups", "hevc", "mpeg4"],
)
def test_a_stream_that_is_joined_in_the_middle_begins_with_its_first_whole_frame(codec, options, first_whole, tmp_path):
    seen = compared(write(tmp_path / "clip.ts", codec, **options), first=10)
    assert "G" not in seen, seen
    assert set(seen[: first_whole - 2]) <= {"-", "w"}, seen
    assert seen[first_whole + 2 :] == "." * (FRAMES - first_whole - 2), seen


def test_an_intra_refresh_that_is_not_announced_counts_as_complete_after_two_seconds(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.ts", **PLAIN | {"intra-refresh": "1"})
    monkeypatch.setattr("realtime.capture.losses.recovery_frames", lambda packet: None)
    seen = compared(path, lost=[35])
    assert seen.count("x") == 1 + 2 * 25 - 1, seen  # from the frame before the loss on
    assert "G" not in seen, seen


def test_an_i_frame_that_is_not_announced_as_a_key_frame_ends_damage(tmp_path):
    path = write(tmp_path / "clip.ts", **B_FRAMES | {"x264-params": "open-gop=1"})
    assert set(compared(path, lost=[35], without="6")[52:]) == {"."}


@pytest.fixture
def track(tmp_path):
    """The video track of a clip and its packets."""
    with av.open(str(write(tmp_path / "clip.ts", **PLAIN))) as container:
        stream = container.streams.video[0]
        yield stream, [packet for packet in container.demux(stream) if packet.size]


def faults(track, gaps, before=lambda number: None):
    """Return one letter per frame of a track while FFmpeg logs gaps before it returns these packets."""
    stream, packets = track
    losses = Losses(stream, has_datagrams=True, now_s=0.0)

    def arriving():
        for number, packet in enumerate(packets):
            if number in gaps:
                av.logging.log(av.logging.WARNING, "rtsp", "RTP: missed 3 packets\n")
            yield packet

    seen, arriving = [], arriving()
    for number in range(FRAMES):
        before(number)
        packet = losses.next_packet(arriving)
        losses.received(packet, number / 25)
        seen += [losses.fault_of(frame, number / 25) for frame in stream.decode(packet)]
    return "".join("." if fault is None else "x" for fault in seen)


def test_a_gap_in_the_log_of_ffmpeg_damages_frames_up_to_the_next_key_frame(track):
    assert faults(track, {30}) == "." * 30 + "x" * 20 + "." * 50


def test_gaps_of_other_cameras_on_other_threads_are_theirs(track):
    def elsewhere(number):
        line = av.logging.WARNING, "rtsp", "RTP: missed 1 packets"
        thread = threading.Thread(target=av.logging.log, args=line)
        thread.start()
        thread.join()

    assert faults(track, {30}, elsewhere).count("x") == 20


def test_a_gap_seen_with_a_packet_of_another_track_is_kept(track):
    stream, packets = track
    losses = Losses(stream, has_datagrams=True, now_s=0.0)

    def arriving():
        yield packets[0]
        av.logging.log(av.logging.WARNING, "rtsp", "RTP: missed 1 packets")
        yield packets[0]  # stands for one of another track, which stream.py skips
        yield packets[1]

    arriving, seen = arriving(), []
    for number in (0, None, 1):
        packet = losses.next_packet(arriving)
        if number is not None:
            losses.received(packet, 0.0)
            seen += [losses.fault_of(frame, 0.0) for frame in stream.decode(packet)]
    assert seen == [None, "corrupt"]


def test_a_stream_that_can_t_be_decoded_at_all_says_so(track):
    stream, packets = track
    losses = Losses(stream, has_datagrams=False, now_s=0.0)
    losses.received(packets[0], 1.0)
    losses.failed(1.0)
    assert losses.fault_of_none() == "undecodable"  # the first packet is a key frame
    losses.check("cam", 15.0)
    with pytest.raises(SourceError, match="cam: no frame can be decoded"):
        losses.check("cam", 15.1)


def test_a_stream_of_which_nothing_can_be_decoded_after_a_loss_is_damaged(tmp_path):
    # After a loss, FFmpeg's HEVC decoder returns no frame until the next key frame. Here is none.
    path = write(tmp_path / "clip.ts", "libx265", preset="ultrafast", **{"x265-params": X265 + ":intra-refresh=1"})
    _, error = played(path, lost=[5], fps=10)
    assert error.reason is SourceReason.DAMAGED
    assert str(error) == "cam: damaged: no intact frame arrives"


def test_a_stream_without_a_key_frame_says_so(tmp_path):
    path = write(tmp_path / "clip.ts", **PLAIN | {"g": "1000"})
    frames, error = played(path, first=1, fps=5)
    assert not [fault for fault, _ in frames.values() if fault is None]
    assert error.reason is SourceReason.KEY_FRAME
    assert str(error) == "cam: no key frame for 15 s"


def test_no_line_of_ffmpeg_reaches_standard_error(tmp_path):
    path = write(tmp_path / "clip.ts", **PLAIN)
    code = (
        "import sys, logging, av\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "from tests.capture.test_losses import played\n"
        "from realtime.capture.losses import _listen\n"
        "from pathlib import Path\n"
        "_listen()\n"
        f"frames, _ = played(Path({str(path)!r}), lost=[5, 35], cut=[60, 80], told=False)\n"
        "assert any(fault for fault, _ in frames.values())\n"
        "assert av.logging.get_last_error()[0], 'FFmpeg had nothing to say'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
