"""The metrics, as Prometheus reads them."""

import asyncio
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from realtime.dashboard import metrics
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.metrics import METRICS, PREFIX, PipelineCollector, Scrapes, routes
from realtime.dashboard.observed import CAUSES, Observer
from realtime.dashboard.settings import Settings
from tests.dashboard.asking import ONE, TWO, ask, asking, make_site
from tests.wire import publisher

ROOT = Path(__file__).parents[2]
EVERYTHING = {
    "state": "live", "reason": "waiting for a key frame", "activity": "still", "lowered": ["detector.every=2"],
    "drops": {"newer frame": 4, "corrupt": 1}, "reconnects": {"timed out": 2}, "tracks_started": [1, 2, 3],
    "stages": {"detect": {"p50": 10.0, "p95": 20.0, "wait_p95": 30.0}}, "process": {"cpu_s": 12.5, "rss_mb": 512.0},
    "recording": {"written": 100, "lost": 7, "error": "no space left"},
}  # fmt: skip


@pytest.fixture
def site():
    return make_site()


@pytest.fixture
def collector(site):
    return PipelineCollector(site, Observer(site.fleet))


def hear(site, *messages, endpoint=ONE):
    for message in messages:
        site.fleet.hear(endpoint, message, Moment.now())


def later(site, seconds):
    now = Moment.now()
    for step in range(seconds):
        site.fleet.look(Moment(now.mono_s + step + 1, now.unix_ms + 1000 * (step + 1)))


def samples(collector, name):
    """The samples of one metric: value by the values of its labels except camera and pipeline."""
    found = {}
    for family in collector.collect():
        for sample in family.samples:
            if sample.name == PREFIX + name:
                labels = {k: v for k, v in sample.labels.items() if k not in ("camera", "pipeline")}
                found[tuple(labels.values())] = float(sample.value)
    return found


def hear_everything(site):
    pose = publisher.pose(timing_ms={"detect": 20.0, "wait": 1.0})
    hear(site, publisher.status(**EVERYTHING), publisher.info(), pose)


def test_every_metric_is_exported_with_exactly_its_labels(site, collector):
    hear_everything(site)
    found = {family.name: family for family in collector.collect()}
    for metric in METRICS:
        family = found[PREFIX + metric.name.removesuffix("_total")]
        for sample in family.samples:
            assert {*sample.labels} - {"le"} == {*metric.labels}, sample.name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed")
def test_promtool_finds_nothing_wrong_with_the_metrics(site):
    answers = routes(site)
    hear_everything(site)
    checked = subprocess.run(["promtool", "check", "metrics"], input=ask(answers, "/metrics").body, capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4",
        "application/openmetrics-text; version=x",
        ",;=,",
    ],
)
def test_every_reader_gets_text_of_version_0_0_4(site, accept):
    reply = ask(routes(site), "/metrics", {"accept": accept})
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


def test_the_text_can_be_read_back(site):
    answers = routes(site)
    hear_everything(site)
    text = ask(answers, "/metrics").text()
    assert 'realtime_pose_frames_published_total{camera="cam0",pipeline="tcp://127.0.0.1:5555"} 2.0\n' in text
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"realtime_pose_latency_seconds", "realtime_pose_dashboard_process_cpu_seconds"} <= names


def test_the_metrics_of_this_process_and_of_the_pipeline_have_different_names(site):
    answers = routes(site)
    hear_everything(site)
    text = ask(answers, "/metrics").text()
    pipeline = 'realtime_pose_pipeline_process_resident_memory_bytes{pipeline="tcp://127.0.0.1:5555"} 5.36870912e+08'
    assert pipeline in text
    assert re.search(r"^realtime_pose_dashboard_process_resident_memory_bytes \d", text, re.MULTILINE)
    assert not re.search(r"^(?!realtime_pose_|# )", text.rstrip(), re.MULTILINE)


def test_a_second_scrape_at_the_same_time_gets_the_same_answer(site, monkeypatch):
    monkeypatch.setattr(metrics, "SAME_ANSWER_S", 3600.0)
    app = Starlette(routes=routes(site))

    async def twice():
        first = await asking(app, "/metrics")
        hear_everything(site)
        return first.body, (await asking(app, "/metrics")).body

    first, second = asyncio.run(twice())
    assert first == second


def test_a_scrape_does_not_run_on_the_thread_of_the_event_loop(site, monkeypatch):
    threads = []
    monkeypatch.setattr(PipelineCollector, "collect", lambda self: threads.append(threading.current_thread()) or [])
    ask(routes(site), "/metrics")
    assert threads
    assert threading.main_thread() not in threads


def test_counters_are_exported_as_the_pipeline_sends_them(site, collector):
    hear(site, publisher.status(captured=500, drops={"newer frame": 4}))
    assert samples(collector, "frames_captured_total") == {(): 500.0}
    assert samples(collector, "frames_dropped_total") == {("newer frame",): 4.0}
    hear(site, publisher.status(session="s2", captured=3))
    assert samples(collector, "frames_captured_total") == {(): 3.0}


def test_a_publisher_without_causes_has_one_unknown_cause(site, collector):
    hear(site, publisher.status(dropped=9))
    assert samples(collector, "frames_dropped_total") == {("unknown",): 9.0}


def test_exactly_one_state_is_1(site, collector):
    hear(site, publisher.status(state="reconnecting", reason="timed out"))
    states = samples(collector, "camera_state")
    assert [state for state, value in states.items() if value] == [("reconnecting",)]
    assert len(states) == 6
    assert samples(collector, "camera_reason") == {("timed out",): 1.0}
    assert samples(collector, "camera_up") == {(): 0.0}


