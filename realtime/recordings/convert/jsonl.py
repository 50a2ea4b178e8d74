"""JSON lines, as `--record x.jsonl` writes them: all messages or those of one camera, with x.info.json.

Lines that can't be read are left out, so a damaged recording becomes a whole one.
"""

from __future__ import annotations

from pathlib import Path

from realtime import wire
from realtime.publish.earlier import COMPANIONS
from realtime.recordings.convert.companion import is_shared, write_companion
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.output import new_file


def write(conversion: Conversion, out: Path) -> None:
    """Write all cameras, or the one that was chosen, whatever the skeletons.

    Raises:
        ConfigError: the recording can't be read.
        OutputError: the file can't be written, or the x.info.json beside it is that of another recording.
        RealtimeError: the disk is full, for example.
    """
    shares = is_shared(conversion, out)
    with new_file(out, () if shares else COMPANIONS) as file:
        for message in conversion.messages():
            file.write(wire.encode(message, "json") + b"\n")
    if not shares:
        write_companion(conversion, out)
