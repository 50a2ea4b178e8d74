import pytest

from realtime.capture.h264 import is_reference, recovery_frames

START = "000001"


def packet(*units):
    """Return units, given in hexadecimal, with start codes."""
    return bytes.fromhex("".join(START + unit for unit in units))


@pytest.mark.parametrize(
    ("units", "frames"),
    [
        (["060601c480", "41"], 0),  # 11 000100: ue(0)
        (["0606012c80", "41"], 4),  # 00101 100: ue(4)
        (["06060204e080", "41"], 38),  # 00000 100111 00000: ue(38)
        (["0910", "06050312345606012c80", "41"], 4),  # after a message of 3 bytes in the same unit
        (["0910", "060502123480", "0606012c80", "41"], 4),  # in the second unit of messages
        (["0605031234", "41"], None),  # the message is longer than its unit
        (["06ff0500", "41"], None),  # a type above 255
        (["41", "0606012c80"], None),  # after the slice: it belongs to the next frame
        (["0606", "41"], None),
        (["060601", "41"], None),
        (["06060100", "41"], None),  # no bit is set
        (["06", "41"], None),
        (["6741", "68", "65"], None),
        ([], None),
    ],
)
def test_the_recovery_point_is_found_among_other_messages(units, frames):
    assert recovery_frames(packet(*units)) == frames


def test_emulation_prevention_is_removed():
    # 16 zeros, a one, and 15 zeros and a one. The byte 03 only keeps the zeros from looking like a start code.
    assert recovery_frames(packet("06060500000380008080", "41")) == 1 << 16


@pytest.mark.parametrize(
    ("units", "is_one"),
    [
        (["41"], True),
        (["01"], False),
        (["65"], True),
        (["09f0", "0605", "01"], False),
        (["67", "68"], False),
        ([], False),
    ],
)
def test_the_first_slice_tells_whether_other_frames_refer_to_it(units, is_one):
    assert is_reference(packet(*units)) == is_one


@pytest.mark.parametrize("length", range(12))
def test_no_bytes_make_it_fail(length):
    for value in (0, 1, 6, 255):
        recovery_frames(packet("06") + bytes([value]) * length)
        is_reference(bytes([value]) * length)
