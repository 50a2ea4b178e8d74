import pytest

from realtime.wire.endpoints import parse_endpoint, pictures_endpoint


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        ("tcp://127.0.0.1:5555", "127.0.0.1", "5555"),
        ("tcp://[::1]:*", "::1", "*"),
        ("tcp://*:1", "*", "1"),
        ("ipc:///tmp/a,b[c]", "", ""),
    ],
)
def test_an_endpoint_is_split_into_host_and_port(endpoint: str, host: str, port: str) -> None:
    assert parse_endpoint(endpoint) == (host, port)


@pytest.mark.parametrize("text", ["", "127.0.0.1:5555", "tcp://127.0.0.1", "tcp://::1:5555", "http://h:1", "ipc://"])
def test_text_of_another_form_is_no_endpoint(text: str) -> None:
    assert parse_endpoint(text) is None


@pytest.mark.parametrize(
    ("endpoint", "can_connect", "can_bind"),
    [
        ("ipc:///tmp/x", True, True),
        ("tcp://h:65535", True, True),
        ("tcp://h:*", False, True),  # any free port
        ("tcp://h:0", False, False),
        ("tcp://h:65536", False, False),  # libzmq would wrap it to 0
    ],
)
def test_a_port_is_checked_for_its_use(endpoint: str, can_connect: bool, can_bind: bool) -> None:
    parsed = parse_endpoint(endpoint)
    assert (parsed.can_connect, parsed.can_bind) == (can_connect, can_bind)


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("ipc:///tmp/x", True),
        ("tcp://localhost:1", True),
        ("tcp://127.8.0.1:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://lo:1", True),  # the interface
        ("tcp://*:1", False),
        ("tcp://0.0.0.0:1", False),
        ("tcp://[::]:1", False),
        ("tcp://camera.local:1", False),
    ],
)
def test_an_endpoint_is_local_if_no_other_machine_can_connect(endpoint: str, local: bool) -> None:
    assert parse_endpoint(endpoint).is_local is local


@pytest.mark.parametrize(
    ("stream", "announced", "expected"),
    [
        ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556", "tcp://127.0.0.1:5556"),
        ("tcp://cam-pc:5555", "tcp://0.0.0.0:5556", "tcp://cam-pc:5556"),
        ("tcp://cam-pc:5555", "tcp://*:5556", "tcp://cam-pc:5556"),
        ("tcp://[fe80::1]:5555", "tcp://[::]:5556", "tcp://[fe80::1]:5556"),
        ("tcp://cam-pc:5555", "tcp://10.0.0.5:5556", "tcp://10.0.0.5:5556"),
        ("ipc:///run/poses", "tcp://0.0.0.0:5556", "tcp://127.0.0.1:5556"),
        ("tcp://cam-pc:5555", "tcp://127.0.0.1:6379", None),  # a service of this machine
        ("tcp://cam-pc:5555", "ipc:///etc/passwd", None),
        ("tcp://cam-pc:5555", "tcp://10.0.0.5:*", None),
        ("tcp://cam-pc:5555", "tcp://10.0.0.5:99999", None),
        ("tcp://cam-pc:5555", "", None),
        ("tcp://cam-pc:5555", "http://10.0.0.5:80", None),
    ],
)
def test_the_endpoint_of_the_pictures_is_seen_from_here(stream: str, announced: str, expected: str | None) -> None:
    assert pictures_endpoint(stream, announced) == expected
