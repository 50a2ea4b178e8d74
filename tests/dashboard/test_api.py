"""/api/cameras and the pictures under it."""

import asyncio
from email.utils import parsedate_to_datetime

import pytest
from starlette.applications import Starlette

from realtime import wire
from realtime.dashboard import api
from realtime.dashboard.api import routes
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from tests.dashboard.asking import ONE, TWO, NoPictures, ask, asking, make_site
from tests.wire import publisher

JPEG = b"\xff\xd8 a picture \xff\xd9"


def picture(**changes):
    fields = {
        "session": "s1", "camera": "cam0", "epoch": 0, "seq": 7, "frame": 7, "captured_ns": 0, "size": (1920, 1080),
        "width": 1280, "height": 720, "jpeg": JPEG,
    }  # fmt: skip
    return wire.PictureMessage(**fields | changes)


class Pictures(NoPictures):
    """Returns one picture that was captured this long ago (ms)."""

    def __init__(self, age_ms=0.0):
        super().__init__()
        self._age_ms = age_ms

    async def newest(self, camera, width, timeout_s):
        await super().newest(camera, width, timeout_s)
        return picture(captured_ns=int((Moment.now().unix_ms - self._age_ms) * 1e6))


def watched(pictures=None, *, has_pictures=True, show=True):
    """A site with the camera cam0."""
    site = make_site(pictures=pictures, has_pictures=show)
    for message in (publisher.status(), publisher.pose(), publisher.info()):
        camera = site.fleet.hear(ONE, message, Moment.now())
    camera.has_pictures = has_pictures
    return site


def test_the_list_has_every_camera_in_order():
    site = make_site(Fleet([ONE, TWO], Moment.now()))
    for endpoint in (ONE, TWO):
        site.fleet.hear(endpoint, publisher.status(), Moment.now())
    reply = ask(routes(site), "/api/cameras")
    assert [(c["name"], c["pipeline"]) for c in reply.json()] == [("cam0", ONE), ("cam0@2", TWO)]
    assert reply.headers["content-type"] == "application/json"


def test_a_list_without_cameras_is_empty():
    assert ask(routes(make_site()), "/api/cameras").json() == []


def test_an_entry_has_state_people_age_and_counts():
    entry = ask(routes(watched()), "/api/cameras").json()[0]
    expected = {"state": "live", "people": 2, "captured": 3, "published": 2, "dropped": 1, "drops": {}}
    assert {key: entry[key] for key in expected} == expected
    assert 0 <= entry["age_ms"] < 60_000
    assert "keypoint_names" not in entry


def test_a_camera_without_any_status_or_pose_has_an_entry():
    site = make_site()
    site.fleet.hear(ONE, publisher.info(), Moment.now())
    entry = ask(routes(site), "/api/cameras").json()[0]
    assert (entry["state"], entry["age_ms"], entry["captured"]) == ("starting", None, None)


def test_one_camera_has_its_messages_too():
    site = make_site(Fleet([ONE, TWO], Moment.now()))
    for endpoint in (ONE, TWO):
        site.fleet.hear(endpoint, publisher.status(), Moment.now())
        site.fleet.hear(endpoint, publisher.info(), Moment.now())
    entry = ask(routes(site), "/api/cameras/cam0%402").json()
    assert (entry["pipeline"], entry["status"]["captured"], entry["info"]["detector"]) == (TWO, 3, "d")


def test_the_documentation_names_every_key_of_an_entry():
    text = (publisher.ROOT / "docs" / "monitoring.md").read_text()
    entry = ask(routes(watched()), "/api/cameras").json()[0]
    assert not [key for key in entry if f"`{key}`" not in text]


@pytest.mark.parametrize("path", ["nobody", "nobody/picture.jpg", "%2e%2e", "cam0/", "cam0%2fpicture.jpg%00"])
def test_an_unknown_camera_is_404(path):
    assert ask(routes(watched()), f"/api/cameras/{path}").status in (404, 307)


