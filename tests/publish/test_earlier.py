"""The names of earlier recordings."""

import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.publish.earlier import set_aside, stamp

WRITTEN_S = 1795873500.0  # 2026-11-28 13:45:00 UTC
STEM = "x-20261128T134500Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.jsonl"
    path.write_text("earlier")
    return path


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_it_is_named_by_the_utc_time_of_its_last_write(path: Path) -> None:
    assert set_aside(path, WRITTEN_S) == path.with_name(f"{STEM}.jsonl")
    assert names(path) == [f"{STEM}.jsonl"]


def test_a_name_that_is_taken_gets_a_number_and_nothing_is_overwritten(path: Path) -> None:
    path.with_name(f"{STEM}.jsonl").write_text("a")
    path.with_name(f"{STEM}-2.jsonl").symlink_to("nowhere")
    path.with_name(f"{STEM}-3.jsonl").mkdir()
    assert set_aside(path, WRITTEN_S).name == f"{STEM}-4.jsonl"
    assert path.with_name(f"{STEM}.jsonl").read_text() == "a"
    assert path.with_name(f"{STEM}-4.jsonl").read_text() == "earlier"


def test_companions_go_along_under_the_same_stem(path: Path) -> None:
    path.with_name("x.info.json").write_text("info")
    path.with_name(f"{STEM}.info.json").write_text("of another recording")
    set_aside(path, WRITTEN_S)
    assert names(path) == [f"{STEM}-2.info.json", f"{STEM}-2.jsonl", f"{STEM}.info.json"]
    assert path.with_name(f"{STEM}-2.info.json").read_text() == "info"
    assert path.with_name(f"{STEM}.info.json").read_text() == "of another recording"


def test_a_recording_that_cannot_be_renamed_keeps_its_name_and_leaves_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(self: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", busy)
    with pytest.raises(OSError, match="busy"):
        set_aside(path, WRITTEN_S)
    assert names(path) == ["x.jsonl"]


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_any_time_makes_a_name(written_s: float) -> None:
    assert re.fullmatch(r"\d{8}T\d{6}Z", stamp(written_s))


@settings(deadline=None, max_examples=50)
@given(
    stem=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
    times=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    has_companion=st.booleans(),
)
def test_no_recording_is_ever_lost(
    tmp_path_factory: pytest.TempPathFactory, stem: str, times: list[int], has_companion: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = folder / f"a{stem}.jsonl"
    for number, second in enumerate(times):
        path.write_text(str(number))
        if has_companion:
            path.with_name(path.stem + ".info.json").write_text(f"of {number}")
        new = set_aside(path, WRITTEN_S + second)
        assert new.read_text() == str(number)
        if has_companion:
            assert new.with_name(new.stem + ".info.json").read_text() == f"of {number}"
    kept = sorted(file.read_text() for file in folder.glob("*.jsonl"))
    assert kept == sorted(str(number) for number in range(len(times)))
