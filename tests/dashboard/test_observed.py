"""What is measured of each pose and status."""

import re
from typing import get_args

import pytest

from realtime.capture.source import Fault
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.observed import CAUSES, LONGEST_S, REASONS, STAGES, Durations, Observer, Words
from realtime.errors import SourceReason
from tests.dashboard.asking import ONE
from tests.wire import publisher
from tests.wire.publisher import ROOT

BEGAN = Moment(mono_s=0.0, unix_ms=1_800_000_000_000.0)


@pytest.fixture
def fleet():
    return Fleet([ONE], BEGAN)


@pytest.fixture
def observer(fleet):
    return Observer(fleet, lambda: Moment(mono_s=1.0, unix_ms=BEGAN.unix_ms + 300))


def pose(seq=0, captured_ms=0.0, published_ms=100.0, **fields):
    """A pose with times in ms since BEGAN."""
    began_ns = int(BEGAN.unix_ms) * 1_000_000
    captured_ns, published_ns = began_ns + int(captured_ms * 1e6), began_ns + int(published_ms * 1e6)
    return publisher.pose(seq=seq, captured_ns=captured_ns, published_ns=published_ns, **fields)


def hear(fleet, *messages):
    for message in messages:
        fleet.hear(ONE, message, Moment(mono_s=1.0, unix_ms=BEGAN.unix_ms + 200))


def counts(observer, fleet):
    return observer.of(fleet.cameras["cam0"])


def test_the_age_is_measured_up_to_the_arrival_and_the_latency_up_to_publishing(observer, fleet):
    hear(fleet, pose())
    assert counts(observer, fleet).age.sum_s == pytest.approx(0.3)
    assert counts(observer, fleet).latency.sum_s == pytest.approx(0.1)


def test_the_age_is_corrected_by_the_difference_of_the_clocks(observer, fleet):
    ahead_ms = 3_600_000
    hear(fleet, pose(captured_ms=ahead_ms, published_ms=ahead_ms + 200))
    assert counts(observer, fleet).age.sum_s == pytest.approx(0.3)


def test_each_stage_has_a_histogram_and_the_waits_are_the_camera_s(observer, fleet):
    hear(fleet, pose(timing_ms={"detect": 20.0, "wait": 5.0}), pose(seq=1, timing_ms={"detect": 40.0, "wait": 5.0}))
    assert observer.stages[ONE]["detect"].sum_s == pytest.approx(0.06)
    assert list(observer.stages[ONE]) == ["detect"]
    assert counts(observer, fleet).wait.sum_s == pytest.approx(0.01)


def test_a_gap_in_the_numbers_counts_as_missed_messages(observer, fleet):
    hear(fleet, pose(5), pose(6), pose(9))
    assert counts(observer, fleet).missed == 2


def test_a_new_session_is_no_gap(observer, fleet):
    hear(fleet, pose(5), pose(700, session="s2"))
    assert counts(observer, fleet).missed == 0


def test_new_tracks_are_summed_over_the_statuses(observer, fleet):
    hear(fleet, publisher.status(tracks_started=[1, 2]), publisher.status(tracks_started=[3]))
    assert counts(observer, fleet).tracks_started == 3


def test_the_newest_status_of_a_pipeline_counts_whichever_camera_it_is_about(observer, fleet):
    hear(fleet, publisher.status("cam0", uptime_s=5.0), publisher.status("cam1", uptime_s=6.0))
    hear(fleet, publisher.pose("cam0"))
    assert observer.statuses[ONE].uptime_s == 6.0


def test_a_camera_that_has_left_is_forgotten(observer, fleet):
    hear(fleet, pose(5), publisher.status(state="ended", reason="removed"))
    camera = fleet.cameras["cam0"]
    for mono_s in range(100):
        fleet.look(Moment(mono_s, BEGAN.unix_ms + mono_s * 1000))
    assert not fleet.cameras
    assert observer.of(camera).age.sum_s == 0.0


@pytest.mark.parametrize(
    ("seconds", "counted"),
    [
        (-5.0, 0.0),  # a clock that was set back
        (1e300, LONGEST_S),
        (0.25, 0.25),
    ],
)
def test_an_impossible_duration_is_limited(seconds, counted):
    durations = Durations((1.0,))
    durations.add(seconds)
    assert durations.sum_s == counted


def test_ten_thousand_stages_of_a_hostile_publisher_become_a_few(observer, fleet):
    hear(fleet, *(pose(i, timing_ms={f"stage{i}.{j}": 1.0 for j in range(100)}) for i in range(100)))
    assert len(observer.stages[ONE]) <= len(STAGES) + 17
    assert observer.stages[ONE]["other"].buckets()[-1] == ("+Inf", 10_000.0 - 16)


@pytest.mark.parametrize("text", ["x" * 65, "new\nline", "\x1b[31m"])
def test_a_word_that_is_long_or_not_printable_is_other(text):
    assert Words(["known"]).word(text) == "other"


def test_every_reason_of_the_program_is_a_known_word():
    assert {reason.value for reason in SourceReason} <= {*REASONS}


def test_every_cause_of_the_program_is_a_known_word():
    dropped = re.compile(r"""(?:\bDropped\(|_on_drop\([\w.]+, )"([^"]+)\"""")
    code = "".join(
        (ROOT / f"realtime/{path}.py").read_text() for path in ("capture/camera", "capture/framer", "runtime/door")
    )
    causes = {*dropped.findall(code), *get_args(Fault)}
    assert {"newer frame", "behind"} <= causes <= {*CAUSES}
