import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.track.colours import ColourMemory, colours_of

BOX = np.float32([[100, 50, 140, 200]])


def picture(seed: int = 0, light: float = 1.0) -> np.ndarray:
    """Noise on a grey ground, and a person in a red shirt and blue trousers."""
    random = np.random.default_rng(seed)
    image = np.full((300, 240, 3), 130.0)
    image[50:125, 100:140], image[125:200, 100:140] = (50, 40, 190), (150, 70, 40)
    return (light * (image + random.normal(0, 6, image.shape))).clip(0, 255).astype(np.uint8)


def test_noise_and_a_little_more_light_change_little() -> None:
    first, _ = colours_of(picture(), BOX)
    for light in (0.9, 1.1):
        again, is_distinct = colours_of(picture(1, light), BOX)
        assert float(first[0] @ again[0]) > 0.94
        assert is_distinct.tolist() == [True]


def test_the_chest_and_the_legs_count_separately() -> None:
    upside_down = picture()[::-1][50:].copy()  # the person stands in rows 50..200 again, in blue with red trousers
    assert float(colours_of(picture(), BOX)[0][0] @ colours_of(upside_down, BOX)[0][0]) < 0.6


def test_a_mirrored_or_larger_picture_has_the_same_colours() -> None:
    first, _ = colours_of(picture(), BOX)
    mirrored, _ = colours_of(picture()[:, ::-1].copy(), np.float32([[100, 50, 140, 200]]))
    larger, _ = colours_of(picture().repeat(2, 0).repeat(2, 1), 2 * BOX)
    assert float(first[0] @ mirrored[0]) > 0.98
    assert float(first[0] @ larger[0]) > 0.98


@pytest.mark.parametrize(
    "box", [[-50, -50, 10, 40], [230, 290, 400, 500], [500, 500, 600, 600], [10, 10, 10.2, 10.1]], ids=str
)
def test_a_box_at_or_beyond_the_edge_has_colours_too(box) -> None:
    colours, _ = colours_of(picture(), np.float32([box]))
    assert np.isclose((colours**2).sum(), 1.0)


def test_without_people_there_are_no_colours() -> None:
    colours, is_distinct = colours_of(picture(), np.zeros((0, 4), np.float32))
    assert (colours.shape[0], is_distinct.shape) == (0, (0,))


@given(st.integers(1, 60))
def test_a_memory_is_the_mean_of_its_looks_and_does_not_grow(count) -> None:
    memory, random = ColourMemory(), np.random.default_rng(count)
    looks = random.random((count, 4)) + 0.1
    for number, look in enumerate(looks):
        assert memory.is_due(number * 0.1)
        memory.add(number * 0.1, look)
        assert not memory.is_due(number * 0.1 + 0.05)
    assert len(memory.latest) == min(count, 3)
    assert memory.count == min(max(count - 3, 0), 17)
    if count <= 20:
        mean = looks.mean(0)
        np.testing.assert_allclose(memory.whole(), mean / np.linalg.norm(mean))
