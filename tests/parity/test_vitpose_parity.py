"""Our crop, our decoder and the whole pose path against Hugging Face's processor and mmpose's decoder.

No test here may be skipped, because the package claims to follow these references.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor
from transformers.models.vitpose.image_processing_vitpose import (
    box_to_center_and_scale,
    get_keypoint_predictions,
    post_dark_unbiased_data_processing,
    transform_preds,
)

from realtime.pose.crop import crop_people, windows
from realtime.pose.decode import decode, to_frame
from tests.pose.checkpoints import KINDS, load_vitpose, picture, save_checkpoint, xywh

SIZE = (192, 256)

# ---- crop

BOXES = [
    # box x1 y1 x2 y2, frame width, frame height
    ((50, 30, 130, 190), 200, 220),  # well inside
    ((50.25, 30.5, 131.75, 190.125), 200, 220),  # not on whole pixels
    ((0, 0, 200, 220), 200, 220),  # the whole frame
    ((-60, -40, 40, 90), 200, 220),  # beyond the top left corner
    ((150, 120, 320, 300), 200, 220),  # beyond the bottom right corner
    ((500, 500, 600, 700), 200, 220),  # entirely outside
    ((-300, -300, -200, -100), 200, 220),  # entirely outside, negative coordinates
    ((90, 100, 91, 101), 200, 220),  # one pixel
    ((0, 0, 1, 1), 200, 220),  # one pixel in the corner
    ((199, 219, 200, 220), 200, 220),  # one pixel in the other corner
    ((-5000, -4000, 6000, 9000), 200, 220),  # huge: the frame fills a tiny part of it
    ((0, 100, 200, 104), 200, 220),  # flat
    ((100, 0, 102, 220), 200, 220),  # thin
    ((0, 0, 1, 40), 1, 40),  # a frame of one column
    ((0, 0, 40, 1), 40, 1),  # a frame of one row
    ((0, 0, 1, 1), 1, 1),  # a frame of one pixel
    ((0, 0, 96, 128), 96, 128),  # only the window's padding is outside
    ((9.6, 12.8, 86.4, 115.2), 97, 129),  # the window ends on the frame's border, up to rounding
    ((9.5, 12.7, 85.5, 114.0333), 96, 128),  # the same, half a pixel off
]


@pytest.mark.parametrize(("box", "width", "height"), BOXES)
def test_a_crop_equals_that_of_hugging_face_within_one_grey_level(box, width, height):
    image = picture(width, height)
    boxes = np.array([box], np.float32)
    centers, scales = windows(boxes, SIZE)
    ours = crop_people([image], np.array([0]), centers, scales, SIZE)[0]
    rgb = np.ascontiguousarray(image[..., ::-1])
    bytes_only = VitPoseImageProcessor(do_rescale=False, do_normalize=False)
    theirs = bytes_only([rgb], boxes=[xywh(boxes)], return_tensors="np", input_data_format="channels_last")
    difference = np.abs(theirs["pixel_values"][0].transpose(1, 2, 0)[..., ::-1].astype(int) - ours.astype(int))
    # They interpolate in float64, we in float32, so a value close to .5 can round either way.
    assert difference.max() <= 1


def test_windows_on_the_border_of_the_frame_lose_the_same_rows_as_with_hugging_face():
    # In these 100 frames the window ends on the frame's border, up to rounding, which decides which pixels are inside.
    for width in range(30, 130):
        height = round((width - 1) * 4 / 3) + 1
        image = picture(width, height, seed=width)
        side = np.array([width - 1, (width - 1) * 4 / 3]) / 1.25
        middle = np.array([width - 1, (width - 1) * 4 / 3]) / 2
        boxes = np.concatenate((middle - side / 2, middle + side / 2)).astype(np.float32)[np.newaxis]
        centers, scales = windows(boxes, SIZE)
        ours = crop_people([image], np.array([0]), centers, scales, SIZE)[0]
        bytes_only = VitPoseImageProcessor(do_rescale=False, do_normalize=False)
        theirs = bytes_only([image], boxes=[xywh(boxes)], return_tensors="np", input_data_format="channels_last")
        assert np.abs(theirs["pixel_values"][0].transpose(1, 2, 0).astype(int) - ours.astype(int)).max() <= 1, width


def test_centers_and_scales_equal_those_of_hugging_face_bit_for_bit():
    rng = np.random.default_rng(0)
    corners = rng.uniform(-500, 4000, (500, 2, 2))
    boxes = np.concatenate((corners.min(axis=1), corners.max(axis=1) + 1), axis=1).astype(np.float32)
    centers, scales = windows(boxes, SIZE)
    theirs = [box_to_center_and_scale(box, image_width=SIZE[0], image_height=SIZE[1]) for box in xywh(boxes)]
    np.testing.assert_array_equal(centers, [center for center, _ in theirs])
    np.testing.assert_array_equal(scales, [scale * np.float32(200) for _, scale in theirs])


# ---- decode


def bumps(people: int, noise: float, margin: float, seed: int = 0) -> np.ndarray:
    """Heatmaps (people, 17, 64, 48), each a Gaussian at least `margin` px inside the border (negative: outside)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(margin, 47 - margin, (people, 17, 1, 1))
    y = rng.uniform(margin, 63 - margin, (people, 17, 1, 1))
    height = rng.uniform(0.3, 1.0, (people, 17, 1, 1))
    rows, columns = np.mgrid[:64, :48]
    maps = height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2))
    return (maps + noise * rng.standard_normal(maps.shape)).astype(np.float32)


