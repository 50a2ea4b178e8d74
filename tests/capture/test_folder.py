"""Which files a path, a folder or a pattern names."""

import pytest

from realtime.capture.files import open_files
from realtime.capture.folder import files_of
from realtime.capture.image_formats import IMAGE_SUFFIXES
from realtime.capture.images import ImagesSource
from realtime.errors import SourceError, SourceReason

from .clips import write_clip
from .pictures import drawn, is_drawn, read_all, write_animation

FAR = 10**9


def names(found):
    return [path.name for path in found]


def touch(folder, *files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    return folder


COMPANIONS = ["._1.png", ".DS_Store", "Thumbs.db", "desktop.ini", "1.png.part", ".hidden/9.png"]


@pytest.mark.parametrize("pattern", ["", "/*", "/*.png", "/**/*.png", "/**"])
def test_the_companions_of_a_mac_and_of_windows_are_left_out(tmp_path, pattern):
    touch(tmp_path, "1.png", "2.png", *COMPANIONS)
    assert names(files_of(f"{tmp_path}{pattern}").images) == ["1.png", "2.png"]


def test_a_file_that_begins_with_a_dot_is_read_if_it_is_named(tmp_path):
    drawn().save(tmp_path / ".1.png")
    assert names(files_of(str(tmp_path / ".1.png")).images) == [".1.png"]
    assert names(files_of(f"{tmp_path}/.*.png").images) == [".1.png"]


def test_a_folder_holds_every_kind_of_image_that_is_read_alone(tmp_path):
    for suffix in (
        "png",
        "jpg",
        "jfif",
        "jpe",
        "avif",
        "heic",
        "webp",
        "tif",
        "gif",
        "bmp",
        "ppm",
        "jp2",
        "tga",
        "qoi",
    ):
        drawn().save(tmp_path / f"{suffix}.{suffix}", format="JPEG" if suffix in ("jfif", "jpe") else None)
    drawn().save(tmp_path / "UPPER.PNG")
    drawn().save(tmp_path / "bare", format="PNG")
    pictures = read_all(ImagesSource(str(tmp_path)))
    assert len(pictures) == 16
    assert all(is_drawn(picture.image) for picture in pictures)
    assert {picture.media_s for picture in pictures} == {None}


@pytest.mark.parametrize("suffix", ["tga", "jp2", "pcx", "sgi"])
def test_an_image_that_ffmpeg_reads_has_no_time_when_it_is_alone_either(tmp_path, suffix):
    drawn().save(tmp_path / f"1.{suffix}")
    pictures = read_all(open_files(str(tmp_path / f"1.{suffix}"), "none", FAR))
    assert [(is_drawn(picture.image), picture.media_s) for picture in pictures] == [(True, None)]


def test_in_a_folder_one_picture_of_each_file_is_read_and_the_others_are_counted(tmp_path, caplog):
    for name in ("1.webp", "2.png", "3.gif", "4.tif", "5.heic"):
        write_animation(tmp_path / name, count=3)
    drawn(0).save(tmp_path / "6.png")
    pictures = read_all(ImagesSource(str(tmp_path)))
    assert [is_drawn(picture.image) for picture in pictures] == [True] * 6
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: one picture of each file was read; other pictures left out: 10, in files: 5 (the first is 1.webp)"
    ]


def test_a_heic_of_several_pictures_gives_one_and_a_warning(tmp_path, caplog):
    pictures = read_all(open_files(str(write_animation(tmp_path / "1.heic", count=3)), "none", FAR))
    assert [is_drawn(picture.image) for picture in pictures] == [True]
    assert "other pictures left out: 2, in files: 1" in caplog.text


def test_a_pattern_in_a_folder_whose_name_has_brackets_works(tmp_path):
    touch(tmp_path, "[2024]/a/1.png", "[2024]/a/2.png", "2/a/3.png")
    assert names(files_of(f"{tmp_path}/[2024]/a/*.png").images) == ["1.png", "2.png"]
    assert names(files_of(f"{tmp_path}/[2024]/*/1.png").images) == ["1.png"]
    assert names(files_of(f"{tmp_path}/[0-9]/a/*.png").images) == ["3.png"]


