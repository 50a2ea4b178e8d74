import numpy as np
import pytest

from realtime.publish.wall import Tile, grid, hang, place, render
from realtime.skeleton import NO_SKELETON
from realtime.types import Poses
from tests.builders import make_frame

SIZE = (640, 360)


def tile(notice: str = "", size: tuple[int, int] = (160, 120)) -> Tile:
    frame = make_frame(image=np.full((size[1], size[0], 3), 200, np.uint8))
    return Tile("cam0", Poses.empty(frame, 0), is_live=True, notice=notice)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 20, 64])
@pytest.mark.parametrize("size", [SIZE, (200, 900), (1920, 1080), (30, 20)])
def test_all_tiles_have_a_place_of_their_own_on_the_wall(count: int, size: tuple[int, int]) -> None:
    columns, rows = grid(count, size)
    assert columns * rows >= count
    wide, high = place(count, size)
    if min(wide, high) > 1:  # a wall of a few pixels has no room for the gaps
        wall = hang([np.full((high, wide, 3), 255, np.uint8)] * count, size)
        assert (wall == 255).all(axis=2).sum() == count * wide * high


@pytest.mark.parametrize("size", [(160, 120), (1920, 1080), (120, 900), (1, 1)])
def test_a_tile_is_as_large_as_fits_and_keeps_its_aspect(size: tuple[int, int]) -> None:
    image = render(tile(size=size), SIZE, NO_SKELETON, labels=False)
    scale = min(SIZE[0] / size[0], SIZE[1] / size[1])
    assert image.shape[:2] == (round(size[1] * scale), round(size[0] * scale))
    assert image.shape[0] <= SIZE[1]
    assert image.shape[1] <= SIZE[0]


def test_the_picture_of_a_lost_camera_cannot_be_mistaken_for_a_live_one() -> None:
    live, lost = (render(tile(notice), SIZE, NO_SKELETON, labels=True) for notice in ("", "reconnecting: timed out"))
    assert live[10, 10].mean() == 200
    assert lost[10, 10].mean() < 80
    assert (lost[150:220] > 240).any()  # the words across its middle
    assert not (live[150:220] > 240).any()


def test_a_camera_without_a_frame_shows_its_state() -> None:
    image = render(Tile("cam0", None, is_live=False, notice="starting"), SIZE, NO_SKELETON, labels=True)
    assert image.shape == (SIZE[1], SIZE[0], 3)
    assert (image > 240).any()
    assert (render(Tile("cam0", None, is_live=False), SIZE, NO_SKELETON, labels=True) < 60).all()
