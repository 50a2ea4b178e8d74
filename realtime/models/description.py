"""What a ViTPose checkpoint is: its keypoints and its input size, without loading the network.

Used by loading and pose.build. models.vitpose finds it out by means of torch and transformers; it is then remembered in
the cache, so that a later start imports neither.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from realtime import skeleton, skeletons
from realtime.errors import ConfigError, ModelError
from realtime.models.cache import cache_folder
from realtime.models.converted import about_exported, is_converted
from realtime.models.digests import sha256_of
from realtime.models.memory import recall, remember
from realtime.skeleton import Geometry, Part, PartName, Skeleton

# The source files that decide what a checkpoint is, and how its network is loaded.
_LOADERS = [
    *(
        Path(__file__).with_name(f"{name}.py")
        for name in (
            "vitpose", "heatmap_network", "vitpose_folder", "vitpose_file", "checkpoint", "checkpoint_file",
            "description",
        )
    ),
    Path(skeleton.__file__),
    *sorted(Path(skeletons.__file__).parent.glob("*.py")),
]  # fmt: skip
_FILE = "descriptions.json"


@dataclass(frozen=True, slots=True)
class Description:
    """The properties of a network that are known without its weights.

    >>> about = Description(skeleton.COCO17, (192, 256), "0" * 64)
    >>> Description.read(json.loads(json.dumps(about.as_json()))) == about
    True

    Attributes:
        skeleton: the network's K keypoints.
        input_size: width and height of its crops in pixels.
        digest: sha256 of the checkpoint's files, of the keypoints in use, and of the source files that load it.
    """

    skeleton: Skeleton
    input_size: tuple[int, int]
    digest: str

    def as_json(self) -> dict[str, object]:
        """The description as JSON."""
        return {"skeleton": asdict(self.skeleton), "input_size": list(self.input_size), "digest": self.digest}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Description:
        """Read what `as_json` returned.

        Raises:
            ValueError: it is something else.
        """
        try:
            width, height = map(_whole, data["input_size"])
            return cls(_skeleton(data["skeleton"]), (width, height), _text(data["digest"]))
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("not the description of a ViTPose network") from error


def _skeleton(data: Mapping[str, Any]) -> Skeleton:
    names = tuple(map(_text, data["keypoint_names"]))
    pairs = {key: tuple((_index(a, names), _index(b, names)) for a, b in data[key]) for key in ("edges", "flip_pairs")}
    parts = tuple(Part(name, _whole(begin), _whole(end)) for name, begin, end in data["parts"])
    sigmas = tuple(map(float, data["sigmas"]))
    if (
        not names
        or data["geometry"] not in get_args(Geometry)
        or not all(part.name in get_args(PartName) and 0 <= part.begin < part.end <= len(names) for part in parts)
        or len(sigmas) not in (0, len(names))
    ):
        raise ValueError("not a skeleton")
    return Skeleton(
        _text(data["name"]), names, pairs["edges"], pairs["flip_pairs"], sigmas, data["geometry"], parts,
        bool(data["is_animal"]),
    )  # fmt: skip


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"expected a whole number, got {value}")
    return value


def _index(value: object, names: tuple[str, ...]) -> int:
    index = _whole(value)
    names[index]  # raises IndexError
    return index


def describe(
    path: Path,
    input_size: tuple[int, int] | None = None,
    skeleton: str = "auto",
    parts: Collection[str] | None = None,
) -> Description:
    """Describe a checkpoint as models.vitpose does, from the cache if it was described before.

    Args:
        path, input_size, skeleton, parts: as there.

    Raises:
        ModelError: there is no ViTPose checkpoint, or it has no such keypoints.
        ConfigError: it is a converted network with another input size or other keypoints.
    """
    if path.is_dir() and is_converted(path):
        return _exported(path, input_size, skeleton, parts)
    if not path.exists():
        return _found_out(path, input_size, skeleton, parts)
    what = [path.stem if path.is_file() else "", str(input_size), skeleton, *sorted(parts or ["all"])]
    key = digest_of(path, "\0".join(what))
    try:
        file = cache_folder() / _FILE
    except ConfigError:
        return _found_out(path, input_size, skeleton, parts)
    try:
        return Description.read(json.loads(recall(file)[key][0]))
    except (KeyError, ValueError, RecursionError):
        about = _found_out(path, input_size, skeleton, parts)
    remember(file, key, [json.dumps(about.as_json())])
    return about


def _exported(
    folder: Path, input_size: tuple[int, int] | None, skeleton: str, parts: Collection[str] | None
) -> Description:
    """Describe a network that was exported, which can't be changed any more."""
    try:
        about = Description.read(about_exported(folder))
    except ValueError as error:
        raise ModelError(f"{folder}: {error}; export it again") from error
    has = {part.name for part in about.skeleton.parts}
    differs = {
        "input_size": input_size is not None and input_size != about.input_size,
        "skeleton": skeleton not in ("auto", about.skeleton.name.partition("-")[0]),
        "keypoints": bool(parts) and not set(parts or ()) >= has,
    }
    if key := next((key for key, is_so in differs.items() if is_so), None):
        raise ConfigError(
            f"pose.{key}: can't be changed for the converted network {folder}; export it again with --pose.{key}"
        )
    return about


def _found_out(
    path: Path, input_size: tuple[int, int] | None, skeleton: str, parts: Collection[str] | None
) -> Description:
    from realtime.models import vitpose

    return vitpose.describe(path, input_size, skeleton, parts)


def digest_of(path: Path, what: str) -> str:
    """Return the sha256 of everything that determines a network: its files, what of them is used, and our source.

    Args:
        path: the folder or the file of a checkpoint. A copy of the file with another name holds the same network.
        what: what of them is used.

    Raises:
        ModelError: a file can't be read.
    """
    if path.is_dir():
        files = {file.name: file for file in (*path.glob("*.json"), *path.glob("*.safetensors"))}
    else:
        files = {path.suffix.lower(): path}
    total = hashlib.sha256(b"".join(source.read_bytes() for source in _LOADERS) + what.encode())
    for name, file in sorted(files.items()):
        try:
            total.update(os.fsencode(name) + f"\0{sha256_of(file)}\0".encode())
        except OSError as error:
            raise ModelError(f"{file}: can't be read: {error.strerror}") from None
    return total.hexdigest()
