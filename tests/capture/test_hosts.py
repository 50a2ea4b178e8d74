import socket
import threading
import time

import pytest

from realtime.capture.hosts import addresses_of, why_closed
from realtime.errors import SourceError, SourceReason

NAMES = {
    "router.home": ["192.168.1.1"],
    "cdn.example": ["203.0.114.7", "2001:4860:4860::8888"],
    "rebinds.example": ["203.0.114.7", "127.0.0.1"],
}


def resolve(url):
    host = url.split("/")[2].rpartition("@")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return NAMES.get(host, [host])


@pytest.mark.parametrize(
    ("at", "to"),
    [
        ("203.0.114.7", "198.20.0.1"),  # the internet to the internet
        ("203.0.114.7", "203.0.114.7:8080"),  # another port of the same host
        ("10.0.0.5", "10.0.0.6"),
        ("10.0.0.5", "cdn.example"),
        ("10.0.0.5", "[fd00::1]"),
        ("169.254.1.2", "10.0.0.6"),
        ("127.0.0.1", "10.0.0.6"),
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("user:pw@router.home", "10.0.0.6"),
    ],
)
def test_a_stream_may_lead_to_its_own_host_and_to_hosts_as_far_away(at, to):
    assert why_closed(f"http://{at}/a", f"http://{to}/b", resolve) is None


@pytest.mark.parametrize(
    ("at", "to", "reason"),
    [
        ("203.0.114.7", "127.0.0.1", "this machine"),
        ("203.0.114.7", "0.0.0.0", "this machine"),
        ("203.0.114.7", "[::1]", "this machine"),
        ("203.0.114.7", "[::ffff:127.0.0.1]", "this machine"),  # IPv4 in IPv6
        ("203.0.114.7", "[64:ff9b::7f00:1]", "this machine"),  # NAT64
        ("203.0.114.7", "[2002:7f00:1::]", "this machine"),  # 6to4
        ("203.0.114.7", "169.254.169.254", "an address on the local link"),  # a cloud's secrets
        ("203.0.114.7", "10.0.0.5", "an address in a private network"),
        ("203.0.114.7", "100.64.0.1", "an address in a private network"),  # a provider's own network
        ("203.0.114.7", "[fd00::1]", "an address in a private network"),
        ("203.0.114.7", "239.1.2.3", "an address in a private network"),  # a multicast group
        ("203.0.114.7", "router.home", "an address in a private network"),
        ("203.0.114.7", "rebinds.example", "this machine"),  # one of its addresses is enough
        ("rebinds.example", "10.0.0.5", "an address in a private network"),  # and gives no right
        ("10.0.0.5", "127.0.0.1", "this machine"),
        ("10.0.0.5", "169.254.169.254", "an address on the local link"),
    ],
)
def test_a_stream_may_not_lead_to_a_host_that_is_nearer(at, to, reason):
    assert why_closed(f"http://{at}/a", f"http://{to}/b", resolve) == reason


def test_a_number_is_an_address_however_it_is_written():
    assert addresses_of("http://2130706433/") == ("127.0.0.1",)
    assert addresses_of("http://127.1/") == ("127.0.0.1",)


def test_a_look_up_ends_with_the_time_of_the_whole_opening(monkeypatch):
    over = threading.Event()

    def look_up(*_):
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(SourceError) as caught:  # long before the limit of a look-up
        addresses_of("http://slow.example/", time.monotonic() + 0.05)
    over.set()
    assert caught.value.reason is SourceReason.DNS
