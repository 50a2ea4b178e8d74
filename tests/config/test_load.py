import os
import pwd
from pathlib import Path

import pytest

from realtime.config import former_keys, leaves, load, parse_source, service_variables, to_yaml
from realtime.config.mistakes import as_variable
from realtime.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["webcam.yaml", "rtsp.yaml", "monitor.yaml"])
def test_the_shipped_configurations_are_valid(name: str) -> None:
    assert load([ROOT / "configs" / name], environment={}).cameras


def test_flags_override_the_environment_which_overrides_later_then_earlier_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text("smoothing: {beta: 1, reset_s: 1, min_cutoff_hz: 1, noise: 0.5}\n")
    second.write_text("smoothing: {beta: 2, reset_s: 2, min_cutoff_hz: 2}\n")
    environment = {"REALTIME_SMOOTHING__BETA": "3", "REALTIME_SMOOTHING__RESET_S": "3", "HOME": "/"}
    smoothing = load([first, second], environment, {"smoothing.beta": "4"}).smoothing
    assert (smoothing.beta, smoothing.reset_s, smoothing.min_cutoff_hz, smoothing.noise) == (4, 3, 2, 0.5)


def test_an_empty_file_and_an_empty_section_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("pose:\n")
    assert load([path], environment={}) == load(environment={})


def test_an_endpoint_may_contain_commas_and_brackets() -> None:
    config = load(environment={"REALTIME_PUBLISH__BIND": "ipc:///tmp/a,b[c]"})
    assert config.publish.bind == ["ipc:///tmp/a,b[c]"]


# What Kubernetes sets in each container beside a service, and Docker for a link.
SERVICE_VARIABLES = {
    **{f"REALTIME_POSE_{name}": value for name, value in {
        "SERVICE_HOST": "10.0.0.3",
        "SERVICE_PORT": "5555",
        "SERVICE_PORT_POSES": "5555",
        "PORT": "tcp://10.0.0.3:5555",
        "PORT_5555_TCP": "tcp://10.0.0.3:5555",
        "PORT_5555_TCP_ADDR": "10.0.0.3",
        "PORT_5555_TCP_PORT": "5555",
        "PORT_5555_TCP_PROTO": "tcp",
        "PORT_5555_UDP": "udp://10.0.0.3:5555",
        "PORT_5555_SCTP_ADDR": "10.0.0.3",
    }.items()},
    "REALTIME_SERVICE_HOST": "10.0.0.3",  # the service is called realtime
    "REALTIME_PORT": "tcp://10.0.0.3:5555",
}  # fmt: skip


def test_the_variables_of_a_service_with_our_name_are_ignored() -> None:
    assert load(environment=SERVICE_VARIABLES) == load(environment={})
    assert service_variables(SERVICE_VARIABLES) == sorted(SERVICE_VARIABLES)


@pytest.mark.parametrize(
    "variable",
    [
        "REALTIME_PUBLISH__PORT",  # two underscores: a key
        "REALTIME_POSE__MODLE",
        "REALTIME_POSE_PORT_TCP",  # no number
        "REALTIME_POSE_PORT_5555_HTTP",
        "REALTIME_POSE_PORT_5555_TCP_NAME",
        "REALTIME_POSE_NAME",
        "REALTIME_POSE_SUPPORT",
        "REALTIME_",
    ],
)
def test_any_other_unknown_variable_is_an_error(variable: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key {variable}"):
        load(environment={variable: "x"})


def test_no_key_looks_like_the_variable_of_a_service() -> None:
    assert not service_variables({as_variable(key.name): "" for key in [*leaves(), *former_keys()]})


def test_cameras_can_be_set_in_the_environment_as_yaml() -> None:
    config = load(environment={"REALTIME_CAMERAS": '[{name: door, source: "rtsp://u:p@h/1?a=1,2"}]'})
    assert config.cameras[0].source == "rtsp://u:p@h/1?a=1,2"


def test_an_empty_value_unsets_an_optional_key(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("max_frames: 7\n")
    assert load([path], {}, {"max_frames": ""}).max_frames is None


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("0", "cam2", "0"),  # no name: cam and the position
        ("door=rtsp://h/s?a=1,2", "door", "rtsp://h/s?a=1,2"),  # a name; the rest is the source
        ("rtsp://h/s?a=b", "cam2", "rtsp://h/s?a=b"),  # the text before = contains : and /
        ("a/b=c.mp4", "cam2", "a/b=c.mp4"),  # a path that contains =
        ("x=[1,2]{3}.mp4", "x", "[1,2]{3}.mp4"),  # brackets and commas have no special meaning
    ],
)
def test_sources_are_split_into_name_and_source(text: str, name: str, source: str) -> None:
    assert parse_source(text, 2) == {"name": name, "source": source}


