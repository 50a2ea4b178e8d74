"""Reading a recording: all of it, or all that can be read, with one line about the rest."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from realtime import wire
from realtime.errors import ConfigError
from realtime.recordings.info import encode_infos
from realtime.recordings.reading import open_recording
from realtime.skeleton import COCO17
from tests.recordings.recorded import lines, of_camera, record
from tests.wire.examples import INFO, pose

ONE, TWO, THREE = of_camera(3)
LINE = lines(ONE)


def altered(old: bytes, new: bytes) -> bytes:
    assert old in LINE
    return LINE.replace(old, new)


def test_messages_come_as_they_were_published_and_again_with_each_call(tmp_path: Path) -> None:
    sent = [
        *of_camera(3, raw_keypoints=pose(k=3).keypoints_array()[..., :2]),
        *of_camera(2, "door", k=0, skeleton="none"),
    ]
    recording = open_recording(record(tmp_path / "x.jsonl", *sent))
    assert list(recording.messages()) == list(recording.messages()) == sent


def test_the_cameras_are_those_of_the_messages(tmp_path: Path) -> None:
    sent = [*of_camera(2, "b"), *of_camera(2, "a"), *of_camera(2, "b", session="s2")]
    path = record(tmp_path / "x.jsonl", *sent)
    recording = open_recording(path)
    assert recording.cameras == ["b", "a"]
    assert [message.session for message in recording.messages()] == ["s1"] * 4 + ["s2"] * 2


CUT = "incomplete, as a killed run leaves its last line"
NEWER = "written by a newer program (schema pose/2, this one reads pose/1)"
KIND = "schema: got 'info/1', expected 'pose/1'"
LONG = b'{"a":"' + b"x" * 9 * 2**20 + b'"}\n'
OF_INFO = wire.encode(INFO, "json") + b"\n"
# The content of a file, how many messages are read, and how the line of the log begins; {x} is the path.
READ = {
    "the last line of a killed run": (LINE + lines(TWO)[:100], 1, "{x}:2: " + CUT + "; left out"),
    "a last line without its line break": (LINE + lines(TWO)[:-1], 2, ""),
    "a broken line": (LINE + b'{"schema": }\n' + lines(TWO), 2, "{x}:2: JSON is malformed: "),
    "several": (
        LINE + b"?\n" + lines(TWO) + b"{}\n!\n",
        2,
        "{x}:2: not a line of JSON; left out, as were 2 more lines",
    ),
    "a part that begins in a line": (LINE[50:] + lines(TWO, THREE), 2, "{x}:1: not a line of JSON; left out"),
    "a line of a newer program": (LINE + altered(b"pose/1", b"pose/2"), 1, "{x}:2: " + NEWER),
    "a message of another kind": (LINE + OF_INFO, 1, "{x}:2: " + KIND + "; left out"),
    "not a number": (LINE + altered(b'"media_s":0.0', b'"media_s":NaN'), 1, "{x}:2: JSON is malformed: "),
    "a number that is too large": (LINE + altered(b"10.5", b"1e999"), 1, "{x}:2: "),
    "a box with three numbers": (LINE + altered(b'"boxes":[[', b'"boxes":[[1.0,2.0,3.0],['), 1, "{x}:2: "),
    "a frame before the first": (LINE + altered(b'"frame":0', b'"frame":-7'), 1, "{x}:2: frame: got -7, "),
    "a message before the first": (
        LINE + altered(b'"seq":0', b'"seq":-1'),
        1,
        "{x}:2: seq: got -1, expected at least 0",
    ),
    "an id below 1": (
        LINE + altered(b'"track_ids":[1,2]', b'"track_ids":[2,0]'),
        1,
        "{x}:2: track_ids: got 0, expected",
    ),
    "a line that is too long": (LINE + LONG + lines(TWO), 2, "{x}:2: a line of more than 8 MB; left out"),
    "line breaks and a mark of Windows": (b"\xef\xbb\xbf" + LINE.replace(b"\n", b"\r\n") + lines(TWO), 2, ""),
    "empty lines": (b"\n" + LINE + b"\n\n" + lines(TWO) + b"\n", 2, ""),
    "keys of a later version": (LINE.replace(b"{", b'{"new":{"a":[]},', 1), 1, ""),
}


@pytest.mark.parametrize(("content", "count", "told"), READ.values(), ids=READ)
def test_all_that_can_be_read_is_read(
    content: bytes, count: int, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    recording = open_recording(path)
    assert len(list(recording.messages())) == len(list(recording.messages())) == count
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == bool(told)
    assert not told or said[0].startswith(told.format(x=path))


# The content of a file (None: there is no file), and how the error begins.
REFUSED = {
    "a missing file": (None, "{x}: can't be read: No such file or directory"),
    "an empty file": (b"", "{x}: empty: its run has not published anything"),
    "a killed run without a whole line": (LINE[:80], "{x}:1: " + CUT + "; expected a recording: a .jsonl or .parquet"),
    "a recording of a newer program": (altered(b"pose/1", b"pose/2") * 3, "{x}:1: " + NEWER),
    "a recording of infos": (
        OF_INFO * 3,
        "{x}:1: " + KIND + "; expected a recording: a .jsonl or .parquet file of --record",
    ),
    "JSON lines of another program": (b'{"t": 1}\n' * 50, "{x}:1: "),
    "a text": (b"a,b,c\n" * 50, "{x}:1: not a line of JSON"),
    "a binary file": (bytes(range(256)) * 99, "{x}:1: not a line of JSON"),
    "a binary file without lines": (b"\0" * 9 * 2**20, "{x}:1: a line of more than 8 MB"),
    "a packed recording": (b"\x1f\x8b\x08\0", "{x}: compressed, expected a .jsonl file: unpack it first"),
    "a part of a Parquet file": (b"PAR1....", "{x}: damaged or incomplete: "),
    "a file of Arrow": (b"ARROW1\0\0", "{x}: an Arrow file, expected a recording: a .jsonl or .parquet file"),
    "a stream of Arrow, cut off": (b"\xff\xff\xff\xff\x10\0\0\0", "{x}: incomplete, as a killed run leaves"),
}


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED)
def test_a_file_without_messages_is_refused_in_one_line(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        list(open_recording(path).messages())
    assert str(error.value).startswith(told.format(x=path))
    assert "\n" not in str(error.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder, expected a recording"):
        open_recording(tmp_path)


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "x.jsonl"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[lines(ONE, TWO)])
    writer.start()
    recording = open_recording(pipe)
    assert recording.is_stream
    assert list(recording.messages()) == [ONE, TWO]
    writer.join()
    assert recording.cameras == ["cam0"]


def test_a_recording_that_is_still_written_is_read_as_it_is_now(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", ONE)
    recording = open_recording(path)
    assert list(recording.messages()) == [ONE]
    record(path, ONE, TWO)
    assert list(recording.messages()) == [ONE, TWO]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    line = lines(pose(n=300, k=17))
    with path.open("wb") as file:
        for _ in range(120):  # 40 MB
            file.write(line)
    code = """if True:
        import resource, sys
        from pathlib import Path
        from realtime.recordings.reading import open_recording
        recording = open_recording(Path(sys.argv[1]))
        next(recording.messages())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert recording.cameras == ["cam0"]
        assert sum(1 for _ in recording.messages()) == 120
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        assert not {"torch", "cv2", "pydantic", "yaml"} & set(sys.modules)
    """
    got = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert path.stat().st_size > 30e6
    assert int(got.stdout) < 8 * 1024  # kB


def test_a_camera_without_a_line_that_can_be_read_is_none(tmp_path: Path) -> None:
    newer = lines(*of_camera(2, "gate")).replace(b"pose/1", b"pose/2")
    broken = lines(*of_camera(2, "yard")).replace(b'"measured":[true,true]', b'"measured":[]')
    path = record(tmp_path / "x.jsonl", ONE, rest=newer + broken)
    for camera in ("gate", "yard"):
        with pytest.raises(ConfigError, match=f"has no camera '{camera}', expected one of: cam0$"):
            open_recording(path).info(camera)
    assert "gate" not in open_recording(path).cameras


# ---- the info of cameras


def test_the_info_comes_from_the_companion(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", ONE)
    path.with_name("x.info.json").write_bytes(encode_infos([INFO]))
    assert open_recording(path).info("cam0") == INFO
    link = tmp_path / "elsewhere" / "latest.jsonl"
    link.parent.mkdir()
    link.symlink_to(path)
    assert open_recording(link).info("cam0") == INFO


def test_without_it_a_known_skeleton_is_known(tmp_path: Path) -> None:
    recording = open_recording(record(tmp_path / "x.jsonl", *of_camera(2, "a", k=0), *of_camera(1, "b", n=1, k=17)))
    for camera in recording.cameras:
        info = recording.info(camera)
        assert (info.camera, info.size, info.session) == (camera, (640, 480), "s1")
    assert tuple(recording.info("b").keypoint_names) == COCO17.keypoint_names
    assert tuple(recording.info("b").edges) == COCO17.edges
    assert recording.info("a").keypoint_names == []
    with pytest.raises(ConfigError, match="has no camera 'c', expected one of: a, b"):
        recording.info("c")


def test_without_it_the_keypoints_of_another_skeleton_have_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty, people = of_camera(1, n=0, skeleton="hand21"), of_camera(2, n=1, k=3, skeleton="hand21")
    recording = open_recording(record(tmp_path / "x.jsonl", *empty, *people))
    assert recording.info("cam0").keypoint_names == ["keypoint_0", "keypoint_1", "keypoint_2"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{recording.path}: cam0: the names of its keypoints are unknown, because x.info.json does not tell them"
    ]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"cam0": {"schema": "info/2"}}', b'{"cam0": 1}', b"\xff\xfe", b'{"a":' * 5000]
)
def test_a_broken_companion_is_left_out(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = record(tmp_path / "x.jsonl", *of_camera(1, n=1, k=17))
    path.with_name("x.info.json").write_bytes(content)
    assert tuple(open_recording(path).info("cam0").keypoint_names) == COCO17.keypoint_names
    assert [record.getMessage().partition(": left out: ")[0] for record in caplog.records] == [
        str(tmp_path / "x.info.json")
    ]
