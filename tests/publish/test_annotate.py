import datetime
from dataclasses import replace

import numpy as np
import pytest

from realtime.publish.annotate import annotate, time_of
from realtime.publish.draw import colour_of
from realtime.skeleton import NO_SKELETON, Skeleton
from realtime.types import Frame, Motion, Poses
from tests.builders import make_frame, make_poses

PAIR = Skeleton("pair", ("a", "b"), ((0, 1),))

LIMB = [[(20.0, 60.0), (140.0, 60.0)]]


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_people_are_drawn_where_they_are_at_every_scale(scale: float) -> None:
    frame = make_frame(image=np.zeros((120, 160, 3), np.uint8))
    image = annotate(make_poses(frame, LIMB, (10, 10, 150, 110)), PAIR, is_live=False, scale=scale, labels=False)
    assert image.shape == (120 * scale, 160 * scale, 3)
    limb = image[round(60 * scale), round(80 * scale)].astype(int)
    assert np.abs(limb - colour_of(1)).max() <= 30  # thin limbs are a little darker
    assert not frame.image.any()  # it is shared, and was not written


def test_without_labels_only_the_people_are_drawn() -> None:
    frame = make_frame(image=np.zeros((120, 160, 3), np.uint8))
    assert not annotate(Poses.empty(frame, 2), NO_SKELETON, is_live=False, labels=False).any()
    assert annotate(Poses.empty(frame, 2), NO_SKELETON, is_live=False)[100:].any()  # the caption


def test_a_repeated_pose_has_whole_limbs_and_a_predicted_one_dashed_ones() -> None:
    frame = make_frame(image=np.zeros((120, 160, 3), np.uint8))
    poses = make_poses(frame, LIMB, (10, 10, 150, 110), measured=False)
    predicted, repeated, measured = (
        annotate(each, PAIR, is_live=False, labels=False)
        for each in (poses, replace(poses, still=np.ones(1, np.bool_)), replace(poses, measured=np.ones(1, np.bool_)))
    )
    np.testing.assert_array_equal(repeated, measured)
    whole, dashed = (
        (np.abs(image[60, 25:135].astype(int) - colour_of(1)) <= 30).all(axis=1).mean()
        for image in (repeated, predicted)
    )
    assert whole > 0.95
    assert dashed < 0.8


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1)])
def test_the_smallest_images_have_at_least_one_pixel_at_every_scale(size: tuple[int, int]) -> None:
    frame = make_frame(image=np.zeros((size[1], size[0], 3), np.uint8))
    for scale in (0.001, 1.0, 3.0):
        assert min(annotate(Poses.empty(frame, 2), NO_SKELETON, is_live=True, scale=scale).shape[:2]) >= 1


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0, "0:00:00.00"),
        (59.999, "0:01:00.00"),  # rounded as a whole
        (3599.5, "0:59:59.50"),
        (36000.0, "10:00:00.00"),
        (-1.5, "-0:00:01.50"),
    ],
)
def test_the_frame_of_a_file_shows_its_position(time_s: float, text: str) -> None:
    assert time_of(make_frame(time_s=time_s), is_live=False) == text


def test_a_live_frame_shows_the_local_time_of_its_capture() -> None:
    moment = datetime.datetime(2026, 11, 28, 13, 45, 0, 250_000)
    unix_ns = int(moment.timestamp()) * 10**9 + 250_000_000
    frame = Frame("cam0", 0, 0, np.zeros((1, 1, 3), np.uint8), 0.0, captured_mono_ns=0, captured_unix_ns=unix_ns)
    assert time_of(frame, is_live=True) == "2026-11-28 13:45:00.25"


def test_the_caption_names_the_activity_and_what_moves_is_drawn_only_on_request() -> None:
    motion = Motion("still", np.float32([[20, 20, 60, 60]]), 0.0)
    frame = make_frame(image=np.zeros((120, 160, 3), np.uint8))
    watched = Poses.empty(replace(frame, motion=motion), 2)
    plain = annotate(Poses.empty(frame, 2), NO_SKELETON, is_live=False)
    assert (annotate(watched, NO_SKELETON, is_live=False) != plain)[100:].any()  # the caption is longer
    assert not annotate(watched, NO_SKELETON, is_live=False, labels=False).any()
    assert annotate(watched, NO_SKELETON, is_live=False, labels=False, motion=True).any()
    assert not frame.image.any()
