"""Reading Parquet recordings: finished, left by a killed run, damaged, and with other libraries."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from realtime import wire
from realtime.errors import ConfigError
from realtime.recordings.parquet_writing import ParquetWriter, block, head
from realtime.recordings.reading import open_recording
from tests.recordings.recorded import lines, of_camera
from tests.wire.examples import pose

SENT = [
    *of_camera(3), *of_camera(2, camera="b", skeleton="none", k=0), *of_camera(1, session="s2", n=0),
    *of_camera(900, n=4, k=17),
]  # fmt: skip


def write(folder: Path, sent: list[wire.PoseMessage] = SENT, stem: str = "x") -> tuple[Path, Path]:
    people, frames = folder / f"{stem}.parquet", folder / f"{stem}.frames.parquet"
    with people.open("wb") as first, frames.open("wb") as second, ParquetWriter(first, second) as writer:
        writer.write(sent)
    return people, frames


def stream(*parts: list[wire.PoseMessage]) -> bytes:
    return head() + b"".join(map(block, parts))


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        list(open_recording(path).messages())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_both_formats_hold_the_same(tmp_path: Path) -> None:
    (tmp_path / "y.jsonl").write_bytes(lines(*SENT))
    of_lines = list(open_recording(tmp_path / "y.jsonl").messages())
    for path in write(tmp_path):
        recording = open_recording(path)
        assert list(recording.messages()) == list(recording.messages()) == of_lines
        assert open_recording(path).cameras == ["cam0", "b"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"frame": -7}, "frame: got -7, expected at least 0"),
        ({"seq": -1}, "seq: got -1, expected at least 0"),
        ({"track_ids": [1, 0]}, "track_ids: got 0, expected at least 1"),
    ],
)
def test_a_message_with_impossible_numbers_is_left_out(
    changes: dict[str, object], told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = msgspec.structs.replace(pose(), **changes)
    for path in write(tmp_path, [*SENT[:3], bad, bad, *SENT[3:6]]):
        assert list(open_recording(path).messages()) == SENT[:6]
        assert caplog.messages == [f"{path}: {told}; left out, as were 1 more messages"]
        caplog.clear()
    (tmp_path / "y.parquet.open").write_bytes(stream([bad], SENT[:3]))
    assert list(open_recording(tmp_path / "y.parquet").messages()) == SENT[:3]
    assert caplog.messages == [f"{tmp_path}/y.parquet.open: {told}; left out"]
    for path in write(tmp_path, [bad]):
        assert refusal(path) == f"{path}: {told}"


def test_it_takes_at_most_a_quarter_of_the_lines(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    places, sent = random.random((8, 17, 2)) * 700, []
    for message in of_camera(250, fps=25.0, n=8, k=17):
        places += random.normal(0, 1.5, places.shape)
        changes = {"keypoints": np.float32(places), "keypoint_scores": random.random((8, 17), np.float32)}
        sent.append(pose(8, 17, **changes, boxes=np.float32(places[:, :2].reshape(8, 4)), seq=message.seq))
    size = sum(path.stat().st_size for path in write(tmp_path, sent))
    assert 4 * size < len(lines(*sent))


def test_a_stream_is_read_up_to_its_last_whole_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, first, second = tmp_path / "x.parquet.open", SENT[:3], SENT[3:6]
    whole = len(stream(first))
    content = stream(first, second)
    for length in (whole, whole + 3, whole + 8, whole + 999, len(content) - 1):
        path.write_bytes(content[:length])
        caplog.clear()
        recording = open_recording(tmp_path / "x.parquet")  # which leads to the stream
        assert list(recording.messages()) == first
        assert recording.cameras == ["cam0"]
        assert [record.getMessage() for record in caplog.records] == [
            f"{path}: incomplete, as a killed run leaves its last second; the messages after that are left out"
        ] * (length > whole)
    path.write_bytes(content)
    assert list(open_recording(path).messages()) == first + second


def test_damage_ends_the_recording_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people, frames = tmp_path / "x.parquet", tmp_path / "x.frames.parquet"
    with people.open("wb") as first, frames.open("wb") as second, ParquetWriter(first, second) as writer:
        writer.write(SENT[:6])
        writer._flush()  # begins another row group
        writer.write(SENT[6:])
    begin = pq.ParquetFile(people).metadata.row_group(1).column(5).dictionary_page_offset
    content = bytearray(people.read_bytes())
    content[begin + 40 : begin + 80] = b"\xff" * 40
    people.write_bytes(content)
    assert list(open_recording(people).messages()) == SENT[:6]
    assert [record.getMessage() for record in caplog.records if "; the messages after that" in record.getMessage()]


def test_a_file_with_fewer_people_is_read_as_far_as_both_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people, _ = write(tmp_path)
    pq.write_table(pq.read_table(people).slice(0, 7), people)
    assert len(list(open_recording(people).messages())) == 3
    assert "has fewer people than x.frames.parquet says" in caplog.text


def test_a_file_with_more_people_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people, frames = write(tmp_path)
    pq.write_table(pq.read_table(frames).slice(0, 2), frames)
    assert list(open_recording(people).messages()) == SENT[:2]
    assert "has more people than x.frames.parquet says" in caplog.text


def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path) -> None:
    people, frames = write(tmp_path)
    content = people.read_bytes()
    people.write_bytes(content[:-100])
    assert refusal(people).startswith(f"{people}: damaged or incomplete: ")
    people.write_bytes(content)
    frames.unlink()
    assert refusal(people) == f"{people}: its other file, x.frames.parquet, is missing: a recording needs both"
    write(tmp_path)
    people.unlink()
    assert refusal(frames) == f"{frames}: its other file, x.parquet, is missing: a recording needs both"
    pq.write_table(pa.table({"a": [1]}), people)
    assert refusal(people) == f"{people}: has no column 'session', expected a file of --record"
    write(tmp_path, [])
    assert refusal(people) == f"{people}: empty: its run has not published anything"
    pq.write_table(pq.read_table(write(tmp_path)[0]).replace_schema_metadata({"realtime-pose": "pose/2"}), people)
    assert "written by a newer program (schema pose/2" in refusal(people)


def test_a_link_leads_to_both_files(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    write(tmp_path / "there")
    (tmp_path / "y.parquet").symlink_to(tmp_path / "there" / "x.parquet")
    assert len(list(open_recording(tmp_path / "y.parquet").messages())) == len(SENT)


def test_without_pyarrow_one_line_tells_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = write(tmp_path)
    monkeypatch.delitem(sys.modules, "realtime.recordings.parquet_reading")
    monkeypatch.delitem(sys.modules, "realtime.recordings.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pyarrow is not installed\): pip install 'realtime-pose\[record\]'$"):
        open_recording(path)


MEMORY = """
import sys
from pathlib import Path
from realtime.recordings.reading import open_recording
recording = open_recording(Path(sys.argv[1]))
count = sum(1 for _ in recording.messages())
print(count, Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
assert not {"torch", "cv2", "pydantic", "yaml"} & set(sys.modules)
"""


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    people, frames = tmp_path / "x.parquet", tmp_path / "x.frames.parquet"
    part = [pose(n=100, k=17, seq=seq) for seq in range(100)]
    with people.open("wb") as first, frames.open("wb") as second, ParquetWriter(first, second) as writer:
        for _ in range(24):
            writer.write(part)
    assert pq.ParquetFile(people).metadata.num_row_groups > 4
    told = subprocess.run([sys.executable, "-c", MEMORY, people], capture_output=True, text=True, check=True).stdout
    count, peak_kb = map(int, told.split())
    assert count == 2400
    assert peak_kb < 200 * 1024


def test_other_libraries_read_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    people, frames = map(os.fspath, write(tmp_path))
    wanted = [each for message in SENT for each in message.scores]
    assert pandas.read_parquet(people).score.tolist() == polars.read_parquet(people)["score"].to_list() == wanted
    table = pandas.read_parquet(people, filters=[("seq", "==", 899)])
    assert np.array_equal(np.stack(table.keypoints).reshape(len(table), -1, 3), SENT[-1].keypoints_array())
    assert polars.read_parquet(frames)["people"].sum() == len(wanted)