HEATMAPS = [
    # noise, margin
    (0.0, 4),  # clean, inside
    (0.0, -0.4),  # clean, up to the border
    (0.02, 4),  # noisy, inside
    (0.02, -0.4),  # noisy, up to the border
]


@pytest.mark.parametrize(("noise", "margin"), HEATMAPS)
def test_decoding_with_sigma_0_8_equals_hugging_face(noise, margin):
    maps = bumps(12, noise, margin)
    peaks, heights = get_keypoint_predictions(maps)
    theirs = post_dark_unbiased_data_processing(peaks, maps, kernel=11)
    keypoints, scores = decode(maps, sigma=0.8)
    # They blur and take logarithms in float32, we in float64; measured: 2e-6.
    np.testing.assert_allclose(keypoints, theirs, atol=1e-4)
    np.testing.assert_array_equal(scores, np.clip(heights[..., 0], 0, 1))


def mmpose_post_dark_udp(maps: np.ndarray, border: int) -> np.ndarray:
    """The decoder in mmpose/core/evaluation/top_down_eval.py of mmpose 0.x, rewritten for one heatmap at a time."""
    places = np.zeros((*maps.shape[:2], 2))
    for index in np.ndindex(*maps.shape[:2]):
        y, x = np.unravel_index(maps[index].argmax(), maps[index].shape)
        blurred = cv2.GaussianBlur(maps[index], (11, 11), 0, borderType=border)
        z = np.pad(np.log(np.clip(blurred, 0.001, 50)), 1, mode="edge")[y : y + 3, x : x + 3].astype(np.float64)
        gradient = np.array([z[1, 2] - z[1, 0], z[2, 1] - z[0, 1]]) / 2
        xx = z[1, 2] - 2 * z[1, 1] + z[1, 0]
        yy = z[2, 1] - 2 * z[1, 1] + z[0, 1]
        xy = (z[2, 2] - z[1, 2] - z[2, 1] + 2 * z[1, 1] - z[1, 0] - z[0, 1] + z[0, 0]) / 2
        hessian = np.array([[xx, xy], [xy, yy]]) + np.finfo(np.float32).eps * np.eye(2)
        places[index] = (x, y) - np.linalg.solve(hessian, gradient)
    return places


DARK = [
    # noise, margin, OpenCV's border rule
    (0.0, 6, cv2.BORDER_DEFAULT),  # clean, where the kernel meets no border: mmpose unchanged
    (0.02, 6, cv2.BORDER_DEFAULT),  # the same, noisy
    (0.0, -0.4, cv2.BORDER_REFLECT),  # up to the border, with mirroring there, as we do
    (0.02, -0.4, cv2.BORDER_REFLECT),  # the same, noisy
]


