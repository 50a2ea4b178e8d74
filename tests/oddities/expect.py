"""What a clip must give, computed from what was written, by the rules of its container."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from .clip import Clip, Packet
from .traits import Trait


@dataclass(frozen=True)
class Expected:
    """What a file must give.

    Attributes:
        numbers: the numbers of the pictures, in the order in which they are shown.
        optional: those that may lack, because they can't be decoded, or because an edit list hides them.
        stamps_s: when each is shown; None: the container doesn't say, and the true time is None or number / rate.
        apart_s: the time between the pictures if the stamps don't tell: the nominal rate.
        tick_s: how exactly the container stores times.
        is_timed: whether the file says when each picture is shown.
        is_sparse: whether the times of most pictures are not in the file: only their order is judged.
        shifts: whether all times may differ by a constant.
        may_stop: whether only the first pictures may come, with an error if the container declares its length.
        may_refuse: whether the file may be refused as a whole.
        may_differ: whether pictures may be damaged: only the order of times and the kind of end are judged.
        ends_broken: whether the last picture may be broken, since nothing in the file says that it is.
        needs_error: whether it must be told that pictures lack.
        parts: of how many recordings the file consists: each of them may begin a new epoch.
    """

    numbers: list[int]
    optional: frozenset[int]
    stamps_s: list[Fraction | None]
    apart_s: Fraction
    tick_s: Fraction
    is_timed: bool
    is_sparse: bool
    shifts: bool
    may_stop: bool = False
    may_refuse: bool = False
    may_differ: bool = False
    ends_broken: bool = False
    needs_error: bool = False
    parts: int = 1


def expected(clip: Clip, packets: list[Packet], trait: Trait) -> Expected:
    """Return what the file of a clip must give."""
    container = clip.container
    numbers = sorted(packet.number for packet in packets)
    tick_s = container.tick or Fraction(0)  # a count is exact
    stamps_s = [clip.stamp_s(number) for number in numbers]
    if container.counts or not container.timed:
        # AVI counts chunks, and its muxer fills a pause with empty ones, so that a time is a whole number of intervals.
        stamps_s = [None if stamp is None else Fraction(round(stamp * clip.fps)) / clip.fps for stamp in stamps_s]
    if not container.starts and stamps_s[0] is not None:
        stamps_s = [None if stamp is None else stamp - stamps_s[0] for stamp in stamps_s]
    optional = _undecodable(packets) | clip.blank
    if (stamps_s[0] or 0) < 0:
        optional |= {number for number, stamp in zip(numbers, stamps_s, strict=True) if (stamp or 0) < 0}
    # A raw stream has no header: the rate is that of the encoder, which is not the declared one.
    rate = clip.declared if clip.declared and container.timed else clip.fps
    if container.is_image and len(numbers) > 1 and set(stamps_s) == {Fraction(0)}:
        rate = Fraction(10)
    if container.assumed_fps is not None:
        rate = Fraction(container.assumed_fps)
    return Expected(
        numbers=numbers * (1 + trait.joined),
        optional=optional,
        stamps_s=stamps_s * (1 + trait.joined),
        apart_s=1 / rate,
        tick_s=tick_s,
        is_sparse=container.is_sparse,
        is_timed=container.timed
        and not container.is_sparse
        and not container.counts
        and None not in stamps_s
        and not (container.is_image and len(numbers) == 1),
        # A muxer moves all times if the first decoding time is below 0.
        shifts=container.shifts
        or not container.starts
        or trait.joined
        or (stamps_s[0] or 0) < 0
        or any(p.number != i for i, p in enumerate(packets)),
        may_stop=trait.is_cut or trait.is_flipped or (container.needs_data and bool(clip.blank)),
        may_refuse=trait.is_cut or trait.is_flipped or min(clip.shape) <= 2 or clip.pictures <= 2,
        may_differ=trait.is_flipped,
        ends_broken=trait.is_cut and not container.marks_cuts,
        needs_error=trait.is_cut and container.declares,
        parts=1 + trait.joined,
    )


def spread(stamps_s: list[Fraction], apart_s: Fraction) -> list[Fraction]:
    """Return the times of pictures whose stamps may be equal: evenly up to the next stamp, or at the nominal rate."""
    groups = [(stamp, len(list(group))) for stamp, group in groupby(stamps_s)]
    result = []
    for place, (stamp, count) in enumerate(groups):
        later = [after for after, _ in groups[place + 1 : place + 2] if after > stamp]
        step = (later[0] - stamp) / count if later else apart_s
        result += [stamp + k * step for k in range(count)]
    return result


def _undecodable(packets: list[Packet]) -> frozenset[int]:
    """Return the pictures that need one that is not there: up to the first key frame, and those shown before it."""
    keys = [place for place, packet in enumerate(packets) if packet.is_key]
    if not keys:
        return frozenset(packet.number for packet in packets)
    first = packets[keys[0]].number
    return frozenset(packet.number for place, packet in enumerate(packets) if place < keys[0] or packet.number < first)
