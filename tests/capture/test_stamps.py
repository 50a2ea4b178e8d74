"""Times of frames, computed from the timestamps of packets alone."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture.stamps import DEEPEST, FASTEST_FPS, Stamps
from realtime.capture.timeline import DEFAULT_FPS, GAP_S


def played(stamps_s, order=None, keys=(), lost=(), fps=None, most_ahead=1000, delay=0, knows_packets=True):
    """Decode packets with these timestamps, and return the times of their frames.

    Args:
        stamps_s: the timestamps, in decoding order.
        order: the packets in display order; None: as they are decoded.
        keys: the packets that are key frames.
        lost: packets that yield no frame, and no error.
        fps: declared rate.
        most_ahead: how many packets may be read ahead.
        delay: how many more packets than needed the decoder takes before it shows a frame.
        knows_packets: whether frames refer to their packets. Hardware decoders may not.
    """
    stamps = Stamps(fps)
    stamps.reorders = order is not None
    order = [k for k in (order or range(len(stamps_s))) if k not in lost]
    ahead, tickets, times_s, unread = [], {}, [], list(enumerate(stamps_s))
    for number in range(len(stamps_s)):
        while unread and (not ahead or (len(ahead) < most_ahead and not stamps.is_settled(ahead[0], ahead[1:]))):
            k, stamp_s = unread.pop(0)
            ahead.append(stamps.read(stamp_s, is_key=k in keys))
        tickets[number] = ahead.pop(0)
        stamps.decoding(tickets[number])
        is_last = number == len(stamps_s) - 1
        while len(times_s) < len(order) and order[len(times_s)] <= (number if is_last else number - delay):
            k = order[len(times_s)]
            times_s.append(stamps.shown(tickets[k] if knows_packets else None, is_key=k in keys))
    assert len(times_s) == len(order)
    return times_s


def rises(times_s):
    return all(later > earlier for earlier, later in itertools.pairwise(times_s))


# Groups of pictures in decoding order: the place of each packet's frame in display order.
IBBP = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
PYRAMID = [0, 4, 2, 1, 3, 8, 6, 5, 7, 9]


def order_of(places):
    return sorted(range(len(places)), key=places.__getitem__)


@st.composite
def reordered(draw):
    """Return places in display order, in decoding order: groups of B-frames of any order after the frame they need."""
    places, first = [0], 1
    for group in draw(st.lists(st.integers(0, DEEPEST - 1), min_size=1, max_size=8)):
        places += [first + group, *draw(st.permutations(range(first, first + group)))]
        first += group + 1
    return places


@given(
    reordered(), st.lists(st.floats(0.001, 9.0), min_size=200, max_size=200), st.floats(-1e3, 1e9), st.integers(0, 3)
)
def test_presentation_times_are_used_unchanged(places, steps_s, first_s, delay):
    shown_s = [first_s, *itertools.accumulate(steps_s, initial=first_s + 1.0)][: len(places)]
    assert played([shown_s[place] for place in places], order_of(places), delay=delay) == shown_s


@given(reordered(), st.lists(st.floats(0.001, 9.0), min_size=200, max_size=200), st.integers(0, 3))
def test_decoding_times_are_sorted(places, steps_s, delay):
    decoded_s = [0.0, *itertools.accumulate(steps_s)][: len(places)]
    assert played(decoded_s, order_of(places), delay=delay) == decoded_s


@given(reordered(), st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.04, 0.5, 60.0, -0.1, -0.4, None]), min_size=140))
def test_times_rise_whatever_the_timestamps_are(places, steps_s):
    now_s, stamps_s = 5.0, []
    for step_s, _ in zip(steps_s, places, strict=False):
        now_s += step_s or 0.0
        stamps_s.append(None if step_s is None else now_s)
    for order in (None, order_of(places[: len(stamps_s)])):
        times_s = [time_s for time_s in played(stamps_s, order) if time_s is not None]
        # Only a jump back by more than half a second may begin a new recording; several small ones add up to it.
        jumps = [k for k, (a, b) in enumerate(itertools.pairwise(times_s)) if b <= a]
        assert all(times_s[k + 1] < times_s[k] - 0.3 for k in jumps)


def test_times_rise_between_timestamps_that_differ_by_rounding_only():
    times_s = played([1.0, 1.0, 1.0 + 2**-52])
    assert times_s == sorted(set(times_s))


@pytest.mark.parametrize("places", [IBBP, PYRAMID])
def test_a_packet_that_yields_no_frame_leaves_a_hole_in_the_presentation_times(places):
    shown_s = [k / 10 for k in range(10)]
    lost = places.index(5)
    times_s = played([shown_s[place] for place in places], order_of(places), lost=[lost])
    assert times_s == [time_s for k, time_s in enumerate(shown_s) if k != 5]


# In decoding order: a key frame, and the three leading pictures before it, which need a frame that was cut off.
OPEN_GOP = [3, 0, 1, 2, 6, 4, 5, 7, 11, 8, 9, 10, 14, 12, 13]
OPEN_KEYS = [0, 8]


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_lost_leading_pictures_do_not_move_the_first_key_frame(delay):
    shown_s = [k / 10 for k in range(15)]
    times_s = played(
        [shown_s[place] for place in OPEN_GOP], order_of(OPEN_GOP), keys=OPEN_KEYS, lost=[1, 2, 3], delay=delay
    )
    assert times_s == shown_s[3:]


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_lost_leading_pictures_move_decoding_times_by_a_constant(delay):
    times_s = played([k / 10 for k in range(15)], order_of(OPEN_GOP), keys=OPEN_KEYS, lost=[1, 2, 3], delay=delay)
    assert times_s == [k / 10 for k in range(12)]


@pytest.mark.parametrize("places", [IBBP, PYRAMID])
@pytest.mark.parametrize("is_decoding_time", [False, True])
def test_frames_that_do_not_refer_to_their_packets_get_the_same_times(places, is_decoding_time):
    shown_s = [k / 10 for k in range(10)]
    stamps_s = shown_s if is_decoding_time else [shown_s[place] for place in places]
    assert played(stamps_s, order_of(places), keys=[0], knows_packets=False) == shown_s


@pytest.mark.parametrize("resets_at", range(11, 19))
def test_a_clock_that_is_set_back_between_key_frames_counts_from_the_next_one(resets_at):
    places = [place + start for start in (0, 10, 20, 30) for place in IBBP]
    shown_s = [100 + k / 10 if k < resets_at else k / 10 for k in range(40)]
    times_s = played([shown_s[place] for place in places], order_of(places), keys=[0, 30])
    assert rises(times_s[:30])
    assert times_s == pytest.approx([*(100 + k / 10 for k in range(30)), *(k / 10 for k in range(30, 40))], abs=0.051)


def test_a_packet_that_yields_no_frame_is_noticed_before_the_next_key_frame():
    # Decoding times; MPEG-4 marks a frame that the encoder skipped with a packet that yields none.
    places = [place + start for start in range(0, 200, 10) for place in IBBP]
    times_s = played([k / 10 for k in range(200)], order_of(places), keys=[0], lost=[25])
    assert rises(times_s)
    assert times_s[100:] == [k / 10 for k in range(101, 200)]


def test_after_packets_that_cannot_be_decoded_a_key_frame_has_its_own_time():
    # Decoding times; the recording begins between two key frames.
    places = [place + 3 for place in IBBP]
    order = [0, 1, 2, *(k + 3 for k in order_of(IBBP))]
    assert len(places) + 3 == len(order)
    times_s = played([k / 10 for k in range(13)], order, keys=[3], lost=[0, 1, 2])
    assert times_s == [k / 10 for k in range(3, 13)]


@pytest.mark.parametrize("order", [None, order_of(IBBP)])
@pytest.mark.parametrize(
    ("stamps_s", "fps", "expected_s"),
    [
        # all equal: the declared rate, or the default; 1000 and 90000 are clocks and no rates
        ([0.0] * 10, 25.0, [k / 25 for k in range(10)]),
        ([7.0] * 10, None, [7 + k / DEFAULT_FPS for k in range(10)]),
        ([0.0] * 10, 1000.0, [k / DEFAULT_FPS for k in range(10)]),
        # groups: evenly up to the next one, whatever is declared; the last one at the rate measured so far
        ([0.0] * 5 + [1.0] * 5, 25.0, [*(k / 5 for k in range(6)), *(1 + k / 25 for k in range(1, 5))]),
        ([0.0] * 9 + [0.9], 1000.0, [k / 10 for k in range(10)]),
        # a pause of more than 10 s, or a jump, follows: the nominal rate
        ([0.0] * 9 + [GAP_S + 0.1], 25.0, [*(k / 25 for k in range(9)), GAP_S + 0.1]),
        ([0.0] * 9 + [3600.0], 25.0, [*(k / 25 for k in range(9)), 3600.0]),
        # only some packets have a timestamp, as in MPEG-PS
        (
            [0.0, None, None, None, None, 0.5, None, None, None, 1.0],
            None,
            [*(k / 10 for k in range(5)), 0.5, 0.625, 0.75, 0.875, 1.0],
        ),
        # the first packets have none
        ([None] * 4 + [1.0 + k / 25 for k in range(6)], 25.0, [0.84 + k / 25 for k in range(10)]),
        # negative
        ([-0.5] * 5 + [0.0, 0.1, 0.2, 0.3, 0.4], None, [-0.5 + k / 10 for k in range(10)]),
        # damaged: as if there was none
        ([0.0, 0.1, 9e17, float("inf"), 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], None, [k / 10 for k in range(10)]),
    ],
)
def test_frames_with_equal_timestamps_are_spread_evenly(stamps_s, fps, expected_s, order):
    assert played(stamps_s, order, fps=fps) == pytest.approx(expected_s)


def test_without_a_next_timestamp_frames_follow_the_measured_rate():
    times_s = played([k / 10 for k in range(20)] + [2.0] * 5, fps=50.0)
    assert times_s == pytest.approx([k / 10 for k in range(25)])


def test_equal_timestamps_that_end_far_ahead_follow_the_nominal_rate():
    times_s = played([0.0] * 3000, fps=25.0, most_ahead=100)
    assert times_s == pytest.approx([k / 25 for k in range(3000)])


def test_spread_frames_never_pass_the_next_timestamp():
    # 300 frames at 25 fps would take 12 s
    times_s = played([0.0] * 300 + [10.5, 10.6], fps=25.0)
    assert rises(times_s)
    assert times_s[-2:] == [10.5, 10.6]


@pytest.mark.parametrize(
    ("stamps_s", "expected_s"),
    [
        ([0.0, 0.1, 0.2, 0.15, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([0.0, 0.3, 0.2, 0.1, 0.6], [0.0, 0.3, 0.4, 0.5, 0.6]),
    ],
)
def test_a_timestamp_that_goes_back_by_little_counts_as_repeated(stamps_s, expected_s):
    assert played(stamps_s) == pytest.approx(expected_s)


def test_joined_recordings_keep_their_own_times():
    shown_s = [5.0 + k / 10 for k in range(10)] + [k / 10 for k in range(10)]
    places = IBBP + [place + 10 for place in IBBP]
    times_s = played([shown_s[place] for place in places], order_of(places), keys=[0, 10])
    assert times_s == shown_s
    assert played(shown_s) == shown_s


def test_b_frames_of_a_time_lapse_are_one_recording():
    shown_s = [20.0 * k for k in range(10)]
    assert played([shown_s[place] for place in PYRAMID], order_of(PYRAMID), keys=[0]) == shown_s


def test_a_file_without_timestamps_has_no_times():
    assert played([None] * 20, fps=25.0, most_ahead=8) == [None] * 20


def test_distinct_timestamps_need_no_look_ahead():
    stamps = Stamps(25.0)
    for k in range(5):
        ticket = stamps.read(k / 25, is_key=False)
        assert stamps.is_settled(ticket, [])
        stamps.decoding(ticket)
        stamps.shown(ticket)
    assert not stamps.has_spread
    assert not stamps.is_settled(stamps.read(4 / 25, is_key=False), [])


def test_a_packet_that_yields_two_frames_times_both():
    stamps = Stamps(25.0)
    first, second = (stamps.read(stamp_s, is_key=False) for stamp_s in (0.0, 1.0))
    stamps.decoding(first)
    stamps.decoding(second)
    assert [stamps.shown(ticket) for ticket in (first, first, second)] == pytest.approx([0.0, 0.5, 1.0])


def test_packets_that_never_become_frames_take_no_memory():
    stamps = Stamps(25.0)
    stamps.reorders = True
    for k in range(1000):
        stamps.decoding(stamps.read(k / 25, is_key=False))
    assert len(stamps._slots) <= 64
    assert FASTEST_FPS < 1000
