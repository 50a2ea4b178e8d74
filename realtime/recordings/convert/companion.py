"""The companion x.info.json of a recording that a conversion writes.

Used by jsonl and parquet.
"""

from __future__ import annotations

from pathlib import Path

from realtime.errors import OutputError
from realtime.outputs import real_path
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.output import new_file
from realtime.recordings.info import encode_infos, info_path, others_beside, read_infos


def is_shared(conversion: Conversion, out: Path) -> bool:
    """Whether the companion is there and stays: beside x.parquet, which becomes x.jsonl, for example.

    Raises:
        OutputError: one is there that describes another recording.
    """
    path = real_path(out)
    companion = info_path(path)
    if not companion.exists():
        return False
    is_own = info_path(conversion.recording.path.resolve()) == companion
    is_alone = not others_beside(path)
    if not is_own and is_alone and path.exists() and path.stat().st_size:  # it is renamed together with its file
        return False
    try:
        there = read_infos(companion)
    except (ValueError, OSError):
        there = {}
    if conversion.infos and all(there.get(name) == info for name, info in conversion.infos.items()):
        return True
    raise OutputError(f"{out}: {companion.name} beside it describes another recording: choose another name")


def write_companion(conversion: Conversion, out: Path) -> None:
    """Write the companion, unless it is unknown, or the recording went into a pipe or a device.

    Raises:
        OutputError, RealtimeError: it can't be written.
    """
    path = real_path(out)
    if conversion.infos and path.is_file():
        with new_file(info_path(path)) as file:
            file.write(encode_infos(conversion.infos.values()))
