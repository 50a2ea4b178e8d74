# SPDX-License-Identifier: MIT
"""The messages of web/1 between the page and this program, except frames. docs/wire.md describes them.

`connection` reads and writes them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from realtime.dashboard.viewer import MOST_WATCHED

PROTOCOL = "web/1"
LICENCE = "AGPL-3.0-or-later"
# Longest text from a page (bytes): 256 cameras with names of 40 characters.
LONGEST_TEXT = 16 * 2**10
Name = Annotated[str, Meta(max_length=80)]


class Watched(Struct, frozen=True):
    """A camera that is visible on the page.

    Attributes:
        name: its name.
        width: width of its tile in the pixels of the screen.
    """

    name: Name
    width: float = 320.0


class Watch(Struct, frozen=True, tag="watch"):
    """The complete list of visible cameras.

    Attributes:
        cameras: the cameras.
        pictures: False: skeletons only.
    """

    cameras: Annotated[list[Watched], Meta(max_length=MOST_WATCHED)]
    pictures: bool = True


class Shown(Struct, frozen=True, tag="shown"):
    """A frame was drawn.

    Attributes:
        camera: name of its camera.
        seq: its number.
        width: width of the tile now, in the pixels of the screen.
    """

    camera: Name
    seq: int
    width: float | None = None


class Details(Struct, frozen=True, tag="details"):
    """The page shows the details of this camera, or of none.

    Attributes:
        camera: its name.
    """

    camera: Name | None


class Ping(Struct, frozen=True, tag="ping"):
    """The page asks for a pong.

    Attributes:
        id: what the pong repeats.
    """

    id: int


FromPage = Watch | Shown | Details | Ping
_decoder = msgspec.json.Decoder(FromPage)


def decode(text: str) -> FromPage:
    """Decode a message from a page.

    >>> decode('{"type": "shown", "camera": "cam0", "seq": 12, "width": 640}')
    Shown(camera='cam0', seq=12, width=640.0)

    Raises:
        ValueError: it is no JSON, or no message of web/1.
    """
    try:
        decoded: FromPage = _decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return decoded


# Any: values of any type that JSON has.
def encode(kind: str, /, **fields: Any) -> str:  # noqa: ANN401
    """Encode a message to a page.

    >>> encode("pong", id=1, now_ms=2.5)
    '{"type":"pong","id":1,"now_ms":2.5}'
    """
    return msgspec.json.encode({"type": kind, **fields}).decode()
