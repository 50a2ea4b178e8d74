"""MCAP with an `ImageAnnotations` message of Foxglove for each frame: boxes, limbs, keypoints and track ids.

Each camera is a topic, /CAMERA/poses. Foxglove draws the annotations on an image topic, or on nothing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from mcap.writer import Writer

from realtime import wire
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.foxglove import SCHEMA, SCHEMA_NAME, image_annotations
from realtime.recordings.convert.output import new_file, safe_name

# The numbers of MCAP: unsigned, of 64 and 32 bits.
_LAST_SEQUENCE = 2**32


def write(conversion: Conversion, out: Path) -> None:
    """Write all cameras, or the one that was chosen, whatever the skeletons.

    Raises:
        ConfigError: the recording can't be read.
        OutputError, RealtimeError: the file can't be written.
    """
    with new_file(out) as file:
        writer = Writer(file)
        writer.start(library="realtime-pose")
        schema = writer.register_schema(SCHEMA_NAME, "jsonschema", msgspec.json.encode(SCHEMA))
        channels: dict[str, int] = {}
        for message, info in conversion.named_messages():
            if message.camera not in channels:
                channels[message.camera] = writer.register_channel(
                    f"/{safe_name(message.camera)}/poses", "json", schema, _metadata(message, info)
                )
            writer.add_message(
                channels[message.camera],
                log_time=max(0, message.captured_ns),
                data=msgspec.json.encode(image_annotations(message, info.edges)),
                publish_time=max(0, message.published_ns),
                sequence=message.seq % _LAST_SEQUENCE,
            )
        writer.finish()


def _metadata(message: wire.PoseMessage, info: wire.InfoMessage) -> dict[str, str]:
    width, height = message.size
    return {
        "camera": message.camera,
        "width": str(width),
        "height": str(height),
        "skeleton": message.skeleton,
        "keypoint_names": ",".join(info.keypoint_names),
    }
