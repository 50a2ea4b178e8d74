"""What a model file is, in a few lines. The command `python -m realtime.models` prints it.

Only names and shapes of tensors are read, and nothing in a file is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import ModelError
from realtime.models.converted import about_exported, is_converted
from realtime.skeletons import SKELETONS

if TYPE_CHECKING:
    from realtime.models.checkpoint import Head

_SIZES = {384: "S", 768: "B", 1024: "L", 1280: "H"}


def about(path: Path) -> list[str]:
    """Describe a file or folder, as lines.

    Args:
        path: a Hugging Face folder, the folder of a converted network, or a .pth, .pt or .safetensors file.

    Raises:
        ModelError: it is no model, or can't be read.
    """
    if path.is_dir() and is_converted(path):
        about = about_exported(path)
        return [
            f"{path}: {about['name']}, converted by realtime-pose {about.get('version')}, for OpenVINO on a CPU",
            f"  a model for {'detector.weights or pose.model' if about['kind'] == 'yolo' else 'pose.model'}",
            f"  licence of its weights: {about.get('licence')}",
        ]
    # Here, because converted networks don't need torch.
    from realtime.models.checkpoint import check, examine
    from realtime.models.checkpoint_file import YoloFileError, read_tensors
    from realtime.models.vitpose_folder import describe_folder

    if path.is_dir():
        skeleton, (width, height) = describe_folder(path, "auto")
        names = [name for name, each in SKELETONS.items() if len(each) == len(skeleton)]
        return [
            f"{path}: a Hugging Face folder of a ViTPose checkpoint",
            f"  input: {height}x{width}",
            f"  keypoints: {len(skeleton)}, by its config.json {skeleton.name}",
            f"  pose.skeleton: {', '.join(['auto', *names])}",
        ]
    try:
        tensors = read_tensors(path)
    except YoloFileError:
        return [f"{path}: a YOLO file of ultralytics: a model for detector.weights or pose.model; it can contain code"]
    try:
        contents = examine(tensors, path.stem)
        for head in contents.heads:
            check(tensors, contents, head)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    height, width = (16 * side for side in contents.grid)
    millions = sum(tensor.numel() for tensor in tensors.values()) / 1e6
    is_clear = len(contents.heads) == 1 and len(contents.skeletons) == 1
    return [
        f"{path}: ViTPose, {contents.family}",
        f"  size: {_SIZES[contents.width]} (width {contents.width}, {contents.depth} layers), {millions:.1f} M numbers",
        f"  input: {height}x{width}",
        *(f"  head: {_described(head)}" for head in contents.heads),
        f"  pose.skeleton: {', '.join(['auto'] * is_clear + list(contents.skeletons)) or 'none: not supported'}",
    ]


def _described(head: Head) -> str:
    kind = "simple" if head.is_simple else "classic"
    sets = [f"{name} ({SKELETONS[name].geometry} crops)" for name in head.skeletons]
    return f"{head.prefix}, {head.keypoints} keypoints, {kind} decoder, {' or '.join(sets) or 'an unknown set'}"
