"""Token, cookie, Host and Origin."""

import asyncio

import pytest

from realtime.dashboard import gate as gate_module
from realtime.dashboard.gate import COOKIE_S, Gate, is_https

TOKEN = "an example token"


def request(kind="http", method="GET", **headers):
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": kind, "method": method, "headers": named, "client": ("10.0.0.9", 1), "path": "/"}


def closed(said_host, origin=None, hosts=(), kind="websocket"):
    headers = {"host": said_host} | ({} if origin is None else {"origin": origin})
    refused = Gate(None, hosts).why_closed(request(kind, **headers))
    return refused and refused[0]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "10.0.0.5", "[::1]:8080", "[fe80::1]", "localhost", "LOCALHOST:80", "cam.example.org."]
)
def test_addresses_localhost_and_given_names_are_ours(host):
    assert closed(host, hosts=["Cam.Example.org"]) is None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),  # a name that was made to point to this machine
        ("evil.example:8080", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 400),
        ("a b", 400),
        ("[::1", 400),
        ("127.0.0.1:8080@evil.example", 400),
        ("127.0.0.1, evil.example", 400),
    ],
)
def test_other_hosts_are_refused(host, status):
    assert closed(host) == status


def test_a_request_without_a_host_or_with_two_is_refused():
    scope = request()
    assert Gate(None).why_closed(scope)[0] == 400
    scope["headers"] = [(b"host", b"127.0.0.1")] * 2
    assert Gate(None).why_closed(scope)[0] == 400


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", None),  # no browser
        ("10.0.0.5", "http://10.0.0.5:80"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("127.0.0.1:8080", "https://cam.example.org"),  # a proxy that sends its own Host
        ("cam.example.org", "https://cam.example.org"),
    ],
)
def test_the_page_s_own_origin_is_let_in(host, origin):
    assert closed(host, origin, hosts=["cam.example.org"]) is None


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://127.0.0.1:9999", "https://127.0.0.1:8080.evil.example", "null", "", "http://[", "x://127.0.0.1:8080"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["websocket", "POST"])
def test_other_origins_are_refused(origin, kind):
    scope = request(kind if kind == "websocket" else "http", method=kind, host="127.0.0.1:8080", origin=origin)
    assert Gate(None).why_closed(scope)[0] == 403


def test_links_from_other_sites_lead_to_the_page():
    assert closed("127.0.0.1:8080", "http://evil.example", kind="http") is None


def known(gate, **headers):
    return asyncio.run(gate.look_at(request(**headers)))


def cookie_of(gate, **kinds):
    return gate.new_cookie(is_https=False, **kinds).partition(";")[0]


def test_the_cookie_of_a_login_is_known():
    gate = Gate(TOKEN)
    assert known(gate, cookie=cookie_of(gate))
    assert known(gate, cookie=f"other=1; {cookie_of(gate)}; more=2")


def test_an_old_a_foreign_or_a_changed_cookie_is_not_known():
    gate = Gate(TOKEN)
    good = cookie_of(gate)
    name, _, value = good.partition("=")
    later = str(int(value.partition(".")[0]) + 1)
    for bad in (
        cookie_of(gate, now_s=gate_module.time.time() - COOKIE_S - 1),
        cookie_of(Gate("another token!!!")).replace(Gate("another token!!!").cookie_name, name),
        f"{name}={later}.{value.partition('.')[2]}",
        good[:-1],
        f"{name}=",
        f"{name}=9999999999999.",
        f"{name}=é.é",
    ):
        assert not known(gate, cookie=bad), bad


def test_two_dashboards_on_a_machine_have_cookies_of_different_names():
    assert Gate(TOKEN).cookie_name != Gate("another token!!!").cookie_name


def test_no_script_and_no_other_site_gets_the_cookie():
    gate = Gate(TOKEN)
    assert gate.new_cookie(is_https=True).endswith("; HttpOnly; SameSite=Strict; Secure")
    assert TOKEN not in gate.new_cookie(is_https=True)


def test_the_token_itself_is_known_as_a_bearer_token():
    gate = Gate(TOKEN)
    assert known(gate, authorization=f"Bearer {TOKEN}")
    for bad in ("Bearer ", "Bearer another", TOKEN, "Bearer é", "Digest x"):
        assert not known(gate, authorization=bad)


def test_a_token_with_letters_beyond_ascii_is_known_as_curl_sends_it():
    gate = Gate("größer als ASCII")
    assert known(gate, authorization="Bearer größer als ASCII")


def test_without_a_token_all_are_known():
    assert known(Gate(None))
    assert Gate(None).is_open


def test_a_request_that_was_not_looked_at_is_not_known():
    assert not Gate(TOKEN).knows(request(authorization=f"Bearer {TOKEN}"))


def test_wrong_tokens_are_slowed_down_and_few_may_wait(monkeypatch):
    slept = []

    async def sleep(delay_s):
        slept.append(delay_s)
        await nothing()

    async def nothing():
        await real_sleep(0)

    real_sleep = asyncio.sleep
    monkeypatch.setattr(gate_module.asyncio, "sleep", sleep)
    gate = Gate(TOKEN)

    async def tries():
        first = [await gate.try_token("wrong", "10.0.0.9") for _ in range(5)]
        flood = await asyncio.gather(*(gate.try_token(TOKEN, "10.0.0.9") for _ in range(10)))
        return first, flood, await gate.try_token(TOKEN, "10.0.0.5")

    first, flood, other = asyncio.run(tries())
    assert first == [False] * 5
    assert (flood.count(True), flood.count(None), slept) == (4, 6, [1.0] * 4)
    assert other is True


def test_https_is_told_by_the_connection_or_by_a_proxy():
    assert is_https({"scheme": "https", "headers": []})
    assert is_https({"scheme": "http", "headers": [(b"x-forwarded-proto", b"https")]})
    assert not is_https({"scheme": "http", "headers": []})
