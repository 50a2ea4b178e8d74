"""The keys as keywords of a Python function, with underscores instead of dots. Used by realtime.tracker."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping

from realtime.config.keys import leaves
from realtime.config.load import former_keys
from realtime.config.mistakes import as_flag
from realtime.errors import ConfigError

# A message names at most this many keywords.
_MOST_NAMED = 3


def of_keywords(keywords: Mapping[str, object]) -> dict[str, object]:
    """Return the keys that keywords name, as flags for `load`.

    >>> of_keywords({"pose_model": "none", "detector_size": 320})
    {'pose.model': 'none', 'detector.size': 320}
    >>> of_keywords({"size": 320})
    Traceback (most recent call last):
    realtime.errors.ConfigError: unknown keyword size, did you mean detector_size or pose_input_size?

    Args:
        keywords: keyword to value. A path may be any path object.

    Raises:
        ConfigError: a keyword names no key.
    """
    keys = {keyword_of(key.name): key.name for key in [*leaves(), *former_keys()]}
    for word in keywords:
        if word not in keys:
            raise ConfigError(f"unknown keyword {word}{_near(word, list(keys))}")
    return {
        keys[word]: os.fspath(value) if isinstance(value, os.PathLike) else value for word, value in keywords.items()
    }


def keyword_of(key: str) -> str:
    """The keyword of a key.

    >>> keyword_of("pose.max_people")
    'pose_max_people'
    """
    return key.replace(".", "_")


def with_keywords(message: str, source: str) -> str:
    """Return a message of `load` or `parse_source` with keywords in place of flags.

    >>> with_keywords("publish.bind: anyone could read it: set --publish.allow-insecure (from --source)", "source")
    'publish.bind: anyone could read it: set publish_allow_insecure (from source)'

    Args:
        message: the message.
        source: replaces --source.
    """
    words = {as_flag(key.name): keyword_of(key.name) for key in leaves()}
    words |= {"--config": "config", "--source": source, "--help": "configs/default.yaml"}
    return re.sub(r"(?<![\w/])--[a-z][a-z0-9._-]*\b", lambda flag: words.get(flag[0], flag[0]), message)


def _near(word: str, words: list[str]) -> str:
    """The advice for an unknown keyword, as the end of a message."""
    asked = word.lower()
    close = [each for each in words if each.endswith(f"_{asked}")]
    if not close:
        # Without their section too: max_person is near pose_max_people.
        known = {each.partition("_")[2]: each for each in words} | {each: each for each in words}
        close = [known[each] for each in difflib.get_close_matches(asked, known, n=1, cutoff=0.7)]
    return f", did you mean {' or '.join(close[:_MOST_NAMED])}?" if close else "; configs/default.yaml lists all keys"
