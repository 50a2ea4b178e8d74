"""When a recording begins its next file, and which of its older files are deleted. Time is an argument.

Used by publish.record, for all formats.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from realtime.publish.earlier import COMPANIONS, STAMP
from realtime.recordings.info import others_beside, split_name

log = logging.getLogger(__name__)

# With keep_gb, a segment also ends when it has this share of it, so that the current one alone stays below the limit.
_SHARE = 0.1
# The share of keep_gb for all other files. The rest is for the current segment, and for a Parquet file that is made.
_OTHERS = 0.8
_GB = 10**9


class Segments:
    """Splits a recording and bounds it.

    >>> segments = Segments(segment_s=3600.0, keep_gb=None)
    >>> segments.begin(now_s=10.0)
    >>> segments.is_over(now_s=3609.0, size=10**9), segments.is_over(now_s=3610.0, size=1), segments.is_on
    (False, True, True)

    Args:
        segment_s: how long (s) a segment is; None: no limit.
        keep_gb: how large (10**9 bytes) all files of the recording may be; None: no limit.
    """

    def __init__(self, segment_s: float | None, keep_gb: float | None) -> None:
        self._segment_s = segment_s
        self._keep_bytes = None if keep_gb is None else keep_gb * _GB
        self._began_s = 0.0
        self._has_failed = False

    @property
    def is_on(self) -> bool:
        """Whether the recording has segments."""
        return self._segment_s is not None or self._keep_bytes is not None

    def begin(self, now_s: float) -> None:
        """Note that a segment begins at this monotonic time (s)."""
        self._began_s = now_s

    def is_over(self, now_s: float, size: int) -> bool:
        """Whether the segment ends, which has `size` bytes."""
        if not size:
            return False
        if self._segment_s is not None and now_s - self._began_s >= self._segment_s:
            return True
        return self._keep_bytes is not None and size >= _SHARE * self._keep_bytes

    def drop_oldest(self, path: Path) -> None:
        """Delete the oldest files of a recording if all together are too large.

        Only files whose names the recording gave are deleted: x-20261128T134500Z.jsonl and their companions.

        Args:
            path: the file that is being written, which is kept.
        """
        if self._keep_bytes is None:
            return
        try:
            segments = _segments(path)
            total = sum(sum(files.values()) for files in segments.values())
            for name in sorted(segments, key=_age):
                if total <= _OTHERS * self._keep_bytes:
                    break
                for file in segments[name]:
                    file.unlink()
                total -= sum(segments[name].values())
                log.info("record: deleted %s, because of recording.keep_gb", name)
        except OSError as error:
            if not self._has_failed:
                log.warning("record: can't delete older files of %s: %s", path, error.strerror)
            self._has_failed = True


def _segments(path: Path) -> dict[str, dict[Path, int]]:
    """Return the earlier files of a recording with their sizes, by the stem of their names."""
    stem, ending = split_name(path)
    parts = (".parquet", ".frames.parquet", ".parquet.open") if ".parquet" in ending else (ending,)
    name = re.compile(re.escape(stem) + STAMP)
    found: dict[str, dict[Path, int]] = {}
    for file in path.parent.iterdir():
        own = next((file.name.removesuffix(each) for each in (*parts, *COMPANIONS) if file.name.endswith(each)), "")
        own = own.removesuffix(".frames")
        if not name.fullmatch(own) or not file.is_file() or file.is_symlink():
            continue
        # A companion stays as long as a recording of the other format has it, too.
        if file.name.endswith(parts) or not others_beside(file.with_name(own + ending)):
            found.setdefault(own, {})[file] = file.stat().st_size
    # A companion alone is that of another recording.
    return {own: files for own, files in found.items() if any(file.name.endswith(parts) for file in files)}


def _age(name: str) -> tuple[str, int]:
    """Order names by their times, and files of the same second by their numbers."""
    match = re.search(STAMP + "$", name)
    return (match[1], int(match[2] or 1)) if match else (name, 0)
