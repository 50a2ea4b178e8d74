"""Edits an H.264 sequence parameter set: `without_vui` removes the frame rate, as many cameras send it."""

import re


class _Bits:
    def __init__(self, data):
        self.text, self.at = "".join(f"{byte:08b}" for byte in data), 0

    def take(self, count=1):
        self.at += count
        return self.text[self.at - count : self.at]

    def number(self):
        """Read an Exp-Golomb number."""
        zeros = self.text.index("1", self.at) - self.at
        return int(self.take(2 * zeros + 1), 2) - 1


def without_vui(unit):
    """Return an SPS unit of x264 without its VUI, in which the frame rate is (H.264, 7.3.2.1.1)."""
    bits = _Bits(re.sub(rb"\x00\x00\x03", b"\x00\x00", unit[1:]))
    profile = int(bits.take(8), 2)
    bits.take(16)
    bits.number()
    assert profile in (66, 77), "expected a baseline or main profile"
    bits.number()
    if bits.number() == 0:  # the type of the picture order
        bits.number()
    bits.number()
    bits.take()
    bits.number()
    bits.number()
    if bits.take() == "0":
        bits.take()
    bits.take()
    if bits.take() == "1":
        for _ in range(4):
            bits.number()
    text = bits.text[: bits.at] + "0" + "1"
    text += "0" * (-len(text) % 8)
    body = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    return unit[:1] + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", body)
