"""Parquet and JSON lines into each other."""

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


@pytest.mark.parametrize("name", ["x", "x.frames.parquet"])
def test_a_name_that_has_no_other_file_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(recorded(tmp_path / "y.jsonl", people(0)), "parquet", tmp_path / name, code=2)
    assert "expected a name that ends in .parquet" in error_of(capsys)
