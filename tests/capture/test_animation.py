"""A file of several pictures, given alone, is read whole."""

import struct

import av
import numpy as np
import pytest
from PIL import Image

from realtime.capture.animation import AnimationSource, is_animation
from realtime.capture.files import open_files
from realtime.errors import SourceError, SourceReason, TruncatedError

from .pictures import drawn, is_drawn, read_all, write_animation
from .test_image_file import write_subfiles

FAR = 10**9


@pytest.mark.parametrize("suffix", ["webp", "png", "apng", "avif", "gif"])
def test_an_animation_is_read_whole_with_the_times_of_its_file(tmp_path, suffix):
    path = write_animation(tmp_path / f"1.{suffix}", format="PNG" if suffix == "apng" else None)
    source = open_files(str(path), "none", FAR)
    assert source.length == 8
    pictures = read_all(source)
    assert all(is_drawn(picture.image, number) for number, picture in enumerate(pictures))
    assert [picture.media_s for picture in pictures] == pytest.approx([number / 10 for number in range(8)])


def test_a_gif_that_was_cut_off_gives_its_whole_pictures_and_an_error(tmp_path):
    path = write_animation(tmp_path / "1.gif")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    source = open_files(str(path), "none", FAR)
    assert all(is_drawn(source.read().image, number) for number in range(5))
    with pytest.raises(TruncatedError, match="can't be read: the file is truncated or damaged"):
        read_all(source)


def test_the_pages_of_a_tiff_have_no_times(tmp_path):
    source = open_files(str(write_animation(tmp_path / "1.tif")), "none", FAR)
    assert source.fps == 30.0
    pictures = read_all(source)
    assert all(is_drawn(picture.image, number) for number, picture in enumerate(pictures))
    assert [picture.media_s for picture in pictures] == [None] * 8


def test_a_picture_without_a_duration_is_shown_for_as_long_as_in_a_browser(tmp_path):
    path = write_animation(tmp_path / "1.webp", count=5, duration=[0, 10, 40, 0, 250])
    assert [p.media_s for p in read_all(AnimationSource(str(path)))] == pytest.approx([0, 0.1, 0.2, 0.24, 0.34])


def test_the_times_of_an_avif_do_not_drift_by_the_rounding_of_its_durations(tmp_path):
    path = tmp_path / "1.avif"
    with av.open(str(path), "w", format="avif") as out:
        stream = out.add_stream("libsvtav1", rate=30, options={"preset": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        pictures = [av.VideoFrame.from_image(drawn(number, size=(64, 64))) for number in range(16)]
        out.mux([packet for picture in [*pictures, None] for packet in stream.encode(picture)])
    times = [picture.media_s for picture in read_all(AnimationSource(str(path)))]
    assert times == pytest.approx([number / 30 for number in range(16)], abs=0.0006)


def test_thumbnails_masks_and_the_second_picture_of_an_mpo_are_no_animation(tmp_path):
    assert not is_animation(write_subfiles(tmp_path / "1.tif", 0, 1, 4, 1), FAR)
    drawn().save(tmp_path / "1.mpo", save_all=True, append_images=[drawn(1)])
    assert not is_animation(tmp_path / "1.mpo", FAR)


def test_the_picture_of_a_png_for_other_programs_is_left_out(tmp_path):
    path = tmp_path / "1.png"
    drawn(7).save(path, save_all=True, append_images=[drawn(0), drawn(1)], default_image=True, duration=100)
    pictures = read_all(AnimationSource(str(path)))
    assert [is_drawn(picture.image, number) for number, picture in enumerate(pictures)] == [True, True]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # in the program, image_file turns this warning off
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_an_animation_that_ends_early_gives_its_good_pictures_and_an_error(tmp_path, suffix):
    path = write_animation(tmp_path / f"1.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    good = []
    source = AnimationSource(str(path))
    with pytest.raises(TruncatedError, match=rf"1\.{suffix}: the last \d of \d pictures can't be read") as caught:
        good.extend(iter(source.read, None))
    source.close()
    assert all(is_drawn(picture.image, number) for number, picture in enumerate(good))
    assert 2 <= len(good) <= 5
    assert caught.value.reason is SourceReason.TRUNCATED


@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_an_animation_whose_pictures_cannot_be_found_is_refused(tmp_path, suffix):
    path = write_animation(tmp_path / f"1.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="not an image, or a damaged or truncated one"):
        open_files(str(path), "none", FAR)


def test_a_later_page_of_too_many_pixels_ends_the_file_with_an_error(tmp_path):
    path = tmp_path / "1.tif"
    drawn().save(path, save_all=True, append_images=[drawn(size=(128, 96))])
    source = AnimationSource(str(path), max_pixels=64 * 48)
    assert is_drawn(source.read().image)
    with pytest.raises(TruncatedError, match=r"the last 1 of 2 .* too large: got 128x96") as caught:
        source.read()
    source.close()
    assert caught.value.reason is SourceReason.TOO_LARGE


def test_pages_may_be_of_different_kinds_and_sizes(tmp_path):
    path = tmp_path / "1.tif"
    deep = Image.fromarray(np.asarray(drawn(mode="L")).astype(np.uint16) * 257)
    drawn().save(path, save_all=True, append_images=[deep, drawn(size=(80, 60)), drawn(mode="1")])
    pictures = read_all(AnimationSource(str(path)))
    assert [picture.image.shape[:2] for picture in pictures] == [(48, 64), (48, 64), (60, 80), (48, 64)]
    assert is_drawn(pictures[1].image, mode="L")


def test_a_tiff_whose_pages_refer_to_each_other_in_a_circle_ends(tmp_path):
    path = write_animation(tmp_path / "1.tif", count=2)
    data = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    second_at = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    second = struct.unpack_from("<I", data, second_at)[0]
    end_at = second + 2 + 12 * struct.unpack_from("<H", data, second)[0]
    struct.pack_into("<I", data, end_at, first)
    path.write_bytes(data)
    assert len(read_all(AnimationSource(str(path)))) == 2
