"""The page against a dashboard that does what a test says: states, keys, addresses, options, odd input.

Those without the marker `browser` are the short set of `make test`; `make browser` runs all.
"""

from __future__ import annotations

import json
import re
import struct

import pytest
from playwright.sync_api import Page, expect

from . import scenarios
from .fake import PAGE, Fake
from .fake_camera import now_ms

slow = pytest.mark.browser

LOST = ("ERR_CONNECTION", "WebSocket connection", "status 401", "401 (Unauthorized)")
MOST_BYTES = 150_000


def tile(name: str, **data: str) -> str:
    return f'.tile[data-camera="{name}"]' + "".join(f'[data-{key}="{value}"]' for key, value in data.items())


def large(**data: str) -> str:
    return "#large .view" + "".join(f'[data-{key}="{value}"]' for key, value in data.items())


def age_ms(page: Page, selector: str) -> int:
    return int(page.get_attribute(selector, "data-age-ms"))


def watched(fake: Fake, names: set[str], pictures: bool = True) -> None:
    """Wait until the last word about what is visible is this."""
    fake.wait_for(
        lambda message: (
            message is [each for each in fake.heard if each["type"] == "watch"][-1]
            and {each["name"] for each in message["cameras"]} == names
            and message["pictures"] == pictures
            if message["type"] == "watch"
            else False
        )
    )


# ---- the files


