"""Reads the configuration: flags win over the environment, which wins over files. A mistake is reported in one line.

The program reads it before it builds anything, and reads the files again on SIGHUP.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args, get_origin

from pydantic import ValidationError

from realtime.config.camera import CAMERA_NAME, NAME_IN_WORDS
from realtime.config.keys import Key, is_repeatable, leaves
from realtime.config.mistakes import ENV_PREFIX, as_flag, as_variable, explain, near, short, where_set
from realtime.config.overlap import check_outputs
from realtime.config.sections import AppConfig
from realtime.config.yaml_text import parse_yaml, read_yaml
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
        "expected 0 (COCO): the published ViTPose+ checkpoints contain only the head for COCO, which gives wrong "
        "keypoints with the expert of another dataset",
    )
}

# Kubernetes sets these in each container, for each service of the namespace, and Docker for each link. They
# start like ours if the service is called realtime-pose. Our keys have two underscores between their levels.
_SERVICE_VARIABLE = re.compile(
    rf"{ENV_PREFIX.rstrip('_')}(?:_[A-Z0-9]+)*"
    r"_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9]+)*|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


def load(
    files: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    warn: Callable[[str], None] = log.warning,
) -> AppConfig:
    """Resolve the configuration.

    Args:
        files: YAML files; later ones win, key by key.
        environment: variables. Those that start with REALTIME_ are used, except `service_variables`; "__" separates
            the levels. Default: the variables of this process.
        flags: dotted key to text, a list of texts or plain data. Flags win over everything else.
        warn: called with a line of text for each former key that is set. Default: log it.

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
    layers: list[_Layer] = [{key: (value, str(path)) for key, value in _read_yaml(path, keys)} for path in files]
    layers += [_of_environment(environment, keys), _of_flags(flags or {}, keys)]
    found: _Layer = {}
    for layer in layers:
        found |= _renamed(layer, warn)
    _drop(found, warn)
    values = {key: value for key, (value, _) in found.items()}
    origins = {key: origin for key, (_, origin) in found.items()}
    try:
        config = AppConfig.model_validate(_nest(values), context=environment)
    except ValidationError as error:
        raise ConfigError(explain(error, origins)) from None
    check_outputs(config, files)
    return config


def service_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """The variables that start like ours, but were set by Kubernetes or Docker for a service with a name like ours.

    >>> service_variables({"REALTIME_POSE_SERVICE_HOST": "10.0.0.3", "REALTIME_POSE__MODEL": "none"})
    ['REALTIME_POSE_SERVICE_HOST']

    Args:
        environment: default: the variables of this process.
    """
    return sorted(filter(_SERVICE_VARIABLE.fullmatch, os.environ if environment is None else environment))


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


def _renamed(layer: _Layer, warn: Callable[[str], None]) -> _Layer:
    """The layer with the new names of renamed keys. A later layer overrides them by either name."""
    for former, name in RENAMED.items():
        if former not in layer:
            continue
        value, origin = layer[former]
        if name in layer:
            raise ConfigError(
                f"{former}: it is now called {name}, which is also set (from {layer[name][1]}): remove {former} "
                f"(from {origin})"
            )
        warn(f"{former} is now called {name}: rename it, because the next release rejects it (from {origin})")
        layer = {key: entry for key, entry in layer.items() if key != former} | {name: (value, origin)}
    return layer


def _drop(found: _Layer, warn: Callable[[str], None]) -> None:
    """Remove the dropped keys."""
    for key, (only, expected) in DROPPED.items():
        if key not in found:
            continue
        value, origin = found.pop(key)
        if str(value) != only:
            raise ConfigError(redact(f"{key}: got {value!r}, {expected}{where_set(key, origin)}"))
        warn(f"{key} has no effect any more: remove it, because the next release rejects it (from {origin})")


# ---- one layer at a time

_Layer = dict[str, tuple[object, str]]  # by dotted key: value, origin


def _of_environment(environment: Mapping[str, str], keys: Mapping[str, object]) -> _Layer:
    layer: _Layer = {}
    foreign = service_variables(environment)
    for variable in sorted(environment):
        if variable.startswith(ENV_PREFIX) and variable not in foreign:
            key = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
            if key not in keys:
                raise ConfigError(f"environment: unknown key {variable}{near(key, as_variable)}")
            layer[key] = _from_text(keys[key], environment[variable], variable), variable
    return layer


def _of_flags(flags: Mapping[str, object], keys: Mapping[str, object]) -> _Layer:
    layer: _Layer = {}
    for key, value in flags.items():
        origin = "--source" if key == "cameras" and not isinstance(value, str) else as_flag(key)
        layer[key] = _from_text(keys[key], value, as_flag(key)) if isinstance(value, str) else value, origin
    return layer


def _read_yaml(path: Path, keys: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The (dotted key, value) pairs of the file."""
    data = read_yaml(path)
    if data is None:
        return
    if not isinstance(data, dict):
        raise ConfigError(f"--config: {path}: expected keys and values, got a {type(data).__name__}")
    yield from _flatten(data, "", keys, path)


def _flatten(
    data: Mapping[object, object], prefix: str, keys: Mapping[str, object], path: Path
) -> Iterator[tuple[str, object]]:
    sections = {key.partition(".")[0] for key in keys if "." in key}
    for name, value in data.items():
        key = f"{prefix}{name}"
        if key in sections and (value is None or isinstance(value, dict)):
            yield from _flatten(value or {}, f"{key}.", keys, path)
        elif key in keys:
            yield key, value
        elif key in sections:
            raise ConfigError(f"{path}: {key}: expected keys and values below it, got a {type(value).__name__}")
        else:
            raise ConfigError(f"{path}: unknown key {short(key)}{near(key, str)}")


def _from_text(kind: object, text: str, origin: str) -> object:
    """Convert the text of a flag or variable for its key. A list of sections is YAML; other text stays as it is."""
    if get_origin(kind) is list:
        if is_repeatable(kind) and not text.startswith("["):
            return [text]
        try:
            return parse_yaml(text, origin)
        except ConfigError:
            raise ConfigError(f"{origin}: expected a YAML list") from None
    if text == "" and type(None) in get_args(kind):
        return None
    return text


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
