"""Which keypoints are drawn, how thick, and the colours of people.

Used by publish.draw and by converters to formats that others draw. The page has the same (page/palette.js).
"""

from __future__ import annotations

import math

# Keypoints with a lower score are guesses and are not drawn.
VISIBLE = 0.3
# The hues of Okabe and Ito's palette ("Color Universal Design", 2008), blue and green lightened so that they are seen
# on dark pictures; as #rrggbb. Neighbours, which people who come one after the other get, differ in lightness too.
_COLOURS = ("ffb000", "56b4e9", "f0e442", "e8590c", "d6f5ff", "ee8fc8", "00a884", "4f7dff")
# In every second round of ids, this part of a colour is white.
_PALER = 0.45

# Thickness of the keypoints of hands and faces. They are many and close, so a face is small dots without limbs.
_HAND, _FACE = 0.5, 0.4


def thickness_of(name: str) -> float:
    """Return how thick a keypoint and its limbs are drawn, compared with those of the body, by its name.

    >>> thickness_of("left_wrist"), thickness_of("left_thumb1"), thickness_of("face-0")
    (1.0, 0.5, 0.4)
    """
    if name.startswith("face-"):
        return _FACE
    return _HAND if any(word in name for word in ("hand", "thumb", "finger")) else 1.0


def colour_of(track_id: int) -> tuple[int, int, int]:
    """The BGR colour of a track id, also told apart by the colour-blind. The colours repeat after 16 ids."""
    index = abs(track_id) % (2 * len(_COLOURS))
    white = _PALER if index >= len(_COLOURS) else 0.0
    red, green, blue = bytes.fromhex(_COLOURS[index % len(_COLOURS)])
    b, g, r = (math.floor(value + (255 - value) * white + 0.5) for value in (blue, green, red))
    return b, g, r
