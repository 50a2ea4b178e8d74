"""The endpoints of the section publish."""

import pytest

from realtime.config import load
from realtime.errors import ConfigError

LOCAL = "tcp://127.0.0.1:5556"


def endpoints(**flags: object) -> tuple[list[str], list[str], str | None]:
    publish = load(environment={}, flags={f"publish.{key}": value for key, value in flags.items()}).publish
    return publish.bind, publish.local_bind, publish.pictures


@pytest.mark.parametrize(
    "local_bind",
    [[LOCAL], ["tcp://[::1]:5556"], ["tcp://localhost:*"], ["ipc:///run/pose"], ["ipc://@pose", LOCAL], []],
)
def test_a_local_endpoint_is_loopback_or_ipc(local_bind):
    assert endpoints(local_bind=local_bind)[1] == local_bind


@pytest.mark.parametrize("other", ["tcp://0.0.0.0:5556", "tcp://*:5556", "tcp://[::]:5556", "tcp://10.0.0.7:5556"])
def test_a_local_endpoint_that_others_can_reach_is_refused_even_with_keys(other):
    with pytest.raises(
        ConfigError, match=r"^publish\.local_bind: got .*, which other machines can reach, expected 127"
    ):
        endpoints(local_bind=[other], curve_secret="keys/publisher.key_secret", allow_insecure="true")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"bind": [LOCAL, LOCAL]}, f"publish.bind: got {LOCAL} twice, expected different endpoints"),
        ({"local_bind": [LOCAL, LOCAL]}, f"publish.local_bind: got {LOCAL} twice, expected different endpoints"),
        ({"bind": [LOCAL], "local_bind": [LOCAL]}, "expected different endpoints, the other one in publish.bind"),
        ({"bind": [LOCAL], "pictures": LOCAL}, "expected different endpoints, the other one in publish.bind"),
        ({"local_bind": [LOCAL], "pictures": LOCAL}, "the other one in publish.local_bind"),
        # a wildcard has the ports of all hosts
        ({"bind": ["tcp://0.0.0.0:5556"], "local_bind": [LOCAL], "allow_insecure": "true"}, "which share a port"),
        ({"bind": ["tcp://localhost:5556"], "local_bind": [LOCAL]}, "which share a port or path"),
        ({"bind": ["ipc:///run/pose"], "local_bind": ["ipc:///run/x/../pose"]}, "which share a port or path"),
    ],
)
def test_the_same_endpoint_twice_is_refused(flags, told):
    with pytest.raises(ConfigError) as caught:
        endpoints(**flags)
    assert told in str(caught.value)


def test_endpoints_that_the_system_chooses_differ():
    chosen = ["tcp://127.0.0.1:*", "ipc://*"]
    assert endpoints(bind=chosen, local_bind=chosen, pictures=chosen[0]) == (chosen, chosen, chosen[0])