@pytest.mark.parametrize("text", ["a b=0", "a,b=0", "ä=0", "=0", "a="])
def test_a_bad_name_or_an_empty_source_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--source"):
        parse_source(text, 0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"detector.min_score": "1.5"}, "detector.min_score: got '1.5'"),  # out of range
        ({"detector.min_score": "0.3"}, "at most tracker.low_score"),  # a common mistake
        ({"tracker.low_score": "0.6"}, "at most tracker.track_score"),
        ({"detector.size": "641"}, "multiple of 32"),
        ({"detector.classes": ["cat", "Cat"]}, "got the same class twice"),
        ({"detector.classes": ["cat", "-1"]}, "got '-1', expected the name of a class, or its number from 0"),
        ({"detector.classes": [""]}, "got '', expected the name of a class"),
        ({"device": "gpu"}, "device: got 'gpu'"),
        ({"publish.bind": ["tcp://127.0.0.1:99999"]}, "expected 1..65535"),  # libzmq would wrap it
        ({"publish.bind": ["127.0.0.1:5555"]}, "tcp://HOST:PORT"),
        ({"publish.bind": ["tcp://0.0.0.0:5555"]}, "--publish.allow-insecure"),
        ({"publish.bind": ["tcp://[::]:5555"]}, "--publish.allow-insecure"),
        ({"publish.bind": ["tcp://*:5555"]}, "--publish.allow-insecure"),
        ({"record": "x.txt"}, ".jsonl"),
    ],
)
def test_an_error_names_the_key_of_a_wrong_value(flags: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(environment={}, flags=flags)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_error_names_where_the_value_was_set(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("pose: {decode_sigma: -1}\n")
    with pytest.raises(ConfigError, match=r"pose.decode_sigma: got '-1', .*bad.yaml line 1\)"):
        load([path], environment={})


def test_the_password_of_a_camera_is_neither_in_an_error_nor_printed() -> None:
    source = "rtsp://admin:hunter2@h/s"
    with pytest.raises(ConfigError) as error:
        load(environment={}, flags={"cameras": [{"name": "a b", "source": source}]})
    assert "hunter2" not in str(error.value)
    assert "hunter2" not in to_yaml(load(environment={}, flags={"cameras": [{"name": "a", "source": source}]}))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: a, sorce: 0}", "cameras.0.sorce: unknown key, did you mean source?"),
        ("{name: a, source: demo, crop: [0, 0, 9, 9]}", "cameras.0.crop: unknown key, did you mean crop_xyxy?"),
        ("{name: a, source: demo, zzz: 1}", "cameras.0.zzz: unknown key, expected one of name, source, transport, "),
        ("{name: a}", "cameras.0.source: missing"),
        (
            "{name: front door, source: demo}",
            "cameras.0.name: got 'front door', expected name of the camera in the stream: let",
        ),
        ("{name: a, source: 0, mode: big}", "cameras.0.mode: got 'big', expected WIDTHxHEIGHT[@FPS]"),
        ("rtsp://u:hunter2@h/s", "cameras.0: expected keys and values: name, source"),
        ("{name: a, source: [demo]}", "cameras.0.source: expected text"),
        ("{name: a, source: 'rstp://u:hunter2@h/s'}", "got a URL that starts with rstp://, expected one of rtsp,"),
        ("{name: a, source: demo, name: b}", "line 1: the key name is repeated, it is also in line 1"),
        ("[" * 3000, "nested too deeply"),
    ],
)
def test_an_error_in_a_camera_names_its_key(tmp_path: Path, entry: str, message: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"cameras: [{entry}]")
    with pytest.raises(ConfigError) as error:
        load([file], environment={})
    assert message in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_webcam_is_a_number_and_a_single_endpoint_needs_no_list(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("cameras: [{name: 7, source: 0}]\npublish: {bind: 'tcp://127.0.0.1:6000'}")
    config = load([file], environment={"REALTIME_LATENCY__LEVERS": "[size, people]"})
    assert (config.cameras[0].name, config.cameras[0].address) == ("7", "0")
    assert config.publish.bind == ["tcp://127.0.0.1:6000"]
    assert config.latency.levers == ["size", "people"]


# ---- former keys


def in_file(tmp_path: Path, text: str) -> dict[str, object]:
    file = tmp_path / "old.yaml"
    file.write_text(text)
    return {"files": [file], "environment": {}}


@pytest.mark.parametrize("origin", ["old.yaml", "REALTIME_LATENCY__MEANS", "--latency.means"])
def test_a_renamed_key_is_read_with_one_warning_that_names_its_origin(tmp_path: Path, origin: str) -> None:
    given = {
        "old.yaml": in_file(tmp_path, "latency: {means: [size]}"),
        "REALTIME_LATENCY__MEANS": {"environment": {"REALTIME_LATENCY__MEANS": "size"}},
        "--latency.means": {"environment": {}, "flags": {"latency.means": ["size"]}},
    }
    warnings: list[str] = []
    config = load(**given[origin], warn=warnings.append)
    assert config.latency.levers == ["size"]
    [warning] = warnings
    assert warning.startswith("latency.means is now called latency.levers: rename it")
    assert warning.endswith((f"{origin})", f"{origin} line 1)"))


def test_a_wrong_value_of_a_renamed_key_is_an_error_with_the_new_name() -> None:
    with pytest.raises(ConfigError, match=r"latency.levers.0: got 'luck', .* \(from --latency.means\)"):
        load(environment={}, flags={"latency.means": ["luck"]}, warn=[].append)


def test_a_later_layer_overrides_a_renamed_key_by_either_name(tmp_path: Path) -> None:
    old = in_file(tmp_path, "latency: {means: [size]}")
    assert load(**old, flags={"latency.levers": ["people"]}, warn=[].append).latency.levers == ["people"]
    new = in_file(tmp_path, "latency: {levers: [size]}")
    assert load(**new, flags={"latency.means": ["people"]}, warn=[].append).latency.levers == ["people"]


def test_both_names_of_a_renamed_key_in_one_file_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"remove latency.means \(from .*old.yaml"):
        load(**in_file(tmp_path, "latency: {means: [size], levers: [size]}"))


