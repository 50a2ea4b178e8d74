"""Renames an earlier recording or video, so that a new one never overwrites it.

Used by publish.output_file.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

from realtime.recordings.info import ENDING as INFO_ENDING
from realtime.recordings.info import ENDINGS, split_name

# Endings of the files that belong to a recording x.jsonl, after the x.
COMPANIONS = (INFO_ENDING,)
# What the names of earlier recordings and of segments have after the x, as a regular expression.
STAMP = r"-(\d{8}T\d{6}Z)(?:-(\d+))?"
# The last second of the year 9999, the last one that can be formatted. A file system may report any time.
_LAST_S = 253_402_300_799


def set_aside(path: Path, written_s: float, companions: tuple[str, ...] = COMPANIONS) -> Path:
    """Rename a recording or a video, and its companions, by the time of its last write.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.jsonl"
    ...     path.touch()
    ...     set_aside(path, written_s=1795873500.0).name
    'x-20261128T134500Z.jsonl'

    Args:
        path: the recording or the video.
        written_s: Unix time (s) of its last write.
        companions: endings of the files that belong to it.

    Returns:
        Its new path, in the same folder. No other file had this name.

    Raises:
        OSError: it can't be renamed.
    """
    old, own = split_name(path)
    # Files of another recording with the same stem would be taken for companions.
    others = {*companions, *ENDINGS} - {own} if companions else ()
    for stem in _stems(old, written_s):
        new = path.with_name(stem + own)
        if any(os.path.lexists(path.with_name(stem + ending)) for ending in others):
            continue
        try:  # reserves the name; a hard link would do that too, but not every file system has them
            os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        try:
            path.replace(new)
        except OSError:
            new.unlink()
            raise
        break
    for ending in companions:
        companion = path.with_name(old + ending)
        if companion.is_file():
            companion.replace(path.with_name(stem + ending))
    return new


def stamp(written_s: float) -> str:
    """Format a Unix time (s) as in the names of earlier recordings, in UTC.

    >>> stamp(1795873500.9), stamp(-1e300)
    ('20261128T134500Z', '19700101T000000Z')
    """
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(min(max(0, written_s), _LAST_S)))


def _stems(stem: str, written_s: float) -> itertools.chain[str]:
    first = f"{stem}-{stamp(written_s)}"
    return itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2)))
