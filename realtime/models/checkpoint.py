"""ViTPose checkpoints in the authors' format: what a file holds, and its tensors under Hugging Face's names.

models.vitpose builds the network of them. The families are the original ViTPose (one data set, or COCO, AIC and MPII
with a head for each), ViTPose+ (six data sets, each with a head and experts), files that ViTPose's model_split.py made
of these, and easy_ViTPose. Everything is read from the names and shapes of the tensors; no file contains more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from realtime.errors import ModelError
from realtime.skeleton import Skeleton
from realtime.skeletons import SKELETONS

# Attention heads by the width of the network. The files don't contain the number.
ATTENTION_HEADS = {384: 12, 768: 12, 1024: 16, 1280: 16}
# The data sets of ViTPose+, in the order of its heads and experts.
_DATA_SETS = ("coco17", "aic14", "mpii16", "ap10k", "apt36k", "wholebody133")
# The sets that a number of keypoints leaves no doubt about.
_BY_COUNT = {16: "mpii16", 25: "coco25", 133: "wholebody133"}
# What a file's name may say at its end, and the set that it means.
_BY_NAME = {
    "coco": "coco17", "coco_25": "coco25", "wholebody": "wholebody133", "mpii": "mpii16", "aic": "aic14",
    "ap10k": "ap10k", "apt36k": "apt36k", "crowdpose": "crowdpose14", "posetrack": "posetrack18",
    "posetrack18": "posetrack18",
}  # fmt: skip
# A tensor that every checkpoint in Hugging Face's format has.
_HUGGING_FACE = "backbone.embeddings.position_embeddings"
_MAIN, _ASSOCIATED = "keypoint_head", "associate_keypoint_heads"
# How many tensors a message names.
_NAMED = 3
# A BatchNorm's count of the batches that it was trained on, which has no effect here.
_UNIMPORTANT = ".num_batches_tracked"
# Transformers' name of a tensor, and the authors' name of the one that it is made of. HEAD is the prefix of the head.
_NAMES = (
    (r"backbone\.embeddings\.position_embeddings", "backbone.pos_embed"),
    (r"backbone\.embeddings\.patch_embeddings\.projection(\.\w+)", r"backbone.patch_embed.proj\1"),
    (r"backbone\.encoder\.layer\.(\d+)\.layernorm_before(\.\w+)", r"backbone.blocks.\1.norm1\2"),
    (r"backbone\.encoder\.layer\.(\d+)\.layernorm_after(\.\w+)", r"backbone.blocks.\1.norm2\2"),
    (
        r"backbone\.encoder\.layer\.(\d+)\.attention\.attention\.(?P<part>query|key|value)(\.\w+)",
        r"backbone.blocks.\1.attn.qkv\3",
    ),
    (r"backbone\.encoder\.layer\.(\d+)\.attention\.output\.dense(\.\w+)", r"backbone.blocks.\1.attn.proj\2"),
    (r"backbone\.encoder\.layer\.(\d+)\.mlp\.(fc[12]\.\w+)", r"backbone.blocks.\1.mlp.\2"),
    (r"backbone\.layernorm(\.\w+)", r"backbone.last_norm\1"),
    (r"head\.deconv1(\.\w+)", r"HEAD.deconv_layers.0\1"),
    (r"head\.batchnorm1(\.\w+)", r"HEAD.deconv_layers.1\1"),
    (r"head\.deconv2(\.\w+)", r"HEAD.deconv_layers.3\1"),
    (r"head\.batchnorm2(\.\w+)", r"HEAD.deconv_layers.4\1"),
    (r"head\.conv(\.\w+)", r"HEAD.final_layer\1"),
)
_THIRDS = {"query": 0, "key": 1, "value": 2}
_PATCHES_WIDE_AND_HIGH = 12  # 12 k^2 patches are an input of 64k x 48k pixels
_LARGEST_SCALE = 16  # 1024 x 768 pixels; a file could claim any size
_HEAD_CHANNELS = 256  # of the deconvolutions


class Shaped(Protocol):
    """A tensor, or its sizes alone."""

    @property
    def shape(self) -> Sequence[int]:
        """Its sizes."""


@dataclass(frozen=True, slots=True)
class Head:
    """A keypoint head of a file.

    Attributes:
        prefix: the beginning of its tensors' names, without the dot.
        keypoints: how many keypoints it has, which may be more than its set has.
        is_simple: it is the simple decoder, one 3x3 convolution.
        expert: index of the experts that belong to it; None if all layers are whole.
        skeletons: the sets that it may have been trained on.
    """

    prefix: str
    keypoints: int
    is_simple: bool
    expert: int | None
    skeletons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a checkpoint file holds, by the names and shapes of its tensors.

    Attributes:
        family: in words, for messages.
        width: length of the vector of each patch.
        depth: number of layers.
        shared: rows of the last matrix of each layer. An expert has the rest of the width.
        grid: height and width of the input in patches of 16 x 16 pixels.
        heads: the heads that are in use.
    """

    family: str
    width: int
    depth: int
    shared: int
    grid: tuple[int, int]
    heads: tuple[Head, ...]

    @property
    def skeletons(self) -> tuple[str, ...]:
        """What `pose.skeleton` may be."""
        return tuple(dict.fromkeys(name for head in self.heads for name in head.skeletons))


