"""Whatever a configuration file contains, it is valid or one plain line says why it is not."""

import functools
import importlib
import itertools
import json
import os
from pathlib import Path

import pytest

from realtime.config import load
from realtime.config.yaml_text import MOST_BYTES
from realtime.errors import ConfigError
from realtime.wire.small_file import read_small

DEMO = "cameras: [{name: a, source: demo}]\n"
LAUGHS = "a: &a0 [lol]\n" + "".join(f"b{i}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9))
MERGES = "a: &a0 {k: 1}\n" + "".join(f"b{i}: &a{i + 1} {{<<: [{', '.join([f'*a{i}'] * 10)}]}}\n" for i in range(9))


def camera(**keys: object) -> str:
    return f"cameras: [{{name: a, source: demo, {', '.join(f'{key}: {value}' for key, value in keys.items())}}}]"


def mistake(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load([path], environment={})
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 1000
    return line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('cameras: [{name: a, source: "a\\0b"}]', "cameras.0.source: got a control character"),
        ('cameras: [{name: a, source: "rtsp://h/\\r\\nx"}]', "cameras.0.source: got a control character"),
        ('cameras: [{name: a, source: "\\x7F"}]', "cameras.0.source: got a control character"),
        ('cameras: [{name: a, source: "\\uD800"}]', "cameras.0.source: got a character that can't be encoded"),
        ('cameras: [{name: a, source: "file:///x%00y"}]', "cameras.0: got a control character"),
        ('cameras: [{name: "a\\0", source: demo}]', "cameras.0.name: got a control character"),
        ('record: "a\\0.jsonl"', "record: got a control character"),
        ('publish: {bind: ["ipc:///tmp/a\\0"]}', "publish.bind: got a control character"),
        ('device: "cpu\\n"', "device: got a control character"),
        (f"cameras: [{{name: {'x' * 65}, source: demo}}]", "letters, digits, _ and - (at most 64)"),
        (f"cameras: [{{name: a, source: {'x' * 5000}}}]", "cameras.0.source: string should have at most 4096"),
        ("cameras: [" + "{name: a, source: demo}," * 1001 + "]", "cameras: list should have at most 1000 items"),
        (camera(max_pixels=0), "cameras.0.max_pixels: got '0'"),
        ("[" * 3000, "nested too deeply"),
        ("{a: " * 3000, "nested too deeply"),
        (LAUGHS, "more than 100,000 values"),
        (MERGES, "more than 100,000 values"),
        ("a: &a [*a]", "a value contains itself"),
        ("a: &a {b: *a}", "a value contains itself"),
        ("x" * (MOST_BYTES + 1), "too large: expected at most 512 kB"),
        ("? [a]\n: b", "c.yaml line 1: got a list as a key, expected text"),
        ("? {a: b}\n: b", "c.yaml line 1: got a mapping as a key, expected text"),
        ("max_frames: 2026-99-99", "max_frames: got '2026-99-99', expected a whole number"),
        ("max_frames: 0x", ""),
        (f"max_frames: {'9' * 5000}", "expected a smaller number"),
        (f"max_frames: 0x{'f' * 5000}", "expected a whole number"),
        (f"0x{'f' * 900}: 1", "unknown key 0xfff"),
        ("max_frames: !!int abc", "max_frames: got 'abc', expected a whole number"),
        ("max_frames: !!binary '%'", ""),
        (
            "max_frames: !!python/object/apply:os.getcwd []",
            "line 1: the tag !!python/object/apply:os.getcwd is not supported",
        ),
        ("max_frames: 1e999", "max_frames: "),
        ("detector: {min_score: .nan}", "detector.min_score: "),
        ("detector: {min_score: .inf}", "detector.min_score: "),
        ("latency: {max_age_ms: .nan}", "latency.max_age_ms: "),
        ("cameras: {a: 1}", "cameras: expected a list"),
        ("cameras: [[[[]]]]", "cameras.0: expected keys and values"),
        ("cameras: [1, 2]", "cameras.0: expected keys and values"),
        ("cameras: !!set {a, b}", "the tag !!set is not supported"),
        ("1: 2", "unknown key 1"),
        ("null: 2", "got nothing or null as a key, expected text"),
        (f"? {'k' * 100_000}\n: 2", "unknown key kkkk"),
        (f"device: {'k' * 100_000}", "device: got 'kkk"),
        (f"publish: {{bind: [{'k' * 100_000}]}}", "publish.bind: got 'kkk"),
        ("*a", "undefined alias"),
        ("a: b: c", "not valid YAML"),
        ("%YAML 9.9\n---\na: 1", ""),
        ("a: 1\n---\nb: 2", "line 2: got a second document (---), expected a single one"),
        ("- a", "expected keys and values, got a list"),
        ("\t", ""),
    ],
    ids=itertools.count(),
)
def test_a_mistake_in_a_file_is_one_line_and_soon_found(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert says in mistake(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: \xff", "not UTF-8 text"),
        (b"a: 1\nb: \xe9", "c.yaml line 2: not UTF-8 text; save the file as UTF-8"),
        (DEMO.encode("utf-16")[:-1], "not UTF-16 text"),
        (DEMO.encode("utf-16-le"), "line 1: got the character U+0000, expected text"),
        (b"a: 1\r\nb: \x00", "line 2: got the character U+0000, expected text"),
    ],
)
def test_a_file_that_is_no_text_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    assert says in mistake(path)


