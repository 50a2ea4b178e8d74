"""YAML as people write it: what is written arrives, or one line names the file, the line and the reason."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from realtime.config import Reading, load, to_yaml
from realtime.config.yaml_text import parse_yaml
from realtime.errors import ConfigError

SURPRISES = ["010", "01", "08", "0o7", "0x10", "12:30", "1_0", "on", "no", "y", "1e3", ".5", "2024-01-01", "=", "<<",
             "true", ".inf", "-1", "+1", "NaN"]  # fmt: skip
NAMES = [name for name in SURPRISES if name.replace("_", "").isalnum()]


def read(tmp_path: Path, text: str | bytes):
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load([path], environment={})


def mistake(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text("0123456789_.:+-eExXobnNyYtTfFaAlLsS~!&*{}[]<>|%@`'\"#,?= é", min_size=1), st.text()))
@example("010")
@example("12:30")
@example("null ")
def test_any_plain_text_arrives_as_it_is_written(text: str) -> None:
    try:
        node = yaml.compose(f"source: {text}\n", Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        assume(False)
    assume(isinstance(node, yaml.MappingNode) and len(node.value) == 1)
    value = node.value[0][1]
    assume(isinstance(value, yaml.ScalarNode) and value.style is None and value.tag.endswith(":str"))
    expected = None if value.value in ("", "~", "null", "Null", "NULL") else value.value
    assert parse_yaml(f"source: {text}\n", "c.yaml")[0] == {"source": expected}


@pytest.mark.parametrize("source", SURPRISES)
def test_names_and_sources_are_text_and_printed_so_that_every_reader_takes_them_for_it(
    tmp_path: Path, source: str
) -> None:
    name = source if source in NAMES else "a"
    config = read(tmp_path, f"cameras:\n  - name: {name}\n    source: {source}\n")
    assert (config.cameras[0].name, config.cameras[0].source) == (name, source)
    printed = to_yaml(config)
    assert read(tmp_path, printed) == config
    assert yaml.safe_load(printed)["cameras"][0]["source"] == source
    assert f"source: '{source}'" in printed or source in ("=", "<<", "true") or source[0].isalpha()


@pytest.mark.parametrize("word", ["0o7", "08", "1e3", "y", "N", "on", "NaN"])
def test_what_a_reader_of_another_version_of_yaml_takes_for_a_number_or_a_boolean_is_quoted(
    tmp_path: Path, word: str
) -> None:
    assert f"source: '{word}'" in to_yaml(read(tmp_path, f"cameras: [{{name: a, source: {word}}}]"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# x\ncameras:\n  - name: door\n    source: {{ door_url }}\n", "line 4: {{ door_url }} is a template"),
        ("cameras:\n- name: a\n  source: {{ url }}/1\n", "c.yaml line 3: not valid YAML.*a template was not filled in"),
        ("{{ key }}: 1", "line 1: {{ key }} is a template"),
        ("cameras:\n- name: a\n  source: rtsp://{{ host }}/1\n", "a template that was not .* line 3"),
        ("cameras:\n- name: a\n  source: ${CAM}\n", r"cameras.0.source: got a variable, .* env:NAME.*line 3"),
        ("cameras:\n- name: a\n  source: ${CAM:-demo}\n", r"cameras.0.source: got a variable, .* env:NAME.*line 3"),
        ("loop: on\ncameras:\n- name: a\n  source: demo\n  rotate: 45\n", "cameras.0.rotate.* line 5"),
        ("pose:\n  model: a\nloop: on\npose:\n  engine: auto\n", "line 4: the key pose is repeated, .* in line 1"),
        ("pose.model: a\npose:\n  model: b\n", "line 3: the key pose.model is repeated, .* line 1"),
        ("[a]: b", "line 1: got a list as a key"),
        ("loop: on\n~: b", "line 2: got nothing or null as a key"),
        ("pose:\n\tmodel: none", "line 2: .*spaces instead of tabs"),
        ("- name: a\n  source: demo", "line 1: .*got a list; put the cameras below the key cameras:"),
        ("cameras:\n  door: demo", "expected a list of cameras"),
        ("cameras:\n- name: a\n  source: !secret door", "line 3: the tag !secret is not supported; .*secret:PATH"),
        ("cameras:\n- name: a\n  source: *.mp4", "line 3: .* in quotes"),
        ("cameras:\n- name: a\n  source: *hunter2", "line 3: not valid YAML: found undefined alias; "),
        ("device：cpu", "full-width colon"),
        ("device: “cpu”", "got quotes as part of the value"),
        ("po\xa0se: x", "a special space"),
        ("POSE: {model: none}", "did you mean pose"),
        ("publish:\n  wait-for-subscribers: 2", "line 2: .*did you mean publish.wait_for_subscribers"),
        ("source: 0", "it belongs to a camera"),
        ('[pose]\nmodel = "none"', "line 2: .*INI or TOML"),
        ("loop:on", "a colon needs a space after it"),
        ("max_frames: 0x10", "got '0x10', expected a whole number"),
        ("max_frames: yes", "got 'yes', expected a whole number"),
        ("latency: {max_age_ms: 1e999}", "finite"),
        ("[" * 10_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_line_and_the_remedy(tmp_path: Path, text: str, says: str) -> None:
    line = mistake(tmp_path, text)
    assert re.search(says, line), line
    assert "hunter2" not in line


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_files_of_other_systems_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    assert read(tmp_path, f"loop: on{end}max_frames: 1_000{end}".encode(encoding)).max_frames == 1000


def test_an_emoji_of_json_is_one_character(tmp_path: Path) -> None:
    text = '{"cameras": [{"name": "a", "source": "\\ud83d\\ude00.mp4"}]}'
    assert read(tmp_path, text).cameras[0].source == "\U0001f600.mp4"


@pytest.mark.parametrize(
    "source", ["rtsp://u:{$<x>@h/1", "rtsp://u:{/$@h/1", "http://h/{a}@b", "clip {{1}}.mp4", "'a", "$a/b"]
)
def test_a_password_or_a_name_with_braces_is_no_template(source: str) -> None:
    assert load(environment={}, flags={"cameras": [{"name": "a", "source": source}]}).cameras[0].source == source


@pytest.mark.parametrize(
    "content",
    ['"rtsp://u:hunter2@h/1"', "URL=rtsp://u:hunter2@h/1", '{"url": "rtsp://u:hunter2@h"}', "$hunter2", "<hunter2>"],
)
def test_a_variable_that_holds_no_plain_address_is_refused_without_its_content(content: str) -> None:
    with pytest.raises(ConfigError, match="expected") as caught:
        load(environment={"URL": content}, flags={"cameras": [{"name": "a", "source": "env:URL"}]})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("REALTIME_POSE__MODEL", '"none"', "pose.model: got quotes .*REALTIME_POSE__MODEL"),
        ("REALTIME_RECORD", "'x.jsonl'", "record: got quotes"),
        ("REALTIME_PUBLISH__BIND", '"ipc:///tmp/x"', "publish.bind: got quotes"),
        ("REALTIME_DEVICE", "cpu\r", "device: .*line ends of Windows"),
        ("REALTIME_DEVICE", "cpu ", "remove the spaces"),
        ("realtime_device", "cpu", "expected capital letters: REALTIME_DEVICE"),
        ("REALTIME_POSE_MODEL", "none", "did you mean REALTIME_POSE__MODEL"),
    ],
)
def test_the_leftovers_of_an_env_file_get_advice(variable: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(environment={variable: value})


def test_a_pipe_keeps_its_content_for_a_reload_with_a_warning() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"cameras: [{name: a, source: demo}]")
    os.close(writer)
    warnings: list[str] = []
    reading = Reading(warnings.append)
    first, again = (load([Path(f"/dev/fd/{reader}")], environment={}, reading=reading) for _ in range(2))
    os.close(reader)
    assert first == again
    assert first.cameras
    [warning] = warnings
    assert warning.startswith(f"/dev/fd/{reader} is a pipe and can't be read again")
