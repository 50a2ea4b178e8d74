"""Measure what the motion gate does on a recording: states, wake-ups, false alarms, missed people, and CPU time saved.

This is `python -m realtime.evaluate activity CLIP ...`. Each recording is processed as if it were a live camera, with
the motion gate and without it (`sides`). `clips` reads it, `wake_ups` and `missed` evaluate it, `table` reports it.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from realtime.capture.kind import kind_of
from realtime.capture.late import image_of
from realtime.capture.mask import check_mask
from realtime.config import AppConfig, CameraConfig, load
from realtime.config.yaml_text import parse_yaml
from realtime.errors import ConfigError, OutputError, SourceError
from realtime.evaluate.activity.clips import Clip, Shot
from realtime.evaluate.activity.missed import Comparison
from realtime.evaluate.activity.sides import Detect, Seen, Sides
from realtime.evaluate.activity.table import Outcome, make_report
from realtime.evaluate.activity.wake_ups import WakeUps
from realtime.evaluate.config_flags import add_keys, load_keys
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Report
from realtime.home import home_path
from realtime.publish.jpeg import size_for, to_jpeg
from realtime.redact import shown

# The keys of a camera that also have a meaning for a recording.
_OF_CAMERA = {
    "rotate", "crop_xyxy", "resize", "target_fps", "mask", "sensitivity", "max_pixels", "hwaccel",
}  # fmt: skip
_NO_PEOPLE = np.zeros((0, 4), np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags, including the configuration keys of the device, the detector, the tracker and the gate."""
    add = parser.add_argument
    add("clip", nargs="+", metavar="CLIP", help="a recording: a video, a folder of pictures, or demo")
    add("--camera", metavar="NAME", help="camera of --config whose mask, sensitivity, view and target_fps are used")
    add(
        "--mask",
        action="append",
        metavar="POLYGON",
        help="ignore motion in this polygon, [[x, y], ...] in pixels; repeatable; replaces the mask of the camera",
    )
    add("--sensitivity", metavar="NUMBER", help="sensitivity of the gate, 0..1; replaces the camera's; default 0.5")
    add("--target-fps", metavar="NUMBER", help="frames per second to use, as for a live camera; default: all")
    add("--frames", type=int, metavar="N", help="read only the first N frames of each recording")
    add(
        "--fast",
        action="store_true",
        help="run the detector only when the gate asks for it; missed people are then not found",
    )
    add("--pictures", type=home_path, metavar="FOLDER", help="write a picture of each wake-up to this new folder")
    left_out = ("activity.mode", "activity.pose_s")
    add_keys(
        parser, lambda key: key.startswith(("device", "detector.", "tracker.", "activity.")) and key not in left_out
    )


def run(options: argparse.Namespace) -> Report:
    """Process every recording, and report.

    Raises:
        ConfigError: a flag is wrong, or a recording is a live source.
        SourceError: a recording can't be opened.
        ModelError: the detector can't be loaded.
        OutputError: a picture can't be written.
    """
    config = load_keys(options)
    cameras = [_camera(options, config, clip) for clip in options.clip]
    _check(options, cameras)
    detect, detector = _load_detect(config)
    outcomes = []
    for number, camera in enumerate(cameras):
        save = _saver(options.pictures, f"{number + 1}-" if len(cameras) > 1 else "", camera)
        outcomes.append(_measure(config, camera, detect, options, save))
    return make_report(outcomes, config, detector)


def _camera(options: argparse.Namespace, config: AppConfig, clip: str) -> CameraConfig:
    """Return the camera to simulate: the keys of `--camera`, replaced by those of the flags."""
    keys: dict[str, object] = {}
    if config.cameras or options.camera is not None:
        keys = _chosen(config.cameras, options.camera).model_dump(include=_OF_CAMERA, exclude_unset=True)
    flags = {"sensitivity": options.sensitivity, "target_fps": options.target_fps}
    keys |= {key: value for key, value in flags.items() if value is not None}
    if options.mask is not None:
        keys["mask"] = [polygon for text in options.mask for polygon in _polygons(text)]
    try:
        return load(flags={"cameras": [{**keys, "name": "clip", "source": clip}]}).cameras[0]
    except ConfigError as error:
        raise ConfigError(str(error).replace("cameras.0.", "", 1).replace(" (from --source)", "")) from None


