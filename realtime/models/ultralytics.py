"""The files of the ultralytics package: loads a YOLO network and changes its head.

models/yolo_torch.py runs and converts the networks; no other file outside evaluate/ imports ultralytics. Two changes
keep the output for the chosen classes and save work: the class scores are reduced to these and the best other one, and
the first layer takes BGR. A third makes 16-bit networks decode boxes in float32.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import torch

from realtime.errors import ModelError, first_line
from realtime.models.yolo_output import PERSON, Layout
from realtime.printable import printable

# A module of ultralytics, or its head. Any, because ultralytics ships no types.
Module = Any


def load_network(path: Path, classes: Sequence[str] = (PERSON,)) -> tuple[Module, Layout]:
    """Load a network for detection or pose, for BGR images, on the CPU.

    Args:
        path: a .pt file that the caller trusts, because loading it unpickles it.
        classes: names of the classes to look for, in any case, or their numbers. If the network has no class `person`
            and is a pose network or has a single class, all of its classes count as people.

    Returns:
        The network in float32; if its head allows that, with the chosen classes only, and the best of all others as one
        more. And the layout of its predictions.

    Raises:
        ModelError: the file is not a YOLO detection or pose network, or the network has not these classes.
    """
    module = _load(path)
    from ultralytics.nn.modules.head import Detect

    if module.task not in ("detect", "pose"):
        raise ModelError(f"{path}: got a YOLO model for {module.task!r}, expected one for detection or pose")
    if not isinstance(module.model[-1], Detect):
        kind = type(module.model[-1]).__name__
        raise ModelError(f"{path}: got a network that ends in {kind}, expected a YOLO detection or pose head")
    chosen, count = _chosen(module, classes, path), len(module.names)
    names = tuple(str(module.names[index]) for index in chosen) or (PERSON,)
    labels = tuple(chosen.index(index) if index in chosen else -1 for index in range(count)) if chosen else (0,) * count
    kept = tuple(chosen) if chosen and _tell_only(module, chosen) else ()
    if kept:
        labels = (*range(len(kept)), -1)
    keypoints, columns = module.kpt_shape if module.task == "pose" else (0, 0)
    end2end = bool(getattr(module, "end2end", False))
    return module, Layout(int(max(module.stride)), int(keypoints), int(columns), names, labels, kept, end2end)


def _load(path: Path) -> Module:
    threads = torch.get_num_threads()
    tame()
    from ultralytics.nn.tasks import load_checkpoint

    try:
        module, _ = load_checkpoint(str(path), device="cpu", fuse=True)
    except Exception as error:  # unpickling a file that isn't a model can raise anything
        if refused := re.search(r"GLOBAL ([\w.]+)", str(error.__cause__)):
            raise ModelError(
                f"{path}: contains {refused[1]}, which is no part of a network, so it was not loaded; if you trust "
                "this file, set the environment variable ULTRALYTICS_SAFE_LOAD=false"
            ) from error
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(f"{path}: not a YOLO model that ultralytics can load ({reason})") from error
    finally:
        torch.set_num_threads(threads)  # importing ultralytics and loading a model lower it for the process
    # Frames are BGR: swap the input channels of the first layer once, instead of those of every image.
    first = next(layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d))
    first.weight.data = first.weight.data.flip(1).contiguous()
    return module.requires_grad_(False)


def _chosen(module: Module, classes: Sequence[str], path: Path) -> list[int]:
    """Find the indices of the classes to look for.

    Returns:
        The indices, in the order of `classes`. Empty if there is no class `person` but all classes count as people.

    Raises:
        ModelError: the network has no such class, or two of `classes` name the same one.
    """
    names = {str(name).casefold(): int(index) for index, name in reversed(module.names.items())}
    numbers = {str(index): int(index) for index in module.names}
    if list(classes) == [PERSON] and PERSON not in names and (len(module.names) == 1 or module.task == "pose"):
        return []
    chosen: list[int] = []
    for wanted in classes:
        index = names.get(wanted.casefold(), numbers.get(wanted))
        if index is None:
            raise ModelError(f"{path}: has no class {printable(wanted)} (detector.classes); {_offer(module, wanted)}")
        if index in chosen:
            raise ModelError(f"{path}: detector.classes: got the class {module.names[index]} twice, expected it once")
        chosen.append(index)
    return chosen


def _offer(module: Module, wanted: str) -> str:
    """Say which classes a network has, beginning with those whose names are close to the wanted one."""
    names = {str(name).casefold(): printable(str(name)) for name in module.names.values()}
    if len(names) == 1:
        return f"this {'pose ' * (module.task == 'pose')}network has only one, {next(iter(names.values()))}"
    if all(part.strip().casefold() in names for part in wanted.split(",")):
        return "write each class by itself: the flag several times, or [a, b]"
    if close := difflib.get_close_matches(wanted.casefold(), names, n=3, cutoff=0.6):
        return f"did you mean {' or '.join(names[name] for name in close)}? It has {len(names)} classes"
    return f"its {len(names)} classes, numbered from 0, are {', '.join(list(names.values())[:5])}, ..."


def tame() -> None:
    """Keep ultralytics from installing packages, calling home and printing on standard output.

    Call it before the first import of ultralytics.
    """
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    # Unpickle only the classes of torch and ultralytics that a network consists of. Old versions of ultralytics can't.
    os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "true")
    # The first import prints a notice about a settings file on standard output, and logs errors if it can't write it.
    theirs = logging.getLogger("ultralytics")
    theirs.addFilter(_drop)
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        import ultralytics.nn.tasks  # noqa: F401
    finally:
        sys.stdout = stdout
        theirs.removeFilter(_drop)
    # Its own log handler writes to standard output. Pass its records to our log instead.
    theirs.handlers.clear()
    theirs.propagate = True


def _drop(record: logging.LogRecord) -> bool:
    return False


class _ChosenOrElse(torch.nn.Module):
    """Reduces the class scores to those of the chosen classes, and the best of all others."""

    def __init__(self, scores: torch.nn.Conv2d, chosen: Sequence[int]) -> None:
        super().__init__()
        order = [*chosen, *(index for index in range(scores.out_channels) if index not in chosen)]
        scores.weight.data = scores.weight.data[order]
        if scores.bias is not None:
            scores.bias.data = scores.bias.data[order]
        self.scores, self._chosen = scores, len(chosen)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Turn features (B, C, h, w) into logits (B, chosen + 1, h, w)."""
        scores = self.scores(features)
        return torch.cat((scores[:, : self._chosen], scores[:, self._chosen :].amax(1, keepdim=True)), 1)


