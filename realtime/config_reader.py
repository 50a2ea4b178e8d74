"""The configuration of the program, read at the start and again for each reload.

Used by realtime.cli, which passes `read_again` to the pipeline. It imports the configuration only when it reads.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from realtime.errors import ConfigError
from realtime.redact import secrets_of
from realtime.stdout import kept_path

if TYPE_CHECKING:
    import argparse

    from realtime.config import AppConfig, Presets, Reading

log = logging.getLogger(__name__)


class ConfigReader:
    """Reads the configuration, at the start and for each reload. It collects its secrets, warnings and choices."""

    def __init__(self, arguments: argparse.Namespace, flags: dict[str, object], secrets: list[str]) -> None:
        """Read nothing yet.

        Args:
            arguments: the program's own flags, as `flags.parse` returns them.
            flags: the configuration keys that flags set.
            secrets: gets the secrets of all cameras.
        """
        self._arguments, self._flags, self._secrets = arguments, flags, secrets
        # The same ones at each reload: the first keeps the content of pipes, the second the choice of models.
        self._reading: Reading | None = None
        self._presets: Presets | None = None
        # (level, line) -> whether it was shown: once each, although a reload repeats it
        self._lines: dict[tuple[int, str], bool] = {}

    def read(self) -> AppConfig:
        """Read the configuration.

        Raises:
            ConfigError: it has a mistake, or no source.
        """
        from realtime.config import Presets, Reading, load

        options = self._arguments
        self._reading = self._reading or Reading(self._warn)
        self._presets = self._presets or Presets(_is_here, self._tell)
        config = load(options.config, None, self._flags, self._warn, self._reading, self._presets)
        found = {secret for camera in config.cameras for secret in secrets_of(camera.address)}
        self._secrets[:] = found.union(self._secrets)
        if not config.cameras and not options.dry_run and not options.print_config:
            raise ConfigError("no source: use --source with 0 (webcam), a file, an rtsp:// URL or demo; see --help")
        files = {key: kept_path(path) for key in ("record", "report") if (path := getattr(config, key)) is not None}
        return config if options.print_config else config.model_copy(update=files)

    def read_again(self) -> AppConfig:
        """Read the configuration, and log new warnings and choices. For reloads."""
        config = self.read()
        self.log_lines()
        return config

    def log_lines(self) -> None:
        """Log the new warnings and choices."""
        for level, line in self.new_lines():
            log.log(level, "%s", line)

    def _warn(self, line: str) -> None:
        self._lines.setdefault((logging.WARNING, line), False)

    def _tell(self, line: str) -> None:
        self._lines.setdefault((logging.INFO, line), False)

    def new_lines(self) -> list[tuple[int, str]]:
        """Return the level and text of the warnings and choices that were not returned before."""
        new = [line for line, is_shown in self._lines.items() if not is_shown]
        self._lines |= dict.fromkeys(new, True)
        return new


def _is_here(model: str) -> bool:
    from realtime.models.weights import is_here  # takes a tenth of a second, and few runs need it

    return is_here(model)
