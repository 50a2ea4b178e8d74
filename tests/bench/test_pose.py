"""Check that the benchmark runs, not what it measures."""

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
    assert float(lines[0].split("|")[-2]) < 1e-3  # largest difference to Hugging Face's decoder, heatmap pixels


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        pose.main(["decoed"])
    assert "no such benchmark: decoed" in capsys.readouterr().err
