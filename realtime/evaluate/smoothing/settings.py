"""The settings that the command `smoothing` compares: from `--setting` to the program's configuration.

Used by the command. A setting has keys of the section `smoothing`: "method=one-euro min_cutoff_hz=0.5".
"""

from __future__ import annotations

import argparse
import re

from realtime.config import SmoothingConfig, leaves
from realtime.config.mistakes import near
from realtime.errors import ConfigError
from realtime.evaluate.config_flags import load_keys

_SECTION = "smoothing."
# How the description of a key begins that only one method uses, and that method.
_ONLY = {"One-Euro: ": "one-euro", "Kalman: ": "kalman"}


def read_settings(options: argparse.Namespace) -> dict[str, SmoothingConfig]:
    """Read each `--setting`: what it sets replaces the files and flags of the configuration.

    Returns:
        The configuration of each setting, by its label in the table: "one-euro min_cutoff_hz=0.5".

    Raises:
        ConfigError: a key is unknown, has no effect with the method, or is set twice; a value is wrong; or two settings
            are the same.
    """
    found: dict[str, SmoothingConfig] = {}
    for text in options.setting:
        keys = _keys_of(text)
        try:
            config = load_keys(options, keys).smoothing
        except ConfigError as error:
            raise ConfigError(f"--setting {text!r}: {error}") from None
        _check_effect(text, keys, config)
        if twin := next((label for label, other in found.items() if other == config), None):
            raise ConfigError(f"--setting {text!r}: is the same as {twin!r}, expected settings that differ")
        others = [f"{key.removeprefix(_SECTION)}={keys[key]}" for key in keys if key != f"{_SECTION}method"]
        found[" ".join([config.method, *others])] = config
    return found


def check(config: SmoothingConfig) -> None:
    """Check that the effect of a configuration can be measured on clips.

    Raises:
        ConfigError: it predicts to the time of publishing, and here nothing is published.
    """
    if config.predict_ms == "age":
        raise ConfigError("smoothing.predict_ms: got age, expected 0..500 ms: nothing is published here")


def _keys_of(text: str) -> dict[str, str]:
    """Split a setting into its keys, with the name of their section, and their values as text."""
    known = [key.name for key in leaves()]
    keys: dict[str, str] = {}
    for word in re.split(r"[\s,]+", text.strip()):
        name, equals, value = word.partition("=")
        key = _SECTION + name.removeprefix(_SECTION).replace("-", "_")
        if not (name and equals and value):
            raise ConfigError(
                f"--setting {text!r}: got {word!r}, expected KEY=VALUE ..., such as method=one-euro min_cutoff_hz=0.5"
            )
        if key not in known:
            raise ConfigError(f"--setting {text!r}: unknown key {name}{near(key, str)}")
        if key in keys:
            raise ConfigError(f"--setting {text!r}: {name} is set twice")
        keys[key] = value
    return keys


def _check_effect(text: str, keys: dict[str, str], config: SmoothingConfig) -> None:
    """Refuse a key that the method does not use: its row would look as if the key had no effect."""
    for key in leaves():
        only = next((method for begin, method in _ONLY.items() if key.description.startswith(begin)), config.method)
        if key.name in keys and only != config.method:
            raise ConfigError(
                f"--setting {text!r}: {key.name} has no effect with {config.method}; add method={only}, or leave it out"
            )
