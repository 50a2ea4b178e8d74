"""Each engine and precision against float32 on real people, and real-size networks against Hugging Face.

Precisions below float32 are tested with a trained network, because in the heatmaps of a random one any rounding can
make another peak the maximum.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor
from transformers.models.vitpose.image_processing_vitpose import (
    get_keypoint_predictions,
    post_dark_unbiased_data_processing,
)

from realtime.models.openvino import native_precisions
from realtime.pose.crop import windows
from tests.pose.checkpoints import BASE, SMALL, load_vitpose, people, save_checkpoint, xywh
from tests.pose.training import SIZE, jittered_boxes

# The smoother follows keypoints with at least this score (smoothing.min_score).
CLEAR = 0.3

ENGINES = [
    # engine, precision, 99th percentile of the distance to torch in fp32, pixels of the crop
    ("openvino", "fp32", 0.01),  # measured: 0.00004
    ("torch", "fp16", 0.2),  # measured: 0.03
    ("torch", "bf16", 1.0),  # measured: 0.5
    ("openvino", "bf16", 1.0),  # measured: 0.4
    ("openvino", "int8", 1.5),  # measured: 0.5
]


@pytest.mark.timeout(600)  # the first test that needs the trained network waits for its training
@pytest.mark.parametrize(("engine", "precision", "tolerance"), ENGINES)
def test_keypoints_of_a_trained_network_match_float32(trained_vitpose, engine, precision, tolerance):
    if engine == "openvino" and precision not in native_precisions():
        pytest.skip(f"this CPU does not support {precision}: {precision} keypoints are NOT compared here")
    _, boxes = jittered_boxes(np.random.default_rng(5), 80, jitter=0.1)
    scales = windows(boxes, SIZE)[1][:, np.newaxis]
    expected = load_vitpose(trained_vitpose).estimate([people().image], [boxes])[0]
    model = load_vitpose(trained_vitpose, engine=engine, precision=precision)
    found = model.estimate([people().image], [boxes])[0]
    clear = expected[..., 2] >= CLEAR
    assert clear.mean() > 0.5
    distances = np.linalg.norm((found - expected)[..., :2] / scales * (np.array(SIZE) - 1), axis=-1)[clear]
    assert np.quantile(distances, 0.99) <= tolerance
    np.testing.assert_allclose(found[..., 2][clear], expected[..., 2][clear], atol=0.1)


SHALLOW = SMALL | {"num_hidden_layers": 3}
REAL_SIZES = [
    # head and experts, size, engines; all but vitpose-plus-small, which covers the full depth, have three layers
    ({"simple": True}, SHALLOW, ("torch", "openvino")),  # plain, simple head
    ({"simple": False}, SHALLOW, ("torch", "openvino")),  # plain, classic head
    ({"simple": False, "experts": 6}, SMALL, ("openvino",)),  # vitpose-plus-small
    ({"simple": True}, BASE | {"num_hidden_layers": 3}, ("torch",)),  # vitpose-base-simple
]


@pytest.mark.parametrize(("kind", "size", "engines"), REAL_SIZES)
def test_keypoints_of_real_size_networks_equal_those_of_hugging_face(tmp_path, kind, size, engines):
    folder = save_checkpoint(tmp_path / "vitpose", size=size, **kind)
    image, boxes = people()
    processor = VitPoseImageProcessor.from_pretrained(folder)
    module = VitPoseForPoseEstimation.from_pretrained(folder).eval()
    inputs = processor([image[..., ::-1].copy()], boxes=[xywh(boxes)], return_tensors="pt")
    with torch.inference_mode():
        outputs = module(**inputs, dataset_index=torch.zeros(len(boxes), dtype=torch.long))
    results = processor.post_process_pose_estimation(outputs, boxes=[xywh(boxes)])[0]
    places = np.stack([person["keypoints"] for person in results])
    scores = np.stack([person["scores"] for person in results])
    clear = is_clear(outputs.heatmaps.numpy())
    assert clear.mean() > 0.3
    for engine in engines:
        ours = load_vitpose(folder, tmp_path, engine=engine, decode_sigma=0.8).estimate([image], [boxes])[0]
        np.testing.assert_allclose(ours[..., 2], np.clip(scores, 0, 1), atol=2e-3)
        np.testing.assert_allclose(ours[..., :2][clear], places[clear], atol=0.05)


def is_clear(heatmaps: np.ndarray) -> np.ndarray:
    """Select the heatmaps (P, K, h, w) whose keypoint does not depend on rounding: bool (P, K).

    Their maximum exceeds all others by 0.5 % of the heatmap's range, and the decoder moves it by less than 1.5 px.
    """
    peaks, heights = get_keypoint_predictions(heatmaps)
    steps = post_dark_unbiased_data_processing(peaks.copy(), heatmaps, kernel=11) - peaks
    second = np.array(
        [
            np.where(np.hypot(*(np.indices(one.shape)[::-1] - peak[:, None, None])) < 1.5, -np.inf, one).max()
            for one, peak in zip(heatmaps.reshape(-1, *heatmaps.shape[2:]), peaks.reshape(-1, 2), strict=True)
        ]
    ).reshape(heatmaps.shape[:2])
    ahead = (heights[..., 0] - second) / (heights[..., 0] - heatmaps.min(axis=(2, 3)))
    return (ahead > 0.005) & (np.linalg.norm(steps, axis=2) < 1.5)
