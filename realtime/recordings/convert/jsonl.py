"""JSON lines, as `--record x.jsonl` writes them: all messages or those of one camera, with x.info.json.

Lines that can't be read are left out, so a damaged recording becomes a whole one.
"""

from __future__ import annotations

from pathlib import Path

from realtime import wire
from realtime.errors import OutputError
from realtime.outputs import real_path
from realtime.publish.earlier import COMPANIONS
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.output import new_file
from realtime.recordings.info import encode_infos, info_path, read_infos


def write(conversion: Conversion, out: Path) -> None:
    """Write all cameras, or the one that was chosen, whatever the skeletons.

    Raises:
        ConfigError: the recording can't be read.
        OutputError: the file can't be written, or the x.info.json beside it is that of another recording.
        RealtimeError: the disk is full, for example.
    """
    companion = info_path(real_path(out))
    is_there = _is_there(conversion, out, companion)
    with new_file(out, COMPANIONS) as file:
        for message in conversion.messages():
            file.write(wire.encode(message, "json") + b"\n")
    if conversion.infos and not is_there and real_path(out).is_file():
        with new_file(companion) as file:
            file.write(encode_infos(conversion.infos.values()))


def _is_there(conversion: Conversion, out: Path, companion: Path) -> bool:
    """Whether the companion exists already: that of the same recording in another format, x.parquet.

    Raises:
        OutputError: it is that of another recording.
    """
    path = real_path(out)
    if not companion.exists() or (path.exists() and path.stat().st_size):  # an earlier one is renamed together with it
        return False
    try:
        there = read_infos(companion)
    except (ValueError, OSError):
        there = {}
    if all(there.get(name) == info for name, info in conversion.infos.items()):
        return True
    raise OutputError(f"{out}: {companion.name} beside it describes another recording: choose another name")
