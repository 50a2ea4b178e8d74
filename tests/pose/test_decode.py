from __future__ import annotations

import numpy as np
import pytest

from realtime.pose.crop import crop_people, windows
from realtime.pose.decode import decode, gaussian, to_frame

MIDDLE = (23.5, 31.5)


def bump(x, y, width=48, height=64, peak=1.0, sigma=2.0):
    rows, columns = np.mgrid[:height, :width]
    return (peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))).astype(np.float32)


def decode_one(heatmap, sigma=2.0):
    keypoints, scores = decode(heatmap[np.newaxis, np.newaxis], sigma)
    return keypoints[0, 0], scores[0, 0]


@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_a_gaussian_is_found_where_it_is(sigma):
    for x, y in ((20.0, 30.0), (20.5, 30.5), (17.3, 40.8), (10.01, 10.99)):
        place, score = decode_one(bump(x, y, peak=0.8), sigma)
        np.testing.assert_allclose(place, (x, y), atol=0.01)
        assert score == pytest.approx(0.8, abs=0.06)  # the score is the height of the nearest pixel


NOT_A_PEAK = [
    np.zeros((64, 48)),  # empty
    np.full((64, 48), 0.3),  # flat: equally likely everywhere
    np.full((64, 48), -0.3),  # flat below zero
    -bump(20, 30),  # negative everywhere
    np.full((64, 48), np.nan),  # the network failed
    np.where(bump(20, 30) > 0.5, np.nan, bump(20, 30)),  # NaN at the peak only
    np.where(bump(20, 30) > 0.5, np.inf, bump(20, 30)),  # the peak overflowed
    np.full((64, 48), -np.inf),  # everything overflowed to minus infinity
]


@pytest.mark.parametrize("heatmap", NOT_A_PEAK)
@pytest.mark.filterwarnings("error")
def test_a_map_without_a_peak_yields_its_middle_with_score_0(heatmap):
    place, score = decode_one(heatmap.astype(np.float32))
    assert tuple(place) == MIDDLE
    assert score == 0


STRANGE = [
    bump(0, 0),  # in the top left corner
    bump(47, 63),  # in the bottom right corner
    bump(-3, 30),  # peak beyond the border
    bump(20, 30, peak=900),  # above the upper limit of the logarithm
    bump(20, 30, peak=1e-6),  # below its lower limit
    bump(20, 30) + bump(22, 30),  # two peaks that merge
    np.where(np.arange(64 * 48).reshape(64, 48) == 1000, 1, -5),  # a single pixel
    np.where(bump(20, 30) < 0.1, -np.inf, bump(20, 30)),  # minus infinity around the peak
    np.indices((64, 48)).sum(axis=0) / 200,  # a slope up to the corner
]


@pytest.mark.parametrize("heatmap", STRANGE)
@pytest.mark.filterwarnings("error")
def test_the_peak_of_an_unusual_map_is_near_its_highest_pixel(heatmap):
    heatmap = heatmap.astype(np.float32)
    place, score = decode_one(heatmap)
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert np.hypot(*(place - (x, y))) <= 5
    assert 0 < score <= 1


