from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.track.scene import Scene


def texture(seed: int, size: tuple[int, int] = (270, 480)) -> np.ndarray:
    """A picture with large and small details, as photographs have."""
    random, image = np.random.default_rng(seed), np.zeros((*size, 3), np.float32)
    for sigma in (4, 16, 64):
        layer = cv2.GaussianBlur(random.normal(0, 1, (*size, 3)).astype(np.float32), (0, 0), sigma)
        image += layer / layer.std()
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def changes(*images: np.ndarray) -> list[bool]:
    scene = Scene()
    return [scene.is_new(image) for image in images]


def test_unrelated_images_are_new_scenes() -> None:
    assert changes(*(texture(seed) for seed in range(20))) == [True] * 20


def test_photographs_are_new_scenes(photographs: list[Path]) -> None:
    images = [cv2.resize(cv2.imread(str(path)), (640, 640)) for path in photographs]
    assert changes(*images, *images) == [True] * 4


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: np.roll(image, 12, axis=1),  # the camera turns
        lambda image: np.clip(image.astype(np.int16) + 60, 0, 255).astype(np.uint8),  # the light goes on
        lambda image: image // 4,  # and off
        lambda image: cv2.rectangle(image.copy(), (100, 110), (160, 270), (200, 200, 200), -1),  # someone walks by
        lambda image: np.clip(image + np.random.default_rng(0).normal(0, 25, image.shape), 0, 255).astype(np.uint8),
    ],
    ids=["same", "pan", "brighter", "darker", "person", "noise"],
)
def test_the_same_place_is_no_new_scene(change) -> None:
    image = texture(7)
    assert changes(image, change(image)) == [True, False]


def test_a_person_in_front_of_a_plain_wall_is_no_new_scene() -> None:
    wall = np.full((270, 480, 3), 130, np.uint8)
    person = cv2.rectangle(wall.copy(), (180, 40), (330, 270), (20, 30, 60), -1)
    assert changes(wall, person, wall, person[:, ::-1]) == [True, False, False, False]


def test_images_without_content_are_one_scene() -> None:
    random, black = np.random.default_rng(0), np.zeros((270, 480, 3), np.uint8)
    dark = [black + random.integers(0, 6, black.shape, np.uint8) for _ in range(5)]
    assert changes(black, *dark, black) == [True] + [False] * 6


def test_a_street_is_one_scene_at_one_frame_per_second(shared_data: Path) -> None:
    video, images = cv2.VideoCapture(str(shared_data / "video" / "vtest.avi")), []
    while (read := video.read())[0]:
        images.append(read[1])
    assert changes(*images[::10]) == [True] + [False] * (len(images[::10]) - 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 2), (17, 31), (18, 32), (19, 3000)])
def test_images_of_any_size_can_be_compared(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert changes(image, image) == [True, False]
