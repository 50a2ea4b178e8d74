"""The published ViTPose files that can be asked for by a short name, such as `easy_vitpose:s-wholebody`.

Used by models.weights. They are downloaded only if they are asked for by name; none can run code when it is loaded.
"""

from __future__ import annotations

from typing import NamedTuple


class PublishedFile(NamedTuple):
    """A file on the Hugging Face hub.

    Attributes:
        repository: its repository.
        file: its path there.
        skeleton: what `pose.skeleton: auto` means for it; "auto" if it has several heads.
    """

    repository: str
    file: str
    skeleton: str


_ORIGINAL = "nielsr/vitpose-original-checkpoints"
_EASY = "JunkyByte/easy_ViTPose"
_EASY_SETS = {
    "coco": "coco17", "coco_25": "coco25", "wholebody": "wholebody133", "mpii": "mpii16", "aic": "aic14",
    "ap10k": "ap10k", "apt36k": "apt36k",
}  # fmt: skip

# Short name -> file.
VITPOSE_FILES = {
    "vitpose-original:b": PublishedFile(_ORIGINAL, "vitpose-b.pth", "coco17"),
    "vitpose-original:b-simple": PublishedFile(_ORIGINAL, "vitpose-b-simple.pth", "coco17"),
    "vitpose-original:s": PublishedFile(_ORIGINAL, "vitpose_small.pth", "coco17"),
    "vitpose-original:b-coco-aic-mpii": PublishedFile(_ORIGINAL, "vitpose_base_coco_aic_mpii.pth", "auto"),
} | {
    f"easy_vitpose:{size}-{name}": PublishedFile(_EASY, f"torch/{name}/vitpose-{size}-{name}.pth", skeleton)
    for size in "sblh"
    for name, skeleton in _EASY_SETS.items()
}
