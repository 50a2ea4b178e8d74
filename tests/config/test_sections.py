import subprocess

import pytest

from realtime.config import leaves, load, to_yaml
from realtime.errors import ConfigError
from realtime.flags import parse


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
    assert "input_size: '384x288'" in to_yaml(config)


def test_keypoints_are_chosen_by_flags_files_and_variables(tmp_path) -> None:
    arguments, flags = parse(["--source", "demo", "--pose.skeleton", "ap10k", "--pose.keypoints", "body"])
    pose = load(arguments.config, environment={}, flags=flags).pose
    assert (pose.skeleton, pose.keypoints) == ("ap10k", ["body"])
    parts = parse(["--source", "demo", "--pose.keypoints", "feet", "--pose.keypoints", "body"])[1]
    assert load(environment={}, flags=parts).pose.keypoints == ["feet", "body"]
    path = tmp_path / "c.yaml"
    path.write_text("pose: {skeleton: wholebody133, keypoints: [hands, face]}\ncameras: [{name: a, source: demo}]\n")
    pose = load([path], environment={}).pose
    assert (pose.skeleton, pose.keypoints) == ("wholebody133", ["hands", "face"])
    variables = {"REALTIME_POSE__SKELETON": "mpii16", "REALTIME_POSE__KEYPOINTS": '["body"]'}
    pose = load(environment=variables, flags={"cameras": [{"name": "a", "source": "demo"}]}).pose
    assert (pose.skeleton, pose.keypoints) == ("mpii16", ["body"])


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"skeleton": "mpii"}, r"^pose\.skeleton: got 'mpii', input should be 'auto', 'coco17'"),
        (
            {"keypoints": ["arms"]},
            r"^pose\.keypoints\.0: got 'arms', input should be 'body', 'feet', 'hands' or 'face'",
        ),
        ({"keypoints": ["body", "body"]}, r"^pose\.keypoints: got the same part twice"),
        ({"keypoints": []}, r"^pose\.keypoints: got an empty list, expected at least one entry"),
        ({"keypoints": ["body,feet"]}, r"got 'body,feet', input should be .*; write each entry by itself: the flag "),
        ({"skeleton": "ap10k", "model": "none"}, r"got ap10k with pose.model none, expected a ViTPose model"),
        ({"skeleton": "coco17", "model": "detector"}, r"got coco17 with pose.model detector, expected a ViTPose model"),
    ],
)
def test_keypoints_that_no_model_has_are_refused(keys, says) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        load(environment={}, flags={f"pose.{key}": value for key, value in keys.items()})
    assert "\n" not in str(raised.value)


def camera_error(**keys):
    with pytest.raises(ConfigError) as caught:
        load(environment={}, flags={"cameras": [{"name": "door", **keys}]})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_tls_is_verified_with_a_file_of_certificates(tmp_path):
    path = tmp_path / "door.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=door", "-keyout", tmp_path / "key", "-out", path],
        check=True, capture_output=True,
    )  # fmt: skip
    entry = {"name": "door", "source": "rtsps://10.0.0.5/s1", "tls_verify": True, "tls_ca": str(path)}
    camera = load(environment={}, flags={"cameras": [entry]}).cameras[0]
    assert camera.tls_verify
    assert camera.tls_ca == str(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "contains no certificate, expected PEM"),
        (b"not a certificate\n", "contains no certificate, expected PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "contains no certificate, expected PEM"),
    ],
)
def test_a_file_without_certificates_is_refused(content, says, tmp_path):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    error = camera_error(source="rtsps://10.0.0.5/s1", tls_verify=True, tls_ca=str(path))
    assert "tls_ca" in error
    assert says in error


@pytest.mark.parametrize("ca", ["/", "a\0b", "/dev/zero", "/dev/stdin"])
def test_a_file_of_certificates_that_is_no_file_is_refused(ca):
    assert "tls_ca" in camera_error(source="rtsps://10.0.0.5/s1", tls_verify=True, tls_ca=ca)


@pytest.mark.parametrize("source", ["rtsp://u:s3cr3t@10.0.0.5/s1", "rtmps://10.0.0.5/s1", "0", "clip.mp4", "demo"])
def test_a_certificate_that_would_not_be_verified_is_an_error(source):
    error = camera_error(source=source, tls_verify=True)
    assert "expected rtsps:// or https://" in error
    assert "s3cr3t" not in error


def test_certificates_without_verification_are_an_error(tmp_path):
    error = camera_error(source="rtsps://10.0.0.5/s1", tls_ca=str(tmp_path))
    assert "set tls_verify: true" in error


def test_waiting_for_more_subscribers_than_can_connect_is_an_error():
    def waits_for(count):
        return load(environment={}, flags={"publish.wait_for_subscribers": str(count)}).publish.wait_for_subscribers

    assert waits_for(256) == 256
    with pytest.raises(ConfigError, match="256"):
        waits_for(257)


@pytest.mark.parametrize("web", ["8080", "127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.8.8.8:1"])
def test_a_page_that_only_this_machine_can_open_needs_no_token(web: str) -> None:
    assert load(environment={}, flags={"web": web}).web == web


@pytest.mark.parametrize("web", ["0.0.0.0:8080", "[::]:8080", "*:8080", "10.0.0.7:8080", "cams.example.org:8080"])
def test_a_page_that_others_can_open_needs_a_token_or_the_user_s_word(web: str) -> None:
    with pytest.raises(ConfigError, match=r"^web: anyone on the network could watch .*--web-token-file"):
        load(environment={}, flags={"web": web})
    assert load(environment={}, flags={"web": web, "web_allow_insecure": "true"}).web == web
    assert load(environment={}, flags={"web": web, "web_token_file": "token"}).web == web


@pytest.mark.parametrize(
    "web", ["0", "65536", "80 80", "::1:8080", "http://127.0.0.1:8080", "127.0.0.1:", ":8080", "-1"]
)
def test_an_address_of_the_page_with_a_mistake_is_refused(web: str) -> None:
    with pytest.raises(ConfigError, match=r"^web: got .*, expected HOST:PORT or a port, 1\.\.65535$"):
        load(environment={}, flags={"web": web})


@pytest.mark.parametrize("host", ["https://cams.example.org", "cams.example.org:443", "a b", "", "[::1]", "a" * 300])
def test_a_name_of_the_page_has_no_scheme_and_no_port(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^web_hosts.*expected a name without scheme and port"):
        load(environment={}, flags={"web_hosts": [host]})
    assert load(environment={}, flags={"web_hosts": "cams.example.org"}).web_hosts == ["cams.example.org"]


def _with_video(video: str, *names: str) -> None:
    load(environment={}, flags={"cameras": [{"name": name, "source": "demo"} for name in names], "save_video": video})


def test_the_videos_of_several_cameras_have_their_names_in_the_path() -> None:
    for video in ("out.mp4", "{camera}/out.mp4", "{camera}.MP4"):
        _with_video(video, "a")
    _with_video("{camera}.mp4", "a", "b")
    with pytest.raises(ConfigError, match=r"save_video: got out\.mp4 for 2 cameras, expected a path with {camera}"):
        _with_video("out.mp4", "a", "b")


@pytest.mark.parametrize("video", ["out.avi", "out", "out.mp4/", "mp4", ".mp4"])
def test_a_video_is_an_mp4(video: str) -> None:
    with pytest.raises(ConfigError, match=r"save_video: .*expected a file name that ends in \.mp4"):
        _with_video(video if video != "out.mp4/" else "out.mp4/x", "a")