def test_a_folder_as_a_file_and_an_endless_file_are_one_line(tmp_path: Path) -> None:
    assert "Is a directory" in mistake(tmp_path)
    assert "too large: expected at most 512 kB" in mistake(Path("/dev/zero"))


def test_the_file_and_the_variable_that_hold_an_address_are_checked_too(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    path = tmp_path / "c.yaml"
    for content, says in [
        (b"rtsp://u:hunter2@h/\0", "got a control character"),
        (b"rtsp://u:hunter2@h/" + b"x" * 5000, "got more than 4,096 characters"),
        (b"\xff", "can't read the file"),
    ]:
        secret.write_bytes(content)
        path.write_text(f"cameras: [{{name: a, source: 'secret:{secret}'}}]")
        line = mistake(path)
        assert says in line
        assert "hunter2" not in line
    path.write_text("cameras: [{name: a, source: 'secret:/dev/zero'}]")
    assert "can't read the file /dev/zero: too large: expected at most 16 kB" in mistake(path)
    path.write_text("cameras: [{name: a, source: 'env:URL'}]")
    with pytest.raises(ConfigError, match="control character") as caught:
        load([path], environment={"URL": "rtsp://u:hunter2@h/\x1b[2J"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Path.mkdir, "can't read the file .*: Is a directory"),
        (Path.touch, "the file .* is empty"),
        (lambda path: path.write_text("hunter2\nhunter2"), "the file .* has 2 lines"),
        (lambda path: path.symlink_to("/dev/zero"), "can't read the file .*: too large: expected at most 16 kB"),
        (os.mkfifo, "can't read the file .*: a pipe or device that did not end within 0.01 s"),
    ],
)
def test_a_secret_that_is_no_file_of_one_line_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, says: str
) -> None:
    make(tmp_path / "url")  # type: ignore[operator]
    reading = importlib.import_module("realtime.config.reading")
    monkeypatch.setattr(reading, "read_small", functools.partial(read_small, longest_wait_s=0.01))
    with pytest.raises(ConfigError, match=says) as caught:
        load(environment={}, flags={"cameras": [{"name": "a", "source": f"secret:{tmp_path / 'url'}"}]})
    assert "hunter2" not in str(caught.value)


def test_a_secret_without_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="got secret: without a path, expected secret:PATH"):
        load(environment={}, flags={"cameras": [{"name": "a", "source": "secret:"}]})


def test_a_secret_may_come_from_a_process_substitution() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"\xef\xbb\xbfrtsp://10.0.0.5/s1\r\n")
    os.close(theirs)
    try:
        config = load(environment={}, flags={"cameras": [{"name": "a", "source": f"secret:/dev/fd/{ours}"}]})
    finally:
        os.close(ours)
    assert config.cameras[0].address == "rtsp://10.0.0.5/s1"


def test_anchors_and_pipes_may_be_used(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("cameras:\n- &a {name: a, source: demo, rotate: 90}\n- {<<: *a, name: b}\n")
    assert [each.rotate for each in load([path], environment={}).cameras] == [90, 90]
    reader, writer = os.pipe()
    os.write(writer, DEMO.encode())
    os.close(writer)
    assert load([Path(f"/dev/fd/{reader}")], environment={}).cameras[0].name == "a"
    os.close(reader)


def test_a_long_value_is_cut_only_after_its_password_is_hidden(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"device: rtsp://admin:{'hunter2' * 50}@10.0.0.5/s1")
    assert "hunter2" not in mistake(path)


def test_a_secret_that_is_no_address_is_not_shown_by_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for content, more, says in [
        ("ghp16C7e42F://x", "", "got a URL of an unknown kind from env:TOKEN"),
        ("ghp_16C7e42F: x://", "tls_verify: true", "got a source without TLS"),
    ]:
        path.write_text(f"cameras: [{{name: a, source: 'env:TOKEN', {more}}}]")
        with pytest.raises(ConfigError, match=says) as caught:
            load([path], environment={"TOKEN": content})
        assert "ghp" not in str(caught.value)


def test_a_password_is_hidden_in_a_value_of_any_key_however_long_it_is(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for password in ("two words", "it's", "x" * 5000 + " y"):
        path.write_text(json.dumps({"detector": {"engine": f"rtsp://u:{password}@h/s1"}}))
        assert "got 'rtsp://***@h/s1'" in mistake(path)


@pytest.mark.parametrize(
    "flags",
    [
        {"cameras": [{"name": "a", "source": "secret:/\udcff"}]},
        {"cameras": [{"name": "a", "source": "rtsps://h", "tls_verify": True, "tls_ca": "/\udcff"}]},
        {"tracker.reid": "/\udcff"},
    ],
)
def test_a_file_name_that_is_not_utf_8_can_be_in_a_mistake(flags: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"/\\udcff"):
        load(environment={}, flags=flags)
