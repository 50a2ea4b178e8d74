import time

import numpy as np
import pytest

from realtime.evaluate.__main__ import main
from realtime.evaluate.speed.cost import Costs, _seconds, _tables, crowd
from realtime.evaluate.speed.cpu_time import MODELS, PARTS
from realtime.runtime.core_budget import take_cores


def test_costs_are_fitted_by_a_line_and_the_deviation_is_reported() -> None:
    costs = Costs("cameras", {1: 15.0, 2: 25.0, 4: 45.0, 8: 85.0})
    assert costs.line() == pytest.approx((10, 5))
    assert costs.off() == pytest.approx(0)
    assert Costs("cameras", {1: 15.0, 2: 25.0, 4: 45.0, 8: 170.0}).off() > 0.1


@pytest.mark.parametrize("number", [1, 17, 64])
def test_each_box_of_a_crowd_lies_in_the_image_on_its_own_person(number: int) -> None:
    image, boxes = crowd(number)
    assert boxes.shape == (number, 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (1920, 1080)).all()
    assert all(image[int(y1) : int(y2), int(x1) : int(x2)].std() > 20 for x1, y1, x2, y2 in boxes)
    assert len(np.unique(boxes, axis=0)) == number


def test_the_share_of_time_outside_the_models_is_reported() -> None:
    spent = dict.fromkeys((part for part, *_ in PARTS), 1.0)
    rows, data, notes = _tables([], {}, spent, frames=10)
    assert len(rows) == len(spent)
    assert data["share"]["besides_the_models"] == pytest.approx(1 - len(MODELS) / len(spent))
    assert "of the CPU time" in notes[0]


def test_parallel_inferences_use_one_core_each_and_share_the_wall_time() -> None:
    counts: list[int] = []

    def call() -> None:
        with take_cores() as count:
            counts.append(count)
            time.sleep(0.02)

    together, apart = _seconds(call, 1, 4), _seconds(call, 4, 1)
    assert set(counts[:6]) == {4}  # 1 for warm-up and 5 measured
    assert counts[6:] == [1] * 24
    assert apart < together  # sleeping calls run in parallel on any number of cores
    rows, data, _ = _tables([], {0: (40.0, 30.0), 2: (100.0, 90.0)}, {}, frames=10)
    assert [row[2] for row in rows][::2] == [
        "1 image, one inference on all cores",
        "2 people, one inference on all cores",
    ]
    assert [row[-1] for row in rows] == pytest.approx([1, 0.75, 1, 0.9])
    assert data["calls"][2] == {"together_ms": 100.0, "apart_ms": 90.0}


def test_an_error_in_one_inference_ends_the_measurement() -> None:
    def call() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        _seconds(call, 3, 1)


def test_an_unknown_table_is_named_in_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "peple"]) == 2
    assert "cost: got 'peple', expected some of cameras, people, calls, share" in capsys.readouterr().err
