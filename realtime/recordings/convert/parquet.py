"""Parquet, as `--record x.parquet` writes it: x.parquet and x.frames.parquet, with x.info.json."""

from __future__ import annotations

import itertools
from pathlib import Path

from realtime.errors import OutputError
from realtime.outputs import real_path
from realtime.publish.earlier import COMPANIONS
from realtime.recordings.convert.companion import is_shared, write_companion
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.output import check_unused, new_file
from realtime.recordings.parquet_reading import pair
from realtime.recordings.parquet_writing import ParquetWriter

_ENDING, _FRAMES_ENDING, _STREAM_ENDING = ".parquet", ".frames.parquet", ".open"
# Some messages at a time are converted faster than one.
_MESSAGES = 128


def write(conversion: Conversion, out: Path) -> None:
    """Write all cameras, or the one that was chosen, whatever the skeletons.

    Raises:
        ConfigError: the recording can't be read.
        OutputError: a file can't be written, a run records it, or the x.info.json beside it is that of another
            recording.
        RealtimeError: the disk is full, for example.
    """
    if not out.name.endswith(_ENDING) or out.name.endswith(_FRAMES_ENDING):
        raise OutputError(f"{out}: expected a name that ends in {_ENDING}, beside which x{_FRAMES_ENDING} is written")
    path = real_path(out)
    check_unused(path.with_name(path.name + _STREAM_ENDING), out)  # what a run writes until it ends
    shares = is_shared(conversion, out)
    _, frames_path = pair(out)
    with (
        new_file(frames_path) as frames,
        new_file(out, (_FRAMES_ENDING, *(() if shares else COMPANIONS))) as people,
        ParquetWriter(people, frames) as writer,
    ):
        messages = conversion.messages()
        while some := list(itertools.islice(messages, _MESSAGES)):
            writer.write(some)
    if not shares:
        write_companion(conversion, out)