# ---- pictures


def test_a_picture_comes_with_its_number_and_age():
    reply = ask(routes(watched(Pictures(age_ms=5000))), "/api/cameras/cam0/picture.jpg")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, JPEG, "image/jpeg")
    assert reply.headers["x-seq"] == "7"
    assert 5000 <= int(reply.headers["x-age-ms"]) < 60_000
    captured = parsedate_to_datetime(reply.headers["last-modified"]).timestamp()
    assert captured == pytest.approx(int(reply.headers["x-captured-ms"]) / 1000, abs=1.0)


@pytest.mark.parametrize("captured_ns", [2**63, -(2**63), 0])
def test_an_impossible_time_of_capture_still_gives_headers(captured_ns):
    camera = watched().fleet.cameras["cam0"]
    headers = api.picture_response(camera, picture(captured_ns=captured_ns), Moment.now()).headers
    assert int(headers["x-age-ms"]) >= 0
    assert parsedate_to_datetime(headers["last-modified"])


@pytest.mark.parametrize(("query", "width"), [("", "1280"), ("?width=320", "320"), ("?width=full&t=1", "full")])
def test_the_width_can_be_chosen(query, width):
    site = watched(Pictures())
    assert ask(routes(site), f"/api/cameras/cam0/picture.jpg{query}").status == 200
    assert site.pictures.asked == [("cam0", width, 2.0)]


@pytest.mark.parametrize("width", ["", "100", "320x", "FULL", "%00", "320/"])
def test_another_width_is_400_and_names_the_valid_ones(width):
    site = watched(Pictures())
    reply = ask(routes(site), f"/api/cameras/cam0/picture.jpg?width={width}")
    assert (reply.status, reply.text()) == (400, "width: expected one of 320, 640, 1280, full\n")
    assert not site.pictures.asked


def test_no_picture_in_time_is_503():
    reply = ask(routes(watched()), "/api/cameras/cam0/picture.jpg")
    assert (reply.status, reply.text()) == (503, "no picture within 2 s; the state of the camera is live\n")


def test_a_dashboard_without_pictures_says_so():
    reply = ask(routes(watched(Pictures(), show=False)), "/api/cameras/cam0/picture.jpg")
    assert (reply.status, reply.text()) == (503, "this dashboard shows no pictures\n")


def test_a_pipeline_without_pictures_says_how_to_get_them():
    reply = ask(routes(watched(Pictures(), has_pictures=False)), "/api/cameras/cam0/picture.jpg")
    assert reply.status == 503
    assert "--publish.pictures" in reply.text()


def test_a_silent_camera_is_not_waited_for():
    site = watched(Pictures())
    now = Moment.now()
    for second in range(6):
        site.fleet.look(Moment(now.mono_s + second, now.unix_ms + second * 1000))
    assert ask(routes(site), "/api/cameras/cam0/picture.jpg").status == 503
    assert not site.pictures.asked


def test_more_requests_than_may_wait_are_refused_and_the_next_one_is_not(monkeypatch):
    monkeypatch.setattr(api, "MOST_WAITING", 2)
    site = watched(Pictures())
    app = Starlette(routes=routes(site))
    held = asyncio.Event()

    async def newest(camera, width, timeout_s):
        await held.wait()
        return picture()

    async def crowd():
        site.pictures.newest = newest
        waiting = [asyncio.create_task(asking(app, "/api/cameras/cam0/picture.jpg")) for _ in range(2)]
        await asyncio.sleep(0)  # both begin to wait
        refused = await asking(app, "/api/cameras/cam0/picture.jpg")
        held.set()
        served = [(await task).status for task in waiting]
        return refused.status, served, (await asking(app, "/api/cameras/cam0/picture.jpg")).status

    assert asyncio.run(crowd()) == (503, [200, 200], 200)
