"""Score keypoints against COCO annotations: average precision and recall by OKS, object keypoint similarity.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.capture.images import ImagesSource
from realtime.errors import ConfigError, OutputError
from realtime.evaluate.config_flags import add_keys, load_keys
from realtime.evaluate.processor import computed_with, processor
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Report
from realtime.home import home_path
from realtime.loading import Models, load_models
from realtime.skeleton import COCO17
from realtime.types import Detections, Frame, Poses, Tracks

# The measures that COCOeval summarises for keypoints, in its order.
MEASURES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
# Only keypoints above this score count towards a person's score. Source: Xiao, Wu and Wei, "Simple Baselines for Human
# Pose Estimation and Tracking", ECCV 2018, lib/dataset/coco.py, IN_VIS_THRE. mmpose and ViTPose do the same.
SEEN_SCORE = 0.2

Row = dict[str, Any]  # Any: COCO's annotations and results mix numbers, strings and lists


# ---- the dataset


@dataclass(frozen=True)
class Dataset:
    """Images with people annotated in COCO's format.

    Attributes:
        images: the entries of COCO's "images" that are evaluated.
        people: image id to the annotations of its people that have keypoints and are not crowds. With `--boxes truth`
            the pose model receives the boxes of these people.
        coco: the annotation file, reduced to these images and to annotations of people.
        category_id: the id of the category "person".
    """

    images: Sequence[Row]
    people: Mapping[int, Sequence[Row]]
    coco: Row
    category_id: int


def read_dataset(annotations: Path, limit: int | None = None) -> Dataset:
    """Read an annotation file.

    Args:
        annotations: a JSON file such as COCO's person_keypoints_val2017.json.
        limit: keep only this many images, those with the lowest ids.

    Raises:
        ConfigError: the file can't be read, or is not in COCO's format with 17 keypoints.
    """
    try:
        coco = json.loads(annotations.read_bytes())
        images = sorted(coco["images"], key=lambda image: int(image["id"]))[:limit]
        ids = {image["id"] for image in images}
        people: dict[int, list[Row]] = {}
        for person in coco["annotations"]:
            person.setdefault("iscrowd", 0)
            person.setdefault("num_keypoints", int((np.array(person["keypoints"][2::3]) > 0).sum()))
            if len(person["keypoints"]) != 3 * len(COCO17):
                raise ConfigError(
                    f"{annotations}: annotation {person['id']} has {len(person['keypoints'])} numbers in keypoints, "
                    f"expected {3 * len(COCO17)}"
                )
            _ = person["area"], person["bbox"]
            if person["image_id"] in ids and person["num_keypoints"] and not person["iscrowd"]:
                people.setdefault(person["image_id"], []).append(person)
        categories = {category["name"]: int(category["id"]) for category in coco["categories"]}
    except OSError as error:
        raise ConfigError(f"--annotations: can't read {annotations}: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"--annotations: {annotations}: not JSON in COCO's format: {error}") from None
    except KeyError as error:
        raise ConfigError(f"--annotations: {annotations}: no key {error}, expected COCO's keys") from None
    if not people or "person" not in categories:
        raise ConfigError(f"--annotations: {annotations}: found no people with keypoints, expected at least one")
    category_id = categories["person"]
    kept = [person for person in coco["annotations"] if person["image_id"] in ids]
    kept = [person for person in kept if person["category_id"] == category_id]
    return Dataset(images, people, {"info": {}, **coco, "images": images, "annotations": kept}, category_id)


# ---- the people that the program finds


def estimate(models: Models, dataset: Dataset, folder: Path, boxes: str) -> list[Row]:
    """Find the people in each image, and return them in COCO's format for results.

    Args:
        models: the program's stages.
        dataset: the images to process.
        folder: the folder of the image files.
        boxes: "truth" for the boxes of the annotated people, "detected" for those of the detector.

    Returns:
        One result per person: image_id, category_id, 17 x 3 keypoints (x, y in pixels, score), and the score by which
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
        results += _results(models.pose.process([tracks])[0], image["id"], dataset.category_id)
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


def _results(poses: Poses, image_id: int, category_id: int) -> list[Row]:
    seen = poses.keypoint_scores > SEEN_SCORE
    means = (poses.keypoint_scores * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    keypoints = np.concatenate([poses.keypoints, poses.keypoint_scores[..., None]], axis=2)
    keypoints = keypoints.reshape(len(poses), 3 * len(COCO17))
    scores = poses.scores * means
    return [
        {"image_id": image_id, "category_id": category_id, "keypoints": row, "score": score}
        for row, score in zip(keypoints.tolist(), scores.tolist(), strict=True)
    ]


# ---- the score


def score(dataset: Dataset, results: Sequence[Row]) -> dict[str, float]:
    """Compute the average precision and recall (OKS) of results with pycocotools.

    Args:
        dataset: the ground truth. Every image counts: a person in an image without results is missed, and a result in
            an image without people is a false positive.
        results: the people found, as returned by `estimate`.

    Returns:
        MEASURES in percent; NaN if the dataset has no people of that size.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        return dict.fromkeys(MEASURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints every step
        truth = COCO()
        truth.dataset = dataset.coco
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(row) for row in results]), "keypoints")
        evaluation.params.catIds = [dataset.category_id]
        evaluation.params.imgIds = sorted(truth.imgs)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [100 * float(value) if value >= 0 else np.nan for value in evaluation.stats]
    return dict(zip(MEASURES, values, strict=True))


# ---- python -m realtime.evaluate keypoints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `keypoints`."""
    add = parser.add_argument
    add("--annotations", type=home_path, required=True, metavar="FILE", help="person keypoints in COCO's JSON format")
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
        ConfigError: a flag or the annotations are wrong, or the model does not have COCO's 17 keypoints.
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
    models = load_models(config)
    if len(models.pose.skeleton) != len(COCO17):
        raise ConfigError(f"pose.model: got {models.pose_name}, expected one with COCO's {len(COCO17)} keypoints")
    results = estimate(models, dataset, options.images, options.boxes)
    if options.results is not None:
        _write(options.results, results)
    return _report(models, dataset, results, options.boxes)


def _report(models: Models, dataset: Dataset, results: Sequence[Row], boxes: str) -> Report:
    measures = score(dataset, results)
    people = sum(map(len, dataset.people.values()))
    device = str(models.device)
    models_used = {"detector": models.detector_name, "pose": models.pose_name, "device": device}
    engines = {
        "detector": models.detect.engine_name if boxes == "detected" else None,
        "pose model": models.pose.engine_name,
    }
    return Report(
        f"keypoints: {len(dataset.images)} images, {people} people with keypoints, {len(results)} found, {boxes} boxes",
        ["pose model", *MEASURES],
        [[models.pose_name, *measures.values()]],
        {**models_used, "engines": engines, "processor": processor()[0], "boxes": boxes, "images": len(dataset.images),
         "people": people, "found": len(results), "scores": measures},
        ["OKS average precision and recall in percent, by pycocotools; m: people of 32^2 to 96^2 px, l: larger"]
        + ([f"detector: {models.detector_name}"] if boxes == "detected" else [])
        + [computed_with(device, engines)],
    )  # fmt: skip


def _write(file: Path, results: Sequence[Row]) -> None:
    try:
        file.write_text(json.dumps(results) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"--results: can't write {file}: {error.strerror}") from None
