"""Who can read an endpoint without keys."""

import os
import socket

import pytest

from realtime.publish.readable import readable


@pytest.mark.parametrize(
    ("mode", "who"),
    [
        (0o755, "readable by this user"),  # others can't write, and so can't connect
        (0o700, "readable by this user"),
        (0o770, "readable by the users who may open the file (mode 770)"),
        (0o777, "readable by the users who may open the file (mode 777)"),
        (None, "readable by the users who may open the file"),  # it is gone
    ],
)
def test_the_mode_of_a_socket_file_tells_who_can_read_it(tmp_path, mode, who):
    path = tmp_path / "pose"
    if mode is not None:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.fspath(path))
        path.chmod(mode)
    assert readable(f"ipc://{path}", f"ipc://{path}") == who


@pytest.mark.parametrize(
    ("endpoint", "who"),
    [
        ("tcp://localhost:5555", "every program on this machine"),
        ("tcp://[::1]:5555", "every program on this machine"),
        ("ipc://@pose", "every program on this machine"),
        ("tcp://10.0.0.1:5555", "anyone on the network (not encrypted)"),
        ("tcp://eth0:5555", "anyone on the network (not encrypted)"),
    ],
)
def test_other_endpoints_are_open_to_a_machine_or_a_network(endpoint, who):
    assert readable(endpoint, endpoint) == f"readable by {who}"
