"""A file that starts between two key frames is shown from the first whole picture on."""

import av
import pytest

from realtime.capture.start import LONGEST_REFRESH, Start
from realtime.capture.stream import StreamSource

from .clips import corners, write_corners


@pytest.mark.parametrize("codec", ["mpeg4", "flv", "wmv2"])
def test_frames_before_the_first_key_frame_are_not_shown(tmp_path, codec):
    whole, path = tmp_path / "whole.avi", tmp_path / "clip.avi"
    write_corners(whole, codec, frames=12, gop=4)
    with av.open(str(whole)) as clip, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(clip.streams.video[0])
        for packet in [packet for packet in clip.demux(video=0) if packet.dts is not None][1:]:
            packet.stream = stream
            copy.mux(packet)
    source = StreamSource(str(path), network=False)
    try:
        assert [corners(picture.image) for picture in iter(source.read, None)] == ["rgbw"] * 8
    finally:
        source.close()


def test_a_stream_that_is_only_refreshed_part_by_part_is_shown_after_the_longest_refresh():
    start, frame = Start("h263"), av.VideoFrame(16, 16)
    shown = [start.is_shown(frame) for _ in range(LONGEST_REFRESH + 2)]
    assert shown == [False] * LONGEST_REFRESH + [True] * 2
