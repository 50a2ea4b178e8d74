import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture.damage import NO_PICTURE_S, PATIENCE, SHORTEST_S, Damage

FPS = 25


def verdicts(*frames, fps=FPS):
    """Return one letter per received frame: "." if it is whole, "x" if it is damaged, "w" if it waits for a key frame.

    The input has one letter per frame: "K" for a key frame, "P" for any other, in lower case if the decoder marks it as
    incomplete, "-" for a lost frame, "!" for one that can't be decoded and "s" for one that is skipped on purpose.
    """
    kinds = "".join(frames)
    damage, seen = Damage(now_s=0.0), []
    for k, kind in enumerate(kinds):
        now_s = k / fps
        if kind == "!" or kinds[k + 1 : k + 2] == "-":  # a gap is known with the packet before it
            damage.hit(k + 1, now_s)
        if kind not in "-!s":
            seen.append(damage.judge(k + 1, kind in "Kk", kind.islower(), now_s))
    return "".join({None: ".", "corrupt": "x", "waiting for a key frame": "w"}[fault] for fault in seen)


def test_damage_spreads_up_to_the_next_whole_key_frame():
    assert verdicts("KPPPP", "KPpPP", "KPPPP") == ".......xxx....."
    assert verdicts("KPPPP", "kPPPP", "KPPPP") == ".....xxxxx....."
    assert verdicts("KPPPP", "KP!PP", "KPPPP") == ".......xx....."  # a frame that can't be decoded
    assert verdicts("KPPPP", "KPP-P", "KPPPP") == ".......xx....."  # a lost frame, and the one before it
    assert verdicts("KPPPP", "-PPPP", "KPPPP") == "....xxxxx....."


def test_frames_before_the_first_key_frame_wait_for_it():
    assert verdicts("PPPKPP") == "www..."
    assert verdicts("PPpkPPKP") == "wwwwww.."  # a damaged key frame is none


def test_frames_skipped_on_purpose_are_not_damage():
    assert verdicts("KPssP", "KsPss", "KPPPP") == "." * 10


def test_damage_without_a_key_frame_ends_after_two_seconds():
    seen = verdicts("KPp", "P" * 60)
    assert seen.rstrip(".") == "..x" + "x" * round(SHORTEST_S * FPS)


def test_damage_lasts_as_long_as_the_longest_distance_of_key_frames_so_far():
    group = "K" + "P" * 99  # 4 s
    seen = verdicts(group, group, "KPp", "P" * 120)
    assert seen.count("x") == 1 + 4 * FPS
    assert seen.endswith("." * 19)


def test_new_damage_starts_the_time_anew():
    seen = verdicts("KPp", "P" * 40, "p", "P" * 60)
    assert seen.count("x") == 42 + 2 * FPS


def test_a_key_frame_that_is_shown_late_does_not_end_damage_that_came_after_it():
    damage = Damage(now_s=0.0)
    damage.judge(1, True, False, 0.0)
    damage.hit(2, 0.1)
    damage.hit(6, 0.2)  # known before frame 4 is shown, because the decoder holds frames back
    assert damage.judge(3, False, False, 0.2) == "corrupt"
    assert damage.judge(4, True, False, 0.2) is None
    assert damage.judge(5, False, False, 0.2) is None
    assert damage.judge(6, False, False, 0.3) == "corrupt"


def refreshed(*hits, references=(3, 4, 5, 6, 7, 8), judged=range(2, 10)):
    """Return the verdicts on a stream whose packet 3 begins an intra refresh of 4 reference frames."""
    damage, seen = Damage(now_s=0.0), []
    damage.judge(1, True, False, 0.0)
    damage.hit(2, 0.0)
    for packet in judged:
        if damage.is_refreshing:
            damage.refresh_goes_on(packet, packet in references)
        if packet == 3:
            damage.refreshes(packet, 4, 0.0)
        if packet in hits:
            damage.hit(packet, 0.0)
        seen.append(damage.judge(packet, False, False, 0.0))
    return "".join("." if fault is None else "x" for fault in seen)


def test_damage_ends_with_an_intra_refresh():
    assert refreshed() == "xxxxx..."  # packets 2 to 9; the refresh is complete with packet 7


def test_frames_that_no_other_refers_to_do_not_count_in_an_intra_refresh():
    assert refreshed(references=(3, 5, 6, 8, 9)) == "xxxxxxx."


@pytest.mark.parametrize("hit", [3, 5, 7])
def test_damage_within_an_intra_refresh_spoils_it(hit):
    assert refreshed(hit) == "xxxxxxxx"


def test_a_recovery_point_without_frames_to_wait_for_ends_damage_like_a_key_frame():
    damage = Damage(now_s=0.0)
    damage.refreshes(1, 0, 0.0)
    assert damage.judge(1, False, False, 0.0) is None


def test_a_stream_without_whole_frames_lasts_three_times_as_long_as_damage():
    damage = Damage(now_s=0.0)
    damage.judge(1, True, False, 0.0)
    damage.hit(2, 1.0)
    damage.hit(3, 5.0)
    limit_s = 1.0 + PATIENCE * SHORTEST_S
    assert not damage.lasts(limit_s)
    assert damage.lasts(limit_s + 0.1)
    damage.judge(4, True, False, limit_s)
    assert not damage.lasts(limit_s + 0.1)


