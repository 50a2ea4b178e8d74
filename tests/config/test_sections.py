import pytest

from realtime.config import leaves, load, to_yaml
from realtime.errors import ConfigError


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:*", "tcp://localhost:5555", "tcp://[::1]:5555", "ipc:///tmp/x"])
def test_local_endpoints_need_no_permission(endpoint: str) -> None:
    assert load(environment={}, flags={"publish.bind": [endpoint]}).publish.bind == [endpoint]


def test_a_redacted_login_of_a_printed_configuration_is_refused() -> None:
    printed = [{"name": "a", "source": "rtsp://***@h/s"}]
    with pytest.raises(ConfigError, match="put the secret back"):
        load(environment={}, flags={"cameras": printed})


def test_every_key_has_a_description() -> None:
    assert all(key.description for key in leaves())


def test_a_file_url_becomes_a_path_and_a_redacted_secret_is_refused_anywhere() -> None:
    camera = load(environment={}, flags={"cameras": [{"name": "a", "source": "file:///clips/a%20b.mp4"}]}).cameras[0]
    assert camera.address == "/clips/a b.mp4"
    for source in ("http://cam/video?***", "rtsp://h/password=***_channel=1", "***@10.0.0.5/s1"):
        with pytest.raises(ConfigError, match="--print-config replaced a secret"):
            load(environment={}, flags={"cameras": [{"name": "a", "source": source}]})


def test_an_input_size_is_read_and_printed_as_height_x_width() -> None:
    config = load(environment={}, flags={"pose.input_size": "384x288"})
    assert config.pose.input_size == (288, 384)
    assert "input_size: 384x288" in to_yaml(config)
