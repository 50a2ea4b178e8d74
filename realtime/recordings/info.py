"""x.info.json, the companion of a recording x.jsonl: one InfoMessage for each camera, by the camera's name.

publish.record writes it, recordings.reading reads it. A recording without one is readable too: its messages name the
skeleton.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from realtime import wire
from realtime.skeleton import COCO17, NO_SKELETON
from realtime.wire.small_file import read_small

ENDING = ".info.json"
_LINES = ".jsonl"
# Endings of recordings, the longest first. The rest of the name is the stem, which the companion shares.
ENDINGS = (".parquet.open", ".frames.parquet", ".parquet", _LINES)
# A larger file is none of ours: 1,000 cameras with 133 keypoints each take 5 MB.
_MOST_BYTES = 16 * 2**20
_KNOWN = {skeleton.name: skeleton for skeleton in (COCO17, NO_SKELETON)}
# For the fields of InfoMessage that the messages of a recording do not contain.
_UNKNOWN = "unknown"


def split_name(recording: Path) -> tuple[str, str]:
    """Return the stem of the name of a recording, which its companions share, and the ending.

    >>> split_name(Path("a/x.frames.parquet")), split_name(Path("x.y"))
    (('x', '.frames.parquet'), ('x', '.y'))
    """
    for ending in ENDINGS:
        if recording.name.endswith(ending) and recording.name != ending:
            return recording.name.removesuffix(ending), ending
    return recording.stem, recording.suffix


def info_path(recording: Path) -> Path:
    """Return the path of the companion of a recording.

    >>> info_path(Path("a/x.jsonl")).name, info_path(Path("x.parquet.open")).name, info_path(Path("x")).name
    ('x.info.json', 'x.info.json', 'x.info.json')
    """
    return recording.with_name(split_name(recording)[0] + ENDING)


def files_of(recording: Path) -> list[Path]:
    """Return the paths of all files that a recording may have, given one of them. The first one is the given path.

    >>> [file.name for file in files_of(Path("x.parquet"))]
    ['x.parquet', 'x.info.json', 'x.parquet.open', 'x.frames.parquet']
    """
    stem, own = split_name(recording)
    others = [ENDING] if own == _LINES else [ENDING, *(each for each in ENDINGS if each != _LINES)]
    return [recording, *(recording.with_name(stem + ending) for ending in others if ending != own)]


def others_beside(recording: Path) -> list[Path]:
    """Return the recordings of the other format that have the same companion.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "x.parquet.open").touch()
    ...     [other.name for other in others_beside(Path(folder) / "x.jsonl")]
    ['x.parquet.open']
    """
    stem, own = split_name(recording)
    endings = (_LINES,) if ".parquet" in own else (".parquet", ".parquet.open")
    others = [recording.with_name(stem + ending) for ending in endings]
    return [other for other in others if other.is_file()]


def encode_infos(infos: Iterable[wire.InfoMessage]) -> bytes:
    """Return the content of the companion: a JSON object with a line for each camera."""
    lines = [msgspec.json.encode(info.camera) + b": " + wire.encode(info, "json") for info in infos]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def read_infos(path: Path) -> dict[str, wire.InfoMessage]:
    """Read a companion. Keys that this version doesn't know are ignored.

    >>> import tempfile
    >>> info = wire.InfoMessage(
    ...     session="s1", camera="door", keypoint_names=[], edges=[], detector="yolo11n", pose="none", device="cpu",
    ...     smoothing="none", source_fps=25.0, size=(640, 480), version="0.1.0",
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.info.json"
    ...     _ = path.write_bytes(encode_infos([info]))
    ...     read_infos(path) == {"door": info}
    True

    Returns:
        The info of each camera by its name. Empty if there is no such file.

    Raises:
        ValueError: it can't be read. The message is the reason, without the path.
    """
    if not path.exists():
        return {}
    try:
        entries = msgspec.json.decode(read_small(path, _MOST_BYTES), type=dict[str, msgspec.Raw])
    except RecursionError as error:
        raise ValueError(str(error)) from None
    infos = [wire.decode(wire.info_topic(camera), bytes(entry)) for camera, entry in entries.items()]
    return {info.camera: info for info in infos if isinstance(info, wire.InfoMessage)}


def is_known(skeleton: str) -> bool:
    """Whether the name of a skeleton is enough to know its keypoints."""
    return skeleton in _KNOWN


def made_of(message: wire.PoseMessage) -> wire.InfoMessage:
    """Make the info of a camera of one of its messages, for a recording without a companion.

    The skeletons `coco17` and `none` are known. The keypoints of any other are called `keypoint_0`, `keypoint_1`, ...
    and have no edges.

    Args:
        message: a message with people, if the camera has any: another one does not tell the number of keypoints.
    """
    known = _KNOWN.get(message.skeleton)
    numbered = [f"keypoint_{number}" for number in range(message.keypoints_array().shape[1])]
    return wire.InfoMessage(
        session=message.session,
        camera=message.camera,
        keypoint_names=list(known.keypoint_names) if known else numbered,
        edges=list(known.edges) if known else [],
        detector=_UNKNOWN,
        pose=_UNKNOWN,
        device=_UNKNOWN,
        smoothing=_UNKNOWN,
        source_fps=None,
        size=message.size,
        version=_UNKNOWN,
    )
