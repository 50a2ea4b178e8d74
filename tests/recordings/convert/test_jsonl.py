"""JSON lines: the same messages, with their companion."""

from pathlib import Path

import pytest

from realtime.recordings.info import info_path, read_infos
from realtime.recordings.reading import open_recording
from tests.recordings.convert.recordings import convert, described, error_of, people, recorded


def test_messages_and_infos_are_those_of_the_recording(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", *map(people, range(3)), people(0, 1, "mpii16", camera="yard"))
    out = convert(path, "jsonl", tmp_path / "y.jsonl")
    assert out.read_bytes() == path.read_bytes()
    assert read_infos(info_path(out)) == read_infos(info_path(path))


def test_one_camera_is_taken_out_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0), people(0, camera="yard"))
    path.write_bytes(path.read_bytes() + b'{"schema":"po')
    out = convert(path, "jsonl", tmp_path / "yard.jsonl", "--camera", "yard")
    assert list(open_recording(out).messages()) == [people(0, camera="yard")]
    assert list(read_infos(info_path(out))) == ["yard"]


def test_a_companion_that_fits_is_shared_and_another_one_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0))
    shared = info_path(path)
    path = path.rename(tmp_path / "x.recording")
    before = shared.stat().st_ino
    out = convert(path, "jsonl", tmp_path / "x.jsonl")
    assert (out.stat().st_size > 0, shared.stat().st_ino) == (True, before)
    recorded(tmp_path / "z.jsonl", people(0, 1, "mpii16")).unlink()
    capsys.readouterr()
    convert(path, "jsonl", tmp_path / "z.jsonl", code=2)
    assert "z.info.json beside it describes another recording: choose another name" in error_of(capsys)
    assert read_infos(tmp_path / "z.info.json") == {"cam0": described("mpii16")}