def test_noise_never_moves_a_keypoint_beyond_the_blurs_reach():
    maps = np.random.default_rng(0).standard_normal((40, 17, 64, 48)).astype(np.float32)
    for sigma in (0.8, 2.0):
        keypoints, _ = decode(maps, sigma)
        peaks = maps.reshape(40, 17, -1).argmax(axis=2)
        assert np.hypot(keypoints[..., 0] - peaks % 48, keypoints[..., 1] - peaks // 48).max() <= 5.001


def test_320_people_in_one_batch_equal_each_person_alone():
    # Hugging Face's decoder is off by 12 to 35 px with about 299 people or more, because float32 can't count beyond
    # 2**24 pixels.
    rng = np.random.default_rng(0)
    places = rng.uniform(8, 39, (320, 17, 2))
    maps = np.stack([bump(x, y) for x, y in places.reshape(-1, 2)]).reshape(320, 17, 64, 48)
    keypoints, scores = decode(maps, 2.0)
    np.testing.assert_allclose(keypoints, places, atol=0.01)
    for person in (0, 150, 298, 299, 319):
        alone, score = decode(maps[person : person + 1], 2.0)
        np.testing.assert_allclose(alone[0], keypoints[person], atol=1e-5)
        np.testing.assert_array_equal(score[0], scores[person])


def test_an_empty_batch_yields_empty_arrays():
    keypoints, scores = decode(np.zeros((0, 17, 64, 48), np.float32), 2.0)
    assert keypoints.shape == (0, 17, 2)
    assert scores.shape == (0, 17)
    assert keypoints.dtype == scores.dtype == np.float32


def test_the_middle_of_a_heatmap_is_the_middle_of_the_box():
    boxes = np.array([[10, 20, 50, 100], [-30, 5, 400, 90]], np.float32)
    centers, scales = windows(boxes, (192, 256))
    points = np.tile(np.array(MIDDLE, np.float32), (2, 17, 1))
    placed = to_frame(points, centers, scales, (48, 64))
    np.testing.assert_allclose(placed[:, 0], [[30, 60], [185, 47.5]], atol=1e-4)


DOTS = [
    # size of the crop that is decoded, the dot's sigma in frame pixels
    ((192, 256), 3.0),  # the network's input size
    ((48, 64), 6.0),  # the network's output size
]


@pytest.mark.parametrize(("size", "sigma"), DOTS)
def test_crop_and_decode_together_have_no_bias(size, sigma):
    # Rounded boxes or inconsistent half-pixel conventions would show here as a constant error of 0.7 px or more.
    centers, scales = windows(np.array([[60.3, 40.7, 180.1, 331.9]], np.float32), (192, 256))
    rows, columns = np.mgrid[:400, :260]
    errors = []
    for x, y in np.random.default_rng(0).uniform((90, 80), (150, 280), (40, 2)):
        dot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
        image = np.rint(dot).astype(np.uint8)[..., np.newaxis].repeat(3, axis=2)
        crops = crop_people([image], np.array([0]), centers, scales, size)
        maps = crops[..., 0].astype(np.float32)[:, np.newaxis] / 255
        keypoints, _ = decode(maps, 2.0)
        errors.append(to_frame(keypoints, centers, scales, size)[0, 0] - (x, y))
    np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.02)
    assert np.abs(errors).max() < 0.2


def test_the_blur_of_a_peak_is_that_of_the_whole_mirrored_map():
    # A bump whose blurred logarithm is not a parabola: the step depends on each of its nine pixels.
    rng = np.random.default_rng(1)
    maps = rng.random((30, 12, 10)).astype(np.float32) ** 2
    taps = gaussian(0.8)
    keypoints, _ = decode(maps[np.newaxis], 0.8)
    for heatmap, place in zip(maps, keypoints[0], strict=True):
        padded = np.pad(heatmap.astype(np.float64), 7, mode="symmetric")
        blurred = np.array([[taps @ padded[y : y + 11, x : x + 11] @ taps for x in range(14)] for y in range(16)])
        y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
        z = np.log(np.clip(blurred[y + 1 : y + 4, x + 1 : x + 4], 0.001, 50))
        slope = np.array([z[1, 2] - z[1, 0], z[2, 1] - z[0, 1]]) / 2
        mixed = (z[2, 2] - z[1, 2] - z[2, 1] + 2 * z[1, 1] - z[1, 0] - z[0, 1] + z[0, 0]) / 2
        bend = np.array([[z[1, 2] - 2 * z[1, 1] + z[1, 0], mixed], [mixed, z[2, 1] - 2 * z[1, 1] + z[0, 1]]])
        step = -np.linalg.solve(bend + np.eye(2) * np.finfo(np.float32).eps, slope)
        expected = np.array((x, y)) + (step if np.hypot(*step) <= 5 else 0)
        np.testing.assert_allclose(place, expected, atol=1e-4)
