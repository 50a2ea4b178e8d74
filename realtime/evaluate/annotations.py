"""Annotation files with keypoints: COCO's format with any number of keypoints, and that of COCO-WholeBody.

evaluate.keypoints scores a model's keypoints against them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from realtime.errors import ConfigError
from realtime.skeleton import COCO17, Skeleton, from_labels
from realtime.skeletons import SKELETONS
from realtime.skeletons.whole_body import WHOLEBODY133

Row = dict[str, Any]  # Any: COCO's annotations and results mix numbers, strings and lists

# The keys that COCO-WholeBody adds to an annotation or a result, in the order of its 133 keypoints, and the number of
# keypoints of each. Source: data_format.md in its repository. The keypoints of a part that is not valid are zeros.
_PARTS = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
# The area of a person whose annotation has none, as a part of the box's, as in xtcocotools for CrowdPose.
_AREA_OF_BOX = 0.53


@dataclass(frozen=True)
class Dataset:
    """Images with annotated people or animals, in COCO's format.

    Attributes:
        images: the entries of COCO's "images" that are evaluated.
        people: image id to the annotations that have keypoints and are not crowds. With `--boxes truth` the pose model
            receives their boxes.
        coco: the annotation file, reduced to these images and to these categories. The keypoints of each annotation
            stand in "keypoints", also those that COCO-WholeBody keeps in other keys.
        categories: the ids of the categories: person; or, if there is no such category, all that have keypoints.
        names: the names of the keypoints by the file, as far as it says; empty if not.
    """

    images: Sequence[Row]
    people: Mapping[int, Sequence[Row]]
    coco: Row
    categories: Sequence[int]
    names: tuple[str, ...] = ()

    @property
    def keypoints(self) -> int:
        """The number of keypoints of each annotation."""
        return len(self.coco["annotations"][0]["keypoints"]) // 3

    @property
    def has_person(self) -> bool:
        """Whether people are evaluated, and not animals."""
        return any(category["name"] == "person" for category in self.coco["categories"])

    def without_categories(self) -> Dataset:
        """Return the dataset with a single category, the first, for boxes of which no category is known."""
        if len(self.categories) == 1:
            return self
        one = self.categories[0]
        rows = [row | {"category_id": one} for row in self.coco["annotations"]]
        return replace(self, coco=self.coco | {"annotations": rows}, categories=[one])


def read_dataset(annotations: Path, limit: int | None = None) -> Dataset:
    """Read an annotation file.

    Args:
        annotations: a JSON file such as COCO's person_keypoints_val2017.json or COCO-WholeBody's.
        limit: keep only this many images, those with the lowest ids.

    Raises:
        ConfigError: the file can't be read, or is not in COCO's format with the same number of keypoints everywhere.
    """
    try:
        coco = json.loads(annotations.read_bytes())
        images = sorted(coco["images"], key=lambda image: int(image["id"]))[:limit]
        ids = {image["id"] for image in images}
        rows = [_whole(row) for row in coco["annotations"]]
        categories = {category["name"]: category for category in coco["categories"]}
        people: dict[int, list[Row]] = {}
        kept = _categories(categories, rows)
        rows = [row for row in rows if row["category_id"] in kept]
        for row in rows:
            if len(row["keypoints"]) != len(rows[0]["keypoints"]) or len(row["keypoints"]) % 3:
                raise ConfigError(
                    f"--annotations: {annotations}: annotation {row['id']} has {len(row['keypoints'])} numbers in "
                    f"keypoints, expected {len(rows[0]['keypoints']) // 3 * 3}"
                )
            if row["image_id"] in ids and row["num_keypoints"] and not row["iscrowd"]:
                people.setdefault(row["image_id"], []).append(row)
        names = next((tuple(each.get("keypoints", ())) for each in categories.values() if each["id"] in kept), ())
    except OSError as error:
        raise ConfigError(f"--annotations: can't read {annotations}: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"--annotations: {annotations}: not JSON in COCO's format: {error}") from None
    except KeyError as error:
        raise ConfigError(f"--annotations: {annotations}: no key {error}, expected COCO's keys") from None
    if not people:
        raise ConfigError(f"--annotations: {annotations}: found no people with keypoints, expected at least one")
    rows = [row for row in rows if row["image_id"] in ids]
    spelled = from_labels(dict(enumerate(map(str, names)))).keypoint_names
    return Dataset(images, people, {"info": {}, **coco, "images": images, "annotations": rows}, kept, spelled)


def _categories(categories: Mapping[str, Row], rows: Sequence[Row]) -> list[int]:
    """The ids of the categories to evaluate: person, or all that are annotated, such as the animals of AP-10K."""
    if "person" in categories:
        return [int(categories["person"]["id"])]
    return sorted({int(row["category_id"]) for row in rows if row["num_keypoints"]})


def _whole(row: Row) -> Row:
    """An annotation with all its keypoints in "keypoints", and with every key that the score needs."""
    row = {"iscrowd": 0, **row}
    if "foot_kpts" in row:
        for key, count in _PARTS.items():
            is_valid = row.get(key.replace("kpts", "valid"), True)
            row["keypoints"] = [*row["keypoints"], *(row[key] if is_valid else [0] * 3 * count)]
        row["num_keypoints"] = _visible(row["keypoints"])
    row.setdefault("num_keypoints", _visible(row["keypoints"]))
    row["bbox"] = [float(number) for number in row["bbox"]]
    row.setdefault("area", _AREA_OF_BOX * row["bbox"][2] * row["bbox"][3])
    return row | {"area": float(row["area"]), "num_keypoints": int(row["num_keypoints"])}


def _visible(keypoints: Sequence[float]) -> int:
    return sum(value > 0 for value in keypoints[2::3])


def fitted(dataset: Dataset, skeleton: Skeleton, model: str) -> Dataset:
    """Return the dataset with the keypoints of a model, in its order.

    Args:
        dataset: of COCO-WholeBody, of which a model may have some keypoints only, or with the model's own keypoints.
        skeleton: the keypoints of the model.
        model: its name, for messages.

    Raises:
        ConfigError: the annotations have other keypoints, or the sigmas of the model's are not known.
    """
    if not skeleton.sigmas:
        raise ConfigError(f"pose.model: got {model} with {_described(skeleton)}, whose sigmas for OKS are not known")
    names = skeleton.keypoint_names
    if dataset.keypoints == len(WHOLEBODY133) != len(skeleton) and set(names) <= set(WHOLEBODY133.keypoint_names):
        return _only(dataset, [WHOLEBODY133.keypoint_names.index(name) for name in names])
    told = next((each for each in SKELETONS.values() if each.keypoint_names == dataset.names), None)
    is_other = told is not None and told.keypoint_names != names
    if dataset.keypoints != len(skeleton) or is_other or skeleton.is_animal == dataset.has_person:
        have = told.name if told is not None and is_other else f"{dataset.keypoints} keypoints"
        whose = "people" if dataset.has_person else "categories other than person"
        raise ConfigError(f"--annotations: got {have} of {whose}, expected {_described(skeleton)}, which {model} has")
    return dataset


def _described(skeleton: Skeleton) -> str:
    return f"the {len(skeleton)} keypoints of {skeleton.name}"


def _only(dataset: Dataset, kept: Sequence[int]) -> Dataset:
    """Return the dataset with these keypoints."""

    def cut(row: Row) -> Row:
        keypoints = columns(row["keypoints"], kept)
        return row | {"keypoints": keypoints, "num_keypoints": _visible(keypoints)}

    people = {image: [cut(row) for row in rows] for image, rows in dataset.people.items()}
    people = {image: [row for row in rows if row["num_keypoints"]] for image, rows in people.items()}
    return replace(
        dataset, people=people, coco=dataset.coco | {"annotations": [cut(row) for row in dataset.coco["annotations"]]}
    )


def columns(keypoints: Sequence[float], kept: Sequence[int]) -> list[float]:
    """Return the numbers of some keypoints.

    >>> columns([10, 11, 2, 20, 21, 2], [1])
    [20, 21, 2]
    """
    return [keypoints[3 * index + i] for index in kept for i in range(3)]


def part_of(dataset: Dataset, kept: Sequence[int]) -> Row:
    """Return the annotations with these keypoints only, as COCO's dict."""
    return _only(dataset, kept).coco


def as_whole_body(row: Row) -> Row:
    """Return a result of 133 keypoints with the keys of COCO-WholeBody, so that its own evaluation can read it."""
    split, at = {}, len(COCO17)
    for key, count in _PARTS.items():
        split[key] = row["keypoints"][3 * at : 3 * (at + count)]
        at += count
    return {**row, "keypoints": row["keypoints"][: 3 * len(COCO17)], **split}
