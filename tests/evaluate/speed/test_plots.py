from pathlib import Path

from realtime.evaluate.speed.plots import plot_costs


def test_the_plot_accepts_one_panel_per_table(tmp_path: Path) -> None:
    file = tmp_path / "plot.png"
    plot_costs(file, [("cameras", {1: 2.0, 2: 3.0}, 1.0, 1.0), ("people", {1: 2.0}, 1.0, 1.0)])
    assert file.stat().st_size > 0
