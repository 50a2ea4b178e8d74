"""The layers of a configuration, which config.load puts together: a file, the environment, and the flags."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args, get_origin

from realtime.config.camera import CameraConfig
from realtime.config.keys import is_repeatable
from realtime.config.mistakes import ENV_PREFIX, as_flag, as_variable, near, short
from realtime.config.places import Origin, Place
from realtime.config.reading import Reading
from realtime.config.yaml_mistakes import advice
from realtime.config.yaml_text import parse_yaml, read_yaml
from realtime.errors import ConfigError

# Kubernetes sets these in each container, for each service of the namespace, and Docker for each link. They
# start like ours if the service is called realtime-pose. Our keys have two underscores between their levels.
_SERVICE_VARIABLE = re.compile(
    rf"{ENV_PREFIX.rstrip('_')}(?:_[A-Z0-9]+)*"
    r"_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9]+)*|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


Layer = dict[str, tuple[object, Origin]]  # by dotted key


def of_file(path: Path, keys: Mapping[str, object], reading: Reading) -> Layer:
    """The keys that a file sets.

    Args:
        path: the YAML file.
        keys: the type of each key.
        reading: reads it.

    Raises:
        ConfigError: it can't be read, or it has an unknown key.
    """
    data, place = read_yaml(path, reading)
    if data is None:
        return {}
    if not isinstance(data, dict):
        put = "; put the cameras below the key cameras:" if isinstance(data, list) else advice([str(data)])
        raise ConfigError(f"--config: {path} line {place.line}: expected keys and values, got {_kind(data)}{put}")
    layer: Layer = {}
    for key, value, below in _flatten(data, "", keys, Origin(str(path), place)):
        origin = Origin(str(path), below)
        if key in layer:
            raise ConfigError(f"{origin.at()}: the key {key} is repeated, it is also in {layer[key][1].at()}")
        layer[key] = value, origin
    return layer


def of_environment(environment: Mapping[str, str], keys: Mapping[str, object]) -> Layer:
    """The keys that variables set.

    Raises:
        ConfigError: a variable starts like ours and names no key.
    """
    layer: Layer = {}
    foreign = service_variables(environment)
    for variable in sorted(environment):
        if not variable.upper().startswith(ENV_PREFIX) or variable in foreign:
            continue
        key = variable[len(ENV_PREFIX) :].lower().replace("__", ".")
        if variable.startswith(ENV_PREFIX) and key not in keys:
            raise ConfigError(f"environment: unknown key {variable}{near(key, as_variable)}")
        if key in keys and variable != as_variable(key):
            raise ConfigError(f"environment: {variable}: expected capital letters: {as_variable(key)}")
        if key in keys:
            layer[key] = _from_text(keys[key], environment[variable], variable), Origin(variable)
    return layer


def of_flags(flags: Mapping[str, object], keys: Mapping[str, object]) -> Layer:
    """The keys that flags set.

    Raises:
        ConfigError: a flag that is a list isn't valid YAML.
    """
    layer: Layer = {}
    for key, value in flags.items():
        name = "--source" if key == "cameras" and not isinstance(value, str) else as_flag(key)
        layer[key] = _from_text(keys[key], value, as_flag(key)) if isinstance(value, str) else value, Origin(name)
    return layer


def service_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """The variables that start like ours, but were set by Kubernetes or Docker for a service with a name like ours.

    >>> service_variables({"REALTIME_POSE_SERVICE_HOST": "10.0.0.3", "REALTIME_POSE__MODEL": "none"})
    ['REALTIME_POSE_SERVICE_HOST']

    Args:
        environment: default: the variables of this process.
    """
    return sorted(filter(_SERVICE_VARIABLE.fullmatch, os.environ if environment is None else environment))


def _flatten(
    data: Mapping[str, object], prefix: str, keys: Mapping[str, object], origin: Origin
) -> Iterator[tuple[str, object, Place]]:
    sections = {key.partition(".")[0] for key in keys if "." in key}
    assert origin.place is not None
    for name, value in data.items():
        key, place = f"{prefix}{name}", origin.place.below[name]
        if key in sections and (value is None or isinstance(value, dict)):
            yield from _flatten(value or {}, f"{key}.", keys, Origin(origin.name, place))
        elif key in keys:
            yield key, value, place
        elif key in sections:
            raise ConfigError(f"{origin.at([name])}: {key}: expected keys and values below it, got {_kind(value)}")
        else:
            raise ConfigError(f"{origin.at([name])}: unknown key {short(key)}{_advice(key)}")


def _advice(key: str) -> str:
    if key in CameraConfig.model_fields:
        return f": it belongs to a camera. Put it below the key cameras: as in - {{name: door, {key}: ...}}"
    return advice([key]) or near(key, str)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else "keys and values" if isinstance(value, dict) else "text"


def _from_text(kind: object, text: str, origin: str) -> object:
    """Convert the text of a flag or variable for its key. A list of sections is YAML; other text stays as it is."""
    if get_origin(kind) is list:
        if is_repeatable(kind) and not text.startswith("["):
            return [text]
        try:
            return parse_yaml(text, origin)[0]
        except ConfigError:
            raise ConfigError(f"{origin}: expected a YAML list") from None
    if text == "" and type(None) in get_args(kind):
        return None
    return text
