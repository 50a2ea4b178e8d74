"""The packages that `make gpu` needs besides those of a machine with torch, as a folder of wheels."""

from __future__ import annotations

from pathlib import Path


class KitError(Exception):
    """The kit can't be made or used; the message says what to do."""


def install(kit: Path, site: Path) -> Path | None:
    """Install the packages that this environment lacks from the kit into a folder; None if it lacks none."""
    return None
