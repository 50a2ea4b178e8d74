"""Checks that a run writes no file that it also reads, and no file twice. Called by `load`, also at each reload."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from realtime.config.sections import AppConfig
from realtime.errors import ConfigError


def check_outputs(config: AppConfig, files: Sequence[Path]) -> None:
    """Check that the recording and the report have files of their own.

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
    for key, output in (("record", config.record), ("report", config.report)):
        for path, what in inputs:
            if output is not None and _is_same(output, path):
                raise ConfigError(f"{key}: got {output}, {what}, expected a different file")
    if config.record is not None and config.report is not None and _is_same(config.record, config.report):
        raise ConfigError("report: got the same file as record, expected a different one")


def _is_same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # at least one does not exist yet, or is no path at all
        return one.samefile(other) and not one.is_char_device()  # anything may write to /dev/null
    with contextlib.suppress(OSError, ValueError):  # the current folder was removed
        return os.path.realpath(one) == os.path.realpath(other)
    return False
