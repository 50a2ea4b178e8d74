from pathlib import Path

import numpy as np

from realtime.evaluate.tracking.inputs import given_detections
from realtime.evaluate.tracking.mot import open_sequence
from realtime.evaluate.tracking.occlusion import Occlusions
from tests.evaluate.tracking.sequences import BOX, line, standing


def test_only_the_detections_of_hidden_people_are_withheld(tmp_path: Path) -> None:
    sequence = open_sequence(standing(tmp_path))
    beside = "".join(line(n, -1, (300.0, 50.0, 40.0, 100.0), 0.8) for n in sequence.frames)
    file = sequence.folder / "det" / "det.txt"
    file.write_text(file.read_text() + beside)
    occlusions = Occlusions(sequence, 3.0, seed=1)
    left = [len(item) for item in occlusions.withheld(given_detections(sequence, file, list(sequence.frames)))]
    assert set(left) == {1, 2}
    assert left.count(1) == 30 * len(occlusions) > 0
    assert left[:20] == left[-20:] == [2] * 20


def test_an_id_that_another_person_had_before_counts_as_taken(tmp_path: Path) -> None:
    sequence = open_sequence(standing(tmp_path, 12))
    tracks = {n: (np.array([7, 8]), np.array([BOX, (300.0, 50.0, 40.0, 100.0)])) for n in range(1, 45)}
    after = {n: (np.array([8]), np.array([BOX])) for n in range(45, 121)}
    assert Occlusions(sequence, 3.0, seed=0).outcomes(tracks | after) == {"taken": 1}
