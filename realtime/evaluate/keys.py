"""Keys of our configuration as flags of an evaluation.

Used by evaluate.tracking, keypoints and smoothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from realtime.config import AppConfig, leaves, load


def add_keys(parser: argparse.ArgumentParser, wanted: Callable[[str], bool]) -> None:
    """--config, and a flag for every wanted key ("tracker.method")."""
    parser.add_argument(
        "--config", action="append", type=Path, default=[], metavar="FILE", help="YAML file; repeatable"
    )
    for key, _, description in leaves():
        if wanted(key):
            names = dict.fromkeys(f"--{name}" for name in (key.replace("_", "-"), key))
            parser.add_argument(*names, dest=key, metavar="VALUE", help=description.replace("%", "%%"))


def load_keys(options: argparse.Namespace) -> AppConfig:
    """The configuration that the files and these flags say.

    Raises:
        ConfigError: one of them is wrong.
    """
    keys = {key for key, _, _ in leaves()}
    flags = {key: value for key, value in vars(options).items() if key in keys and value is not None}
    return load(options.config, flags=flags)
