"""The listening sockets of the page."""

import ipaddress
import socket
from collections.abc import Iterator

import pytest

from realtime.errors import OutputError
from realtime.web.listen import open_listeners, page_urls


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


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def close(listeners: list[socket.socket]) -> None:
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("192.0.2.7", "no network interface of this machine has this address"),
        ("no-such-host.invalid", "neither an address nor the name of a host"),
        ("eth0", "neither an address nor the name of a host"),  # ZeroMQ takes the name of an interface
        ("127.0.0.1.", "neither an address nor the name of a host"),
        ("a" * 300, "neither an address nor the name of a host"),
        (".", "neither an address nor the name of a host"),
    ],
)
def test_an_address_that_is_not_of_this_machine_is_one_error_line(host: str, why: str, port: int) -> None:
    with pytest.raises(OutputError, match=why) as raised:
        open_listeners(f"{host}:{port}")
    assert str(raised.value).startswith(f"web: can't bind {host}:{port}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_busy_port_is_an_error(host: str, busy: int) -> None:
    with pytest.raises(OutputError, match="already in use by another program: choose another port"):
        open_listeners(f"{host}:{busy}")


def test_the_port_can_be_bound_again_while_old_connections_close(port: int) -> None:
    listeners = open_listeners(str(port))
    with socket.create_connection(("127.0.0.1", port)) as browser:
        listeners[0].accept()[0].close()  # the server closes first, so its end of the connection stays for a minute
        close(listeners)
        close(open_listeners(str(port)))
        browser.close()
    close(open_listeners(str(port)))


def test_a_socket_is_not_inherited_by_any_child_process(port: int) -> None:
    listeners = open_listeners(str(port))
    assert not any(listener.get_inheritable() for listener in listeners)
    close(listeners)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["localhost", "[::]", "*"])
def test_a_browser_finds_the_page_by_either_kind_of_address(host: str, port: int) -> None:
    listeners = open_listeners(f"{host}:{port}")
    known = {listener.getsockname()[0] for listener in listeners}  # of localhost, /etc/hosts may know only one
    for address in known if host == "localhost" else ("127.0.0.1", "::1"):
        socket.create_connection((address, port), timeout=10).close()
    close(listeners)


def test_localhost_works_on_a_machine_without_ipv6(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("100::1", port, 0, 0))  # no machine has this address
    present = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: [missing, present])
    listeners = open_listeners(f"localhost:{port}")
    assert [listener.getsockname() for listener in listeners] == [("127.0.0.1", port)]
    close(listeners)


def test_the_address_that_is_shown_for_all_interfaces_is_one_that_a_browser_can_open() -> None:
    for web in ("0.0.0.0:8080", "[::]:8080", "*:8080"):
        hosts = [url.removeprefix("http://").removesuffix(":8080/").strip("[]") for url in page_urls(web)]
        assert not any(ipaddress.ip_address(host).is_unspecified for host in hosts)
        assert ipaddress.ip_address(hosts[-1]).is_loopback


def test_a_name_and_an_address_are_shown_as_they_are() -> None:
    assert page_urls("cams.example.org:80") == ["http://cams.example.org:80/"]
    assert page_urls("10.0.0.7:8080") == ["http://10.0.0.7:8080/"]