def test_the_files_of_the_page_are_small_and_need_nothing_from_elsewhere():
    texts = {path.name: path.read_text() for path in PAGE.iterdir()}
    assert sum(len(text.encode()) for text in texts.values()) < MOST_BYTES
    for name, text in texts.items():
        assert "SPDX-License-Identifier: MIT" in text or name == "icon.svg", name
        elsewhere = set(re.findall(r"https?://[^\"'\s)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not elsewhere, name


def test_what_the_stream_says_is_never_read_as_html():
    for path in PAGE.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", path.read_text()
        ), path


# ---- tiles and their states


def test_a_tile_shows_the_picture_its_age_and_the_facts(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url)
    page.wait_for_selector(tile("front-door", state="live", freshness="fresh") + "[data-seq]")
    front = page.locator(tile("front-door"))
    expect(front.locator(".facts")).to_have_text("Live · 3 people · 10 fps")
    expect(front.locator(".age")).to_have_text(re.compile(r"0\.\d s"))
    # The page knows the dashboard's clock better with each answer: on a busy machine, its first ages may be too small.
    page.wait_for_function("tile => document.querySelector(tile).dataset.ageMs >= 100", arg=tile("front-door"))
    assert front.get_attribute("data-frame-size") == "1280x720"
    assert front.get_attribute("data-picture") in ("640x360", "1280x720")
    assert page.locator(".tile").count() == 3


WORDS = {
    "live": "", "idle": "Idle", "starting": "Starting", "reconnecting": "connection refused", "frozen": "Frozen",
    "failed": "login failed", "ended": "Ended", "gone": "Pipeline gone", "late": "No new picture",
}  # fmt: skip


def test_no_state_can_be_mistaken_for_live(play, open_page):
    fake = play(scenarios.states())
    page = open_page(fake.url)
    for name in scenarios.STATES:
        page.wait_for_selector(tile(name, state="live") + "[data-seq]")
    scenarios.enter(fake)
    for name, words in WORDS.items():
        page.wait_for_selector(tile(name, state=name))
        assert words in page.inner_text(tile(name) + " .note")
        look = page.locator(tile(name) + " canvas").evaluate("canvas => getComputedStyle(canvas).filter")
        assert ("grayscale" in look) == (name not in ("live", "idle")), name
        hatched = page.locator(tile(name) + " .hatch").is_visible()
        assert hatched == (name not in ("live", "idle")), name
    for name in set(WORDS) - {"live", "idle", "starting", "late"}:
        assert re.search(r"since \d\d:\d\d:\d\d · \d", page.inner_text(tile(name) + " .note-since")), name
        assert page.get_attribute(tile(name), "data-freshness") == "dead"
    assert page.title() == "(5 in trouble) Cameras"


def test_a_camera_that_goes_and_comes_back_at_once_has_a_tile_again(play, open_page):
    fake = play(scenarios.one())
    page = open_page(fake.url)
    for _ in range(3):
        page.wait_for_selector(tile("front-door", state="live", freshness="fresh") + "[data-seq]")
        cameras = list(fake.cameras.values())
        fake.set_cameras([])
        fake.set_cameras(cameras)
        page.wait_for_function("() => document.querySelector('.tile')?.clientWidth > 200")


@slow
def test_the_time_in_a_state_counts_up(play, open_page):
    fake = play(scenarios.one())
    page = open_page(fake.url)
    page.wait_for_selector(tile("front-door", state="live"))
    fake.change("front-door", state="reconnecting", reason="connection lost", since_ms=now_ms() - 58_500)
    expect(page.locator(tile("front-door") + " .note-since")).to_have_text(re.compile("· 0:58$"))
    expect(page.locator(tile("front-door") + " .note-since")).to_have_text(re.compile("· 1:00$"))
    fake.change("front-door", state="live", reason=None)
    page.wait_for_selector(tile("front-door", state="live", freshness="fresh"))


@slow
def test_the_line_drains_while_no_picture_comes(play, open_page):
    fake = play(scenarios.one())
    page = open_page(fake.url)
    page.wait_for_selector(tile("front-door", freshness="fresh"))
    fake.change("front-door", sends=False)
    page.wait_for_selector(tile("front-door", state="live", freshness="ageing"))
    page.wait_for_selector(tile("front-door", state="late"))
    clip = page.locator(tile("front-door") + " .fill").evaluate("fill => fill.style.clipPath")
    gone = float(re.search(r"inset\(0(?:px)? ([\d.]+)%", clip)[1])
    assert 40 < gone < 60  # 5 s of 30, on a logarithmic scale
    fake.change("front-door", sends=True)
    page.wait_for_selector(tile("front-door", state="live", freshness="fresh"))


@slow
def test_ages_are_true_whatever_the_clock_of_the_browser_says(play, open_page):
    fake = play(scenarios.one())
    hour_ms = 3_600_000
    fake.clock_ahead_ms = hour_ms
    fake.cameras["front-door"].latency_ms = 200 - hour_ms
    page = open_page(fake.url)
    page.wait_for_selector(tile("front-door", freshness="fresh"))
    page.wait_for_timeout(1500)  # several pings
    assert 200 <= age_ms(page, tile("front-door")) < 700


# ---- odd input


def test_odd_names_and_reasons_stay_text(play, open_page):
    fake = play(scenarios.odd())
    page = open_page(fake.url)
    hostile = "<img src=x onerror=alert(1)>"
    expect(page.locator(".tile .name").first).to_have_text(hostile)
    expect(page.locator(".tile .note-why").first).to_have_text(hostile)
    assert page.locator("#wall img").count() == 0
    for name in ("boxes-only", "no-pictures", "broken-pictures", "crowd", "cam0@2"):
        page.wait_for_selector(tile(name, state="live", freshness="fresh") + "[data-seq]")
    assert page.get_attribute(tile("no-pictures"), "data-picture") == "none"
    fake.event(hostile, "state", hostile)
    page.keyboard.press("e")
    expect(page.locator("#log .event-text")).to_have_text(hostile)


@slow
@pytest.mark.parametrize(
    "name", [camera for camera in scenarios.odd().cameras if "/" in camera or not camera.isascii()]
)
def test_a_camera_with_an_odd_name_has_an_address(play, open_page, name):
    fake = play(scenarios.odd())
    page = open_page(fake.url)
    page.locator(".tile", has_text=name).click()
    expect(page.locator("#large-name")).to_have_text(name)
    page.reload()
    expect(page.locator("#large-name")).to_have_text(name)
    page.wait_for_selector(large(state="live") + "[data-seq]")


@slow
def test_malformed_messages_do_no_harm(play, open_page):
    fake = play(scenarios.one())
    page = open_page(fake.url, deliberate=["a frame that can't be read", "can't be drawn"])
    page.wait_for_selector(tile("front-door", state="live") + "[data-seq]")
    for viewer in list(fake.viewers):
        for data in (b"", b"\xff\xff\xff\xff{}", b"\x02\x00\x00\x00{}", b"\x04\x00\x00\x00null", b"\x02\x00\x00\x00[]"):
            fake.later(viewer.socket.send_bytes(data))
        odd = {"camera": "front-door", "seq": 10_000, "session": "odd", "size": [1280, 720], "captured_ms": now_ms()}
        for people in (
            [None],
            [{}],
            [{"id": "x", "box": "", "points": 7}],
            {},
            "",
            [{"box": [0, 0, 9, 9], "points": []}],
        ):
            text = json.dumps(odd | {"people": people}).encode()
            fake.later(viewer.socket.send_bytes(struct.pack("<I", len(text)) + text))
        for text in ("{", "[]", "null", '{"type":"camera","name":"unknown"}', '{"type":"later"}', "7"):
            fake.later(viewer.socket.send_text(text))
    seq = int(page.get_attribute(tile("front-door"), "data-seq"))
    fake.wait_for(lambda message: message["type"] == "shown" and message["seq"] > seq + 3)
    assert page.locator(".tile").count() == 1


# ---- the connection


@slow
def test_a_lost_dashboard_shows_and_the_page_comes_back_by_itself(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url, deliberate=LOST)
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    fake.refuse = 1013
    fake.drop()
    page.wait_for_selector(tile("lobby", state="unlinked"))
    expect(page.locator("#banner")).to_have_text(re.compile(r"Too many viewers\. .* Trying again in \d+ s\."))
    before = age_ms(page, tile("lobby"))
    page.wait_for_timeout(1200)
    assert age_ms(page, tile("lobby")) > before + 900
    fake.refuse = None
    page.wait_for_selector(tile("lobby", state="live", freshness="fresh"))
    expect(page.locator("#banner")).to_be_hidden()


@slow
def test_a_dashboard_that_is_killed_and_started_again_is_found_again(play, open_page):
    with scenarios.few() as fake:
        page = open_page(fake.url, deliberate=LOST)
        page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
        port = fake.port
    page.wait_for_selector(tile("lobby", state="unlinked"))
    expect(page.locator("#banner")).to_have_text(
        re.compile(r"^Dashboard unreachable since \d\d:\d\d:\d\d · 0:\d\d\. Trying again")
    )
    fake = play(scenarios.few(port))
    page.wait_for_selector(tile("lobby", state="live", freshness="fresh"))


@slow
def test_a_new_token_leads_to_the_login(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url, deliberate=LOST)
    page.wait_for_selector(tile("lobby", state="live"))
    fake.refuse = 401
    fake.drop()
    expect(page.locator("#message-title")).to_have_text("Token needed")
    page.click("#message-action")
    page.wait_for_selector("input[name=token]")


@slow
def test_a_dashboard_of_another_version_asks_for_a_reload(play, open_page):
    fake = play(scenarios.few())
    fake.protocol = "web/2"
    page = open_page(fake.url)
    expect(page.locator("#message-title")).to_have_text("The dashboard was updated")
    fake.protocol = "web/1"
    page.click("#message-action")
    page.wait_for_selector(tile("lobby", state="live"))


@slow
def test_an_error_of_the_protocol_is_shown(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url)
    page.wait_for_selector(tile("lobby", state="live"))
    fake.tell({"type": "error", "text": "more than 200 messages in a second"})
    expect(page.locator("#banner")).to_have_text(re.compile("more than 200 messages"))


@slow
def test_without_cameras_the_page_says_how_to_get_one(play, open_page):
    fake = play(scenarios.empty())
    page = open_page(fake.url)
    expect(page.locator("#message-title")).to_have_text("No camera yet")
    fake.set_cameras(list(scenarios.few().cameras.values()))
    page.wait_for_selector(tile("lobby", state="live"))
    expect(page.locator("#message")).to_be_hidden()
    fake.set_cameras([])
    expect(page.locator("#message-title")).to_have_text("No camera yet")


@slow
def test_a_pipeline_that_has_sent_nothing_is_named(play, open_page):
    fake = scenarios.empty()
    fake.silent = ["local"]
    page = open_page(play(fake).url)
    expect(page.locator("#message-title")).to_have_text("The program is starting")
    fake.silent = ["tcp://10.0.0.7:5555"]
    fake.set_cameras(list(scenarios.few().cameras.values()))
    page.wait_for_selector(tile("lobby", state="live"))
    expect(page.locator("#banner")).to_have_text(re.compile("No messages from tcp://10.0.0.7:5555 yet"))


# ---- what is asked for


@slow
def test_only_visible_tiles_are_asked_for(play, open_page):
    fake = play(scenarios.wall())
    page = open_page(fake.url, size="phone")
    page.wait_for_selector(tile("front-door", state="live") + "[data-seq]")
    assert page.get_attribute(tile("roof"), "data-seq") is None
    page.locator(tile("roof")).scroll_into_view_if_needed()
    page.wait_for_selector(tile("roof") + "[data-seq]")
    last = [message for message in fake.heard if message["type"] == "watch"][-1]
    names = [each["name"] for each in last["cameras"]]
    assert "roof" in names
    assert "front-door" not in names


@slow
def test_each_frame_is_acknowledged_with_the_width_of_its_tile(play, open_page):
    fake = play(scenarios.one())
    page = open_page(fake.url, density=2)
    page.wait_for_selector(tile("front-door") + "[data-seq]")
    shown = fake.wait_for(lambda message: message["type"] == "shown" and message["seq"] > 3)
    wide = page.locator(tile("front-door") + " canvas").evaluate("canvas => canvas.width")
    assert abs(shown["width"] - wide) <= 1
    fake.wait_for(lambda message: message["type"] == "ping")


@slow
def test_skeletons_lie_where_the_canvas_says(play, open_page):
    fake = play(scenarios.one())
    page = open_page(fake.url, density=2, options={"skeletonOnly": True, "labels": False, "trails": False})
    page.wait_for_selector(tile("front-door", picture="none") + "[data-seq]")
    canvas = page.locator(tile("front-door") + " canvas")
    scale = float(canvas.get_attribute("data-scale"))
    assert scale == pytest.approx(canvas.evaluate("canvas => canvas.width") / 1280, rel=0.01)
    colours = canvas.evaluate(
        "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    )
    assert colours > 20  # a plain ground has three


# ---- the large view, addresses, keys


@slow
def test_a_tile_opens_has_an_address_and_back_closes_it(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url)
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    page.click(tile("lobby"))
    page.wait_for_selector(large(state="live") + "[data-seq]")
    assert page.url == fake.url + "camera/lobby"
    watched(fake, {"lobby"})
    page.go_back()
    expect(page.locator("#large")).to_be_hidden()
    assert page.url == fake.url
    watched(fake, set(scenarios.NAMES[:3]))
    page.go_forward()
    page.wait_for_selector(large(camera="lobby"))


@slow
def test_an_address_opens_its_camera_and_escape_leads_to_the_wall(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url + "camera/back-door")
    page.wait_for_selector(large(camera="back-door", state="live") + "[data-seq]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(large(camera="lobby", state="live") + "[data-seq]")
    assert page.url == fake.url + "camera/lobby"
    page.keyboard.press("Escape")
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    assert page.url == fake.url


@slow
def test_an_address_without_a_camera_waits_for_it(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url + "camera/attic")
    expect(page.locator(".missing")).to_be_visible()
    attic = scenarios.one().cameras["front-door"]
    attic.name = "attic"
    fake.set_cameras([attic])
    page.wait_for_selector(large(camera="attic", state="live") + "[data-seq]")
    fake.set_cameras([])
    expect(page.locator(".missing")).to_be_visible()


@slow
def test_the_large_view_tells_where_the_time_goes(play, open_page):
    fake = play(scenarios.few())
    fake.event("front-door", "lowered", "reduced to keep the latency low: detector.every=2")
    fake.event("lobby", "state", "live again")
    page = open_page(fake.url + "camera/front-door")
    side = page.locator(".side")
    for words in ("detect", "31 / 44 ms", "newer frame", "26,120", "timed out", "detector.every=2", "yolo11n",
                  "usyd-community/vitpose-plus-small", "1280 × 720", "to keep the latency low: detector"):  # fmt: skip
        expect(side).to_contain_text(words)
    expect(side).not_to_contain_text("live again")
    assert page.locator(".stage").count() == 6


@slow
def test_the_keyboard_reaches_everything(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url)
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    page.keyboard.press("ArrowRight")
    focused = "() => document.activeElement.dataset.camera"
    assert page.evaluate(focused) == "front-door"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "lobby"
    page.keyboard.press("Enter")
    page.wait_for_selector(large(camera="lobby"))
    page.keyboard.press("Escape")
    expect(page.locator("#large")).to_be_hidden()
    assert page.evaluate(focused) == "lobby"
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("t")
    assert page.evaluate("() => document.activeElement.name") == "threshold"
    page.keyboard.press("ArrowRight")
    expect(page.locator("#threshold-text")).to_have_text("0.35")
    page.keyboard.press("Escape")
    expect(page.locator("#options")).to_be_hidden()
    page.keyboard.press("e")
    expect(page.locator("#log")).to_be_visible()


@slow
@pytest.mark.parametrize("scenario", [scenarios.one, scenarios.few])
def test_enter_without_the_focus_opens_the_first_camera(play, open_page, scenario):
    fake = play(scenario())
    page = open_page(fake.url)
    page.wait_for_selector(tile("front-door", state="live") + "[data-seq]")
    page.keyboard.press("Enter")
    page.wait_for_selector(large(camera="front-door", state="live"))
    assert page.url == fake.url + "camera/front-door"


@slow
def test_skeletons_only_asks_for_no_pictures_and_is_kept(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url)
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    page.keyboard.press("s")
    watched(fake, set(scenarios.NAMES[:3]), pictures=False)
    page.wait_for_selector(tile("lobby", picture="none"))
    page.reload()
    page.wait_for_selector(tile("lobby", picture="none"))
    assert page.get_attribute("[data-do=skeletonOnly]", "aria-pressed") == "true"


@slow
@pytest.mark.parametrize("kept", ["7", "null", "{", '{"threshold":"x","theme":"pink","labels":0}', '{"threshold":1e9}'])
def test_broken_options_in_the_storage_are_ignored(play, open_page, kept):
    fake = play(scenarios.one())
    page = open_page(fake.url)
    page.evaluate("text => localStorage.setItem('realtime-pose.options', text)", kept)
    page.reload()
    page.wait_for_selector(tile("front-door", state="live") + "[data-seq]")
    assert page.get_attribute("html", "data-theme") == "auto"


@slow
def test_a_kiosk_shows_the_picture_and_its_age_only(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url + "camera/lobby?kiosk")
    page.wait_for_selector(large(state="live") + "[data-seq]")
    assert re.fullmatch(r"0\.\d s", page.inner_text("body").strip())
    fake.change("lobby", state="reconnecting", reason="timed out")
    expect(page.locator("#large .note")).to_contain_text("Frozen")
    page.goto(fake.url + "?kiosk")
    page.wait_for_selector(tile("lobby", state="frozen"))
    page.wait_for_selector(tile("back-door", state="live") + "[data-seq]")
    expect(page.locator(".bar")).to_be_hidden()


# ---- people with other screens, eyes and hands


def test_a_phone_has_one_column_and_large_targets(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url, size="phone")
    page.wait_for_selector(tile("front-door", state="live") + "[data-seq]")
    lefts = page.locator(".tile").evaluate_all("tiles => tiles.map(tile => tile.getBoundingClientRect().left)")
    assert len(set(lefts)) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator("button:visible").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect()).map(box => Math.min(box.width, box.height))"
    )
    assert min(sizes) >= 44
    page.locator(tile("front-door")).tap()
    page.wait_for_selector(large(state="live") + "[data-seq]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@slow
def test_twenty_cameras_fit_on_one_screen(play, open_page):
    fake = play(scenarios.wall())
    page = open_page(fake.url, size="wall")
    page.wait_for_selector(tile("roof", state="idle") + "[data-seq]")
    room = page.locator("#wall").evaluate("wall => wall.scrollHeight - wall.clientHeight")
    assert room <= 0
    assert page.locator(tile("roof")).bounding_box()["width"] > 300


@slow
def test_screen_readers_get_names_and_hear_of_trouble_only(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url)
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    expect(page.get_by_role("button", name=re.compile("^lobby, live, 10 frames per second, 3 people"))).to_be_visible()
    assert page.inner_text("#announce") == ""
    fake.change("lobby", state="reconnecting", reason="connection refused")
    expect(page.locator("#announce")).to_have_text("lobby: reconnecting")
    name = page.get_attribute(tile("lobby"), "aria-label")
    assert re.match(r"lobby, reconnecting, connection refused, since \d\d:\d\d:\d\d", name)
    page.keyboard.press("t")
    unnamed = page.locator("button:visible, input:visible, a:visible").evaluate_all(
        "all => all.filter(each => !(each.textContent.trim() || each.getAttribute('aria-label')"
        " || each.labels?.length))"
        ".map(each => each.outerHTML)"
    )
    assert unnamed == []


@slow
def test_after_a_restart_a_screen_reader_gets_the_new_state_and_rate(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url)
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    fake.change("lobby", state="reconnecting", reason="connection refused")
    expect(page.locator("#announce")).to_have_text("lobby: reconnecting")
    cameras = list(fake.cameras.values())
    fake.set_cameras([])
    expect(page.locator(tile("lobby"))).to_have_count(0)
    cameras[2].state, cameras[2].reason, cameras[2].fps = "live", None, 0.0
    fake.set_cameras(cameras)
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    page.focus(tile("lobby"))
    expect(page.locator(tile("lobby"))).to_have_attribute("aria-label", re.compile("^lobby, live, 3 people"))
    fake.change("lobby", fps=18.0)
    name = re.compile("^lobby, live, 18 frames per second, 3 people")
    expect(page.locator(tile("lobby"))).to_have_attribute("aria-label", name)
    expect(page.locator("#announce")).to_have_text("lobby: live")


@slow
def test_the_name_of_a_tile_without_the_focus_follows_what_the_tile_shows(play, open_page):
    fake = play(scenarios.few())
    page = open_page(fake.url)
    page.wait_for_selector(tile("lobby", state="live") + "[data-seq]")
    fake.change("lobby", fps=4.6, people=1)
    name = re.compile(r"^lobby, live, 4\.6 frames per second, 1 person")
    expect(page.locator(tile("lobby"))).to_have_attribute("aria-label", name)


@slow
def test_reduced_motion_stops_every_animation(play, open_page):
    fake = play(scenarios.states())
    page = open_page(fake.url, calm=True)
    page.wait_for_selector(tile("live", state="live") + "[data-seq]")
    scenarios.enter(fake)
    page.wait_for_selector(tile("reconnecting", state="reconnecting"))
    assert page.evaluate("document.getAnimations().length") == 0


# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency" (2009),
# severity 1: linear RGB of what someone with protanopia or deuteranopia sees.
BLINDNESS = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@slow
@pytest.mark.parametrize("blindness", BLINDNESS)
def test_neighbouring_ids_have_colours_that_the_colour_blind_can_tell_apart(play, open_page, blindness):
    import cv2
    import numpy as np

    fake = play(scenarios.empty())
    page = open_page(fake.url)
    text = page.evaluate(
        "async () => { const p = await import(new URL('static/palette.js', document.baseURI));"
        " return [...Array(p.COLOURS + 1).keys()].map(p.colour) }"
    )
    srgb = np.array([[int(each[i : i + 2], 16) / 255 for i in (1, 3, 5)] for each in text])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(BLINDNESS[blindness]).T, 0, 1)
    seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert apart.min() > 20, dict(zip(text, apart.round(), strict=False))  # CIE76; 2.3 is just noticeable


# Two people walk towards each other, whose ids are then exchanged; returns the x of each trail before and after that.
EXCHANGED = """async () => {
  const { Trails } = await import(new URL("static/trails.js", document.baseURI));
  const trails = new Trails();
  const xs = (ms) => [1, 2].map((id) => trails.of(id, ms).map((at) => at.x));
  const show = (ms, places) => {
    const people = places.map(([id, x]) => ({ id, box: [x - 30, 100, x + 30, 260], points: [] }));
    trails.add({ session: "s", epoch: 0, captured_ms: ms, people }, [], 0.3);
  };
  show(0, [[1, 100], [2, 300]]);
  show(40, [[1, 110], [2, 290]]);
  const before = xs(40);
  show(80, [[2, 120], [1, 280]]);
  return [before, xs(80)];
}"""


@slow
def test_a_trail_does_not_join_two_people_whose_ids_were_exchanged(play, open_page):
    page = open_page(play(scenarios.empty()).url)
    assert page.evaluate(EXCHANGED) == [[[100, 110], [300, 290]], [[280], [120]]]


# Draws a person with one limb of the body and one of a hand; returns [width of the line, number of its limbs] of each
# stroke.
STROKES = """async () => {
  const { drawFrame } = await import(new URL("static/draw.js", document.baseURI));
  const { faceOf, handsOf } = await import(new URL("static/trails.js", document.baseURI));
  const names = ["left_elbow", "left_wrist", "left_hand_root", "left_thumb1"];
  let limbs = 0;
  const strokes = [];
  const state = { canvas: { width: 1280, height: 720 } };
  const stroke = () => strokes.push([state.lineWidth, limbs]);
  const calls = { beginPath: () => (limbs = 0), lineTo: () => (limbs += 1), stroke };
  const context = new Proxy(state, { get: (target, key) => target[key] ?? calls[key] ?? (() => {}) });
  const points = names.flatMap((_, i) => [600 + 9 * i, 300, 0.9]);
  const people = [{ id: 1, box: [500, 200, 700, 600], points, measured: true }];
  const look = { at: { scale: 1, left: 0, top: 0 }, density: 1, threshold: 0.3, edges: [[0, 1], [2, 3]] };
  drawFrame(context, { size: [1280, 720], people }, null, { ...look, face: faceOf(names), hands: handsOf(names) });
  return strokes.filter(([, count]) => count > 0);
}"""


@slow
def test_the_limbs_of_hands_are_half_as_thick_as_those_of_the_body(play, open_page):
    page = open_page(play(scenarios.empty()).url)
    outline, limb, hand_outline, hand = page.evaluate(STROKES)
    assert [each[1] for each in (outline, limb, hand_outline, hand)] == [1, 1, 1, 1]
    assert hand[0] == limb[0] / 2
    assert hand_outline[0] == outline[0] / 2
