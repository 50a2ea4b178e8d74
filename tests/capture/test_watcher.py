import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.capture.source import Pixels
from realtime.capture.view import viewed_size
from realtime.capture.watcher import Watcher, watched
from realtime.config import ActivityConfig, CameraConfig
from realtime.runtime.activity import Activities

WIDTH, HEIGHT = 640, 360


def camera(**keys: object) -> CameraConfig:
    return CameraConfig.model_validate({"name": "door", "source": "0", **keys})


def motion(config: CameraConfig, xyxy: tuple[int, int, int, int]) -> np.ndarray:
    """Return the areas (pixels of the frame) in which something is seen to appear at `xyxy` of the picture."""
    watcher, street = Watcher(config, Activities(ActivityConfig())), np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for k in range(30):
        watcher.see(Pixels(street), 0, k / 10)
    x1, y1, x2, y2 = xyxy
    street[y1:y2, x1:x2] = 200
    watcher.see(Pixels(street), 0, 3.0)
    return watcher.see(Pixels(street), 0, 3.1).motion.xyxy


def test_motion_is_in_pixels_of_the_frame() -> None:
    assert motion(camera(), (300, 100, 360, 220)) == pytest.approx(np.array([[300, 100, 360, 220]]), abs=10)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"rotate": 90}, (140, 300, 260, 360)),  # clockwise: (x, y) becomes (height - y, x)
        ({"rotate": 180}, (280, 140, 340, 260)),
        ({"rotate": 270}, (100, 280, 220, 340)),
        ({"crop_xyxy": (200, 50, 600, 350)}, (100, 50, 160, 170)),
        ({"resize": 320}, (150, 50, 180, 110)),
        ({"rotate": 90, "crop_xyxy": (100, 200, 300, 500), "resize": 150}, (20, 50, 80, 80)),
    ],
)
def test_motion_is_in_pixels_of_the_frame_after_rotate_crop_and_resize(keys: dict, expected: tuple) -> None:
    assert motion(camera(**keys), (300, 100, 360, 220)) == pytest.approx(np.array([expected]), abs=10)


def test_motion_outside_the_crop_is_not_seen() -> None:
    assert not len(motion(camera(crop_xyxy=(0, 0, 200, 360)), (300, 100, 360, 220)))


def test_motion_under_a_mask_is_not_seen_and_beside_it_is() -> None:
    config = camera(mask=[[(280, 0), (640, 0), (640, 360), (280, 360)]])
    assert not len(motion(config, (300, 100, 360, 220)))
    assert len(motion(config, (100, 100, 160, 220)))


def test_the_mask_is_in_pixels_of_the_rotated_frame() -> None:
    config = camera(rotate=90, mask=[[(0, 0), (360, 0), (360, 290), (0, 290)]])
    assert len(motion(config, (300, 100, 360, 220)))
    assert not len(motion(config, (100, 100, 160, 220)))


def test_motion_is_looked_for_eleven_times_a_second_at_most() -> None:
    class Counted(Pixels):
        looks = 0

        def luma(self, *args: object) -> np.ndarray:
            Counted.looks += 1
            return super().luma(*args)

    watcher, picture = Watcher(camera(), Activities(ActivityConfig())), Counted(np.zeros((100, 100, 3), np.uint8))
    for k in range(60):
        watcher.see(picture, 0, k / 60)
    assert Counted.looks == 10


def test_only_the_crop_is_scaled() -> None:
    class Asked(Pixels):
        asked: tuple[object, ...] = ()

        def luma(self, *args: object) -> np.ndarray:
            Asked.asked = args
            return super().luma(*args)

    config = camera(rotate=90, crop_xyxy=(100, 200, 250, 400))  # of the rotated picture of 360x640
    Watcher(config, Activities(ActivityConfig())).see(Asked(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), 0, 0.0)
    assert Asked.asked == (1.0, (200, 110, 400, 260))


def test_the_pixels_next_to_the_mask_are_not_watched_into_which_the_blur_carries_motion() -> None:
    seen = watched((160, 90), (1600, 900), camera(mask=[[(0, 0), (1600, 0), (1600, 496), (0, 496)]]))
    assert seen is not None
    assert not seen[:51].any()
    assert seen[51:].all()


@pytest.mark.parametrize(
    ("mask", "share"),
    [
        ([[(0, 0), (640, 0), (640, 360), (0, 360)]], 0.0),
        ([[(0, 0), (65536, 0), (65536, 65536), (0, 65536)]], 0.0),  # far beyond the picture
        ([[(0, 0), (320, 0), (320, 360), (0, 360)], [(320, 0), (640, 0), (640, 360), (320, 360)]], 0.0),  # together
        ([[(0, 0), (320, 0), (320, 360), (0, 360)]] * 2, 0.5),  # twice the same half
        ([[(0, 0), (640, 0), (0, 360)]], 0.5),
        ([[(0, 0), (1280, 0), (0, 720)]], 0.0),  # one corner inside, but the edge runs through the opposite one
        ([[(700, 400), (900, 400), (900, 500)]], 1.0),  # beside the picture
    ],
)
def test_a_mask_hides_its_polygons_clipped_to_the_picture(mask: list, share: float) -> None:
    seen = watched((160, 90), (WIDTH, HEIGHT), camera(mask=mask))
    assert seen is not None
    assert seen.mean() == pytest.approx(share, abs=0.03)


def test_without_a_mask_everything_is_watched() -> None:
    assert watched((160, 90), (WIDTH, HEIGHT), camera()) is None


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.lists(st.tuples(st.floats(0, 65536), st.floats(0, 65536)), min_size=3, max_size=8),
)
def test_any_polygon_fits_any_picture(size: tuple[int, int], corners: list) -> None:
    config = camera().model_copy(update={"mask": [corners]})
    luma = (max(1, size[0] // 7), max(1, size[1] // 7))
    inside = watched(luma, size, config)
    assert inside is not None
    assert inside.shape == luma[::-1]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 500), (199, 201), (641, 359), (16, 2000)])
def test_pictures_of_odd_sizes_are_watched(size: tuple[int, int], rotate: int) -> None:
    config, picture = camera(rotate=rotate, resize=300), Pixels(np.zeros((size[1], size[0], 3), np.uint8))
    watcher = Watcher(config, Activities(ActivityConfig()))
    seen = [watcher.see(picture, 0, k / 10).motion for k in range(30)]
    assert viewed_size(size, config)
    assert not any(len(each.xyxy) for each in seen)


def test_each_frame_carries_the_mask_of_its_camera_to_where_it_is_drawn() -> None:
    polygons = [[[0, 0], [40, 0], [0, 30]], [[90, 90], [99.5, 90], [99, 99]]]
    watcher = Watcher(camera(mask=polygons), Activities(ActivityConfig()))
    for k in range(3):
        seen = watcher.see(Pixels(np.zeros((120, 160, 3), np.uint8)), 0, k / 10).motion
        assert [polygon.tolist() for polygon in seen.mask] == polygons
