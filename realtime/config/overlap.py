"""Checks that a run writes no file that it also reads, and no file twice. Called by `load`, also at each reload."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from realtime.config.sections import AppConfig
from realtime.errors import ConfigError
from realtime.recordings.info import info_path


def check_outputs(config: AppConfig, files: Sequence[Path]) -> None:
    """Check that the recording, the report and the videos have files of their own.

    Args:
        config: the checked configuration.
        files: the configuration files.

    Raises:
        ConfigError: one of them is also the other, a configuration file, a key file, the token file or the source of a
            camera.
    """
    inputs = [(file, "a configuration file") for file in files]
    inputs += [(Path(camera.address), f"the source of {camera.name}") for camera in config.cameras]
    if config.publish.curve_secret is not None:
        inputs.append((config.publish.curve_secret, "the secret key"))
    if config.web_token_file is not None:
        inputs.append((config.web_token_file, "the token of the page"))
    for key, output in (*_recording(config), ("report", config.report), *_videos(config)):
        for path, what in inputs:
            if output is not None and (_is_same(output, path) or (key == "save_video" and _is_later(path, output))):
                raise ConfigError(f"{key}: got {output}, {what}, expected a different file")
    for key, output in (*_recording(config), *_videos(config)):
        if config.report is not None and _is_same(output, config.report):
            raise ConfigError(f"report: got the same file as {key}, expected a different one")


def _recording(config: AppConfig) -> list[tuple[str, Path]]:
    """The files of the recording."""
    if (path := config.record) is None:
        return []
    files = [path, info_path(path)]
    if path.suffix == ".parquet":
        files += [path.with_name(path.stem + ending) for ending in (".frames.parquet", ".parquet.open")]
    return [("record", file) for file in files]


def _videos(config: AppConfig) -> list[tuple[str, Path]]:
    """The first video of each camera."""
    if config.save_video is None:
        return []
    paths = {str(config.save_video).replace("{camera}", camera.name) for camera in config.cameras}
    return [("save_video", Path(path)) for path in sorted(paths)]


def _is_later(path: Path, video: Path) -> bool:
    """Whether a file has a name that later videos of the run may get: x-2.mp4, x-3.mp4, ... after x.mp4."""
    number = path.name.removeprefix(f"{video.stem}-").removesuffix(video.suffix)
    return (
        path.name == f"{video.stem}-{number}{video.suffix}" and number.isdigit() and _is_same(path.parent, video.parent)
    )


def _is_same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # at least one does not exist yet, or is no path at all
        return one.samefile(other) and not one.is_char_device()  # anything may write to /dev/null
    with contextlib.suppress(OSError, ValueError):  # the current folder was removed
        return os.path.realpath(one) == os.path.realpath(other)
    return False
