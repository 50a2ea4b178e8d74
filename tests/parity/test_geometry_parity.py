"""Both geometries against mmpose 0.x, and without a bias in all corners of the crop.

No test here may be skipped, because a network that is used with another geometry than it was trained with is off by up
to 1.6 % of the crop.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realtime.pose.crop import Crowd, crop_people, windows
from realtime.pose.decode import decode, to_frame
from realtime.pose.decode_on_device import DeviceDecoder
from realtime.pose.on_device import crop_people_on_device
from realtime.runtime.lane import Lane
from tests.pose import mmpose
from tests.pose.checkpoints import CPU, picture

SIZE, HEATMAP = (192, 256), (48, 64)
GEOMETRIES = ["udp", "plain"]
BOXES = [
    # x1 y1 x2 y2
    (50, 30, 130, 190),  # on whole pixels
    (50.25, 30.5, 131.75, 190.125),  # not on whole pixels
    (90, 20, 110, 200),  # thin
    (20, 90, 180, 120),  # flat
    (-60, -40, 40, 90),  # beyond the border
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("box", BOXES)
def test_a_crop_equals_that_of_mmpose(box, geometry):
    image, boxes = picture(200, 220), np.array([box], np.float32)
    ours = crop_people([image], np.array([0]), *windows(boxes, SIZE, geometry), SIZE)[0]
    theirs = mmpose.crop(image, boxes[0], SIZE, geometry == "udp")
    # OpenCV rounds coordinates to 1/32 pixel, which is up to 5 grey levels on this noisy picture; on the line where the
    # frame ends, it blends with black.
    inside = ~(theirs == 0).all(axis=2) & ~(ours == 0).all(axis=2)
    assert inside.mean() > 0.2
    difference = np.abs(ours.astype(int) - theirs.astype(int))[inside]
    assert np.quantile(difference, 0.98) <= 5
    other = crop_people([image], np.array([0]), *windows(boxes, SIZE, GEOMETRIES[geometry == "udp"]), SIZE)[0]
    wrong = np.abs(other.astype(int) - theirs.astype(int))[inside]
    assert wrong.mean() > 3 * difference.mean()


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("box", BOXES)
def test_points_of_the_heatmap_are_mapped_to_the_frame_as_by_mmpose(box, geometry):
    boxes = np.array([box], np.float32)
    points = np.random.default_rng(0).uniform((0, 0), HEATMAP, (20, 2))
    found = to_frame(points[np.newaxis].astype(np.float32), *windows(boxes, SIZE, geometry), HEATMAP, geometry)[0]
    np.testing.assert_allclose(found, mmpose.transform_preds(points, boxes[0], SIZE, geometry == "udp"), atol=2e-4)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("box", BOXES)
def test_the_target_of_a_point_is_decoded_to_the_same_point(box, geometry):
    boxes = np.array([box], np.float32)
    points = np.random.default_rng(1).uniform(boxes[0, :2], boxes[0, 2:], (20, 2))
    target = mmpose.to_heatmap(points, boxes[0], SIZE, geometry == "udp")
    found = to_frame(target[np.newaxis].astype(np.float32), *windows(boxes, SIZE, geometry), HEATMAP, geometry)[0]
    np.testing.assert_allclose(found, points, atol=2e-4)


def on_the_cpu(crowd):
    crops = crop_people(*crowd, SIZE)
    return crops, lambda maps: decode(maps, 2.0)[0]


def on_a_device(crowd):
    crops = crop_people_on_device(Lane(CPU), crowd, SIZE, 0).numpy()
    return crops, lambda maps: DeviceDecoder(2.0, CPU)(torch.from_numpy(maps)).numpy()[..., :2]


@pytest.mark.parametrize("path", [on_the_cpu, on_a_device])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_dot_in_each_corner_of_the_crop_is_found_where_it_is(corner, geometry, path):
    # The dot is drawn into the frame, cropped, sampled as an ideal network of this geometry would answer, decoded, and
    # mapped back to the frame. A pixel of the crop is 0.94 pixels of the frame.
    boxes = np.array([[60.3, 45.7, 180.1, 237.9]], np.float32)
    centers, scales = windows(boxes, SIZE, geometry)
    # 15 % of the crop's sides from its corner: nearer, its blur of 11 pixels reaches beyond the heatmap.
    near = (centers - scales / 2 + scales * (0.15 + 0.7 * np.array(corner)))[0]
    rows, columns = (axis.astype(np.float32) for axis in np.ogrid[:290, :250])
    errors = []
    for x, y in near + np.random.default_rng(0).uniform(-3, 3, (12, 2)):
        sigma = 2.0 * scales[0] / HEATMAP  # of a dot that is a target of the training
        dot = np.exp(-((columns - x) ** 2) / (2 * sigma[0] ** 2)) * np.exp(-((rows - y) ** 2) / (2 * sigma[1] ** 2))
        image = np.rint(255 * dot).astype(np.uint8)[..., np.newaxis].repeat(3, axis=2)
        crops, peaks = path(Crowd([image], np.array([0]), centers, scales))
        maps = as_a_network(crops[0, ..., 0].astype(np.float32) / 255, geometry)
        errors.append(to_frame(peaks(maps[np.newaxis, np.newaxis]), centers, scales, HEATMAP, geometry)[0, 0] - (x, y))
    assert np.abs(np.mean(errors, axis=0)).max() <= 0.02
    assert np.abs(errors).max() < 0.1


def as_a_network(crop, geometry):
    """The answer of an ideal network of this geometry: the crop at the pixels of its heatmap, interpolated linearly."""
    last = np.array(SIZE[::-1]) - 1
    steps = last / (np.array(HEATMAP[::-1]) - 1) if geometry == "udp" else (4, 4)
    rows, columns = (np.arange(n) * step for n, step in zip(HEATMAP[::-1], steps, strict=True))
    crop = np.stack([np.interp(rows, np.arange(SIZE[1]), line) for line in crop.T], axis=1)
    return np.stack([np.interp(columns, np.arange(SIZE[0]), line) for line in crop], axis=0).astype(np.float32)


def test_the_other_geometry_would_be_seen():
    """With UDP, a plain network's point in the far corner of the crop is 1.6 % of its width off."""
    boxes = np.array([BOXES[0]], np.float32)
    corner = np.array([[[47.0, 63.0]]], np.float32)
    right, wrong = (to_frame(corner, *windows(boxes, SIZE, name), HEATMAP, name)[0, 0] for name in ("plain", "udp"))
    off = (wrong - right) / windows(boxes, SIZE)[1][0]
    np.testing.assert_allclose(off, (1 / 48, 1 / 64), rtol=0.05)
