"""The listening socket."""

import socket

import pytest

from realtime.dashboard.listen import bind, inherit, is_local, url
from realtime.wire.endpoints import Endpoint


def test_an_address_can_be_bound_again_at_once_with_connections_left_over():
    with bind(Endpoint("127.0.0.1", "0")) as first:
        port = str(first.getsockname()[1])
        with socket.create_connection(first.getsockname()):
            accepted, _ = first.accept()
            accepted.close()  # by this side first, which leaves it in TIME-WAIT
    bind(Endpoint("127.0.0.1", port)).close()


def test_a_busy_address_is_refused_in_one_line():
    with bind(Endpoint("127.0.0.1", "0")) as first:
        port = str(first.getsockname()[1])
        with pytest.raises(ValueError, match=rf"^bind: 127.0.0.1:{port}: Address already in use; choose another port$"):
            bind(Endpoint("127.0.0.1", port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 70, "::ffff:192.0.2.1"])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(ValueError, match=r"^bind: .*expected an address of this machine$"):
        bind(Endpoint(host, "0"))


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
)
def test_whether_only_this_machine_can_connect_is_seen_from_the_socket(host, local):
    with bind(Endpoint(host, "0")) as listener:
        assert is_local(listener) == local
        assert url(listener).endswith(f":{listener.getsockname()[1]}/")


def test_an_inherited_socket_must_listen_on_tcp():
    with bind(Endpoint("127.0.0.1", "0")) as listener:
        assert inherit(listener.detach()).getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    with socket.socket() as silent, pytest.raises(ValueError, match="expected a listening TCP socket"):
        inherit(silent.detach())
    with pytest.raises(ValueError, match=r"^listen-fd: got 9999: "):
        inherit(9999)
