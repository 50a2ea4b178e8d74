"""Parquet and JSON lines into each other."""

import fcntl
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from realtime.recordings.info import info_path, read_infos
from realtime.recordings.reading import open_recording
from tests.recordings.convert.recordings import convert, error_of, people, recorded


def test_messages_and_infos_survive_the_way_there_and_back(tmp_path: Path) -> None:
    messages = [*map(people, range(3)), people(0, 1, "mpii16", camera="yard"), people(4, 0), people(0, session="s2")]
    path = recorded(tmp_path / "x.jsonl", *messages)
    out = convert(path, "parquet", tmp_path / "y.parquet")
    assert (pq.read_table(out).num_rows, pq.read_table(tmp_path / "y.frames.parquet").num_rows) == (9, 6)
    back = convert(out, "jsonl", tmp_path / "z.jsonl")
    assert back.read_bytes() == path.read_bytes()
    assert read_infos(info_path(back)) == read_infos(info_path(path))


def test_beside_the_recording_the_companion_is_shared(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0), people(0, camera="yard"))
    before = info_path(path).read_bytes()
    for _ in range(2):  # the second time, the earlier files are renamed
        convert(path, "parquet", tmp_path / "x.parquet", "--camera", "yard")
        assert info_path(path).read_bytes() == before
    assert [message.camera for message in open_recording(tmp_path / "x.parquet").messages()] == ["yard"]
    earlier = [path for path in tmp_path.iterdir() if "Z" in path.name]
    assert sorted(path.name.partition(".")[2] for path in earlier) == ["frames.parquet", "parquet"]


def test_a_recording_that_a_run_writes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = recorded(tmp_path / "y.jsonl", people(0)), tmp_path / "x.parquet"
    with (tmp_path / "x.parquet.open").open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        convert(path, "parquet", out, code=2)
        assert error_of(capsys) == f"{out}: a run writes it: choose another file, or end that run"
        assert not out.exists()
    convert(path, "parquet", out)  # the run was killed


@pytest.mark.parametrize(("given", "out"), [
    ("x.parquet", "x.frames.parquet"),
    ("x.parquet", "x.parquet"),
    ("x.frames.parquet", "x.parquet"),
    ("x.parquet", "x.info.json"),
    ("link", "x.frames.parquet"),
])  # fmt: skip
def test_no_file_of_the_recording_is_replaced(
    given: str, out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(recorded(tmp_path / "y.jsonl", people(0)), "parquet", tmp_path / "x.parquet")
    (tmp_path / "link").symlink_to("x.parquet")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    convert(tmp_path / given, "csv", tmp_path / out, code=2)
    assert error_of(capsys) == f"--out: {tmp_path / out} is read by this conversion: choose another file"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_stream_of_a_recording_is_not_replaced_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(recorded(tmp_path / "y.jsonl", people(0)), "parquet", tmp_path / "x.parquet")
    (tmp_path / "x.parquet.open").write_bytes(b"of a killed run")
    convert(tmp_path / "x.parquet", "csv", tmp_path / "x.parquet.open", code=2)
    assert "is read by this conversion" in error_of(capsys)


def test_a_companion_that_another_recording_needs_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0))
    convert(path, "parquet", tmp_path / "x.parquet")
    before = {file.name for file in tmp_path.iterdir()}
    (tmp_path / "y").mkdir()
    other = recorded(tmp_path / "y" / "y.jsonl", people(0, skeleton="mpii16"))
    convert(other, "jsonl", path, code=2)
    assert "x.info.json beside it describes another recording" in error_of(capsys)
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == before


@pytest.mark.parametrize("name", ["x", "x.frames.parquet"])
def test_a_name_that_has_no_other_file_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(recorded(tmp_path / "y.jsonl", people(0)), "parquet", tmp_path / name, code=2)
    assert "expected a name that ends in .parquet" in error_of(capsys)
