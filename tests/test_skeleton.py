"""Skeletons from a model's own names."""

from __future__ import annotations

import pytest

from realtime.skeleton import COCO17, from_labels

SPELLINGS = [
    {i: f"LABEL_{i}" for i in range(17)},  # a bare save_pretrained folder
    dict(enumerate(COCO17.keypoint_names)),
    dict(enumerate(name.replace("left_", "L_").replace("right_", "R_").title() for name in COCO17.keypoint_names)),
    dict(enumerate(name.replace("_", " ").title() for name in COCO17.keypoint_names)),
]


@pytest.mark.parametrize("labels", SPELLINGS)
def test_coco_s_names_in_any_spelling_are_coco17(labels: dict[int, str]) -> None:
    assert from_labels(labels, edges=[(0, 1)]) is COCO17


def test_other_names_are_a_set_of_their_own_with_the_edges_of_the_configuration() -> None:
    found = from_labels({0: "Nose", 1: "L_Ear", 2: "R-Ear"}, edges=[(0, 1), (0, 2), (0, 3)])
    assert (found.name, found.keypoint_names) == ("custom3", ("nose", "left_ear", "right_ear"))
    assert (found.edges, found.flip_pairs) == (((0, 1), (0, 2)), ((1, 2),))
    assert (found.geometry, found.sigmas, found.parts) == ("udp", (), ())


def test_133_unnamed_keypoints_are_not_guessed() -> None:
    assert from_labels({i: f"LABEL_{i}" for i in range(133)}).name == "custom133"
