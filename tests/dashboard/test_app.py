"""The routes, as a browser and as a stranger use them."""

import asyncio
import re

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient, WebSocketDenialResponse

from realtime.dashboard.app import make_app
from realtime.dashboard.files import PageFile, read_page
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.gate import Gate
from realtime.dashboard.pictures import Pictures
from realtime.dashboard.settings import Settings
from realtime.dashboard.site import Site
from realtime.dashboard.viewers import Viewers
from tests.dashboard.sample import at
from tests.wire import publisher

ENDPOINT, TOKEN = "tcp://127.0.0.1:5555", "an example token"
ADDRESS = "http://127.0.0.1:8080"


async def secret(request):
    return PlainTextResponse("cam0")


def site(token=TOKEN, **settings):
    parts = Settings(connect=(ENDPOINT,), token=token, **settings)
    fleet = Fleet(parts.connect, at(0))
    fleet.hear(ENDPOINT, publisher.status(), at(0))
    pictures = Pictures(fleet, lambda *_: None)
    return Site(parts, fleet, Gate(token, parts.hosts), pictures, Viewers(fleet, pictures, parts))


def client(token=TOKEN, address=ADDRESS, **settings):
    files = read_page()
    app = make_app(site(token, **settings), files, [Route("/api/cameras", secret), Route("/healthz", secret)])
    return TestClient(app, base_url=address, follow_redirects=False)


def test_without_a_token_the_page_is_open():
    page = client(token=None).get("/")
    assert page.status_code == 200
    assert 'src="static/main.js"' in page.text


@pytest.mark.parametrize("path", ["/", "/camera/cam0", "/camera/cam0?kiosk"])
def test_a_stranger_gets_the_login_page(path):
    page = client().get(path)
    assert page.status_code == 401
    assert 'name="token"' in page.text
    assert "main.js" not in page.text


@pytest.mark.parametrize(
    "path",
    ["/api/cameras", "/metrics", "/ws", "/nonsense", "/camera/", "/camera/a/b", "/static", "/Healthz", "/x//healthz"],
)
def test_a_stranger_gets_nothing_else(path):
    reply = client().get(path)
    assert (reply.status_code, reply.content) == (401, b"")


def test_a_stranger_may_ask_for_health_and_for_the_files_of_the_login_page():
    assert client().get("/healthz").status_code == 200
    assert client().get("/static/style.css").status_code == 200


def test_a_login_opens_the_page_and_a_logout_closes_it():
    browser = client()
    reply = browser.post("/login", data={"token": TOKEN})
    assert (reply.status_code, reply.headers["location"]) == (303, "./")
    assert "HttpOnly; SameSite=Strict" in reply.headers["set-cookie"]
    assert "Secure" not in reply.headers["set-cookie"]
    assert browser.get("/api/cameras").text == "cam0"
    assert browser.post("/logout").status_code == 303
    assert browser.get("/api/cameras").status_code == 401


def test_behind_https_the_cookie_is_secure():
    reply = client().post("/login", data={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert reply.headers["set-cookie"].endswith("; Secure")


def test_a_bearer_token_opens_everything():
    assert client().get("/api/cameras", headers={"Authorization": f"Bearer {TOKEN}"}).text == "cam0"


@pytest.mark.parametrize(
    "data", [{"token": "wrong"}, {"token": ""}, {}, {"other": TOKEN}, {str(number): "" for number in range(400)}]
)
def test_a_wrong_token_gets_the_login_page_again(data):
    reply = client().post("/login", data=data)
    assert reply.status_code == 401
    assert "set-cookie" not in reply.headers


def test_the_login_leads_back_to_the_camera():
    browser = client()
    page = browser.get("/camera/cam0?kiosk")
    action = re.search(r'action="([^"]*)"', page.text)[1]
    assert re.search(r'<base href="\.\./">', page.text)
    assert browser.post(f"/{action}", data={"token": TOKEN}).headers["location"] == "./camera/cam0?kiosk"


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "camera/../..", "camera/a%0d%0ab", "javascript:x"]
)
def test_the_login_leads_nowhere_else(to):
    assert client().post(f"/login?to={to}", data={"token": TOKEN}).headers["location"] == "./"


