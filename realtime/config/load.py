"""Reads the configuration: flags win over the environment, which wins over files, which win over a preset.

The program reads it before it builds anything, and reads the files again on SIGHUP. A mistake is reported in one line.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from realtime.config.camera import CAMERA_NAME, NAME_IN_WORDS, Addresses
from realtime.config.keys import Key, leaves
from realtime.config.layers import Layer, of_environment, of_file, of_flags
from realtime.config.mistakes import explain, short, where_set
from realtime.config.overlap import check_outputs
from realtime.config.presets import PRESETS, Presets
from realtime.config.reading import Reading
from realtime.config.sections import AppConfig
from realtime.errors import ConfigError
from realtime.redact import redact

log = logging.getLogger(__name__)

# Former keys, which this release still reads, with a warning. The next release removes them from these two tables.
# RENAMED: former name -> new name. DROPPED: key -> the only value that it could have, as text, which is now ignored,
# and the error for any other value.
RENAMED = {"latency.means": "latency.levers"}
DROPPED = {
    "pose.dataset_index": (
        "0",
        "expected 0 (COCO): Hugging Face's ViTPose+ checkpoints contain only the head for COCO; for the keypoints of "
        "other data sets, use a file of ViTPose's authors and pose.skeleton",
    )
}


def load(
    files: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    warn: Callable[[str], None] = log.warning,
    reading: Reading | None = None,
    presets: Presets | None = None,
) -> AppConfig:
    """Resolve the configuration.

    Args:
        files: YAML files; later ones win, key by key.
        environment: variables. Those that start with REALTIME_ are used, except `service_variables`; "__" separates
            the levels. Default: the variables of this process.
        flags: dotted key to text, a list of texts or plain data. Flags win over everything else.
        warn: called with a line of text for each former key that is set. Default: log it.
        reading: reads the files; the same one at a reload, so that pipes keep their content. Default: a new one.
        presets: gives the keys of the preset; the same one at a reload, so that it takes the same models. Default: a
            new one, which finds no models.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: a file is missing or unreadable, a key is unknown, or a value is wrong. The message names the key
            and its origin. Or an output is a file that the run also reads.

    Example:
        >>> load(environment={"REALTIME_POSE__MODEL": "none"}, flags={"detector.size": "320"}).detector.size
        320
    """
    environment = os.environ if environment is None else environment
    keys = {key.name: key.kind for key in [*leaves(), *former_keys()]}
    reading = reading or Reading(warn)
    layers = [of_file(path, keys, reading) for path in files]
    layers += [of_environment(environment, keys), of_flags(flags or {}, keys)]
    found: Layer = {}
    for layer in layers:
        found |= _renamed(layer, warn)
    _drop(found, warn)
    if (preset := found.get("preset", (None,))[0]) in PRESETS:
        found = (presets or Presets()).layer(str(preset), keys, found) | found
    values = {key: value for key, (value, _) in found.items()}
    origins = {key: origin for key, (_, origin) in found.items()}
    try:
        config = AppConfig.model_validate(_nest(values), context=Addresses(environment, reading))
    except ValidationError as error:
        raise ConfigError(explain(error, origins)) from None
    check_outputs(config, files)
    return config


def former_keys() -> list[Key]:
    """The renamed and the dropped keys, which files, environment and flags may still set."""
    keys = {key.name: key for key in leaves()}
    renamed = [keys[name]._replace(name=former) for former, name in RENAMED.items()]
    return renamed + [Key(name, str, None, "", "TEXT", False) for name in DROPPED]


def parse_source(text: str, position: int) -> dict[str, str]:
    """Split the `[NAME=]SRC` of --source into a camera's name and source.

    Args:
        text: the whole value of the flag.
        position: index of this --source among all of them, from 0. A camera without a name is called cam<position>.

    Returns:
        {"name": ..., "source": ...}

    Raises:
        ConfigError: the name is too long or has characters other than letters, digits, _ and -, or the source is empty.

    Example:
        >>> parse_source("door=rtsp://10.0.0.5/s1", 0)
        {'name': 'door', 'source': 'rtsp://10.0.0.5/s1'}
        >>> parse_source("clip.mp4", 1)
        {'name': 'cam1', 'source': 'clip.mp4'}
    """
    name, equals, source = text.partition("=")
    if not equals or re.search(r"[/\\:?]", name):
        name, source = f"cam{position}", text
    if not re.fullmatch(CAMERA_NAME, name):
        raise ConfigError(f"--source: got the name {short(name)!r}, expected {NAME_IN_WORDS} before the =")
    if not source:
        raise ConfigError(f"--source: {name} has no source, expected NAME=SRC (webcam number, path, URL or demo)")
    return {"name": name, "source": source}


# ---- former keys


def _renamed(layer: Layer, warn: Callable[[str], None]) -> Layer:
    """The layer with the new names of renamed keys. A later layer overrides them by either name."""
    for former, name in RENAMED.items():
        if former not in layer:
            continue
        value, origin = layer[former]
        if name in layer:
            raise ConfigError(
                f"{former}: it is now called {name}, which is also set (from {layer[name][1].at()}): remove {former} "
                f"(from {origin.at()})"
            )
        warn(f"{former} is now called {name}: rename it, because the next release rejects it (from {origin.at()})")
        layer = {key: entry for key, entry in layer.items() if key != former} | {name: (value, origin)}
    return layer


def _drop(found: Layer, warn: Callable[[str], None]) -> None:
    """Remove the dropped keys."""
    for key, (only, expected) in DROPPED.items():
        if key not in found:
            continue
        value, origin = found.pop(key)
        if str(value) != only:
            raise ConfigError(redact(f"{key}: got {value!r}, {expected}{where_set(key, origin.at())}"))
        warn(f"{key} has no effect any more: remove it, because the next release rejects it (from {origin.at()})")


def _nest(values: Mapping[str, object]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            inner = nested.setdefault(section, {})
            assert isinstance(inner, dict)
            inner[name] = value
        else:
            nested[key] = value
    return nested
