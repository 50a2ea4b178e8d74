"""Score keypoints against annotations: average precision and recall by OKS, object keypoint similarity.

This is `python -m realtime.evaluate keypoints`. It runs the program's own detector and pose stages on single images,
without the tracker and the filter. pycocotools computes the score, and no other file imports it.
tests/evaluate/test_keypoints.py compares the scores with those of an independent scoring script, which is kept with the
evaluation data, outside this repository.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.capture.images import ImagesSource
from realtime.errors import ConfigError, OutputError
from realtime.evaluate.annotations import Dataset, Row, as_whole_body, columns, fitted, part_of, read_dataset
from realtime.evaluate.config_flags import add_keys, load_keys
from realtime.evaluate.processor import computed_with, processor
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.home import home_path
from realtime.loading import Models, load_models
from realtime.skeleton import COCO17, Skeleton
from realtime.skeletons.whole_body import WHOLEBODY133
from realtime.types import Detections, Frame, Poses, Tracks

# The measures that COCOeval summarises for keypoints, in its order.
MEASURES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
# Only keypoints above this score count towards a person's score. Source: Xiao, Wu and Wei, "Simple Baselines for Human
# Pose Estimation and Tracking", ECCV 2018, lib/dataset/coco.py, IN_VIS_THRE. mmpose and ViTPose do the same.
SEEN_SCORE = 0.2

# ---- the people that the program finds


def estimate(models: Models, dataset: Dataset, folder: Path, boxes: str) -> list[Row]:
    """Find the people in each image, and return them in COCO's format for results.

    Args:
        models: the program's stages.
        dataset: the images to process.
        folder: the folder of the image files.
        boxes: "truth" for the boxes of the annotated people, "detected" for those of the detector.

    Returns:
        One result per person: image_id, category_id, K x 3 keypoints (x, y in pixels, score), and the score by which
        COCO ranks results: the box score times the mean score of the keypoints above SEEN_SCORE.

    Raises:
        SourceError: an image is missing or can't be read.
        ConfigError: the size of an image differs from its annotation.
    """
    results: list[Row] = []
    for index, image in enumerate(progress(dataset.images, "keypoints", unit="images")):
        people = dataset.people.get(image["id"], [])
        if boxes == "truth" and not people:
            continue
        frame = _frame(folder / image["file_name"], image, index)
        tracks = _true(frame, people) if boxes == "truth" else _everybody(models.detect.process([frame])[0])
        categories = [row["category_id"] for row in people] if boxes == "truth" else dataset.categories[0]
        results += _results(models.pose.process([tracks])[0], image["id"], categories)
    return results


def _frame(path: Path, image: Row, index: int) -> Frame:
    """Read an image as a frame. Each image is its own epoch, because it does not continue the previous one."""
    picture = ImagesSource(str(path)).read()
    assert picture is not None
    pixels = picture.image
    assert pixels is not None  # ImagesSource raises if its only image can't be read
    frame = Frame("images", index, index, pixels, 0.0, captured_mono_ns=0, captured_unix_ns=0)
    expected = image.get("width", frame.size[0]), image.get("height", frame.size[1])
    if frame.size != expected:
        raise ConfigError(
            f"{path}: got {frame.size[0]}x{frame.size[1]}, expected {expected[0]}x{expected[1]} "
            "according to its annotation"
        )
    return frame


def _true(frame: Frame, people: Sequence[Row]) -> Tracks:
    xywh = np.array([person["bbox"] for person in people], np.float32)
    corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return _identified(frame, corners, np.ones(len(people), np.float32), None)


def _everybody(found: Detections) -> Tracks:
    return _identified(found.frame, found.xyxy, found.scores, found.keypoints)


def _identified(
    frame: Frame, xyxy: NDArray[np.float32], scores: NDArray[np.float32], keypoints: NDArray[np.float32] | None
) -> Tracks:
    """Build tracks without the tracker. Ids start at 1 in each image, because a single image has no past."""
    ids = np.arange(1, len(scores) + 1, dtype=np.int64)
    return Tracks(frame, xyxy, scores, ids, np.ones(len(scores), np.bool_), keypoints)


def _results(poses: Poses, image_id: int, categories: int | Sequence[int]) -> list[Row]:
    """Return the results of one image. `categories`: that of each person, or that of all."""
    seen = poses.keypoint_scores > SEEN_SCORE
    means = (poses.keypoint_scores * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    keypoints = np.concatenate([poses.keypoints, poses.keypoint_scores[..., None]], axis=2)
    keypoints = keypoints.reshape(len(poses), 3 * keypoints.shape[1])
    scores = poses.scores * means
    ids = [categories] * len(poses) if isinstance(categories, int) else categories
    return [
        {"image_id": image_id, "category_id": category, "keypoints": row, "score": score}
        for category, row, score in zip(ids, keypoints.tolist(), scores.tolist(), strict=True)
    ]


# ---- the score


def score(
    dataset: Dataset, results: Sequence[Row], skeleton: Skeleton = COCO17, kept: Sequence[int] | None = None
) -> dict[str, float]:
    """Compute the average precision and recall (OKS) of results with pycocotools.

    Args:
        dataset: the ground truth. Every image counts: a person in an image without results is missed, and a result in
            an image without people is a false positive.
        results: the people found, as returned by `estimate`.
        skeleton: the keypoints of both, with their sigmas.
        kept: score only these keypoints; None: all.

    Returns:
        MEASURES in percent; NaN if the dataset has no people of that size. With several categories, their mean.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    kept = range(len(skeleton)) if kept is None else kept
    body = skeleton.indices(["body"]) or range(len(skeleton))
    found = [_cut(row, kept, body) for row in results]
    # A part of which no keypoint has a score is not a result. Source: xtcocotools, which scores COCO-WholeBody.
    found = [row for row in found if any(score > 0 for score in row["keypoints"][2::3])]
    if not found:
        return dict.fromkeys(MEASURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints every step
        truth = COCO()
        truth.dataset = dataset.coco if len(kept) == len(skeleton) else part_of(dataset, kept)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "keypoints")
        evaluation.params.catIds = list(dataset.categories)
        evaluation.params.imgIds = sorted(truth.imgs)
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)[list(kept)]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [100 * float(value) if value >= 0 else np.nan for value in evaluation.stats]
    return dict(zip(MEASURES, values, strict=True))


