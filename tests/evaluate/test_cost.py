import time
from pathlib import Path

import numpy as np
import pytest

from realtime.evaluate.__main__ import main
from realtime.evaluate.cost import Costs, _seconds, _tables, crowd
from realtime.evaluate.cpu_time import MODELS, PARTS
from realtime.evaluate.plots import plot_costs
from realtime.runtime.share import cores


def test_a_straight_line_is_found_and_what_is_off_it() -> None:
    costs = Costs("cameras", {1: 15.0, 2: 25.0, 4: 45.0, 8: 85.0})
    assert costs.line() == pytest.approx((10, 5))
    assert costs.off() == pytest.approx(0)
    assert Costs("cameras", {1: 15.0, 2: 25.0, 4: 45.0, 8: 170.0}).off() > 0.1


@pytest.mark.parametrize("number", [1, 17, 64])
def test_a_crowd_s_boxes_lie_in_its_picture_each_on_a_person(number: int) -> None:
    image, boxes = crowd(number)
    assert boxes.shape == (number, 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (1920, 1080)).all()
    assert all(image[int(y1) : int(y2), int(x1) : int(x2)].std() > 20 for x1, y1, x2, y2 in boxes)
    assert len(np.unique(boxes, axis=0)) == number


def test_the_share_of_what_is_no_model_is_told() -> None:
    spent = dict.fromkeys((part for part, *_ in PARTS), 1.0)
    rows, data, notes = _tables([], {}, spent, frames=10)
    assert len(rows) == len(spent)
    assert data["share"]["besides_the_models"] == pytest.approx(1 - len(MODELS) / len(spent))
    assert "of the CPU time" in notes[0]


def test_calls_side_by_side_have_a_core_each_and_count_together() -> None:
    counts: list[int] = []

    def call() -> None:
        with cores() as count:
            counts.append(count)
            time.sleep(0.02)

    together, apart = _seconds(call, 1, 4), _seconds(call, 4, 1)
    assert set(counts[:6]) == {4}  # one to warm up, five
    assert counts[6:] == [1] * 24
    assert apart < together  # who sleeps needs no core
    rows, data, _ = _tables([], {0: (40.0, 30.0), 2: (100.0, 90.0)}, {}, frames=10)
    assert [row[2] for row in rows][::2] == ["a picture, all cores on one", "2 people, all cores on one"]
    assert [row[-1] for row in rows] == pytest.approx([1, 0.75, 1, 0.9])
    assert data["calls"][2] == {"together_ms": 100.0, "apart_ms": 90.0}


def test_a_call_that_fails_fails_the_table() -> None:
    def call() -> None:
        raise RuntimeError("no more light")

    with pytest.raises(RuntimeError, match="no more light"):
        _seconds(call, 3, 1)


def test_the_picture_has_a_panel_a_table(tmp_path: Path) -> None:
    file = tmp_path / "plot.png"
    plot_costs(file, [("cameras", {1: 2.0, 2: 3.0}, 1.0, 1.0), ("people", {1: 2.0}, 1.0, 1.0)])
    assert file.stat().st_size > 0


def test_an_unknown_table_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "peple"]) == 2
    assert "cost: got 'peple', expected some of cameras, people, calls, share" in capsys.readouterr().err
