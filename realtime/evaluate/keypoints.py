"""python -m realtime.evaluate keypoints: COCO pictures and annotations in, OKS average precision and recall out.

Drives the program's own detector and pose stages over single pictures, without tracker and filter. The only file that
imports pycocotools, which does the scoring (parity with ../shared/data/score/score_keypoints.py:
tests/evaluate/test_keypoints.py).
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
from realtime.evaluate.keys import add_keys, load_keys
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Report
from realtime.loading import Models, load_models
from realtime.skeleton import COCO17
from realtime.types import Detections, Frame, Poses, Tracks

# COCOeval's summary of keypoints, in its order.
MEASURES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
# Keypoints below this do not count in a person's score. Xiao, Wu and Wei, "Simple Baselines for Human Pose Estimation
# and Tracking", ECCV 2018: lib/dataset/coco.py, IN_VIS_THRE; mmpose and ViTPose rank people the same way.
SEEN_SCORE = 0.2

Row = dict[str, Any]  # Any: COCO's annotations and results are numbers, texts and lists


# ---- the data set


@dataclass(frozen=True)
class Dataset:
    """Pictures with people annotated in COCO's form.

    Attributes:
        images: COCO's "images", those that are looked at.
        people: image id to its people with keypoints, crowds left out: those whose true boxes are given to the model.
        coco: the whole annotation file, the images above in it.
        category_id: of a person.
    """

    images: Sequence[Row]
    people: Mapping[int, Sequence[Row]]
    coco: Row
    category_id: int


def read_dataset(annotations: Path, limit: int | None = None) -> Dataset:
    """The data set of an annotation file.

    Args:
        annotations: person_keypoints_*.json or one like it.
        limit: take the first so many images alone.

    Raises:
        ConfigError: it can't be read, or it isn't COCO's form with 17 keypoints.
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
        raise ConfigError(f"--annotations: {annotations}: not COCO's JSON: {error}") from None
    except KeyError as error:
        raise ConfigError(f"--annotations: {annotations}: something has no {error}, expected COCO's keys") from None
    if not people or "person" not in categories:
        raise ConfigError(f"--annotations: {annotations}: got no people with keypoints, expected some")
    category_id = categories["person"]
    kept = [person for person in coco["annotations"] if person["image_id"] in ids]
    kept = [person for person in kept if person["category_id"] == category_id]
    return Dataset(images, people, {"info": {}, **coco, "images": images, "annotations": kept}, category_id)


# ---- what the program makes of it


def estimate(models: Models, dataset: Dataset, folder: Path, boxes: str) -> list[Row]:
    """The people that the program finds, as COCO's results.

    Args:
        models: the program's stages.
        dataset: N images in `folder`.
        folder: where they are.
        boxes: "truth": those of the annotated people, "detected": the detector's.

    Returns:
        A result a person: image_id, category_id, 17 x 3 keypoints (x, y in pixels, score) and the score that ranks it:
        the box's times the mean of the keypoints' above SEEN_SCORE.

    Raises:
        SourceError: a picture is missing or can't be read.
        ConfigError: a picture has another size than its annotations say.
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
    """A picture as a frame, each of an epoch of its own: none has to do with the one before."""
    picture = ImagesSource(str(path)).read()
    assert picture is not None
    assert picture.image is not None  # the source would have said why it can't be read
    frame = Frame("images", index, index, picture.image, 0.0, captured_mono_ns=0, captured_unix_ns=0)
    expected = image.get("width", frame.size[0]), image.get("height", frame.size[1])
    if frame.size != expected:
        raise ConfigError(
            f"{path}: got {frame.size[0]}x{frame.size[1]}, its annotations say {expected[0]}x{expected[1]}"
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
    """People as the tracker would hand them on, numbered: on a single picture nobody has a past."""
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
    """OKS average precision and recall of results, by pycocotools.

    Args:
        dataset: every image counts: who is missed where nothing was found, and who is found where nobody is.
        results: as of `estimate`.

    Returns:
        MEASURES in percent; NaN where there is nobody of that size.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        return dict.fromkeys(MEASURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints every step
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
    """The flags of `keypoints`."""
    add = parser.add_argument
    add("--annotations", type=Path, required=True, metavar="FILE", help="COCO person keypoints, JSON")
    add("--images", type=Path, required=True, metavar="FOLDER", help="where the pictures are")
    add("--boxes", choices=("truth", "detected"), default="detected", help="whose boxes the pose model is given")
    add("--limit", type=int, metavar="N", help="look at the first N images")
    add("--results", type=Path, metavar="FILE", help="write what was found, as COCO's results")
    # Not pose.max_people: on single pictures nobody's turn comes again.
    add_keys(parser, lambda key: key.startswith(("device", "detector.", "pose.")) and key != "pose.max_people")


def run(options: argparse.Namespace) -> Report:
    """Look for everybody in every picture, and score.

    Raises:
        ConfigError: a flag or the annotations are wrong, or the model doesn't speak COCO's 17 keypoints.
        ModelError: a model can't be had.
        OutputError: the results can't be written.
    """
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit: got {options.limit}, expected at least 1")
    config = load_keys(options)
    if config.pose.model == "detector" and options.boxes == "truth":
        raise ConfigError("--boxes: got truth with pose.model detector, whose keypoints come with its own boxes")
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
    models_used = {"detector": models.detector_name, "pose": models.pose_name, "device": str(models.device)}
    return Report(
        f"keypoints: {len(dataset.images)} images, {people} people with keypoints, {len(results)} found, boxes {boxes}",
        ["pose model", *MEASURES],
        [[models.pose_name, *measures.values()]],
        {**models_used, "boxes": boxes, "images": len(dataset.images), "people": people, "found": len(results),
         "scores": measures},
        ["OKS average precision and recall in percent, by pycocotools; m and l: people of 32^2 to 96^2 px, and larger"]
        + ([f"detector: {models.detector_name}"] if boxes == "detected" else []),
    )  # fmt: skip


def _write(file: Path, results: Sequence[Row]) -> None:
    try:
        file.write_text(json.dumps(results) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"--results: can't write {file}: {error.strerror}") from None
