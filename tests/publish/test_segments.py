"""Segments: when one ends, and which of the older ones are deleted."""

import os
from pathlib import Path

import pytest

from realtime.publish.segments import Segments

MB = 10**6


@pytest.mark.parametrize(
    ("segment_s", "keep_gb", "now_s", "size", "is_over"),
    [
        (None, None, 1e9, 10**12, False),  # no segments
        (60.0, None, 59.9, 1, False),
        (60.0, None, 60.0, 1, True),
        (60.0, None, 99.0, 0, False),  # nothing was written
        (None, 1.0, 1e9, 99 * MB, False),
        (None, 1.0, 0.0, 100 * MB, True),  # a tenth of the limit
        (60.0, 1.0, 0.0, 100 * MB, True),
    ],
)
def test_a_segment_ends_with_its_time_or_a_tenth_of_the_room(
    segment_s: float | None, keep_gb: float | None, now_s: float, size: int, is_over: bool
) -> None:
    segments = Segments(segment_s, keep_gb)
    segments.begin(now_s=0.0)
    assert segments.is_over(now_s, size) is is_over
    assert segments.is_on is (segment_s is not None or keep_gb is not None)


DAY = "20261128T1345"


def test_the_oldest_go_first_with_their_companions_and_no_other_file_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = {
        f"x-{DAY}00Z.jsonl": 300, f"x-{DAY}00Z.info.json": 10, f"x-{DAY}00Z-2.jsonl": 300, f"x-{DAY}00Z-10.jsonl": 300,
        f"x-{DAY}01Z.jsonl": 300, "x.jsonl": 9000, "x.info.json": 10,
    }  # fmt: skip
    others = {
        f"y-{DAY}00Z.jsonl": 9000, f"x-{DAY}.jsonl": 9000, f"x-{DAY}00Z.mp4": 9000, "x-best.jsonl": 9000,
        f"x-{DAY}03Z.parquet": 9000, f"my-x-{DAY}00Z.jsonl": 9000,
    }  # fmt: skip
    for name, size in (ours | others).items():
        (tmp_path / name).write_bytes(b"-" * size)
    (tmp_path / f"x-{DAY}02Z.jsonl").symlink_to(tmp_path / "x-best.jsonl")
    with caplog.at_level("INFO"):
        Segments(None, keep_gb=800 / 1e9).drop_oldest(tmp_path / "x.jsonl")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        f"x-{DAY}00Z-10.jsonl", f"x-{DAY}01Z.jsonl", f"x-{DAY}02Z.jsonl", "x.jsonl", "x.info.json", *others,
    }  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == [
        f"record: deleted x-{DAY}00Z{number}, because of recording.keep_gb" for number in ("", "-2")
    ]


def test_all_files_of_a_parquet_segment_go_together_also_unfinished_ones(tmp_path: Path) -> None:
    for second in range(4):
        for ending in (".parquet.open",) if second == 0 else (".parquet", ".frames.parquet", ".info.json"):
            (tmp_path / f"x-{DAY}0{second}Z{ending}").write_bytes(b"-" * 100)
    Segments(None, keep_gb=500 / 1e9).drop_oldest(tmp_path / "x.parquet.open")
    assert {path.name[:18] for path in tmp_path.iterdir()} == {f"x-{DAY}03Z"}


@pytest.mark.parametrize(
    ("current", "others"),
    [
        ("x.jsonl", [".parquet", ".frames.parquet", ".info.json"]),
        ("x.jsonl", [".parquet.open", ".info.json"]),  # of a killed run
        ("x.parquet.open", [".jsonl", ".info.json"]),
        ("x.jsonl", [".info.json"]),  # its recording was moved
    ],
)
def test_recordings_of_the_other_format_keep_their_companions(current: str, others: list[str], tmp_path: Path) -> None:
    others = [f"x-{DAY}00Z{ending}" for ending in others]
    # The first one was converted, and the output has the same companion.
    own = current[1:]
    kept = [*others, f"x-{DAY}01Z{'.jsonl' if 'parquet' in own else '.parquet'}", f"x-{DAY}01Z.info.json"]
    for name in (*kept, f"x-{DAY}01Z{own}", f"x-{DAY}02Z{own}", f"x-{DAY}02Z.info.json"):
        (tmp_path / name).write_bytes(b"-" * 100)
    Segments(None, keep_gb=1 / 1e9).drop_oldest(tmp_path / current)
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


def test_without_a_limit_all_stay(tmp_path: Path) -> None:
    (tmp_path / f"x-{DAY}00Z.jsonl").write_bytes(b"-" * 999)
    Segments(60.0, None).drop_oldest(tmp_path / "x.jsonl")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_cannot_be_deleted_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path) -> None:
        raise OSError(13, os.strerror(13))

    (tmp_path / f"x-{DAY}00Z.jsonl").write_bytes(b"-" * 999)
    monkeypatch.setattr(Path, "unlink", refuse)
    segments = Segments(None, keep_gb=100 / 1e9)
    for _ in range(2):
        segments.drop_oldest(tmp_path / "x.jsonl")
    assert [record.getMessage() for record in caplog.records] == [
        f"record: can't delete older files of {tmp_path / 'x.jsonl'}: Permission denied"
    ]