@pytest.mark.parametrize(
    "given",
    [
        {"environment": {"REALTIME_POSE__DATASET_INDEX": "0"}},
        {"environment": {}, "flags": {"pose.dataset_index": "0"}},
        {"environment": {"REALTIME_POSE__DATASET_INDEX": "2"}, "flags": {"pose.dataset_index": "0"}},  # flags win
    ],
)
def test_a_dropped_key_is_ignored_with_a_warning(given: dict[str, dict[str, str]]) -> None:
    warnings: list[str] = []
    assert load(**given, warn=warnings.append) == load(environment={})
    [warning] = warnings
    assert warning.startswith("pose.dataset_index has no effect any more: remove it")


def test_a_dropped_key_of_a_file_is_ignored_or_refused_by_its_value(tmp_path: Path) -> None:
    assert load(**in_file(tmp_path, "pose: {dataset_index: 0}"), warn=[].append) == load(environment={})
    for value in ("2", "x", "null", "[0]"):
        with pytest.raises(ConfigError, match=r"pose.dataset_index: got .*, expected 0 \(COCO\).*old.yaml"):
            load(**in_file(tmp_path, f"pose: {{dataset_index: {value}}}"))


def test_a_former_key_is_neither_printed_nor_suggested() -> None:
    former = [key.name for key in former_keys()]
    assert former == ["latency.means", "pose.dataset_index"]
    printed = to_yaml(load(environment={}, flags={"latency.means": ["size"]}, warn=[].append))
    assert "means:" not in printed
    with pytest.raises(ConfigError, match="did you mean REALTIME_POSE__ENGINE"):
        load(environment={"REALTIME_POSE__DATASET_INDE": "0"})


