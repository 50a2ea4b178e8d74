"""MOTChallenge results, read and scored by realtime.evaluate."""

from pathlib import Path

import numpy as np
import pytest

from realtime.evaluate.__main__ import main as evaluate
from realtime.evaluate.tracking.mot import ID, SCORE, XYWH, read_rows
from tests.recordings.convert.recordings import BOXES, NEAR, convert, people, recorded


def test_evaluate_reads_the_boxes_of_each_frame(tmp_path: Path) -> None:
    messages = [people(frame, n, "none") for frame, n in ((0, 2), (1, 0), (4, 1))]
    rows = read_rows(convert(recorded(tmp_path / "x.jsonl", *messages), "mot", tmp_path / "x.txt"))
    assert list(rows) == [1, 5]
    assert rows[1][:, ID].tolist() == [1, 2]
    np.testing.assert_allclose(rows[1][:, XYWH], np.hstack([BOXES[:, :2], BOXES[:, 2:] - BOXES[:, :2]]), atol=NEAR)
    np.testing.assert_allclose(rows[1][:, SCORE], messages[0].scores, atol=NEAR)


def test_evaluate_scores_the_result_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "walk" / "gt").mkdir(parents=True)
    truth = [f"{frame},{i + 1},{x1},{y1},{x2 - x1},{y2 - y1},1,1,1" for frame in range(1, 6)
             for i, (x1, y1, x2, y2) in enumerate(BOXES.tolist())]  # fmt: skip
    (tmp_path / "walk" / "gt" / "gt.txt").write_text("\n".join(truth))
    (tmp_path / "walk" / "seqinfo.ini").write_text("[Sequence]\nframeRate=10\nseqLength=5\n")
    (tmp_path / "results").mkdir()
    convert(recorded(tmp_path / "x.jsonl", *map(people, range(5))), "mot", tmp_path / "results" / "walk.txt")
    assert evaluate(["tracking", str(tmp_path / "walk"), "--results", str(tmp_path / "results")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "100.0" in line)
    assert line.split().count("100.00") == 5  # HOTA, DetA, AssA, MOTA, IDF1


def test_ids_and_frames_of_two_runs_are_unique(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    messages = [people(0), people(3), people(0, session="s2"), people(1, session="s2")]
    rows = read_rows(convert(recorded(tmp_path / "x.jsonl", *messages), "mot", tmp_path / "x.txt"))
    assert {frame: row[:, ID].tolist() for frame, row in rows.items()} == {1: [1, 2], 4: [1, 2], 5: [3, 4], 6: [3, 4]}
    assert "cam0: its frames begin again (another run): numbered from 4 on, with track ids from 3 on" in caplog.text