def examine(tensors: Mapping[str, Shaped], name: str) -> Contents:
    """Find out what a file holds.

    Args:
        tensors: the file's tensors by name, without `module.`; only their shapes are used.
        name: the file's name without its suffix, which may say which set a single head was trained on.

    Raises:
        ModelError: the file holds no ViTPose network, or one of an unknown size.
    """
    shape = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if _HUGGING_FACE in shape:
        raise ModelError("got the weights of a Hugging Face checkpoint, expected its folder, which has a config.json")
    patches = _shape(shape, "backbone.patch_embed.proj.weight", 4)
    width = patches[0]
    if width not in ATTENTION_HEADS:
        raise ModelError(f"got a network of width {width}, expected {', '.join(map(str, ATTENTION_HEADS))}")
    if patches[1:] != (3, 16, 16):
        raise ModelError(f"got patches of {'x'.join(map(str, patches[1:]))}, expected 3x16x16")
    count = _shape(shape, "backbone.pos_embed", 3)[1] - 1
    scale = round((count / _PATCHES_WIDE_AND_HIGH) ** 0.5)
    if not 0 < scale <= _LARGEST_SCALE or _PATCHES_WIDE_AND_HIGH * scale**2 != count:
        raise ModelError(f"got {count} patches, expected 12, 48, 108, 192, 432, ...: an input of 64k x 48k pixels")
    # Their number, not the highest: a name could claim any number of layers. `check` then finds the gap.
    depth = len({m[1] for key in shape if (m := re.match(r"backbone\.blocks\.(\d+)\.", key))})
    if not depth:
        raise ModelError("got no layers (backbone.blocks.N), expected a ViTPose network")
    shared = _shape(shape, "backbone.blocks.0.mlp.fc2.weight", 2)[0]
    experts = {int(m[1]) for key in shape if (m := re.match(r"backbone\.blocks\.0\.mlp\.experts\.(\d{1,4})\.", key))}
    family, heads = _heads(shape, name, shared == width, experts)
    return Contents(family, width, depth, shared, (4 * scale, 3 * scale), heads)


def _heads(
    shape: Mapping[str, tuple[int, ...]], name: str, whole: bool, experts: set[int]
) -> tuple[str, tuple[Head, ...]]:
    """The family of a file, and the heads that are in use.

    Args:
        shape: the shapes of all tensors by name.
        name: the file's name without its suffix.
        whole: the last matrix of each layer is whole, so no expert belongs to it.
        experts: the indices of the experts.
    """
    main, simple = _head(shape, _MAIN)
    numbers = {int(m[1]) for key in shape if (m := re.match(_ASSOCIATED + r"\.(\d{1,4})\.", key))}
    if whole and (experts or not numbers):
        # model_split.py of newer versions leaves the experts and the other heads in the file for COCO.
        family = "split from ViTPose+" if experts else "one data set"
        return family, (Head(_MAIN, main, simple, None, _sets(main, name)),)
    if whole:
        others = [(f"{_ASSOCIATED}.{n}", *_head(shape, f"{_ASSOCIATED}.{n}")) for n in sorted(numbers)]
        heads = [Head(_MAIN, main, simple, None, ("coco17",) if main == len(SKELETONS["coco17"]) else ())]
        # The order of these heads is not known, so AI Challenger's and CrowdPose's can't be told apart.
        fourteen = "aic" if sum(k == 14 for _, k, _ in others) == 1 else ""
        heads += [
            Head(prefix, k, s, None, _sets(k, fourteen) if k != 14 or fourteen else ()) for prefix, k, s in others
        ]
        return "COCO, AIC and MPII", tuple(heads)
    prefixes = [_MAIN, *(f"{_ASSOCIATED}.{n}" for n in range(len(_DATA_SETS) - 1))]
    heads = []
    for index, (prefix, set_name) in enumerate(zip(prefixes, _DATA_SETS, strict=True)):
        if prefix == _MAIN or any(key.startswith(f"{prefix}.") for key in shape):
            keypoints, is_simple = _head(shape, prefix)
            if index in experts and keypoints >= len(SKELETONS[set_name]):
                heads.append(Head(prefix, keypoints, is_simple, index, (set_name,)))
    if not heads:
        raise ModelError("got layers without the experts that belong to its heads, expected a whole ViTPose+ file")
    return "ViTPose+", tuple(heads)