def _tell_only(module: Module, chosen: Sequence[int]) -> bool:
    """Reduce the classes of a network to the chosen ones and the best other one, if it has a plain detection head.

    This saves most of what 80 classes cost after the convolutions: sigmoids, copies and the search for the best class.

    Args:
        module: the network, which is modified.
        chosen: indices of classes.

    Returns:
        Whether the head was changed. It is not if all classes are chosen.
    """
    from ultralytics.nn.modules.head import Detect

    head = module.model[-1]
    if type(head) is not Detect or head.end2end or head.nc <= len(chosen):
        return False
    for branch in head.cv3:
        branch[-1] = _ChosenOrElse(branch[-1], chosen)
    head.nc = len(chosen) + 1
    head.no = head.nc + 4 * head.reg_max
    return True


def decode_in_float32(head: Module) -> None:
    """Make a head decode boxes and keypoints in float32, whatever the precision of its convolutions.

    At 640 px adjacent values are 0.5 px apart in fp16 and 4 px in bf16. The anchors that the head caches then also work
    for any batch size.
    """

    def decode(head: Module, predictions: dict[str, Any]) -> torch.Tensor:
        told: dict[str, Any] = {name: value.float() for name, value in predictions.items() if name != "feats"}
        # The head needs the feature maps only to compute its anchors, which it caches by their shape. A constant batch
        # size of 1 keeps that cache valid.
        told["feats"] = [maps.new_empty((1, *maps.shape[1:]), dtype=torch.float32) for maps in predictions["feats"]]
        return type(head)._inference(head, told)  # type: ignore[no-any-return]  # ultralytics

    head._inference = MethodType(decode, head)
    head.dfl.float()
