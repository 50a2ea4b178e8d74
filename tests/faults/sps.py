"""The sequence parameter set of an H.264 camera (ITU-T H.264, 7.3.2.1.1): read, changed and written again.

Covers what x264 writes in its baseline profile, which is what the fake camera sends.
"""

from __future__ import annotations

import re

# The fields in their order, each with its number of bits; 0: an Exp-Golomb code.
_FIELDS = {
    "profile": 8, "constraints": 8, "level": 8, "id": 0, "frame_number_bits": 0, "order_type": 0, "references": 0,
    "gaps": 1, "width_blocks": 0, "height_blocks": 0, "frames_only": 1, "direct_8x8": 1, "crops": 1,
}  # fmt: skip


class Sps:
    """A parameter set, by field. Every field may be set to any number that it can hold.

    Args:
        unit: the H.264 unit, whose picture order count is of type 2, as x264 writes it for streams without B-frames.

    Attributes:
        fields: the values by name. Sizes are in blocks of 16 pixels, less one.
        rest: the bits after the fields: cropping, display parameters and the end, as text of 0 and 1.
    """

    def __init__(self, unit: bytes) -> None:
        bits = "".join(f"{byte:08b}" for byte in unit[1:].replace(b"\0\0\3", b"\0\0"))
        self._head = unit[:1]
        self.fields: dict[str, int] = {}
        for name, width in _FIELDS.items():
            if width == 0:
                zeros = bits.index("1")
                width = 2 * zeros + 1
                self.fields[name] = int(bits[:width], 2) - 1
            else:
                self.fields[name] = int(bits[:width], 2)
            bits = bits[width:]
        self.rest = bits

    def write(self) -> bytes:
        """Return the H.264 unit."""
        bits = "".join(
            f"{self.fields[name] % (1 << width):0{width}b}" if width else _golomb(self.fields[name])
            for name, width in _FIELDS.items()
        )
        bits += self.rest
        bits += "0" * (-len(bits) % 8)
        data = int(bits, 2).to_bytes(len(bits) // 8, "big")
        # An emulation prevention byte (7.4.1): no start code may appear within a unit.
        return self._head + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", data)

    def resize(self, width: int, height: int) -> None:
        """Set the size, in pixels that are multiples of 16, without cropping."""
        self.fields |= {"width_blocks": width // 16 - 1, "height_blocks": height // 16 - 1, "crops": 0}
        self.rest = "01"  # no display parameters, end

    def colour(self, matrix: int) -> None:
        """Set the colour matrix (Annex E: 1 is BT.709, 8 is YCgCo), which decides how pictures become RGB."""
        self.fields["crops"] = 0
        # Display parameters: aspect ratio and overscan are not given; format 5 (unspecified), limited range, colours.
        self.rest = "1" + "001" + "101" + "0" + "1" + f"{1:08b}{1:08b}{matrix:08b}" + "000000" + "1"


def _golomb(value: int) -> str:
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code
