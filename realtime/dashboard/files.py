# SPDX-License-Identifier: MIT
"""The files of the page, read once at the start. Nothing else can ever be served, whatever a request asks for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "page"
INDEX, LOGIN = "index.html", "login.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page.

    Attributes:
        data: its content.
        media_type: value of Content-Type.
        etag: value of ETag.
    """

    data: bytes
    media_type: str
    etag: str


def read_page(folder: Path = FOLDER) -> dict[str, PageFile]:
    """Read the files of the page, by name.

    Args:
        folder: the folder with all of them.

    Raises:
        OSError: one can't be read.
    """
    found = {}
    for file in sorted(folder.iterdir()):
        if file.suffix in _TYPES:
            data = file.read_bytes()
            etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            found[file.name] = PageFile(data, _TYPES[file.suffix], etag)
    return found
