"""A converted network in a folder: all that running it needs, so that torch is not imported.

Used by models.yolo and pose.build. The folder is one of the cache (models.cache), or one that
`python -m realtime.models export` wrote. It holds the network in OpenVINO's format, what the network is (about.json),
and the float32 output that the self-test compares with (expected.npy).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.errors import ModelError, first_line
from realtime.models import openvino
from realtime.models.digests import sha256_of

Kind = Literal["yolo", "vitpose"]
Part = Literal["detector", "pose"]
_PEOPLE = "people.npz"
_NETWORK, _WEIGHTS, _ABOUT, _EXPECTED = "network.xml", "network.bin", "about.json", "expected.npy"
# Another number: a folder of another version of this file, which can't be read.
_FORMAT = 1
# The about.json of 133 keypoints has 10 KB.
_MOST_BYTES = 1_000_000


class Converted(NamedTuple):
    """A converted network.

    Attributes:
        model: the network, as `openvino.OpenVinoNetwork` takes it.
        about: what the network is, as JSON: the layout of a YOLO network, the description of a ViTPose network.
        expected: the output in float32 for the image of the self-test.
        identity: changes with the content of the folder; empty for a network that is in memory only.
    """

    model: Any  # OpenVINO ships no types
    about: Mapping[str, Any]
    expected: NDArray[np.float32]
    identity: str = ""


def write(network: Converted, folder: Path, *, halve: bool = False) -> None:
    """Write a network to an empty folder.

    Args:
        network: the network.
        folder: an existing folder.
        halve: write the float32 weights as float16, which suffices for bf16 and fp16.

    Raises:
        OSError: it can't be written.
    """
    content = io.BytesIO()  # numpy's error on a full disk would name no cause
    np.save(content, network.expected)
    (folder / _EXPECTED).write_bytes(content.getvalue())
    (folder / _ABOUT).write_text(json.dumps({"format": _FORMAT, **network.about}, indent=1), encoding="utf-8")
    openvino.save(network.model, folder / _NETWORK, halve=halve)


def read(folder: Path, kind: Kind) -> Converted:
    """Read a network.

    Raises:
        OSError, ValueError, EOFError, RuntimeError: a file is missing, damaged or not of this kind.
    """
    about = read_about(folder, kind)
    expected = np.load(folder / _EXPECTED, allow_pickle=False)
    if not isinstance(expected, np.ndarray) or expected.dtype != np.float32:
        raise ValueError(f"{_EXPECTED} holds something else than float32 numbers")
    digests = [sha256_of(folder / file) for file in (_ABOUT, _EXPECTED, _NETWORK, _WEIGHTS)]
    identity = hashlib.sha256("".join(digests).encode()).hexdigest()
    return Converted(openvino.read(folder / _NETWORK), about, expected, identity)


def read_about(folder: Path, kind: Kind | None = None) -> dict[str, Any]:
    """Read what a network is, without the network.

    Args:
        folder: the folder.
        kind: the kind that is expected; None: any.

    Raises:
        OSError: the file can't be read.
        ValueError: it is damaged, of another kind, or of another version of this program.
    """
    file = folder / _ABOUT
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{_ABOUT} is too large")
    data = json.loads(file.read_bytes())
    if not isinstance(data, dict) or data.get("kind") not in ("yolo", "vitpose"):
        raise ValueError(f"{_ABOUT} does not describe a network")
    if data.get("format") != _FORMAT:
        raise ValueError(f"{_ABOUT} is of another version: got format {data.get('format')}, expected {_FORMAT}")
    if kind is not None and data["kind"] != kind:
        raise ValueError(f"{_ABOUT} describes another kind of network")
    return data


def is_converted(folder: Path) -> bool:
    """Whether a folder looks like a converted network, whole or not."""
    return (folder / _ABOUT).is_file() and (folder / _NETWORK).is_file()


def exported(folder: Path, part: Part) -> Path | None:
    """Return the folder of a network that `python -m realtime.models export` wrote, or None.

    Args:
        folder: that folder, or the one that the command wrote.
        part: which of the networks in the latter.
    """
    return next((place for place in (folder / part, folder) if is_converted(place)), None)


def read_exported(folder: Path, kind: Kind) -> Converted:
    """Read a network that `python -m realtime.models export` wrote.

    Raises:
        ModelError: it is damaged, of another kind, or of another version of this program or of OpenVINO.
    """
    with _readable(folder):
        return read(folder, kind)


def about_exported(folder: Path) -> dict[str, Any]:
    """Read what such a network is.

    Raises:
        ModelError: as above.
    """
    with _readable(folder):
        about = read_about(folder)
        if not isinstance(about.get("name"), str):
            raise ValueError(f"{_ABOUT} holds no name")
        return about


def write_people(folder: Path, image: NDArray[np.uint8], xyxy: NDArray[np.float32]) -> None:
    """Write the image of the self-test to the folder of an exported network, for machines that have none.

    Args:
        folder: an existing folder.
        image: uint8 (H, W, 3) BGR.
        xyxy: the boxes of the people in it, float32 (N, 4), in pixels.

    Raises:
        OSError: it can't be written.
    """
    content = io.BytesIO()
    np.savez_compressed(content, image=image, xyxy=xyxy)
    (folder / _PEOPLE).write_bytes(content.getvalue())


def read_people(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read the image and the boxes of the self-test.

    Raises:
        ModelError: they are missing or damaged.
    """
    with _readable(folder), np.load(folder / _PEOPLE, allow_pickle=False) as arrays:
        image, xyxy = arrays["image"], arrays["xyxy"]
        if image.dtype != np.uint8 or image.ndim != 3 or xyxy.dtype != np.float32 or xyxy.shape[1:] != (4,):
            raise ValueError(f"{_PEOPLE} holds something else")
        return image, xyxy


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{folder}: a converted network that can't be read ({first_line(error)}); export it again with "
            "python -m realtime.models export"
        ) from error


def version_of(library: str) -> str:
    """Return the version of an installed library, without importing it."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
