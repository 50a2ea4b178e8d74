from pathlib import Path

import numpy as np
import pytest

from realtime.evaluate.tracking.mot import compare_frame, iou_of, open_sequence, read_rows
from tests.evaluate.tracking.sequences import BOX, line, make_sequence, truth_of_one


def test_iou_is_1_for_equal_boxes_and_0_for_disjoint_or_empty_ones() -> None:
    boxes = np.array([(0.0, 0, 10, 10), (5, 0, 10, 10), (20, 20, 5, 5), (0, 0, 0, 0)])
    np.testing.assert_allclose(iou_of(boxes[:1], boxes), [[1, 1 / 3, 0, 0]])


def mot17(*rows: tuple[int, float, int, int]) -> str:
    """Ground truth of one frame with classes, from rows of (id, x, flag, class)."""
    return "".join(line(1, i, (x, 50, 40, 100), flag, kind, 1) for i, x, flag, kind in rows)


@pytest.mark.parametrize(
    ("name", "truth", "truths", "tracks"),
    [
        ("MOT17-00", mot17((1, 100, 1, 1)), [1], [9]),  # a pedestrian counts
        ("MOT17-00", mot17((1, 100, 0, 1)), [], [9]),  # not with flag 0: the track is a false positive
        ("MOT17-00", mot17((1, 100, 1, 3)), [], [9]),  # a car does not count
        ("MOT17-00", mot17((1, 100, 0, 7)), [], []),  # a static person is a distractor: its track does not count
        ("MOT17-00", mot17((1, 130, 0, 7)), [], [9]),  # this distractor is too far away
        ("MOT17-00", mot17((1, 110, 0, 7), (2, 100, 1, 1)), [2], [9]),  # the pedestrian overlaps more
        ("MOT17-00", mot17((1, 100, 0, 6)), [], [9]),  # a non-motorised vehicle is a distractor only in MOT20
        ("MOT20-00", mot17((1, 100, 0, 6)), [], []),
        ("PETS", line(1, 1, BOX, 1, 7, 1, 1), [1], [9]),  # MOT15: column 8 is a world coordinate, not a class
        ("PETS", line(1, 1, BOX, 0, 1, 1, 1), [], [9]),
    ],
)
def test_only_pedestrians_and_tracks_that_match_no_distractor_count(
    name: str, truth: str, truths: list[int], tracks: list[int], tmp_path: Path
) -> None:
    sequence = open_sequence(make_sequence(tmp_path / name, truth))
    compared = compare_frame(sequence, 1, np.array([9]), np.array([BOX]))
    assert compared.truth_ids.tolist() == truths
    assert compared.track_ids.tolist() == tracks
    assert compared.iou.shape == (len(truths), len(tracks))


def test_without_seqinfo_the_sequence_ends_with_the_ground_truth(tmp_path: Path) -> None:
    sequence = open_sequence(make_sequence(tmp_path / "bare", truth_of_one(5), info=False))
    assert sequence.frames == range(1, 6)
    assert sequence.rate_hz is None


def test_missing_columns_are_1_and_spaces_may_stand_for_commas(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("3 -1 1 2 3 4\n\n")
    np.testing.assert_array_equal(read_rows(tmp_path / "rows.txt")[3], [[3, -1, 1, 2, 3, 4, 1, 1, 1]])
