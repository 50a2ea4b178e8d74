"""The recording of the whole program: a full disk, and kills. `make faults`, as root: it mounts a small file system."""

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.recordings.reading import open_recording

from .rig import Program

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for about 256 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def numbers_in(file: Path) -> list[int]:
    text = file.read_text()
    assert text.endswith("\n")
    return [json.loads(line)["seq"] for line in text.splitlines()]


def test_53_a_full_disk_does_not_disturb_the_stream(small_disk: Path, tmp_path: Path, figure) -> None:
    path, filler = small_disk / "x.jsonl", small_disk / "filler"
    filler.write_bytes(b"x" * 200_000)
    path.write_text("of an earlier run\n")

    def recording() -> dict[str, object]:
        return states[-1].body["recording"] if (states := program.states()) else {"lost": 0}

    with Program("--source", "demo", "--realtime", "--loop", "--record", str(path), folder=tmp_path) as program:
        program.until(lambda: recording()["lost"], what="a lost line")
        full_s = program.states()[-1].at_s
        assert recording()["error"] == "No space left on device"
        program.run_for(5)
        figure("53", "full disk: rate of the stream", program.fps(since_s=full_s), "fps", at_least=20)
        program.until_logged("the run continues")
        filler.unlink()
        program.until_logged("can be written again")
        program.until(lambda: recording()["error"] is None, what="a status without an error")
        code, took_s = program.end()
        figure("53", "full disk: program exits after", took_s, "s", at_most=3)
    assert code == 0, program.log
    assert sum("the run continues" in line for line in program.log) <= 2  # the room is used up again
    numbers = numbers_in(path)
    assert numbers == sorted(numbers)
    [earlier] = small_disk.glob("x-*.jsonl")
    assert earlier.read_text() == "of an earlier run\n"
    [lost_line] = [line for line in program.log if "lines were lost" in line]
    lost, offered = (int(word) for word in lost_line.split() if word.isdecimal())
    assert len(numbers) == offered - lost


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl"])
def test_55_a_killed_recording_is_read_up_to_its_last_second(name: str, tmp_path: Path, figure) -> None:
    path, missing_s = tmp_path / name, []
    counts: list[int] = []
    for _ in range(10):
        with Program("--source", "demo", "--realtime", "--loop", "--record", str(path), folder=tmp_path) as program:
            program.until_pose()
            program.run_for(random.uniform(0.5, 4.0))
            program.process.kill()
            killed_s = time.time()
        messages = list(open_recording(path).messages())  # of x.parquet.open
        assert [message.seq for message in messages] == list(range(len(messages)))
        missing_s.append(killed_s - messages[-1].published_ns / 1e9)
        counts.append(len(messages))
    figure(
        "55",
        f"killed recording, {path.suffix}: its last message is older than the kill by",
        max(missing_s),
        "s",
        at_most=1.1,
    )
    files = sorted(file for file in tmp_path.glob(f"x-*{path.suffix}") if ".frames" not in file.name)
    assert [len(list(open_recording(file).messages())) for file in files] == counts[:-1]
