"""The page while cameras and pipelines fail and come back: `make browser`.

The moment at which a state was known is the arrival of its status message at a plain subscriber.
"""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.faults.fakecam import CameraProcess

from .people import write_people
from .running import DEMO, Dashboard, Web, record_states, states, view, wait_for

pytestmark = pytest.mark.browser

# How long after its status message the page may show a state (s).
SHOWN_S = 1.0
# A silent pipeline counts as gone after 3 s.
GONE_S = 3.0


@pytest.fixture(scope="module")
def background(tmp_path_factory):
    return str(write_people(tmp_path_factory.mktemp("clip") / "people.mp4"))


@pytest.fixture
def cameras(background):
    options = "--key-every=5", "--size=640x360", "--fps=10", f"--background={background}"
    with CameraProcess(*options) as door, CameraProcess(*options) as yard:
        yield {"door": door, "yard": yard}


@pytest.fixture
def run(cameras, tmp_path):
    sources = [word for name, camera in cameras.items() for word in ("--source", f"{name}={camera.url()}")]
    # Large enough to find people: a camera without any is idle after 10 s.
    with Web(*sources, "--detector.size", "320", folder=tmp_path) as program:
        yield program


def shown_after_s(page, camera: str, state: str, told_s: float) -> float:
    """Return how long after a moment the page showed this state (s)."""
    wait_for(page, camera, state=state)
    return min(at_s for at_s, shown in states(page, camera) if shown == state and at_s > told_s - 1) - told_s


def note(page, camera: str) -> str:
    return page.inner_text(view(camera) + " .note")


def test_a_killed_camera_shows_as_lost_and_comes_back(run, cameras, open_page):
    page = open_page(run.address)
    for camera in cameras:
        wait_for(page, camera, state="live", freshness="fresh")
    record_states(page, *cameras)
    killed_s = time.monotonic()
    cameras["door"].kill()
    told = run.until_state("reconnecting", "door", killed_s)
    assert shown_after_s(page, "door", "reconnecting", told.at_s) < SHOWN_S
    wait_for(page, "door", freshness="dead")
    assert re.search(r"connection (refused|lost)[\s\S]*since \d\d:\d\d:\d\d", note(page, "door"))
    last_seq = int(page.get_attribute(view("door"), "data-seq"))

    cameras["door"].start()
    told = run.until_state("live", "door", told.at_s)
    assert shown_after_s(page, "door", "live", told.at_s) < SHOWN_S
    run.until(lambda: int(page.get_attribute(view("door"), "data-seq")) > last_seq, what="a new frame")
    wait_for(page, "door", freshness="fresh")
    assert {state for _, state in states(page, "yard")} == {"live"}


def test_a_frozen_camera_shows_as_frozen(run, cameras, open_page):
    page = open_page(run.address)
    wait_for(page, "door", state="live")
    record_states(page, "door")
    frozen_s = time.monotonic()
    cameras["door"].command("freeze")
    told = run.until_state("reconnecting", "door", frozen_s)
    assert told.body["reason"] == "timed out"
    assert shown_after_s(page, "door", "frozen", told.at_s) < SHOWN_S
    assert "Frozen" in note(page, "door")
    cameras["door"].command("resume")
    told = run.until_state("live", "door", told.at_s)
    assert shown_after_s(page, "door", "live", told.at_s) < SHOWN_S


def test_a_page_outlives_the_pipeline_that_serves_it(tmp_path, open_page):
    with Web(*DEMO, folder=tmp_path) as first:
        page = open_page(first.address, deliberate=["ERR_CONNECTION", "WebSocket connection"])
        wait_for(page, "cam0", state="live")
        record_states(page, "cam0")
        killed_s = time.monotonic()
        first.process.send_signal(signal.SIGKILL)
        assert shown_after_s(page, "cam0", "unlinked", killed_s) < SHOWN_S
        assert page.inner_text("#banner").strip()
    with Web(*DEMO, folder=tmp_path, port=first.port) as second:
        began_s = second.until_pose().at_s
        # The page tries again at most 8 s after the last attempt, and 20 % more.
        assert shown_after_s(page, "cam0", "live", began_s) < 11
        wait_for(page, "cam0", freshness="fresh")


def test_a_standing_dashboard_shows_that_a_pipeline_is_gone(tmp_path, open_page):
    endpoint = f"ipc://{tmp_path}/stream"
    with Dashboard("--connect", endpoint) as dashboard:
        with Web(*DEMO, folder=tmp_path, endpoint=endpoint) as first:
            first.until_pose()
            page = open_page(dashboard.address)
            wait_for(page, "cam0", state="live")
            record_states(page, "cam0")
            killed_s, killed_unix_s = time.monotonic(), time.time()
            first.process.send_signal(signal.SIGKILL)
            assert shown_after_s(page, "cam0", "gone", killed_s) < GONE_S + SHOWN_S
            since = re.search(r"since (\d\d:\d\d:\d\d)", note(page, "cam0"))[1]
            near = [time.strftime("%H:%M:%S", time.localtime(killed_unix_s + late_s)) for late_s in range(-1, 5)]
            assert since in near
        with Web(*DEMO, folder=tmp_path, endpoint=endpoint) as second:
            began_s = second.until_pose().at_s
            assert shown_after_s(page, "cam0", "live", began_s) < SHOWN_S
        assert {state for _, state in states(page, "cam0")} <= {
            "live",
            "gone",
            "starting",
            "late",
            "ended",
            "waiting",
            "none",
        }
        page.close()  # before its dashboard is gone too
