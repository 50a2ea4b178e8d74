"""Ids that went to another person, found afterwards by the colours of the people's clothes. track/relink.py uses it.

The tracker compares boxes, so two people who pass each other can leave with each other's ids, and a person behind
another one can take their id when they come out. Both show when the people are apart again: the latest looks at an id
differ from the earlier ones. The two ids are then exchanged, for all frames from there on.
"""

from __future__ import annotations

import numpy as np

from realtime.track.colours import Floats
from realtime.track.known import Known, Person, place_of
from realtime.types import Poses

# Colours have to fit the other id better than the own one by this, on both sides. On PETS09-S2L1 it was 0.10 or more
# after all swaps, and 0.04 or less in 5150 frames without one.
CLEARLY = 0.06
# People can be confused if they were this close, in heights of their boxes: at once, and per second out of sight.
_CLOSE, _CLOSE_PER_S = 0.35, 0.8
# A swap is looked for this long (s) after two people met, and an id is given back this far (heights) from its place.
_AFTER_S = 1.0
_BACK = 2.5


def displaced(known: Known, poses: Poses, rows: list[int], colours: Floats, least: float) -> list[tuple[int, int]]:
    """Give newcomers back the id that another person has taken over from them.

    Args:
        known: the people of the camera; the newcomers have ids already.
        poses: the people of the frame.
        rows: the newcomers' rows in it.
        colours: float64 (N, C), the colours of the people of the frame.
        least: the least similarity of two looks at one person.

    Returns:
        The pairs of ids that were exchanged.
    """
    swaps = []
    for row in rows:
        newcomer = known.people[known.by_track[int(poses.track_ids[row])]]
        place, height = place_of(poses.xyxy[row][None])
        best, taker = CLEARLY, None
        for track_id in poses.track_ids.tolist():
            person = known.people[known.by_track[track_id]]
            if person.label != newcomer.label or not person.sights or not person.colours.has_past:
                continue
            there, _ = place_of(person.sights[-1].xyxy[None])
            if np.hypot(*(there - place)[0]) > _BACK * height[0]:
                continue
            past = person.colours.before()
            fits = float(colours[row] @ past)
            lead = fits - float(person.colours.now() @ past)
            if fits >= least and lead > best:
                best, taker = lead, person
        if taker is not None:
            known.exchange(newcomer, taker)
            swaps.append(_pair(newcomer, taker))
    return swaps


def swapped(known: Known, now_s: float, people: list[Person]) -> list[tuple[int, int]]:
    """Exchange the ids of people who left a meeting with each other's.

    Args:
        known: the people of the camera.
        now_s: the time of the frame, on the source's timeline.
        people: those whose colours were measured in this frame.

    Returns:
        The pairs of ids that were exchanged.
    """
    _meet(known, now_s)
    ready = {person.our_id: person for person in people if person.colours.has_past}
    pairs = [pair for pair in known.met if pair[0] in ready and pair[1] in ready]
    if not pairs:
        return []
    among = sorted({our_id for pair in pairs for our_id in pair})
    now, past = (np.stack(each) for each in zip(*[_colours(ready[our_id]) for our_id in among], strict=True))
    fits = now @ past.T
    lead = fits - np.diag(fits)[:, None]  # how much better a person's latest looks fit another id's earlier ones
    place = {our_id: number for number, our_id in enumerate(among)}
    found = {}
    for pair in pairs:
        one, other = place[pair[0]], place[pair[1]]
        if (by := min(lead[one, other], lead[other, one])) > CLEARLY and ready[pair[0]].label == ready[pair[1]].label:
            found[pair] = by
    swaps: list[tuple[int, int]] = []
    for pair in sorted(found, key=lambda pair: -found[pair]):
        if not {*pair} & {our_id for earlier in swaps for our_id in earlier}:
            known.exchange(ready[pair[0]], ready[pair[1]])
            del known.met[pair]
            swaps.append(pair)
    return swaps


def _colours(person: Person) -> tuple[Floats, Floats]:
    return person.colours.now(), person.colours.before()


def _meet(known: Known, now_s: float) -> None:
    """Note the pairs of people that are close to each other, and forget those of long ago."""
    known.met = {pair: time_s for pair, time_s in known.met.items() if now_s - time_s <= _AFTER_S}
    recent = [person for person in known.people.values() if now_s - person.seen_s <= _AFTER_S]
    if len(recent) < 2:
        return
    places, heights = place_of(np.stack([person.sights[-1].xyxy for person in recent]))
    gone_s = np.array([now_s - person.seen_s for person in recent])
    off = places[:, None] - places
    far = np.hypot(off[..., 0], off[..., 1]) / ((heights[:, None] + heights) / 2.0)
    close = far <= _CLOSE + _CLOSE_PER_S * np.maximum(gone_s[:, None], gone_s)
    close &= np.minimum(gone_s[:, None], gone_s) == 0.0  # one of them is there now
    for one, other in np.argwhere(np.triu(close, 1)).tolist():
        known.met[_pair(recent[one], recent[other])] = now_s


def _pair(one: Person, other: Person) -> tuple[int, int]:
    return (one.our_id, other.our_id) if one.our_id < other.our_id else (other.our_id, one.our_id)