def _cut(row: Row, kept: Sequence[int], body: Sequence[int]) -> Row:
    """A result with some keypoints. Its area is that of the body, by which COCO tells small results from large ones."""
    places = np.array(row["keypoints"]).reshape(-1, 3)[list(body), :2]
    begin, end = places.min(axis=0), places.max(axis=0)
    return {**row, "keypoints": columns(row["keypoints"], kept), "bbox": [*begin.tolist(), *(end - begin).tolist()]}


def parts_of(skeleton: Skeleton) -> dict[str, list[int]]:
    """Return the parts that are scored separately, and the indices of their keypoints. A set of one part has none.

    The hands are scored one by one, as COCO-WholeBody's evaluation does.

    >>> parts_of(COCO17)
    {}
    """
    found: dict[str, list[int]] = {}
    for part in skeleton.parts if len(skeleton.parts) > 1 else ():
        indices = list(range(part.begin, part.end))
        if part.name == "hands":
            for side in ("left", "right"):
                found[f"{side} hand"] = [i for i in indices if skeleton.keypoint_names[i].startswith(f"{side}_")]
        else:
            found[part.name] = indices
    return found


# ---- python -m realtime.evaluate keypoints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `keypoints`."""
    add = parser.add_argument
    add(
        "--annotations",
        type=home_path,
        required=True,
        metavar="FILE",
        help="keypoints in COCO's JSON format, also those of COCO-WholeBody or of animals (AP-10K)",
    )
    add("--images", type=home_path, required=True, metavar="FOLDER", help="folder of the images")
    add(
        "--boxes",
        choices=("truth", "detected"),
        default="detected",
        help="boxes for the pose model: annotated or detected ones; default: detected",
    )
    add("--limit", type=int, metavar="N", help="evaluate only the N images with the lowest ids")
    add("--results", type=home_path, metavar="FILE", help="write the estimated keypoints as a COCO results file")
    # In a single image, the people that pose.max_people leaves out would never be measured, and no frame is skipped.
    without = ("pose.max_people", "detector.every")
    add_keys(parser, lambda key: key.startswith(("device", "detector.", "pose.")) and key not in without)


def run(options: argparse.Namespace) -> Report:
    """Find the people in every image, and score their keypoints.

    Raises:
        ConfigError: a flag or the annotations are wrong, or the model has other keypoints.
        ModelError: a model can't be found or loaded.
        SourceError: an image is missing or can't be read.
        OutputError: the results can't be written.
    """
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit: got {options.limit}, expected at least 1")
    config = load_keys(options)
    if config.pose.model == "detector" and options.boxes == "truth":
        raise ConfigError(
            "--boxes: got truth, expected detected: pose.model detector has keypoints for its own boxes only"
        )
    dataset = read_dataset(options.annotations, options.limit)
    models = load_models(config, concurrency=1)
    dataset = fitted(dataset, models.pose.skeleton, models.pose_name)
    if options.boxes == "detected":
        dataset = dataset.without_categories()
    results = estimate(models, dataset, options.images, options.boxes)
    if options.results is not None:
        is_whole = models.pose.skeleton.name == WHOLEBODY133.name
        _write(options.results, [as_whole_body(row) for row in results] if is_whole else results)
    return _report(models, dataset, results, options.boxes)


def _report(models: Models, dataset: Dataset, results: Sequence[Row], boxes: str) -> Report:
    skeleton = models.pose.skeleton
    measures = score(dataset, results, skeleton)
    parts = {name: score(dataset, results, skeleton, kept) for name, kept in parts_of(skeleton).items()}
    rows: list[list[Cell]] = [[models.pose_name, *(["whole"] if parts else []), *measures.values()]]
    rows += [["", name, *of_part.values()] for name, of_part in parts.items()]
    people = sum(map(len, dataset.people.values()))
    device = str(models.device)
    models_used = {"detector": models.detector_name, "pose": models.pose_name, "device": device}
    engines = {
        "detector": models.detect.engine_name if boxes == "detected" else None,
        "pose model": models.pose.engine_name,
    }
    return Report(
        f"keypoints: {len(dataset.images)} images, {people} people with keypoints, {len(results)} found, {boxes} boxes",
        ["pose model", *(["part"] if parts else []), *MEASURES],
        rows,
        {**models_used, "engines": engines, "processor": processor()[0], "boxes": boxes, "images": len(dataset.images),
         "people": people, "found": len(results), "skeleton": skeleton.name, "scores": measures, "parts": parts},
        ["OKS average precision and recall in percent, by pycocotools; m: people of 32^2 to 96^2 px, l: larger"]
        + ([f"the mean of {len(dataset.categories)} categories"] if len(dataset.categories) > 1 else [])
        + ([f"detector: {models.detector_name}"] if boxes == "detected" else [])
        + [computed_with(device, engines)],
    )  # fmt: skip


def _write(file: Path, results: Sequence[Row]) -> None:
    try:
        file.write_text(json.dumps(results) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"--results: can't write {file}: {error.strerror}") from None
