"""Flags for configuration keys in the commands of realtime.evaluate.

Used by the commands `tracking`, `keypoints` and `smoothing`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from realtime.config import AppConfig, Presets, former_keys, leaves, load
from realtime.home import home_path
from realtime.models.weights import is_here


def add_keys(parser: argparse.ArgumentParser, wanted: Callable[[str], bool]) -> None:
    """Add `--config`, and a flag for every wanted configuration key.

    Args:
        parser: receives the flags.
        wanted: whether a key ("tracker.method") becomes a flag.
    """
    parser.add_argument(
        "--config",
        action="append",
        type=home_path,
        default=[],
        metavar="FILE",
        help="YAML file; repeatable",
    )
    former = former_keys()
    for key in [*leaves(), *former]:
        if wanted(key.name):
            text = argparse.SUPPRESS if key in former else key.description.replace("%", "%%")
            names = dict.fromkeys(f"--{name}" for name in (key.name.replace("_", "-"), key.name))
            parser.add_argument(*names, dest=key.name, metavar=key.placeholder, help=text)


def load_keys(options: argparse.Namespace, more: Mapping[str, str] | None = None) -> AppConfig:
    """Load the configuration from the files and flags of `add_keys`.

    Args:
        options: the parsed command line.
        more: further keys with their values as text, which win over the flags.

    Raises:
        ConfigError: a file or a value is wrong.
    """
    keys = {key.name for key in [*leaves(), *former_keys()]}
    flags = {key: value for key, value in vars(options).items() if key in keys and value is not None}
    return load(options.config, flags=flags | dict(more or {}), presets=Presets(is_here))
