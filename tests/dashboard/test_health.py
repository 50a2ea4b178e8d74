"""What /healthz says, with invented times."""

import pytest

from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.health import STARTING_S, Health, routes
from tests.dashboard.asking import ONE, TWO, ask, make_site
from tests.wire import publisher

BEGAN_UNIX_MS = 1_800_000_000_000.0


def at(mono_s):
    return Moment(mono_s, BEGAN_UNIX_MS + mono_s * 1000)


class Run:
    """A fleet and its health, whose time a test moves on."""

    def __init__(self, *endpoints):
        self.now = at(0)
        self.fleet = Fleet(endpoints or [ONE], self.now)
        self.health = Health(self.fleet, lost_s=30.0, now=lambda: self.now)

    def hear(self, mono_s, *messages, endpoint=ONE):
        self.now = at(mono_s)
        for message in messages:
            self.fleet.hear(endpoint, message, self.now)

    def keep(self, mono_s, *messages, endpoint=ONE):
        """Send the same messages once per second up to this time."""
        for second in range(int(self.now.mono_s) + 1, int(mono_s) + 1):
            self.hear(second, *messages, endpoint=endpoint)
            self.fleet.look(self.now)

    def report(self, **options):
        self.fleet.look(self.now)
        return self.health.report(self.now, **options)

    def problems(self, **options):
        return [(p.camera, p.state, p.reason, p.for_s) for p in self.report(**options).problems]


def lost(reason="timed out", camera="cam0", **fields):
    return publisher.status(camera, state="reconnecting", reason=reason, **fields)


@pytest.fixture
def run():
    return Run()


def test_a_live_camera_is_well(run):
    run.keep(60, publisher.status())
    report = run.report()
    assert (report.status, report.cameras, report.live) == ("ok", 1, 1)


@pytest.mark.parametrize("state", ["reconnecting", "failed"])
def test_a_camera_that_has_been_lost_for_longer_than_lost_s_is_a_problem(run, state):
    run.hear(1, publisher.status())
    run.keep(31, publisher.status(state=state, reason="not found"))
    assert run.report().status == "ok"
    run.keep(33, publisher.status(state=state, reason="not found"))
    assert run.problems() == [("cam0", state, "not found", 31.0)]
    assert run.report().problems[0].since_ms == at(2).unix_ms


def test_a_reason_that_changes_does_not_begin_the_time_again(run):
    run.hear(1, publisher.status())
    run.keep(20, lost("timed out"))
    run.keep(40, lost("connection refused", since_ns=int(at(20).unix_ms * 1e6)))
    assert run.problems() == [("cam0", "reconnecting", "connection refused", 38.0)]


def test_a_camera_that_is_live_in_between_begins_again(run):
    run.keep(20, lost())
    run.keep(21, publisher.status())
    run.keep(45, lost())
    assert run.report().status == "ok"


def test_a_camera_that_was_lost_before_the_dashboard_started_is_a_problem_at_once(run):
    run.hear(1, lost(since_ns=int(at(-100).unix_ms * 1e6)))
    assert run.problems() == [("cam0", "reconnecting", "timed out", 101.0)]


def test_a_publisher_whose_clock_is_ahead_does_not_hide_a_lost_camera(run):
    run.hear(1, lost(since_ns=int(at(7200).unix_ms * 1e6)))
    run.keep(40, lost(since_ns=int(at(7200).unix_ms * 1e6)))
    assert run.problems() == [("cam0", "reconnecting", "timed out", 39.0)]


@pytest.mark.parametrize("reason", [None, "stopped", "removed"])
def test_a_camera_that_has_ended_is_well(run, reason):
    run.keep(100, publisher.status(), publisher.status("clip", state="ended", reason=reason))
    assert run.report().status == "ok"


def test_a_camera_that_still_starts_is_well(run):
    run.keep(100, publisher.status(state="starting"))
    assert run.report().status == "ok"


def test_a_pipeline_that_is_silent_for_3_s_is_a_problem(run):
    run.keep(10, publisher.status())
    run.keep(13)
    assert run.report().status == "ok"
    run.keep(14)
    assert run.problems() == [(None, "silent", None, 4.0)]
    assert run.report().problems[0].since_ms == at(10).unix_ms


def test_the_cameras_of_a_silent_pipeline_are_not_named_too(run):
    run.keep(50, lost())
    run.keep(60)
    assert run.problems() == [(None, "silent", None, 10.0)]


def test_a_pipeline_that_was_never_heard_is_starting_for_some_minutes(run):
    run.keep(STARTING_S)
    report = run.report()
    assert (report.status, report.starting) == ("ok", [ONE])
    run.keep(STARTING_S + 1)
    assert run.problems() == [(None, "silent", "never heard", STARTING_S + 1)]


def test_one_silent_pipeline_of_two_is_a_problem():
    run = Run(ONE, TWO)
    run.hear(1, publisher.status(), endpoint=TWO)
    run.keep(10, publisher.status(), endpoint=ONE)
    assert [problem.pipeline for problem in run.report().problems] == [TWO]


def test_a_camera_that_its_pipeline_no_longer_mentions_is_a_problem_until_it_leaves(run):
    run.hear(1, publisher.status("cam1"))
    run.keep(32, publisher.status())
    assert run.problems() == [("cam1", "silent", None, 31.0)]
    run.keep(70, publisher.status())
    assert run.report().status == "ok"


def test_only_pipelines_count_if_cameras_are_left_out(run):
    run.keep(60, lost())
    assert run.report().status == "not ok"
    assert run.report(with_cameras=False).status == "ok"
    run.keep(70)
    assert run.report(with_cameras=False).status == "not ok"


# ---- the route


def unwell(**options):
    """The routes of a site whose camera has been lost for long."""
    site = make_site(**options)
    found = routes(site)
    now = Moment.now()
    site.fleet.hear(ONE, lost(camera="door", since_ns=int((now.unix_ms - 100_000) * 1e6)), now)
    return found


def test_the_route_answers_503_and_names_the_camera():
    reply = ask(unwell(), "/healthz")
    assert reply.status == 503
    body = reply.json()
    assert (body["status"], body["problems"][0]["camera"], body["problems"][0]["reason"]) == (
        "not ok", "door", "timed out",
    )  # fmt: skip


def test_lost_s_is_the_setting(monkeypatch):
    assert ask(unwell(lost_s=1000.0), "/healthz").status == 200


def test_a_stranger_learns_only_whether_all_is_well():
    reply = ask(unwell(knows=False), "/healthz")
    assert (reply.status, reply.body) == (503, b'{"status":"not ok"}')
    reply = ask(routes(make_site(knows=False)), "/healthz")
    assert (reply.status, reply.body) == (200, b'{"status":"ok"}')


@pytest.mark.parametrize(("query", "status"), [("?cameras=0", 200), ("?cameras=1", 503), ("?cameras=", 503)])
def test_a_liveness_probe_can_leave_out_the_cameras(query, status):
    assert ask(unwell(), f"/healthz{query}").status == status