def _chosen(cameras: list[CameraConfig], name: str | None) -> CameraConfig:
    if name is None and len(cameras) == 1:
        return cameras[0]
    for camera in cameras:
        if camera.name == name:
            return camera
    if not cameras:
        raise ConfigError(f"--camera: got {name}, but --config has no cameras")
    known = ", ".join(camera.name for camera in cameras)
    raise ConfigError(f"--camera: got {'nothing' if name is None else name}, expected one of {known}")


def _polygons(text: str) -> list[object]:
    """Return the polygons in the value of a flag: one, or a list of them; [] for none."""
    data, _ = parse_yaml(text, "--mask")
    if not isinstance(data, list):
        raise ConfigError(f"--mask: got {text!r}, expected a polygon such as [[0, 0], [300, 0], [0, 200]]")
    is_one = bool(data) and isinstance(data[0], list) and bool(data[0]) and not isinstance(data[0][0], list)
    return [data] if is_one else data


def _check(options: argparse.Namespace, cameras: list[CameraConfig]) -> None:
    """Check everything that can be checked before the detector is loaded."""
    if options.frames is not None and options.frames < 1:
        raise ConfigError(f"--frames: got {options.frames}, expected at least 1")
    for camera in cameras:
        _check_clip(camera, options.frames)
    if (folder := options.pictures) is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_empty = not any(folder.iterdir())
        except OSError as error:
            raise OutputError(f"--pictures: can't write to {folder}: {error.strerror}") from None
        if not is_empty:
            raise ConfigError(f"--pictures: {folder} is not empty, expected a new or empty folder")


def _check_clip(camera: CameraConfig, frames: int | None) -> None:
    kind, name = kind_of(camera.address), shown(camera.address)
    if kind == "webcam":
        raise ConfigError(f"{name}: is a webcam, expected a recording")
    if kind == "demo" and frames is None:
        raise ConfigError(f"{name}: never ends, so it needs --frames N")
    if kind == "pipe":  # which can be read only once
        return
    with contextlib.closing(Clip(camera)) as clip:
        size = clip.size
    try:
        check_mask(size, camera)
    except SourceError as error:
        raise ConfigError(f"{name}: {error}") from None


def _load_detect(config: AppConfig) -> tuple[Detect, str]:
    """Load the detector. Returns it and the name of the model."""
    from realtime.loading import load_detector  # torch takes seconds: flags and recordings are checked first

    stage, name = load_detector(config)
    stage.cadence.every = 1  # each side has a cadence of its own
    return lambda frame: stage.process([frame])[0], name


# Writes a picture of a shot, and returns the name of its file; None: no pictures are wanted.
_Save = Callable[[Shot, Seen], str] | None


def _saver(folder: Path | None, prefix: str, camera: CameraConfig) -> _Save:
    if folder is None:
        return None

    def save(shot: Shot, seen: Seen) -> str:
        image = image_of(shot.decoded, camera)
        size = size_for((image.shape[1], image.shape[0]), "1280")
        file = folder / f"{prefix}{shot.elapsed_s:08.1f}s.jpg"
        try:
            file.write_bytes(to_jpeg(image, size, seen.motion))
        except (OSError, ValueError) as error:
            raise OutputError(f"--pictures: can't write {file}: {error}") from None
        return file.name

    return save


def _measure(
    config: AppConfig, camera: CameraConfig, detect: Detect, options: argparse.Namespace, save: _Save
) -> Outcome:
    """Process one recording."""
    sides = Sides(config, camera, detect, options.fast)
    wake_ups, comparison = WakeUps(), Comparison()
    name = shown(camera.address)
    with contextlib.closing(Clip(camera)) as clip:
        for shot in progress(clip.shots(options.frames), name):
            seen = sides.process(shot)
            people = 0 if seen.on is None else len(seen.on)
            new = wake_ups.add(shot.elapsed_s, shot.epoch, seen.motion, people, seen.has_found)
            if new is not None and save is not None:
                new.picture = save(shot, seen)
            if seen.off is not None:
                comparison.add(shot.elapsed_s, seen.off, _NO_PEOPLE if seen.on is None else seen.on.xyxy)
    return Outcome(name, clip, wake_ups, None if options.fast else comparison, sides.on, sides.off)
