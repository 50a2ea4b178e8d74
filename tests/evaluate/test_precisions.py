import json

from realtime.evaluate.__main__ import main
from realtime.models import openvino, speeds


def test_the_table_shows_every_native_precision(monkeypatch, tmp_path, capsys):
    times = {"fp32": 6.0, "bf16": 4.0, "int8": 7.5}
    monkeypatch.setattr(openvino, "native_precisions", lambda: list(times))
    monkeypatch.setattr(
        speeds, "measure", lambda kind, precisions: {precision: times[precision] for precision in precisions}
    )
    file = tmp_path / "times.json"
    assert main(["precisions", "--json", str(file)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:9]]
    lines = [["fp32", "6.00", "1.00"], ["bf16", "4.00", "1.50"], ["int8", "7.50", "0.80"]]
    assert rows == [[kind, *line] for kind in ("transformer", "convolutions") for line in lines]
    assert json.loads(file.read_text())["times_ms"] == {"transformer": times, "convolutions": times}


def test_without_openvino_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    assert main(["precisions"]) == 2
    assert capsys.readouterr().err == "error: precisions: openvino is not installed: pip install openvino\n"