def test_a_pattern_may_be_relative(tmp_path, monkeypatch):
    touch(tmp_path, "shots/1.png", "shots/2.png")
    monkeypatch.chdir(tmp_path)
    assert names(files_of("shots/*.png").images) == names(files_of("./s*/*").images) == ["1.png", "2.png"]
    monkeypatch.chdir(tmp_path / "shots")
    assert names(files_of("*.png").images) == names(files_of("../shots/*.png").images) == ["1.png", "2.png"]


def test_links_that_lead_to_each_other_in_a_circle_are_followed_once(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a/b").symlink_to(tmp_path / "b")
    (tmp_path / "b/a").symlink_to(tmp_path / "a")
    assert names(files_of(f"{tmp_path}/**/*.png").images) == ["1.png", "2.png"]


def test_a_link_to_an_image_is_read_and_one_that_leads_nowhere_is_an_image_that_is_missing(tmp_path):
    drawn().save(tmp_path / "1.png")
    (tmp_path / "2.png").symlink_to("1.png")
    (tmp_path / "3.png").symlink_to("none.png")
    source = ImagesSource(str(tmp_path))
    assert [source.read().fault for _ in range(3)] == [None, None, "undecodable"]
    with pytest.raises(SourceError, match=r"1 of 3 images can't be read \(the first is 3\.png\): missing"):
        source.read()


@pytest.mark.parametrize("pattern", ["", "/*", "/*.mp4"])
def test_several_videos_are_refused_with_advice(tmp_path, pattern):
    touch(tmp_path, "a.mp4", "b.MOV", "c.mp4")
    with pytest.raises(
        SourceError, match=r"\d videos, .*give each video its own --source \(the first is a\.mp4\)"
    ) as e:
        files_of(f"{tmp_path}{pattern}")
    assert (e.value.reason, e.value.exit_code) == (SourceReason.NOT_MEDIA, 3)


@pytest.mark.parametrize("pattern", ["", "/*", "/*.mp4"])
def test_a_pattern_or_folder_of_one_video_is_that_video(tmp_path, pattern):
    write_clip(tmp_path / "a.mp4", frames=3)
    touch(tmp_path, "notes.txt", "._a.mp4")
    assert len(read_all(open_files(f"{tmp_path}{pattern}", "none", FAR))) == 3


def test_a_pattern_of_one_animation_is_that_animation(tmp_path):
    write_animation(tmp_path / "1.webp", count=3)
    assert len(read_all(open_files(f"{tmp_path}/*.webp", "none", FAR))) == 3


def test_of_images_and_videos_the_images_are_read_and_the_videos_counted_once(tmp_path, caplog):
    drawn().save(tmp_path / "1.png")
    drawn().save(tmp_path / "2.png")
    touch(tmp_path, "a.mp4", "b.mkv")
    open_files(str(tmp_path), "none", FAR).close()  # the check before the run says nothing
    assert len(read_all(open_files(str(tmp_path), "none", FAR))) == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: only its images are read; videos left out: 2 (the first is a.mp4): give each its own --source"
    ]


def test_a_folder_of_folders_says_how_to_name_the_images_in_them(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    with pytest.raises(SourceError, match=r"no images in this folder, only folders: add /\*\*/\*\.png"):
        files_of(str(tmp_path))


def test_a_pattern_that_matches_nothing_readable_says_so(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(SourceError, match="the pattern matches files, but no images or videos"):
        files_of(f"{tmp_path}/*")


def test_a_folder_named_like_an_image_is_none(tmp_path):
    touch(tmp_path, "1.png", "2.png/x.txt", "3.png")
    assert names(files_of(str(tmp_path)).images) == ["1.png", "3.png"]


def test_the_suffixes_are_written_in_lower_case():
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)
