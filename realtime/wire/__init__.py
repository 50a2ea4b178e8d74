# SPDX-License-Identifier: MIT
"""The stream, as publisher and reader share it: its messages, and the subscriber that reads them.

At the end of the data path, publish/ sends these messages. This folder and its two public faces, `realtime.client` and
`realtime.keys`, are under the MIT licence and import nothing else of this package but `realtime.stdio`,
`realtime.printable`, `realtime.home` and, for the documents, `realtime.skeleton` and `realtime.skeletons`, which have
the same licence. So programs that read the stream may have any licence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "OPTIONAL", "UNSET", "WIDTHS", "Encoding", "InfoMessage", "Message", "PictureMessage", "PoseMessage", "Process",
    "Recording", "StatusMessage", "Width", "WireError", "decode", "encode", "info_topic", "pack", "picture_topic",
    "pose_topic", "status_topic",
]  # fmt: skip

if TYPE_CHECKING:
    from msgspec import UNSET

    from realtime.wire.codec import decode, encode, pack
    from realtime.wire.messages import (
        OPTIONAL,
        WIDTHS,
        Encoding,
        InfoMessage,
        Message,
        PictureMessage,
        PoseMessage,
        Process,
        Recording,
        StatusMessage,
        Width,
        WireError,
    )
    from realtime.wire.topics import info_topic, picture_topic, pose_topic, status_topic
else:

    def __getattr__(name: str) -> object:
        """Import the messages when a name is first used: `realtime-pose --help` needs neither msgspec nor numpy."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from realtime.wire import codec, messages, topics

        names = vars(messages) | vars(codec) | vars(topics)
        globals().update({each: names[each] for each in __all__})
        return names[name]
