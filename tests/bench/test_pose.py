"""That the benchmark runs; what it measures is no matter of a test."""

from __future__ import annotations

import logging

import pytest

from tests.bench import pose


@pytest.fixture(autouse=True)
def once(monkeypatch):
    monkeypatch.setattr(pose, "ROUNDS", 1)
    yield
    logging.disable(logging.NOTSET)


def test_the_benchmark_prints_a_table_of_ratios(capsys):
    pose.main(["decode"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 8 |")]
    assert len(lines) == 1
    assert float(lines[0].split("|")[-2]) < 1e-3  # heatmap pixels off Hugging Face's decoder


def test_a_bench_that_does_not_exist_is_named(capsys):
    with pytest.raises(SystemExit):
        pose.main(["decoed"])
    assert "no such bench: decoed" in capsys.readouterr().err
