"""The arguments of PoseTracker and track, which become a configuration. Used by realtime.tracker.

Errors name arguments and keywords, as the caller wrote them, where those of the program name flags.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from realtime.config import AppConfig, Presets, keyword_of, load, parse_source, with_keywords
from realtime.errors import ConfigError
from realtime.home import at_home
from realtime.models.weights import is_here

log = logging.getLogger(__name__)

# The number of a webcam, a path, or text as for --source: [NAME=]SRC.
Source = int | str | os.PathLike[str] | Mapping[str, object]
Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# How the keys begin that matter to the library: those of the stages, then those of cameras. The others belong to the
# program.
_OURS = (
    "preset", "device", "detector.", "tracker.", "pose.", "smoothing.",
    "cameras", "realtime", "loop", "max_frames", "fail_fast", "activity.", "latency.max_age_ms",
)  # fmt: skip
# The files through which a call of the library reaches this one.
_INSIDE = ("realtime.arguments", "realtime.tracker")


def paths(files: Files) -> list[Path]:
    """The paths of configuration files."""
    some: Iterable[str | os.PathLike[str]] = [files] if isinstance(files, str | os.PathLike) else files
    return [Path(at_home(os.fspath(file))) for file in some]


def configuration(files: Sequence[Path], keys: Mapping[str, object], sources: Sequence[Source] = ()) -> AppConfig:
    """The configuration of the stages and, if there are sources, of their cameras instead of the key `cameras`.

    >>> configuration([], {"pose.model": "none"}, [0, "door=demo"]).cameras[1].name
    'door'

    Args:
        files: YAML files; later ones win, key by key.
        keys: dotted key to value. They win over the environment, which wins over files.
        sources: as for realtime.track.

    Raises:
        ConfigError: as for realtime.config.load.
        ValueError: a source has another type.
    """
    with _in_words_of_the_library("source" if sources else "cameras"):
        cameras = [_camera(source, position) for position, source in enumerate(sources)]
        # A tracker reads its keys again for each call of `track`, but its models are chosen once.
        presets = Presets(is_here, log.debug if sources else log.info)
        return load(files, flags={**keys, "cameras": cameras} if cameras else keys, presets=presets)


def warn_of_others(keys: Mapping[str, object]) -> None:
    """Warn of keys that have no effect in the library, at the line outside it that set them."""
    if others := ", ".join(keyword_of(key) for key in keys if not key.startswith(_OURS)):
        level = 1
        while sys._getframe(level - 1).f_globals.get("__name__") in _INSIDE:
            level += 1
        warnings.warn(f"keyword {others}: no effect here, because only the program uses it", stacklevel=level)


def _camera(source: Source, position: int) -> Mapping[str, object]:
    """The configuration of one source; `position` is its index among all."""
    if isinstance(source, Mapping):  # an item of `cameras`; its keys are checked with all others
        return {"name": f"cam{position}", **source}
    if isinstance(source, os.PathLike):  # a path, whatever characters it contains
        return {"name": f"cam{position}", "source": os.fspath(source)}
    if isinstance(source, bool) or not isinstance(source, int | str):
        got = type(source).__name__
        raise ValueError(f"source: expected a number, a path or a URL, got {got}; use PoseTracker for images")
    return parse_source(str(source), position)


@contextlib.contextmanager
def _in_words_of_the_library(source: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise type(error)(with_keywords(str(error), source)) from None
