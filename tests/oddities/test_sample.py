"""A few of the files of `make oddities`, one or two of each trait, for `make test`."""

import numpy as np
import pytest

from .all import all_files
from .combination import quiet
from .picture import TURNS, draw, number_of, shown, turn_of
from .table import table

SAMPLE = (
    "mp4-h264-plain",
    "avi-h264-b_frames_2",
    "mkv-h264-equal_stamps",
    "mkv-h264-stamps_equal_by_5",
    "webm-vp9-stamps_equal_by_5",
    "mkv-h264-starts_at_5s",
    "webm-vp9-starts_at_5s",
    "mp4-h264-matrix_2",
    "mov-h264-matrix_5",
    "mkv-h264-cover_before",
    "mp4-h264-still_first_film_default",
    "mkv-h264-still_first_film_default",
    "ts-h264-one_picture",
    "ts-h264-joined",
    "image-png-6-alone",
    "image-animated-webp",
    "faststart-h264-plain-over-pipe",
    "mkv-h264-plain-over-http-without-length",
    "mkv-h264-plain-over-http-cut",
    "mp4-h265-b_frames_3",
    "mp4-h264-open_gop",
    "mp4-h264-starts_at_5s",
    "mp4-h264-starts_negative",
    "mp4-h264-pause_of_3s",
    "mkv-h264-gap_of_an_hour",
    "mkv-h264-jitter",
    "mkv-h264-rate_says_90000",
    "webm-vp9-size_changes",
    "live-mkv-h264-no_index",
    "avi-mjpeg-plain",
    "avi-mpeg4-plain",
    "mov-h264-matrix_6",
    "mp4-h264-matrix_8",
    "ts-h264-b_frames_2",
    "ts-mpeg2-plain",
    "flv-h264-starts_at_400ms",
    "nut-h264-b_frames_4",
    "ogg-vp8-plain",
    "y4m-raw-size_17x33",
    "mp4-h264-cut_at_60",
    "faststart-h264-cut_at_60",
    "mp4-h264-flipped_at_50",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_an_odd_file_gives_its_frames_at_their_times_or_one_line(name, tmp_path):
    with quiet():
        outcome = all_files()[name].run(tmp_path)
    assert outcome.verdict in ("right", "refused"), f"{name}: {outcome.text}"


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("size", [(128, 96), (17, 33)])
def test_a_picture_tells_its_number_and_its_turn(name, size):
    turn, _ = TURNS[name]
    image = shown(draw(0b10110010, size), turn)
    a, b, c, d = turn
    assert turn_of(image) == name
    assert number_of(shown(image, (a, c, b, d))) == 0b10110010


def test_a_picture_without_corners_has_no_turn():
    assert turn_of(np.full((48, 64, 3), 90, np.uint8)) == "no corners"


def test_the_table_counts_what_became_of_each_trait():
    lines = table([("gaps", "right"), ("gaps", "not made"), ("covers", "refused")])
    assert lines[2:] == [
        "| gaps | 1 | 1 | 0 | 1 |",
        "| covers | 1 | 0 | 1 | 0 |",
        "| all | 2 | 1 | 1 | 1 |",
    ]
