"""The command as users run it: its errors, its cameras, and the memory it needs."""

import importlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from realtime.recordings.convert import command
from realtime.recordings.convert.command import FORMATS, main
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.reading import open_recording
from tests.recordings.convert.recordings import convert, error_of, people, recorded

# The arguments after the recording and the output, and the error.
WRONG = [
    (
        ["--to", "bvh"],
        "argument --to: got 'bvh', expected one of: coco, mot, csv, openpose, jsonl, parquet, rerun, mcap, video",
    ),
    (["--tow", "csv"], "the following arguments are required: --to"),
    (["--to", "csv", "--from", "1"], "unrecognized arguments: --from 1"),
    (["--to", "video"], "--to video: expected --video CLIP, the video that was recorded from"),
    (["--to", "csv", "--video", "x.mp4"], "--video: got it with --to csv, expected it with --to video only"),
    (["--to", "csv", "--camera", "gate"], "x.jsonl: has no camera 'gate', expected one of: cam0, yard"),
    (["--to", "coco"], "x.jsonl: has several cameras (cam0, yard), and this format holds one: choose it with --camera"),
    (["--to", "mot"], "x.jsonl: has several cameras (cam0, yard)"),
    (["--to", "video", "--video", "demo"], "x.jsonl: has several cameras (cam0, yard)"),
]


@pytest.mark.parametrize(("words", "told"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_a_mistake_is_one_line_and_exit_2(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The demo is 1280x720.
    path = recorded(tmp_path / "x.jsonl", people(0, size=(1280, 720)), people(0, camera="yard"))
    try:
        code = main([str(path), "--out", str(tmp_path / "out"), *words])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert told in error_of(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"", b"text\n"])
def test_a_recording_that_cannot_be_read_is_one_too(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    convert(path, "csv", tmp_path / "x.csv", code=2)
    assert error_of(capsys).startswith(str(path))
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("to", ["coco", "mot"])
def test_a_camera_is_chosen(to: str, tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0), people(0, 1, camera="yard"))
    words = ["--camera", "yard"]
    alone = recorded(tmp_path / "yard.jsonl", people(0, 1, camera="yard"))
    out, expected = convert(path, to, tmp_path / "a", *words), convert(alone, to, tmp_path / "b")
    assert out.read_bytes() == expected.read_bytes()


def test_a_library_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0))
    for library, to in (("mcap", "mcap"), ("rerun", "rerun")):
        monkeypatch.delitem(sys.modules, f"realtime.recordings.convert.{to}", raising=False)
        monkeypatch.setitem(sys.modules, f"{library}.writer", None)
        monkeypatch.setitem(sys.modules, library, None)
        convert(path, to, tmp_path / "out", code=2)
        assert error_of(capsys) == f"{library} is not installed: pip install 'realtime-pose[convert]'"
        monkeypatch.undo()


def test_the_help_lists_the_formats(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {word} " in shown for word in FORMATS)


def test_the_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", *(people(frame, 2, "wholebody133") for frame in range(400)))
    assert path.stat().st_size > 5_500_000
    for to in ("coco", "mot", "csv", "jsonl"):
        conversion = Conversion(open_recording(path))
        writer = importlib.import_module(f"realtime.recordings.convert.{FORMATS[to].module}")
        tracemalloc.start()
        writer.write(conversion, tmp_path / to)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The buffers of the recording and of the file have 1 MB each.
        assert peak < 3_000_000, to


def test_no_model_is_imported(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0))
    code = (
        "import sys; from realtime.convert import main\n"
        f"code = main([{str(path)!r}, '--to', 'csv', '--out', {str(tmp_path / 'x.csv')!r}])\n"
        "assert not {'torch', 'cv2', 'av', 'pydantic'} & set(sys.modules); sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_format_has_a_module() -> None:
    folder = Path(command.__file__).parent
    assert all((folder / f"{each.module}.py").exists() for each in FORMATS.values())
