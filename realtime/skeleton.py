"""What the keypoints are called and how they are joined: COCO-17, and the skeletons that a model's config names.

Used by the pose models, who say which skeleton they speak, by the stream (InfoMessage) and by drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Sides of boxes are divided by; none is ever this short.
LEAST_SIDE_PX = 1.0


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A set of K keypoints.

    Attributes:
        name: what the stream calls it.
        keypoint_names: K names.
        edges: pairs of keypoint indices, from 0, that are drawn as limbs.
        flip_pairs: left and right counterparts, as index pairs.
        sigmas: K object-keypoint-similarity constants (COCO evaluation), empty where unknown.
    """

    name: str
    keypoint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.keypoint_names)


# COCO person keypoints: names and limbs from the annotation file's "categories" entry (there from 1, here from 0),
# sigmas from pycocotools' cocoeval.Params.kpt_oks_sigmas.
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
)  # fmt: skip

# `--pose.model none`: boxes and identities only.
NO_SKELETON = Skeleton(name="none", keypoint_names=())


def from_labels(id2label: Mapping[int, str], edges: Sequence[Sequence[int]] = ()) -> Skeleton:
    """The skeleton that a model's configuration names.

    Args:
        id2label: keypoint index (from 0) to name, as in a Hugging Face config.
        edges: index pairs from 0, as in a ViTPose config; may be empty.

    Returns:
        COCO17 for its 17 names in any spelling (Nose, L_Eye, ...) and for 17 unnamed LABEL_n keypoints, as a bare
        `save_pretrained` folder has them; else a skeleton "custom<K>" with the config's own names and edges.
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
    """`L_Eye`, `left eye`, `Left-Eye` -> `left_eye`."""
    word = name.strip().lower().replace(" ", "_").replace("-", "_")
    for short, long in (("l_", "left_"), ("r_", "right_")):
        if word.startswith(short):
            return long + word[len(short) :]
    return word
