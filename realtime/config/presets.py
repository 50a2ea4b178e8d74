"""Presets: named sets of keys, one YAML file each in the folder `presets` of the package.

config.load puts the keys of a preset below all others. The value of a model's key may be a list of candidates, from
the largest to the smallest: the first one on this machine is taken.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from realtime.config.layers import Layer, of_file
from realtime.config.places import Origin
from realtime.config.reading import Reading
from realtime.config.sections import Preset

log = logging.getLogger(__name__)

PRESETS: tuple[str, ...] = get_args(Preset)
_FOLDER = Path(__file__).parents[1] / "presets"


class Presets:
    """Gives the keys that a preset sets on this machine. It looks for each model once.

    >>> from realtime.config import load
    >>> presets = Presets(lambda model: model == "yolov8m")
    >>> load(environment={}, flags={"preset": "accurate"}, presets=presets).detector.weights
    'yolov8m'

    Args:
        is_here: whether a model is on this machine, by its name. Default: none is.
        tell: called with a line of text for each choice between candidates. Default: log it.
    """

    def __init__(
        self, is_here: Callable[[str], bool] = lambda model: False, tell: Callable[[str], None] = log.info
    ) -> None:
        self._is_here = functools.cache(is_here)
        self._tell = tell

    def layer(self, name: str, keys: Mapping[str, object], above: Layer) -> Layer:
        """Return the keys of a preset that are not set above it.

        Args:
            name: one of PRESETS.
            keys: the type of each key.
            above: the keys that files, environment and flags set.
        """
        preset = of_file(_FOLDER / f"{name}.yaml", keys, Reading())
        return {
            key: (self._chosen(name, key, value) if isinstance(value, list) else value, Origin(f"preset {name}"))
            for key, (value, _) in preset.items()
            if key not in above
        }

    def _chosen(self, name: str, key: str, candidates: list[str]) -> str:
        """Return the first candidate that is on this machine; the last one, `auto`, needs no file."""
        *models, last = candidates
        for index, model in enumerate(models):
            if self._is_here(model):
                missing = f" (not here: {', '.join(models[:index])})" if index else ""
                self._tell(f"preset {name}: {key} is {model}, the largest of its models on this machine{missing}")
                return model
        none = f"none of its models is on this machine ({', '.join(models)})"
        self._tell(f"preset {name}: {key} stays {last}, the default, because {none}")
        return last
