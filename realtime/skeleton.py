# SPDX-License-Identifier: MIT
"""Keypoint names and limbs: COCO-17, and skeletons built from a model's configuration.

Every pose model has a skeleton, and the stream describes it to subscribers (InfoMessage). wire.document writes the
names into docs/wire.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

# How a network's crops and heatmaps relate (pose.crop): "udp" maps corners onto corners, "plain" scales by whole sizes.
Geometry = Literal["udp", "plain"]
# Pixels of the crop per pixel of the heatmap, along each side, in every published ViTPose.
CROP_PER_HEATMAP = 4
PartName = Literal["body", "feet", "hands", "face"]


class Part(NamedTuple):
    """A part of the body, whose keypoints follow each other.

    Attributes:
        name: which part.
        begin: index of its first keypoint, from 0.
        end: index after its last keypoint.
    """

    name: PartName
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A set of K keypoints.

    >>> COCO17.keypoint_names.index("left_wrist"), [part.name for part in COCO17.parts]
    (9, ['body'])

    Attributes:
        name: its name on the stream.
        keypoint_names: K names.
        edges: pairs of keypoint indices, from 0, to draw as limbs.
        flip_pairs: index pairs of left and right counterparts.
        sigmas: K object-keypoint-similarity constants (COCO evaluation); empty if unknown.
        geometry: with which networks for this set were trained.
        parts: the parts that the keypoints belong to; each keypoint belongs to one. Empty if unknown.
        is_animal: the keypoints are those of an animal.
    """

    name: str
    keypoint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()
    geometry: Geometry = "udp"
    parts: tuple[Part, ...] = ()
    is_animal: bool = False

    def __len__(self) -> int:
        return len(self.keypoint_names)

    def indices(self, parts: Collection[str]) -> list[int]:
        """Return the indices of the keypoints of these parts, in ascending order."""
        return [i for part in self.parts if part.name in parts for i in range(part.begin, part.end)]

    def only(self, parts: Collection[str]) -> Skeleton:
        """Return the skeleton of these parts alone.

        >>> COCO17.only(["body"]) is COCO17
        True

        Args:
            parts: names of its parts.

        Returns:
            Itself if these are all; `coco17` if COCO's keypoints are left; otherwise a skeleton whose name ends in the
            parts' names. Limbs and pairs between a part and one that is left out are left out too.
        """
        kept = self.indices(parts)
        if len(kept) == len(self):
            return self
        names = tuple(self.keypoint_names[i] for i in kept)
        if names == COCO17.keypoint_names:
            return replace(COCO17, geometry=self.geometry)
        new = {old: index for index, old in enumerate(kept)}
        left = [part for part in self.parts if part.name in parts]
        ends = list(itertools.accumulate(part.end - part.begin for part in left))
        return replace(
            self,
            name="-".join([self.name, *(part.name for part in left)]),
            keypoint_names=names,
            edges=tuple((new[a], new[b]) for a, b in self.edges if a in new and b in new),
            flip_pairs=tuple((new[a], new[b]) for a, b in self.flip_pairs if a in new and b in new),
            sigmas=tuple(self.sigmas[i] for i in kept) if self.sigmas else (),
            parts=tuple(
                Part(part.name, end - part.end + part.begin, end) for part, end in zip(left, ends, strict=True)
            ),
        )


# COCO person keypoints. Names and limbs are those of the annotation file's "categories" entry (indices from 1 there,
# from 0 here); sigmas are pycocotools' cocoeval.Params.kpt_oks_sigmas.
COCO17 = Skeleton(
    name="coco17",
    keypoint_names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
        0.089,
    ),
    parts=(Part("body", 0, 17),),
)  # fmt: skip

# For `--pose.model none`, which publishes boxes and track ids only.
NO_SKELETON = Skeleton(name="none", keypoint_names=())


def from_labels(id2label: Mapping[int, str], edges: Sequence[Sequence[int]] = ()) -> Skeleton:
    """Build the skeleton that a model's configuration describes.

    Args:
        id2label: maps keypoint index (from 0) to name, as in a Hugging Face config.
        edges: index pairs from 0, as in a ViTPose config; may be empty. Pairs out of range are dropped.

    Returns:
        COCO17 if the labels are its 17 names in any spelling (Nose, L_Eye, ...) or 17 placeholders LABEL_n, which a
        bare `save_pretrained` folder contains. Otherwise a skeleton "custom<K>" with the config's names and edges.
    """
    names = tuple(id2label[i] for i in range(len(id2label)))
    unnamed = all(name == f"LABEL_{i}" for i, name in enumerate(names))
    spelled = tuple(_spell(name) for name in names)
    if len(names) == len(COCO17) and (unnamed or spelled == COCO17.keypoint_names):
        return COCO17
    index = {name: i for i, name in enumerate(spelled)}
    pairs = tuple(
        (i, index["right_" + name.removeprefix("left_")])
        for name, i in index.items()
        if name.startswith("left_") and "right_" + name.removeprefix("left_") in index
    )
    limbs = tuple((int(a), int(b)) for a, b in edges if 0 <= int(a) < len(names) and 0 <= int(b) < len(names))
    return Skeleton(f"custom{len(names)}", spelled, limbs, pairs)


def _spell(name: str) -> str:
    """Normalise a name: `L_Eye`, `left eye` and `Left-Eye` all become `left_eye`."""
    word = name.strip().lower().replace(" ", "_").replace("-", "_")
    for short, long in (("l_", "left_"), ("r_", "right_")):
        if word.startswith(short):
            return long + word[len(short) :]
    return word
