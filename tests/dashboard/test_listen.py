"""The listening socket of the page."""

import ipaddress
import socket
from collections.abc import Iterator

import pytest

from realtime.dashboard.listen import bind, inherit, is_local, url
from realtime.wire.endpoints import Endpoint


@pytest.fixture
def port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("192.0.2.7", "no network interface of this machine has this address"),
        ("no-such-host.invalid", "neither an address nor a name that can be found"),
        ("eth0", "neither an address nor a name that can be found"),  # ZeroMQ takes the name of an interface
        ("127.0.0.1.", "neither an address nor a name that can be found"),
        ("a" * 300, "neither an address nor a name that can be found"),
        (".", "neither an address nor a name that can be found"),
    ],
)
def test_an_address_that_is_not_of_this_machine_is_one_error_line(host: str, why: str, port: int) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        bind(Endpoint(host, str(port)))
    assert str(raised.value).startswith(f"can't bind {host}:{port}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_busy_port_is_an_error(host: str, busy: int) -> None:
    with pytest.raises(ValueError, match="already in use by another program: choose another port"):
        bind(Endpoint(host, str(busy)))


def test_the_port_can_be_bound_again_while_old_connections_close(port: int) -> None:
    listener = bind(Endpoint("127.0.0.1", str(port)))
    with socket.create_connection(("127.0.0.1", port)) as browser:
        listener.accept()[0].close()  # the server closes first, so its end of the connection stays for a minute
        listener.close()
        bind(Endpoint("127.0.0.1", str(port))).close()
        browser.close()
    bind(Endpoint("127.0.0.1", str(port))).close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_the_address_that_is_shown_for_all_addresses_is_one_that_a_browser_can_open(host: str, port: int) -> None:
    try:
        listener = bind(Endpoint(host, str(port)))
    except ValueError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert not is_local(listener)
        shown = url(listener).removeprefix("http://").removesuffix(f":{port}/").strip("[]")
        assert not ipaddress.ip_address(shown).is_unspecified
        socket.create_connection((shown, port), timeout=10).close()


def test_only_a_listening_tcp_socket_is_inherited(port: int) -> None:
    with bind(Endpoint("localhost", str(port))) as listener:
        inherited = inherit(listener.detach())
        assert url(inherited) == f"http://127.0.0.1:{port}/"
        inherited.close()
    with socket.socket() as other, pytest.raises(ValueError, match=r"^got \d+, expected a listening TCP socket$"):
        inherit(other.detach())
    with pytest.raises(ValueError, match=r"^got 987654: Bad file descriptor; expected a listening socket$"):
        inherit(987654)