def test_a_silent_camera_is_gone_whatever_it_said_last(site, collector):
    hear_everything(site)
    later(site, 5)
    assert samples(collector, "camera_state")["gone",] == 1.0
    assert samples(collector, "camera_up") == {(): 0.0}
    assert samples(collector, "pipeline_up") == {(): 0.0}


@pytest.mark.parametrize(
    "name", ["people", "fps", "camera_activity", "camera_reason", "stage_wait_p95_seconds", "pipeline_uptime_seconds"]
)
def test_a_gauge_of_a_silent_pipeline_is_left_out(site, collector, name):
    hear_everything(site)
    assert samples(collector, name)
    later(site, 5)
    assert not samples(collector, name)


def test_a_camera_that_is_not_live_has_no_people(site, collector):
    hear(site, publisher.status(), publisher.pose(n=3))
    assert samples(collector, "people") == {(): 3.0}
    hear(site, publisher.status(state="reconnecting", reason="timed out"))
    assert not samples(collector, "people")


def test_the_labels_of_a_removed_camera_disappear(site, collector):
    hear(site, publisher.status("cam0"), publisher.status("cam1", state="ended", reason="removed"))
    for step in range(100):
        hear(site, publisher.status("cam0"))
        site.fleet.look(Moment(Moment.now().mono_s + step, Moment.now().unix_ms + step * 1000))
    cameras = {s.labels["camera"] for f in collector.collect() for s in f.samples if "camera" in s.labels}
    assert cameras == {"cam0"}


def test_activity_is_exported_only_if_it_is_sent(site, collector):
    hear(site, publisher.status())
    assert not samples(collector, "camera_activity")
    hear(site, publisher.status(activity="empty"))
    assert samples(collector, "camera_activity") == {("active",): 0.0, ("still",): 0.0, ("empty",): 1.0}


def test_the_age_of_an_ended_camera_is_left_out(site, collector):
    hear(site, publisher.status(), publisher.pose())
    assert samples(collector, "newest_frame_age_seconds")
    hear(site, publisher.status(state="ended"))
    assert not samples(collector, "newest_frame_age_seconds")


def test_a_pipeline_that_was_never_heard_is_down(collector):
    assert samples(collector, "pipeline_up") == {(): 0.0}


def test_cameras_of_the_same_name_differ_by_their_pipeline():
    site = make_site(Fleet([ONE, TWO], Moment.now()))
    collector = PipelineCollector(site, Observer(site.fleet))
    hear(site, publisher.status())
    hear(site, publisher.status(), endpoint=TWO)
    labels = [s.labels for f in collector.collect() for s in f.samples if s.name == "realtime_pose_camera_up"]
    assert labels == [{"camera": "cam0", "pipeline": ONE}, {"camera": "cam0", "pipeline": TWO}]


def test_the_pipeline_of_web_has_the_same_label_in_each_run():
    settings = Settings(connect=("ipc:///tmp/realtime-pose-k3j2/poses",))
    site = make_site(Fleet(settings.pipelines, Moment.now()))
    collector = PipelineCollector(site, Observer(site.fleet))
    labels = [s.labels for f in collector.collect() for s in f.samples if s.name == "realtime_pose_pipeline_up"]
    assert labels == [{"pipeline": "local"}]


# ---- a hostile publisher


def test_ten_thousand_causes_become_a_few_and_none_is_lost(site, collector):
    for i in range(100):
        drops = {f"cause {i}.{j}": 1 for j in range(100)}
        hear(site, publisher.status(f"cam{i}", drops=drops))
    names = set(samples(collector, "frames_dropped_total"))
    assert len(names) <= len(CAUSES) + 17
    found = [s for f in collector.collect() for s in f.samples if s.name == "realtime_pose_frames_dropped_total"]
    assert sum(sample.value for sample in found) == 10_000


def test_words_that_break_lines_stay_inside_their_label(site):
    answers = routes(site)
    hear(site, publisher.status(drops={'a"} 1\nevil 1': 5, "b\\": 2}, reconnects={"é\x00": 1}))
    text = ask(answers, "/metrics").text()
    assert "\nevil" not in text
    assert list(text_string_to_metric_families(text))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_sums_of_the_largest_numbers_are_limited(site, number):
    answers = routes(site)
    causes = {f"cause {i}": number for i in range(100)}
    hear(site, publisher.status(captured=number, drops=causes, process={"cpu_s": 1e308, "rss_mb": 1e308}))
    hear(site, publisher.pose(), publisher.pose(seq=2**63 - 1, captured_ns=number, published_ns=-number - 1))
    reply = ask(answers, "/metrics")
    assert reply.status == 200
    assert b"inf" not in reply.body.lower().replace(b'le="+inf"', b"").replace(b"build_info", b"")


# ---- the documentation


def test_the_documentation_has_the_table_of_all_metrics():
    text = (ROOT / "docs" / "monitoring.md").read_text()
    expected = [
        f"| `{PREFIX}{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"
        for name, kind, labels, meaning in METRICS
    ]
    assert re.findall(r"^\| `realtime_pose_\w+` \|.*$", text, re.MULTILINE) == expected, "\n".join(expected)


def test_the_collector_needs_no_camera(site):
    assert ask([*routes(site)], "/metrics").status == 200
    assert Scrapes(site)
