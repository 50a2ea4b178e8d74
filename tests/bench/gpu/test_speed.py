from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from realtime.runtime.lane import Lane
from tests.bench.gpu import rates, speed, steps
from tests.bench.gpu.cells import PEOPLE, Cell, cells
from tests.bench.gpu.record import Record, read
from tests.bench.gpu.stand_ins import InstantNet, InstantPose
from tests.bench.gpu.steps import Job

# On a GPU: seconds to load a model, beside what depends on its size, and to start and stop a pipeline.
LOAD_S, START_S = 2.0, 0.3


class Clock:
    """Takes the place of the module time in tests.bench.gpu.steps."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(steps, "time", clock)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    return clock


def job(folder: Path, device: str = "cuda:0", ends_s: float = 147.0) -> Job:
    return Job(device, device == "cpu", Record(folder / "gpu.json", "speed"), ends_s, folder, folder)


def part(folder: Path) -> dict[str, Any]:
    return read(folder / "gpu.json")["steps"]["speed"]


def work_of(clock: Clock, monkeypatch: pytest.MonkeyPatch, fails: Callable[[Cell], bool] = lambda cell: False) -> None:
    """Let every entry take the time that was estimated for it, without work."""

    def cell(bench: Any, cell: Cell) -> None:
        bench._start_s = START_S
        clock.now_s += bench.cell_s(cell)
        bench._loaded, bench._load_s = (cell.size, cell.precision), LOAD_S
        if fails(cell):
            raise RuntimeError("CUDA error: out of memory")
        bench._job.record.put(cell.name, fps=1.0)

    def other(bench: Any, *scene: object) -> None:
        clock.now_s += 3.0

    monkeypatch.setattr(speed._Bench, "cell", cell)
    for name in ("host", "picture", "rates", "detector_batches"):
        monkeypatch.setattr(speed._Bench, name, other)


def test_the_table_has_every_model_in_both_precisions_for_every_number_of_people() -> None:
    plain = [cell for cell in cells(is_short=False, is_cuda=True) if cell.is_plain]
    expected = {(size, precision, n) for size in "SBLH" for precision in ("fp16", "bf16") for n in (1, 8, 32, 64)}
    assert {(cell.size, cell.precision, cell.people) for cell in plain} == expected
    assert len(plain) == len(expected)


def test_the_most_telling_entries_come_first_and_large_models_last() -> None:
    order = cells(is_short=False, is_cuda=True)
    assert order[:2] == [Cell("S", "fp16", 8), Cell("S", "fp16", 8, live=True)]
    models = [model for model, _ in groupby((cell.size, cell.precision) for cell in order)]
    small = [("S", "fp16"), ("B", "fp16"), ("S", "bf16"), ("B", "bf16")]
    assert models == [*small, ("L", "fp16"), ("H", "fp16"), ("L", "bf16"), ("H", "bf16")]  # each is loaded once
    for _, alike in groupby((cell for cell in order if cell.is_plain), lambda cell: cell[:2]):
        assert tuple(cell.people for cell in alike) == PEOPLE


def test_graphs_and_streams_are_switched_off_one_by_one_and_together() -> None:
    order = cells(is_short=False, is_cuda=True)
    for size in "SB":
        switched = [cell for cell in order if cell.size == size and not (cell.graphs and cell.streams)]
        assert [(cell.graphs, cell.streams) for cell in switched] == [(False, True), (True, False), (False, False)]
        assert {(cell.precision, cell.people, cell.cameras) for cell in switched} == {("fp16", 8, 1)}


def test_names_differ() -> None:
    for is_short, is_cuda in ((False, True), (True, True), (True, False)):
        names = [cell.name for cell in cells(is_short, is_cuda)]
        assert len(set(names)) == len(names)


def test_what_does_not_fit_is_left_out_by_name(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    work_of(clock, monkeypatch)
    speed.run(job(tmp_path))
    done, names = part(tmp_path), [cell.name for cell in cells(is_short=False, is_cuda=True)]
    assert clock.now_s <= 147
    entries, left_out = list(done["entries"]), [text.partition(": ")[0] for text in done["left_out"]]
    assert entries + left_out == names  # neither is lost, and nothing is left out for the sake of a later one
    assert len(entries) >= 30
    assert "ViTPose-H bf16, 8 people, 1 camera" in left_out
    assert "needs about" in done["left_out"][0]


def test_a_shorter_entry_is_done_if_a_longer_one_does_not_fit(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_of(clock, monkeypatch)
    order = [Cell("S", "fp16", 8), Cell("H", "fp16", 8), Cell("S", "fp16", 1)]
    monkeypatch.setattr(speed, "cells", lambda *_: order)
    speed.run(job(tmp_path, ends_s=34.0))
    assert list(part(tmp_path)["entries"]) == [order[0].name, order[2].name]


def test_on_a_cpu_graphs_and_streams_are_left_out(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_of(clock, monkeypatch)
    speed.run(job(tmp_path, "cpu"))
    left_out = part(tmp_path)["left_out"]
    assert [text.partition(": ")[2] for text in left_out] == ["needs CUDA"] * 3


def test_a_failed_entry_is_a_failure_and_the_next_one_is_tried(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_of(clock, monkeypatch, fails=lambda cell: not cell.streams)
    speed.run(job(tmp_path))
    assert part(tmp_path)["failures"][0] == (
        "ViTPose-S fp16, 8 people, 1 camera, one stream: RuntimeError: CUDA error: out of memory"
    )
    assert len(part(tmp_path)["failures"]) == 4
    assert len(part(tmp_path)["entries"]) > 20


def test_a_lost_device_is_given_up(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    work_of(clock, monkeypatch, fails=lambda cell: True)
    speed.run(job(tmp_path))
    done = part(tmp_path)
    assert len(done["failures"]) == 5
    assert done["left_out"][0].endswith("5 entries in a row failed")
    assert len(done["failures"]) + len(done["left_out"]) == len(cells(is_short=False, is_cuda=True))


@pytest.mark.parametrize("is_new", [False, True])
def test_a_known_frame_stays_the_same_and_a_new_one_does_not(is_new: bool) -> None:
    images: list[np.ndarray] = []

    def estimate(frames: Any, boxes: Any) -> None:
        assert not frames[0].flags.writeable  # or it would be sent again
        assert boxes[0].shape == (3, 4)
        images.extend(frames)

    assert len(speed.call_ms(estimate, 3, 0.0, is_new)) == len(images) - 1 == 3
    assert len({id(image) for image in images}) == (len(images) if is_new else 1)


def test_the_stand_ins_return_what_the_stages_expect() -> None:
    net = InstantNet(Lane(torch.device("cpu")))
    for images in np.zeros((2, 32, 32, 3), np.uint8), torch.zeros(2, 32, 32, 3, dtype=torch.uint8):
        assert [[each.shape for each in found] for found in net.predict(images, 0.1, 0.7)] == [
            [(0, 4), (0,), (0, 0, 3), (0,)]
        ] * 2
    box = np.array([[10, 20, 30, 60]], np.float32)
    assert InstantPose().estimate([np.zeros((99, 99, 3), np.uint8)], [box])[0][0, 0].tolist() == [
        20,
        40,
        pytest.approx(0.9),
    ]


def test_rates_are_measured() -> None:
    cpu = torch.device("cpu")
    assert rates.product_flops_per_s(cpu, "fp32", 64) > 0
    assert rates.copy_bytes_per_s(cpu, 2**16) > 0
    assert set(rates.picture_ms(cpu)) == {"convert_ms", "copy_ms"}