def test_links_are_relative_so_that_any_base_path_works():
    browser = client(token=None)
    assert '<base href="./">' in browser.get("/").text
    assert '<base href="../">' in browser.get("/camera/cam0").text
    for name, file in read_page().items():
        assert not re.search(rb"(href|src|action)=\"/", file.data), name


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/....//app.py",
        "/static/main.js/../../app.py", "/static//etc/passwd", "/static/%00", "/static/main.js%00.html",
        "/static/..\\app.py", "/app.py", "/page/index.html", "/%2e%2e/%2e%2e/etc/passwd", "/static/", "/static/app.py",
    ],
)  # fmt: skip
def test_no_path_leads_to_another_file(path):
    reply = client(token=None).get(path)
    assert reply.status_code == 404
    assert b"import" not in reply.content
    assert b"root:" not in reply.content


def test_the_browser_asks_whether_a_file_has_changed():
    browser = client()
    first = browser.get("/static/style.css")
    assert first.headers["cache-control"] == "no-cache"
    again = browser.get("/static/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/nonsense", "/healthz"])
def test_every_reply_has_the_headers_that_keep_other_sites_out(path):
    headers = client().get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_what_is_not_a_file_is_never_stored():
    assert client().get("/").headers["cache-control"] == "no-store"


def test_another_name_for_this_machine_is_refused_with_advice():
    reply = client(address="http://evil.example").get("/static/style.css")
    assert reply.status_code == 421
    assert "'evil.example'" in reply.text
    assert "allow the name with web_hosts or --host" in reply.text


def test_a_form_of_another_site_is_refused():
    reply = client().post("/login", data={"token": TOKEN}, headers={"Origin": "http://evil.example"})
    assert reply.status_code == 403


@pytest.mark.parametrize("length", [5000, 10**12])
def test_a_long_body_is_refused_before_it_is_read(length):
    reply = client().post("/login", content=b"token=x", headers={"Content-Length": str(length)})
    assert reply.status_code == 413


def test_a_long_body_without_a_length_is_refused():
    def chunks():
        for _ in range(100):
            yield b"x" * 1000

    reply = client().post("/login", content=chunks())
    assert reply.status_code == 413


def test_a_stranger_who_leaves_in_the_middle_of_a_login_is_no_error():
    head = {
        "type": "http",
        "method": "POST",
        "path": "/login",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }
    app = make_app(site(), read_page())

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    asyncio.run(app(head, receive, send))


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Origin": "http://evil.example"}, 403)],
)
def test_a_stranger_gets_no_websocket(headers, status):
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client().websocket_connect("ws://127.0.0.1:8080/ws", headers=headers),
    ):
        pass
    assert denied.value.status_code == status
    assert b"cam0" not in denied.value.content


def test_a_known_page_gets_a_websocket():
    with client().websocket_connect("ws://127.0.0.1:8080/ws", headers={"Authorization": f"Bearer {TOKEN}"}) as page:
        hello = page.receive_json()
        assert (hello["type"], hello["protocol"], hello["lost_s"]) == ("hello", "web/1", 30.0)
        assert [camera["name"] for camera in page.receive_json()["cameras"]] == ["cam0"]
        assert [event["text"] for event in page.receive_json()["events"]] == ["camera added", "live"]
        page.send_json({"type": "ping", "id": 5})
        assert page.receive_json()["id"] == 5


def test_the_login_page_says_that_a_token_was_wrong():
    files = read_page() | {"login.html": PageFile(b'<body data-state="ask">', "text/html", '""')}
    browser = TestClient(make_app(site(), files), base_url=ADDRESS)
    assert 'data-state="ask"' in browser.get("/").text
    assert 'data-state="wrong"' in browser.post("/login", data={"token": "wrong"}).text