FILES = {
    "cameras": lambda path: [{"name": "a", "source": path}],
    "record": str, "report": str, "detector.weights": str, "pose.model": str,
    "publish.bind": lambda path: [f"ipc://{path}"], "publish.curve_secret": str,
}  # fmt: skip


@pytest.mark.parametrize("key", FILES)
def test_a_tilde_is_the_home_folder(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given, whole = (load(environment={}, flags={key: FILES[key](f"{at}/x.jsonl")}) for at in ("~", "/home/me"))
    assert given == whole


@pytest.mark.parametrize("key", FILES)
def test_a_tilde_without_a_home_folder_is_an_error(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "~")  # the user's list has no home either
    with pytest.raises(ConfigError, match="no home folder"):
        load(environment={}, flags={key: FILES[key]("~/x.jsonl")})


@pytest.mark.parametrize("form", ["file://{}", "env:CLIP", "secret:{}", "secret:/dev/fd/{}"])
def test_a_tilde_is_the_home_folder_wherever_a_source_is_named(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "clip").write_text("~/clip.mp4")
    reader = os.open(tmp_path / "clip", os.O_RDONLY)
    source = form.format(reader if "fd" in form else "~/clip" if "secret" in form else "~/clip.mp4")
    cameras = [{"name": "a", "source": source}]
    assert (
        load(environment={"CLIP": "~/clip.mp4"}, flags={"cameras": cameras}).cameras[0].address
        == f"{tmp_path}/clip.mp4"
    )
    os.close(reader)


def test_the_home_folder_of_another_user_is_found() -> None:
    user = pwd.getpwuid(0)
    assert load(environment={}, flags={"record": f"~{user.pw_name}/x.jsonl"}).record == Path(user.pw_dir) / "x.jsonl"


def test_a_file_whose_name_begins_with_a_tilde_is_no_home_folder() -> None:
    assert load(environment={}, flags={"record": "~x.jsonl"}).record == Path("~x.jsonl")


def test_a_dash_as_source_is_refused_with_the_name_of_standard_input() -> None:
    with pytest.raises(ConfigError, match=r"cameras\.0\.source: got -, expected /dev/stdin for standard input"):
        load(environment={}, flags={"cameras": [parse_source("-", 0)]})


@pytest.mark.parametrize(
    "flags",
    [
        {"cameras": [{"name": "a", "source": "secret:/none/\udce9"}]},
        {"cameras": [{"name": "a", "source": "env:\udce9"}]},
        {"cameras": [{"name": "a", "source": "https://h/s", "tls_verify": True, "tls_ca": "/none/\udce9"}]},
        {"tracker.reid": "/none/\udce9.pt"},
    ],
)
def test_a_mistake_about_a_name_that_is_not_utf_8_is_one_line(flags: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"\\udce9"):
        load(environment={}, flags=flags)
