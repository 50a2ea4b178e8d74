import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.observe import metrics as module
from realtime.observe.metrics import WINDOW_S, Histogram, StageMeter
from tests.clock import Clock


def histogram_of(durations_ms):
    histogram = Histogram()
    for ms in durations_ms:
        histogram.add(ms)
    return histogram


@pytest.mark.parametrize("percent", [0, 5, 50, 95, 99, 100])
@pytest.mark.parametrize(
    "durations_ms",
    [
        np.random.default_rng(0).lognormal(3, 1, 5000),
        np.random.default_rng(1).uniform(0.01, 4000, 997),
        np.geomspace(0.001, 1e6, 301),  # from a microsecond to a quarter of an hour
        np.concatenate([np.full(900, 5.0), np.full(100, 800.0)]),  # two peaks, and nothing between them
    ],
    ids=["lognormal", "uniform", "all magnitudes", "two peaks"],
)
def test_percentiles_equal_those_of_numpy_within_two_percent(durations_ms, percent):
    expected = np.percentile(durations_ms, percent, method="inverted_cdf")
    assert histogram_of(durations_ms).percentile(percent) == pytest.approx(expected, rel=0.02)


@given(st.lists(st.floats(0.001, 1e7), min_size=1, max_size=200), st.sampled_from([50, 95, 99]))
def test_percentiles_of_any_durations_equal_those_of_numpy_within_two_percent(durations_ms, percent):
    expected = np.percentile(durations_ms, percent, method="inverted_cdf")
    assert histogram_of(durations_ms).percentile(percent) == pytest.approx(expected, rel=0.02)


@given(st.lists(st.floats(0.0, 1e7), min_size=1, max_size=50))
def test_percentiles_rise_up_to_the_longest_duration(durations_ms):
    histogram = histogram_of(durations_ms)
    percentiles = [histogram.percentile(percent) for percent in range(0, 101, 5)]
    assert percentiles == sorted(percentiles)
    assert percentiles[-1] <= histogram.max == max(durations_ms)
    assert histogram.count == len(durations_ms)


def test_durations_below_a_microsecond_count_as_at_most_one():
    histogram = histogram_of([0.0, 1e-9, 1e-4, 20.0])
    assert histogram.percentile(50) <= 0.00102
    assert histogram.percentile(100) == pytest.approx(20.0, rel=0.02)


def test_an_empty_histogram_has_percentiles_of_zero():
    assert Histogram().summary() == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    assert (Histogram().count, Histogram().max) == (0, 0.0)


def test_the_summary_has_three_percentiles_in_microseconds():
    summary = histogram_of(np.full(10, 1 / 3)).summary()
    assert list(summary) == ["p50", "p95", "p99"]
    assert all(ms == round(ms, 3) == pytest.approx(1 / 3, rel=0.02) for ms in summary.values())


def test_a_run_that_never_ends_needs_no_more_memory():
    durations_ms = np.random.default_rng(0).uniform(1, 1000, 20_000)
    histogram = histogram_of(durations_ms)
    bins = len(histogram._bins)
    assert bins <= math.log(1000) / math.log(1.02) + 1
    for ms in durations_ms:
        histogram.add(ms)
    assert len(histogram._bins) == bins


def test_the_meter_sums_the_calls_the_items_and_the_time_of_each_stage():
    meter = StageMeter()
    for items, seconds in ((1, 0.010), (4, 0.030), (0, 0.020)):
        meter.measure("detect", items, seconds)
    meter.measure("pose", 2, 0.5)
    summary = meter.summary()
    assert list(summary) == ["detect", "pose"]
    detect = summary["detect"]
    assert list(detect) == ["calls", "items", "busy_s", "ms", "wait_ms"]
    assert (detect["calls"], detect["items"], detect["busy_s"]) == (3, 5, 0.06)
    assert detect["ms"]["p50"] == pytest.approx(20.0, rel=0.02)
    assert detect["ms"]["p99"] == pytest.approx(30.0, rel=0.02)


def test_waits_are_those_of_the_items_in_milliseconds():
    meter = StageMeter()
    meter.waited("detect", 0.25)
    assert meter.summary() == {}  # the stage has not run yet
    meter.measure("detect", 1, 0.01)
    meter.measure("track", 1, 0.01)
    assert meter.summary()["detect"]["wait_ms"]["p50"] == pytest.approx(250.0, rel=0.02)
    assert meter.summary()["track"]["wait_ms"] == {"p50": 0.0, "p95": 0.0, "p99": 0.0}  # no item waited


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_recent_times_are_those_of_the_last_few_seconds(clock):
    meter = StageMeter()
    assert meter.recent() == {}
    for second in range(60):
        clock.now_s = 100.0 + second
        meter.measure("detect", 1, 0.5 if second < 50 else 0.02)
        meter.waited("detect", 0.3 if second < 50 else 0.001)
    assert meter.recent() == {"detect": pytest.approx({"p50": 20.0, "p95": 20.0, "wait_p95": 1.0}, rel=0.02)}
    assert meter.summary()["detect"]["ms"]["p50"] == pytest.approx(500.0, rel=0.02)  # the whole run forgets nothing


def test_recent_times_never_cover_less_than_one_window(clock):
    meter = StageMeter()
    meter.measure("pose", 1, 0.01)
    for _ in range(29):
        clock.now_s += WINDOW_S / 30
        assert "pose" in meter.recent()
    clock.now_s += 2 * WINDOW_S
    assert meter.recent() == {}


def test_a_stage_for_which_no_item_waited_has_a_wait_of_zero():
    meter = StageMeter()
    meter.measure("track", 1, 0.01)
    assert meter.recent()["track"]["wait_p95"] == 0.0


def test_no_call_is_lost_if_all_stages_report_at_the_same_time():
    meter, threads_of, calls = StageMeter(), 4, 500
    started = threading.Barrier(threads_of)

    def report(stage):
        started.wait()
        for _ in range(calls):
            meter.measure(stage, 2, 0.001)
            meter.waited(stage, 0.002)
            meter.summary()

    threads = [threading.Thread(target=report, args=(stage,)) for stage in ("detect", "pose") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for stage in meter.summary().values():
        assert (stage["calls"], stage["items"], stage["busy_s"]) == (2 * calls, 4 * calls, pytest.approx(1.0))