def _head(shape: Mapping[str, tuple[int, ...]], prefix: str) -> tuple[int, bool]:
    """The number of keypoints of a head, and whether it is the simple decoder."""
    last = _shape(shape, f"{prefix}.final_layer.weight", 4)
    return last[0], last[2] > 1


def _sets(keypoints: int, name: str) -> tuple[str, ...]:
    """The sets that a head alone may have been trained on, by its number of keypoints and, in doubt, by a name."""
    fitting = tuple(each for each, skeleton in SKELETONS.items() if len(skeleton) == keypoints)
    if keypoints in _BY_COUNT:
        return (_BY_COUNT[keypoints],)
    told = _BY_NAME.get(name.lower(), _BY_NAME.get(name.lower().rpartition("-")[2]))
    return (told,) if told in fitting else fitting


def _shape(shape: Mapping[str, tuple[int, ...]], key: str, axes: int) -> tuple[int, ...]:
    if key not in shape:
        raise ModelError(f"no tensor {key}, expected a ViTPose checkpoint in its authors' format")
    if len(shape[key]) != axes or 0 in shape[key]:
        raise ModelError(f"{key}: got the shape {shape[key]}, expected {axes} axes")
    return shape[key]


def choose(contents: Contents, wanted: str) -> tuple[Head, Skeleton]:
    """Choose a head and its keypoint set.

    Args:
        contents: what the file holds.
        wanted: `pose.skeleton`: auto, or the name of a set.

    Raises:
        ModelError: the file has no such head, or `auto` would have to guess.
    """
    choices = ", ".join(contents.skeletons) or "none"
    fitting = [head for head in contents.heads if wanted in head.skeletons]
    if wanted == "auto":
        if len(contents.heads) != 1 or len(contents.heads[0].skeletons) != 1:
            raise ModelError(f"the file doesn't say which keypoints are wanted: set pose.skeleton to one of {choices}")
        return contents.heads[0], SKELETONS[contents.heads[0].skeletons[0]]
    if not fitting:
        raise ModelError(f"pose.skeleton: got {wanted}, expected one that the file has: {choices}")
    return fitting[0], SKELETONS[wanted]


def check(tensors: Mapping[str, torch.Tensor], contents: Contents, head: Head) -> None:
    """Check that a file has every tensor of a head's network, in its shape, and no others besides those left out.

    Args:
        tensors: the file's tensors by name, without `module.`; their numbers are not read.
        contents: what the file holds.
        head: the head to use.

    Raises:
        ModelError: tensors are missing, left over, of another shape, or not of floating-point numbers.
    """
    needed = _needed(contents, head)
    there = {name: tensors[name] for name in needed if name in tensors}
    faults = {
        "missing": [name for name in needed if name not in tensors],
        "of the wrong shape": [name for name, tensor in there.items() if tuple(tensor.shape) != needed[name]],
        "not of floating-point numbers": [name for name, tensor in there.items() if not tensor.is_floating_point()],
        "unexpected": [name for name in tensors if name not in needed and not _is_left_out(name, head)],
    }
    for fault, names in faults.items():
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise ModelError(f"{len(names)} tensors {fault}: {', '.join(sorted(names)[:_NAMED])}{more}")


