from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import VitPoseForPoseEstimation

from realtime.errors import ModelError
from realtime.models.vitpose import describe, load_network
from tests.pose.checkpoints import SMALL, load_vitpose, people, picture, save_checkpoint


def crops_of(count, width=192, height=256):
    return torch.from_numpy(np.stack([picture(width, height, seed=i) for i in range(count)]))


@pytest.mark.parametrize("size", [{}, {"size": SMALL | {"num_hidden_layers": 2}}])
def test_folding_an_expert_changes_no_heatmap(tmp_path, size):
    folder = save_checkpoint(tmp_path, simple=False, experts=6, **size)
    crops = crops_of(3)
    folded, published = load_network(folder), load_network(folder, published=True)
    with torch.inference_mode():
        # The same products and sums, but libraries may split a wider matrix into different blocks.
        torch.testing.assert_close(folded(crops), published(crops), rtol=1e-5, atol=1e-5)
    count = {network: sum(p.numel() for p in network.parameters()) for network in (folded, published)}
    assert count[folded] < count[published]


def test_the_reordered_simple_head_computes_the_same_heatmaps(tmp_path):
    folder = save_checkpoint(tmp_path, simple=True, size=SMALL | {"num_hidden_layers": 2})
    crops = crops_of(2)
    with torch.inference_mode():
        expected = load_network(folder, published=True)(crops)
        torch.testing.assert_close(load_network(folder)(crops), expected, rtol=1e-5, atol=1e-5)
    assert expected[:, :, 0].abs().max() > 0.01  # not trivially 0 at the border, which the convolution pads


def test_the_experts_of_other_data_sets_are_not_used(tmp_path):
    folder = save_checkpoint(tmp_path, simple=False, experts=3)
    network = load_network(folder)
    module = VitPoseForPoseEstimation.from_pretrained(folder).eval()
    pixels = ((crops_of(1).float() - network.mean) / network.std).permute(0, 3, 1, 2).flip(1)
    with torch.inference_mode():
        ours = network(crops_of(1))
        coco, mpii = (module(pixels, dataset_index=torch.tensor([i])).heatmaps for i in (0, 2))
    torch.testing.assert_close(ours, coco, rtol=1e-4, atol=1e-5)
    assert (ours - mpii).abs().max() > 0.01


# ---- other input sizes


def test_the_trained_size_as_input_size_changes_nothing(tmp_path):
    folder = save_checkpoint(tmp_path)
    crops = crops_of(2)
    with torch.inference_mode():
        assert torch.equal(load_network(folder, (192, 256))(crops), load_network(folder)(crops))


@pytest.mark.parametrize(("width", "height"), [(288, 384), (144, 192), (192, 192)])
def test_heatmaps_are_a_quarter_of_any_input_size(tmp_path, width, height):
    folder = save_checkpoint(tmp_path, simple=False)
    network = load_network(folder, (width, height))
    with torch.inference_mode():
        heatmaps = network(crops_of(2, width, height))
    assert heatmaps.shape == (2, 17, height // 4, width // 4)
    assert describe(folder, (width, height)).input_size == (width, height)


def test_position_embeddings_are_resampled_as_in_the_authors_code(tmp_path):
    folder = save_checkpoint(tmp_path)
    files = {path: path.read_bytes() for path in folder.iterdir()}
    published = load_network(folder).module.backbone.embeddings.position_embeddings
    resized = load_network(folder, (288, 384)).module.backbone.embeddings.position_embeddings
    # mmcv_custom/checkpoint.py of ViTPose: bicubic, align_corners=False, the extra token unchanged.
    grid = published[:, 1:].reshape(1, 16, 12, 32).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, size=(24, 18), mode="bicubic", align_corners=False)
    torch.testing.assert_close(resized[:, 1:], expected.permute(0, 2, 3, 1).flatten(1, 2))
    torch.testing.assert_close(resized[:, :1], published[:, :1])
    assert files == {path: path.read_bytes() for path in folder.iterdir()}  # the checkpoint's files are unchanged


def test_an_input_size_must_be_a_multiple_of_the_patch_size(tmp_path):
    with pytest.raises(ModelError, match="multiples of 16x16"):
        load_network(save_checkpoint(tmp_path), (200, 256))


OTHER_SIZES = [
    # height x width, largest median distance to the keypoints at the trained size in pixels of the frame
    ("320x240", 10),  # a quarter larger; measured: 4.8
    ("224x160", 10),  # a sixth smaller; measured: 4.0
    ("384x288", 12),  # 1.5 times, hard for a network trained at a single size; measured: 4.9
]


@pytest.mark.timeout(600)  # trains the network, unless an earlier test has
@pytest.mark.parametrize(("input_size", "tolerance"), OTHER_SIZES)
def test_a_trained_network_finds_people_at_other_sizes(trained_vitpose, input_size, tolerance):
    image, boxes = people()
    expected = load_vitpose(trained_vitpose).estimate([image], [boxes])[0]
    found = load_vitpose(trained_vitpose, input_size=input_size).estimate([image], [boxes])[0]
    distances = np.linalg.norm((found - expected)[..., :2], axis=-1)[expected[..., 2] > 0.5]
    assert np.median(distances) < tolerance  # the people are 200 to 360 px tall
