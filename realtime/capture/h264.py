"""The few bits of H.264 that FFmpeg reads and doesn't show: intra refresh, and which frames others refer to.

Used by capture.losses and capture.kept_packets, for packets in Annex B format, which RTSP and MPEG-TS yield. Section
numbers are those of ITU-T
H.264.
"""

from __future__ import annotations

import re

# A start code and the first byte of a unit. (7.4.1)
_UNIT = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
_SLICES = range(1, 6)
_SEI = 6
# The message that announces a point from which decoding may begin. (D.2.8)
_RECOVERY_POINT = 6


def recovery_frames(packet: bytes) -> int | None:
    """Return how many reference frames after this packet the picture is whole, wherever decoding began.

    0 means that this frame is whole. None if the packet holds no recovery point.

    >>> recovery_frames(bytes.fromhex("00000001 0606012c80 000001 4188"))
    4
    """
    for unit in _UNIT.finditer(packet):
        kind = unit[1][0] & 31
        if kind in _SLICES:
            return None  # messages come before the slices
        if kind == _SEI:
            end = packet.find(b"\x00\x00\x01", unit.end())
            found = _recovery_point(packet[unit.end() : end if end >= 0 else None])
            if found is not None:
                return found
    return None


def is_reference(packet: bytes) -> bool:
    """Whether other frames refer to the frame in this packet."""
    return next((unit[1][0] >= 0x20 for unit in _UNIT.finditer(packet) if unit[1][0] & 31 in _SLICES), False)


def _recovery_point(messages: bytes) -> int | None:
    """Return the count of the first recovery point among the messages of a unit. (7.3.2.3)"""
    data = messages.replace(b"\x00\x00\x03", b"\x00\x00")  # without emulation prevention (7.4.1)
    at = 0
    while at + 2 <= len(data):
        numbers = []
        for _ in ("type", "size"):
            value = 0
            while at < len(data) and data[at] == 0xFF:
                value, at = value + 0xFF, at + 1
            if at == len(data):
                return None
            numbers.append(value + data[at])
            at += 1
        kind, size = numbers
        if kind == _RECOVERY_POINT:
            return _unsigned(data[at : at + size])
        at += size
    return None


def _unsigned(data: bytes) -> int | None:
    """Read the exponential Golomb code at the start, ue(v). (9.1)"""
    bits = "".join(f"{byte:08b}" for byte in data[:9])
    zeros = bits.find("1")
    code = bits[zeros : 2 * zeros + 1]
    return int(code, 2) - 1 if zeros >= 0 and len(code) == zeros + 1 else None