def test_frames_that_are_shown_after_a_loss_and_whole_do_not_hide_it():
    damage = Damage(now_s=0.0)
    damage.judge(1, True, False, 0.0)
    damage.hit(3, 1.0)
    damage.judge(2, False, False, 1.0)  # held back by the decoder, which returns nothing more
    assert damage.lasts(1.1 + PATIENCE * SHORTEST_S)


def test_the_distance_of_intra_refreshes_includes_their_length():
    damage = Damage(now_s=0.0)
    damage.judge(1, True, False, 0.0)
    for packet, now_s in ((10, 1.0), (20, 6.0)):
        damage.refreshes(packet, 1, now_s)
        damage.refresh_goes_on(packet + 1, True)
        damage.judge(packet + 1, False, False, now_s + 1.0)
    assert damage.longest_s == 6.0  # a loss just after 1.0 is mended by the refresh from 6.0 to 7.0


@pytest.mark.parametrize(("left", "hit"), [(4, 2), (1000, None)], ids=["spoiled", "longer"])
def test_an_intra_refresh_replaces_one_that_is_spoiled_or_ends_later(left, hit):
    damage = Damage(now_s=0.0)
    damage.refreshes(1, left, 0.0)
    if hit is not None:
        damage.hit(hit, 0.0)
    damage.refresh_goes_on(3, True)
    damage.refreshes(3, 4, 0.0)
    for packet in range(4, 8):
        damage.refresh_goes_on(packet, True)
    assert [damage.judge(packet, False, False, 0.0) for packet in (6, 7)] == ["waiting for a key frame", None]


def test_a_running_intra_refresh_is_not_replaced_by_one_that_ends_later():
    damage = Damage(now_s=0.0)
    for packet in range(1, 6):
        damage.refresh_goes_on(packet, True)
        damage.refreshes(packet, 4, 0.0)
    assert damage.judge(5, False, False, 0.0) is None


def test_a_lossy_stream_with_a_whole_frame_now_and_then_goes_on():
    damage = Damage(now_s=0.0)
    for second in range(100):
        damage.judge(25 * second + 1, True, second % 5 > 0, float(second))  # one key frame of five arrives whole
        damage.hit(25 * second + 2, second + 0.1)
        assert not damage.lasts(second + 0.2)


def test_a_new_stream_may_wait_long_for_its_first_key_frame():
    damage = Damage(now_s=10.0)
    assert not damage.lasts(10.0 + NO_PICTURE_S)
    assert damage.lasts(10.1 + NO_PICTURE_S)


def test_no_stream_stays_without_a_whole_frame_for_longer_than_a_new_one():
    damage = Damage(now_s=0.0)
    for k in range(3):
        damage.judge(k + 1, True, False, 60.0 * k)  # a key frame per minute
    damage.hit(4, 121.0)
    assert damage.longest_s == 60.0
    assert damage.lasts(121.1 + NO_PICTURE_S)


events = st.lists(st.tuples(st.sampled_from("KPkp!r"), st.integers(0, 3), st.floats(0.001, 3.0)), max_size=80)


@given(events)
def test_a_frame_is_whole_exactly_if_nothing_that_it_may_depend_on_is_damaged(events):
    damage, now_s, key_s = Damage(now_s=0.0), 0.0, None
    is_clean = False  # the rule, told again: a picture as a decoder would hold it
    hit_s, distance_s = 0.0, 0.0
    has_started = False
    for number, (kind, _, step_s) in enumerate(events, start=1):
        now_s += step_s
        if kind in "!r":
            damage.hit(number, now_s)
            is_clean, hit_s = False, now_s
        if kind == "!":
            continue
        fault = damage.judge(number, kind == "K", kind in "kp", now_s)
        if kind in "kp":
            is_clean, hit_s = False, now_s
        elif kind == "K":
            is_clean = True
            distance_s = max(distance_s, now_s - key_s) if key_s is not None else 0.0
            key_s = now_s
        elif has_started and now_s - hit_s > max(SHORTEST_S, distance_s):
            is_clean = True
        assert (fault is None) == is_clean
        has_started = has_started or is_clean


@given(events)
def test_damage_ends_within_its_limit_and_no_stream_lasts_without_whole_frames(events):
    damage, now_s, dark_s, hit_s = Damage(now_s=0.0), 0.0, 0.0, 0.0
    for number, (kind, _, step_s) in enumerate(events, start=1):
        now_s += step_s
        if kind in "!r":
            damage.hit(number, now_s)
            hit_s = now_s
        if kind != "!":
            if kind in "kp":
                hit_s = now_s
            fault = damage.judge(number, kind == "K", kind in "kp", now_s)
            if damage.has_started and now_s - hit_s > damage.longest_s:
                assert fault is None
            if fault is None:
                dark_s = now_s
        if now_s - dark_s > NO_PICTURE_S and fault is not None and hit_s > dark_s:
            assert damage.lasts(now_s + 3.0 + NO_PICTURE_S)
        assert not (damage.lasts(now_s) and now_s - dark_s <= PATIENCE * SHORTEST_S)
