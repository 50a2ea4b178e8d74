"""`idle_decode`: streams of which only some frames are decoded for a while (the rest of LiveVideo: test_stream)."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.capture import kept_packets, losses
from realtime.capture.stream import StreamSource

from .replayed import CODINGS, replayed, whole, written
from .test_losses import FRAMES, GROUP

# Codings with a key frame every GROUP frames.
GROUPED = [name for name in CODINGS if name not in ("h264 refresh", "h264 endless", "mjpeg")]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """By coding: the path of a clip and all its frames."""
    folder, made = tmp_path_factory.mktemp("clips"), {}

    def clip(coding):
        if coding not in made:
            path = written(folder, coding)
            made[coding] = path, whole(path)
        return made[coding]

    return clip


def play(path, orders, lost=(), without=""):
    """Replay a file. Before the read for packet n, decode only `orders[n]`.

    Returns:
        (number of packets read, picture) for each picture.
    """
    with replayed(path, lost, without) as camera:
        orders, seen = dict(orders), []
        for _ in range(3 * FRAMES):
            for at in [at for at in orders if at <= len(camera.sent)]:
                camera.video.decode_only(orders.pop(at))
            picture = next(camera.pictures, None)
            if picture is None:
                break
            seen.append((len(camera.sent), picture))
    return seen


def usable(seen):
    """Return the pictures without a fault."""
    return [picture for _, picture in seen if picture.fault is None]


def is_exact(picture, frames):
    return np.array_equal(picture.image, frames[picture.media_s])


@pytest.mark.parametrize("coding", GROUPED)
def test_only_key_frames_are_decoded_each_as_soon_as_it_arrives(coding, clips):
    path, frames = clips(coding)
    with replayed(path) as camera:
        camera.video.decode_only("key")
        for picture in camera.pictures:
            packet = camera.sent[-1]
            assert (picture.fault is None) == packet.is_keyframe
            assert picture.fault in (None, "idle")
            if picture.fault is None:
                assert picture.media_s == packet.pts * float(packet.time_base)
                assert is_exact(picture, frames)
        assert len(camera.sent) == FRAMES + 1  # and the end


@pytest.mark.parametrize("coding", GROUPED)
@pytest.mark.parametrize("woken", [2 * GROUP + 1, 2 * GROUP + 2, 2 * GROUP + 12, 3 * GROUP - 1])
def test_after_a_wake_up_every_frame_is_what_it_would_be_without_sleep(coding, woken, clips):
    path, frames = clips(coding)
    seen = play(path, {10: "key", woken: "all"})
    awake = [picture for at, picture in seen if at > woken and picture.fault is None]
    stamps_s = [picture.media_s for picture in usable(seen)]
    assert stamps_s == sorted(set(stamps_s))
    assert all(is_exact(picture, frames) for picture in usable(seen))
    # None is missing from the first on, but those that the decoder still holds at the end.
    expected_s = sorted(stamp_s for stamp_s in frames if stamp_s >= awake[0].media_s)
    assert [picture.media_s for picture in awake] == expected_s[: len(awake)]
    assert len(expected_s) - len(awake) <= 3
    assert {picture.fault for _, picture in seen} == {None, "idle"}


@pytest.mark.parametrize("coding", ["h264", "hevc", "mpeg4", "vp9"])
def test_the_first_read_after_a_wake_up_returns_the_newest_frame(coding, clips):
    path, frames = clips(coding)
    seen = play(path, {10: "key", 60: "all"})
    at, picture = next((at, picture) for at, picture in seen if at > 60)
    assert (at, picture.media_s) == (61, sorted(frames)[60])


def test_each_packet_is_one_picture_whatever_is_decoded(clips):
    path, _ = clips("h264")
    assert len(play(path, {10: "key", 37: "all", 61: "key", 80: "nonref"})) == FRAMES


def test_motion_jpeg_has_only_key_frames(clips):
    path, _ = clips("mjpeg")
    assert [picture.fault for _, picture in play(path, {0: "key"})] == [None] * FRAMES


@pytest.mark.parametrize("coding", ["h264 b", "h264 pyramid", "mpeg4 b", "hevc open"])
def test_frames_that_no_other_refers_to_are_left_out_and_counted(coding, clips):
    path, frames = clips(coding)
    seen = play(path, {0: "nonref"})
    decoded = usable(seen)
    assert 0.2 * FRAMES < len(decoded) < 0.8 * FRAMES
    assert all(is_exact(picture, frames) for picture in decoded)
    stamps_s = [picture.media_s for _, picture in seen]
    assert stamps_s == pytest.approx(sorted(frames)[: len(seen)])  # each frame in its turn
    assert len(seen) > FRAMES - 10  # the decoder holds the others


@pytest.mark.parametrize("coding", ["h264", "vp9", "mjpeg"])
def test_without_such_frames_all_are_decoded(coding, clips):
    assert len(usable(play(clips(coding)[0], {0: "nonref"}))) == FRAMES


@pytest.mark.parametrize(("limit", "value"), [("MOST_BYTES", 5_000), ("LONGEST_S", -1.0)])
@pytest.mark.parametrize("coding", ["h264 endless", "h264 refresh"])
def test_without_key_frames_all_frames_are_decoded_once_the_limit_is_reached(limit, value, coding, clips, monkeypatch):
    monkeypatch.setattr(kept_packets, limit, value)
    path, frames = clips(coding)
    faults = [picture.fault for _, picture in play(path, {10: "key"})]
    assert faults[:10] == [None] * 10
    assert faults == [None] * 10 + ["idle"] * faults.count("idle") + [None] * (90 - faults.count("idle"))
    assert 0 < faults.count("idle") < 45
    assert all(is_exact(picture, frames) for picture in usable(play(path, {10: "key"})))


def test_after_the_limit_was_reached_the_next_key_frame_ends_decoding(clips, monkeypatch):
    monkeypatch.setattr(kept_packets, "MOST_BYTES", 5_000)
    decoded = [at for at, picture in play(clips("h264")[0], {10: "key"}) if picture.fault is None and at > 10]
    keys = [k * GROUP + 1 for k in (1, 2, 3)]
    runs = [at for at, before in zip(decoded, [0, *decoded], strict=False) if at != before + 1]
    assert set(keys) <= set(decoded)
    assert 10 < len(decoded) < 80
    assert all(at in keys or at + 1 in decoded or at + 1 in keys for at in runs)


@pytest.mark.parametrize("coding", ["h264", "h264 b", "h264 open", "hevc open", "h264 refresh", "mpeg4"])
def test_no_frame_that_depends_on_a_lost_packet_is_whole_after_a_wake_up(coding, clips):
    path, frames = clips(coding)
    for lost, woken in itertools.product((52, 60, 74, 75, 76), (53, 62, 77, 90)):
        seen = play(path, {10: "key", woken: "all"}, lost=[lost])
        off = [np.abs(picture.image.astype(int) - frames[picture.media_s]).mean() for picture in usable(seen)]
        assert max(off) < 1.0, (lost, woken)


def test_an_unannounced_i_frame_that_was_kept_does_not_end_damage_that_came_after_it(clips, monkeypatch):
    # Real groups are longer than the number of packets among which frames are usually found.
    monkeypatch.setattr(losses, "_PENDING", 16)
    path, _ = clips("h264 open")
    seen = play(path, {0: "key", 74: "all"}, lost=[56], without="6")
    assert {picture.fault for at, picture in seen if 74 < at < 78} == {"corrupt"}
    assert None in {picture.fault for at, picture in seen if at > 80}


def test_damage_that_was_skipped_ends_with_the_next_key_frame(clips):
    seen = play(clips("h264")[0], {10: "key", 70: "all"}, lost=[60])
    faults = {at: picture.fault for at, picture in seen}
    assert [faults[at] for at in range(71, 75)] == ["corrupt"] * 4
    assert [faults[at] for at in range(75, 100)] == [None] * 25


@pytest.mark.parametrize("coding", ["h264 pyramid", "h264 open", "hevc open", "h264 refresh", "vp9"])
@given(orders=st.dictionaries(st.integers(0, FRAMES), st.sampled_from(["all", "nonref", "key"]), max_size=8))
@settings(max_examples=10, deadline=None)
def test_whatever_is_decoded_when_frames_are_exact_and_in_order(coding, orders, clips):
    path, frames = clips(coding)
    seen = play(path, orders)
    stamps_s = [picture.media_s for picture in usable(seen)]
    assert stamps_s == sorted(set(stamps_s))
    assert all(is_exact(picture, frames) for picture in usable(seen))
    assert {picture.fault for _, picture in seen} <= {None, "idle"}
    assert abs(len(seen) - FRAMES) <= 4 * (1 + len(orders))  # the frames that a decoder holds, per change


@pytest.mark.parametrize("coding", ["h264", "h264 b", "h264 pyramid", "h264 open", "hevc open", "mpeg4 b"])
@pytest.mark.parametrize("what", ["key", "nonref"])
def test_the_lead_of_a_frame_makes_up_for_its_earlier_or_later_decoding(coding, what, clips):
    seen = play(clips(coding)[0], {10: what, 60: "all"})
    # Packet n arrives at n / 25.
    delays_s = [at / 25 + picture.lead_s - picture.media_s for at, picture in seen if picture.fault is None]
    assert delays_s == pytest.approx([delays_s[0]] * len(delays_s), abs=0.001)


def test_the_rate_is_not_measured_while_only_key_frames_are_decoded(clips):
    with replayed(clips("h264")[0]) as camera:
        camera.video.decode_only("key")
        for at, _ in enumerate(camera.pictures):
            if at == 30:
                camera.video.decode_only("all")
            assert camera.video.fps in (None, 25.0)
    assert camera.video.fps == 25.0


def test_a_file_is_decoded_whole_whatever_it_is_told(clips):
    source = StreamSource(str(clips("h264 b")[0]), network=False)
    source.decode_only("key")
    pictures = list(iter(source.read, None))
    source.close()
    assert [picture.fault for picture in pictures] == [None] * FRAMES