def _needed(contents: Contents, head: Head) -> dict[str, tuple[int, ...]]:
    """The tensors of a head's network, by the authors' names, and their shapes."""
    width, (rows, columns) = contents.width, contents.grid
    needed: dict[str, tuple[int, ...]] = {
        "backbone.pos_embed": (1, 1 + rows * columns, width),
        "backbone.patch_embed.proj.weight": (width, 3, 16, 16),
        "backbone.patch_embed.proj.bias": (width,),
    }

    def add(name: str, *sizes: int) -> None:
        needed.update({f"{name}.weight": sizes, f"{name}.bias": sizes[:1]})

    for layer in range(contents.depth):
        block = f"backbone.blocks.{layer}"
        add(f"{block}.norm1", width)
        add(f"{block}.attn.qkv", 3 * width, width)
        add(f"{block}.attn.proj", width, width)
        add(f"{block}.norm2", width)
        add(f"{block}.mlp.fc1", 4 * width, width)
        add(f"{block}.mlp.fc2", contents.shared, 4 * width)
        if head.expert is not None:
            add(f"{block}.mlp.experts.{head.expert}", width - contents.shared, 4 * width)
    add("backbone.last_norm", width)
    if head.is_simple:
        add(f"{head.prefix}.final_layer", head.keypoints, width, 3, 3)
        return needed
    for at, channels in ((0, width), (3, _HEAD_CHANNELS)):
        needed[f"{head.prefix}.deconv_layers.{at}.weight"] = (channels, _HEAD_CHANNELS, 4, 4)
        add(f"{head.prefix}.deconv_layers.{at + 1}", _HEAD_CHANNELS)
        for name in ("running_mean", "running_var"):
            needed[f"{head.prefix}.deconv_layers.{at + 1}.{name}"] = (_HEAD_CHANNELS,)
    add(f"{head.prefix}.final_layer", head.keypoints, _HEAD_CHANNELS, 1, 1)
    return needed


def converted(
    tensors: Mapping[str, torch.Tensor], head: Head, expected: Mapping[str, Shaped]
) -> dict[str, torch.Tensor]:
    """Return a file's tensors under the names of transformers' VitPoseForPoseEstimation, with the expert folded in.

    The published layer appends the result of a data set's expert to that of fc2: together they are one matrix. A head
    with more keypoints than its set has is cut to the first ones, as model_split.py does.

    Args:
        tensors: the file's tensors by name, without `module.`, which `check` found to be complete.
        head: the head to use.
        expected: the tensors of the network to fill, by transformers' names.

    Returns:
        float32 tensors: all that are expected, except counts of batches.
    """
    found: dict[str, torch.Tensor] = {}
    for key, wanted in expected.items():
        if key.endswith(_UNIMPORTANT):
            continue
        names, part = _original(key, head)
        pieces = [tensors[name].float() for name in names]
        tensor = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        if part is not None:
            tensor = tensor.tensor_split(3)[part]
        found[key] = tensor if tensor.shape == wanted.shape else tensor[: wanted.shape[0]]
    return found


def _original(key: str, head: Head) -> tuple[list[str], int | None]:
    """The names of the tensors that one of transformers' is made of, and which third of it; None: all of it."""
    for pattern, replacement in _NAMES:
        if match := re.fullmatch(pattern, key):
            names = [match.expand(replacement).replace("HEAD", head.prefix)]
            if head.expert is not None and (layer := re.fullmatch(r"(.*\.mlp\.)fc2(\.\w+)", names[0])):
                names.append(f"{layer[1]}experts.{head.expert}{layer[2]}")
            third = _THIRDS.get(match["part"]) if "part" in match.groupdict() else None
            return names, third
    raise ValueError(f"checkpoint: no rule for the tensor {key} of transformers' network")


def _is_left_out(name: str, head: Head) -> bool:
    """Whether a file may hold a tensor that the network does not need: other heads and experts, a class token."""
    if name == "backbone.cls_token" or name.endswith(_UNIMPORTANT):
        return True
    if ".mlp.experts." in name:
        return True
    return name.startswith((f"{_MAIN}.", f"{_ASSOCIATED}.")) and not name.startswith(f"{head.prefix}.")
