"""Keypoints by their names: which keypoints of a skeleton are those that a format needs.

Used by coco and openpose, whose keypoints are fixed. All other formats hold any skeleton.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from realtime.errors import ConfigError
from realtime.skeleton import COCO17

# The formats for a skeleton that others can't hold.
_ANY = "csv, jsonl, mcap, mot, parquet, rerun or video"


def index_of(names: Sequence[str], name: str) -> int | None:
    """Return the index of a keypoint, in any spelling, or None.

    >>> index_of(["Nose", "Left_Eye"], "nose"), index_of(["left_big_toe"], "LeftBigToe"), index_of([], "nose")
    (0, 0, None)
    """
    return _indices(tuple(names)).get(_plain(name))


def coco_columns(names: Sequence[str], word: str, where: str) -> list[int]:
    """Return the indices of COCO's 17 keypoints.

    >>> coco_columns(["neck", *COCO17.keypoint_names], "coco", "x.jsonl: cam0")[:3]
    [1, 2, 3]

    Args:
        names: the names of the keypoints of a skeleton.
        word: the format, for the message.
        where: recording and camera, for the message.

    Raises:
        ConfigError: the skeleton lacks one.
    """
    found = [index_of(names, name) for name in COCO17.keypoint_names]
    lacking = [name for name, index in zip(COCO17.keypoint_names, found, strict=True) if index is None]
    if lacking:
        have = f"its {len(names)} keypoints lack {lacking[0]}" if names else "it has no keypoints"
        raise ConfigError(f"{where}: --to {word} needs the 17 keypoints of COCO, and {have}: convert it to {_ANY}")
    return [index for index in found if index is not None]


@functools.lru_cache
def _indices(names: tuple[str, ...]) -> dict[str, int]:
    return {_plain(name): index for index, name in reversed(list(enumerate(names)))}


@functools.lru_cache
def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