@pytest.mark.parametrize(("noise", "margin", "border"), DARK)
def test_decoding_with_sigma_2_equals_mmpose(noise, margin, border):
    maps = bumps(6, noise, margin)
    keypoints, _ = decode(maps, sigma=2.0)
    # OpenCV blurs in float32; the error after the logarithm and two differences, measured: 3e-5.
    np.testing.assert_allclose(keypoints, mmpose_post_dark_udp(maps, border), atol=1e-3)


def test_the_transform_back_to_the_frame_equals_that_of_hugging_face():
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 66, (5, 17, 2)).astype(np.float32)
    boxes = np.array(
        [[10, 20, 300, 900], [0, 0, 3, 4], [1000, 5, 1900, 800], [-50, -9, 7, 70], [3, 3, 9, 4]], np.float32
    )
    centers, scales = windows(boxes, SIZE)
    theirs = [
        transform_preds(point, center, scale / np.float32(200), (64, 48))
        for point, center, scale in zip(points, centers, scales, strict=True)
    ]
    # The last few bits of float32 at about 2000 px.
    np.testing.assert_allclose(to_frame(points, centers, scales, (48, 64)), theirs, atol=1e-3)


# ---- the whole path


def test_the_network_receives_the_same_input_as_from_hugging_face(tmp_path):
    folder = save_checkpoint(tmp_path)
    image = picture(640, 480)
    boxes = np.array([[40.5, 60, 180, 400], [-40, 200, 90, 620]], np.float32)
    model = load_vitpose(folder, decode_sigma=0.8)
    given = []
    # Our network takes BGR: flip its input to compare it with their RGB.
    network = model._engine._network._network
    network.module.register_forward_pre_hook(lambda module, args: given.append(args[0].flip(1).numpy()))
    model.estimate([image], [boxes])
    processor = VitPoseImageProcessor.from_pretrained(folder)
    theirs = processor([image[..., ::-1].copy()], boxes=[xywh(boxes)], return_tensors="np")["pixel_values"]
    assert (given[0] == theirs).mean() > 0.999  # the rest differ by one grey level, as the crops do
    np.testing.assert_allclose(given[0], theirs, atol=1.01 / (255 * 0.224))


@pytest.mark.parametrize("kind", KINDS)
def test_keypoints_equal_those_of_hugging_face(kind, tmp_path):
    folder = save_checkpoint(tmp_path, **KINDS[kind])
    images = [picture(640, 480, seed=1), picture(300, 500, seed=2)]
    rng = np.random.default_rng(0)
    corners = rng.uniform(-50, 250, (2, 12, 2)).astype(np.float32)  # many partly outside
    boxes = list(np.concatenate((corners, corners + rng.uniform(20, 400, (2, 12, 2)).astype(np.float32)), axis=2))
    ours = load_vitpose(folder, decode_sigma=0.8).estimate(images, boxes)

    processor = VitPoseImageProcessor.from_pretrained(folder)
    module = VitPoseForPoseEstimation.from_pretrained(folder).eval()
    theirs_boxes = [xywh(part) for part in boxes]
    inputs = processor([image[..., ::-1].copy() for image in images], boxes=theirs_boxes, return_tensors="pt")
    with torch.inference_mode():
        index = torch.zeros(len(inputs["pixel_values"]), dtype=torch.long)
        outputs = module(**inputs, dataset_index=index)
    results = processor.post_process_pose_estimation(outputs, boxes=theirs_boxes)

    places = np.concatenate([np.stack([person["keypoints"] for person in image]) for image in results])
    scores = np.concatenate([np.stack([person["scores"] for person in image]) for image in results])
    ours = np.concatenate(ours)
    # With random weights some heatmaps have no clear maximum, and one grey level in the crop can select another peak.
    # Other peaks have no parabola to fit: we keep the peak, while their keypoint leaves the crop. That is why the
    # distances are compared by their 99th percentile, and only the scores one by one.
    distances = np.linalg.norm(ours[..., :2] - places, axis=-1)
    assert np.quantile(distances, 0.99) < 0.05
    assert np.median(distances) < 0.001
    np.testing.assert_allclose(ours[..., 2], np.clip(scores, 0, 1), atol=1e-3)
