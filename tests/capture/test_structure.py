"""The end of a file by the sizes of its parts, which is the same from the disk and in pieces."""

import pytest

from realtime.capture.complete import ending_of
from realtime.capture.structure import Structure

from .clips import write_clip

CLIPS = [
    ("clip.mkv", "mpeg4", "whole"),
    ("clip.wmv", "wmv2", "whole"),
    ("clip.avi", "mpeg4", "whole"),
    ("clip.flv", "flv", "unknown"),  # FFmpeg marks the end for other codecs only
    ("clip.ogg", "libvpx", "unknown"),  # declares no length
    ("clip.ivf", "libvpx", "unknown"),  # a frame has no mark, so zeros are a chain too
    ("clip.mp4", "mpeg4", "unknown"),  # its media are one part, whatever is in it
    ("clip.ts", "libx264", "unknown"),  # parts of one size don't tell how many there are
    ("clip.h264", "libx264", "unknown"),  # no parts
]


def ending(data, step):
    structure = Structure()
    for at in range(0, len(data), step):
        structure.feed(data[at : at + step])
    return structure.ending()


@pytest.mark.parametrize(("name", "codec", "right"), CLIPS)
def test_a_whole_file_is_not_short(tmp_path, name, codec, right):
    path = write_clip(tmp_path / name, codec=codec)
    assert ending_of(str(path)) == right
    assert {ending(path.read_bytes(), step) for step in (1, 7, 300, 4096, 1 << 20)} == {right}


@pytest.mark.parametrize(("name", "codec"), [(name, codec) for name, codec, _ in CLIPS[:-1]])
def test_a_file_that_was_cut_is_short(tmp_path, name, codec):
    data = write_clip(tmp_path / name, codec=codec).read_bytes()[:-3]
    (tmp_path / name).write_bytes(data)
    assert ending_of(str(tmp_path / name)) == "short"
    assert {ending(data, step) for step in (1, 300, 1 << 20)} == {"short"}


@pytest.mark.parametrize(("name", "inside"), [("clip.mkv", b"\x1f\x43\xb6\x75"), ("clip.avi", b"movi")])
def test_a_file_whose_end_was_never_filled_is_not_whole(tmp_path, name, inside):
    """As a download leaves it that reserved the space."""
    data = write_clip(tmp_path / name, codec="mpeg4").read_bytes()
    kept = data.index(inside) + 100
    assert ending(data[:kept] + bytes(len(data) - kept), 4096) == "unknown"


def test_the_parts_of_mxf_are_followed():
    part, last = bytes.fromhex("060e2b34") + bytes(12), bytes.fromhex("060e2b34020501010d01020101110100")
    data = part + b"\x05" + bytes(5) + last + bytes.fromhex("820100") + bytes(256)
    assert ending(data, 1 << 20) == "whole"
    assert ending(data[:-1], 1 << 20) == "short"
    assert ending(data[:22], 1 << 20) == "unknown"


def test_an_avi_that_was_sent_while_it_was_made_is_not_short(tmp_path):
    data = bytearray(write_clip(tmp_path / "clip.avi", codec="mpeg4").read_bytes())
    data[4:8] = data[data.index(b"movi") - 4 : data.index(b"movi")] = b"\xff" * 4
    assert ending(bytes(data), 4096) != "short"


@pytest.mark.parametrize("start", [bytes.fromhex("1a45dfa3"), b"FLV", b"OggS", b"RIFF", b"DKIF", bytes(3), b""])
def test_a_start_alone_is_not_whole(start):
    assert ending(start, 1) != "whole"
