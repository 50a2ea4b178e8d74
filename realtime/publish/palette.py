"""Which keypoints are drawn, and the colours of people.

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


def colour_of(track_id: int) -> tuple[int, int, int]:
    """The BGR colour of a track id, also told apart by the colour-blind. The colours repeat after 16 ids."""
    index = abs(track_id) % (2 * len(_COLOURS))
    white = _PALER if index >= len(_COLOURS) else 0.0
    red, green, blue = bytes.fromhex(_COLOURS[index % len(_COLOURS)])
    b, g, r = (math.floor(value + (255 - value) * white + 0.5) for value in (blue, green, red))
    return b, g, r
