"""The published keypoint sets, against what their sources say."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

import realtime.skeletons
from realtime.config.models import SkeletonName
from realtime.skeleton import COCO17, CROP_PER_HEATMAP, Skeleton
from realtime.skeletons import SKELETONS

# Name: keypoints, limbs, pairs of left and right, geometry, the parts with the number of their keypoints.
FACTS = {
    "coco17": (17, 19, 8, "udp", {"body": 17}),
    "aic14": (14, 14, 6, "plain", {"body": 14}),
    "mpii16": (16, 15, 6, "udp", {"body": 16}),
    "ap10k": (17, 17, 7, "plain", {"body": 17}),
    "apt36k": (17, 17, 7, "plain", {"body": 17}),
    "wholebody133": (133, 19 + 6 + 40, 8 + 3 + 29 + 21, "plain", {"body": 17, "feet": 6, "face": 68, "hands": 42}),
    "coco25": (25, 25, 11, "plain", {"body": 19, "feet": 6}),
    # ViTPose_base_crowdpose_256x192.py: TopDownAffine without use_udp, shift_heatmap
    "crowdpose14": (14, 15, 6, "plain", {"body": 14}),
    # mmpose 0.x, hrnet_w32_posetrack18_256x192.py: the same. ViTPose has no configuration for it
    "posetrack18": (17, 16, 7, "plain", {"body": 17}),
}  # fmt: skip
# Some keypoints by their index, at places where an error would shift the others.
NAMES = {
    "coco17": {0: "nose", 9: "left_wrist", 16: "right_ankle"},
    "aic14": {0: "right_shoulder", 3: "left_shoulder", 11: "left_ankle", 12: "head_top", 13: "neck"},
    "mpii16": {0: "right_ankle", 6: "pelvis", 7: "thorax", 8: "upper_neck", 9: "head_top", 15: "left_wrist"},
    "ap10k": {0: "left_eye", 3: "neck", 4: "root_of_tail", 7: "left_front_paw", 16: "right_back_paw"},
    "wholebody133": {16: "right_ankle", 17: "left_big_toe", 19: "left_heel", 22: "right_heel", 23: "face-0",
                     90: "face-67", 91: "left_hand_root", 95: "left_thumb4", 111: "left_pinky_finger4",
                     112: "right_hand_root", 132: "right_pinky_finger4"},
    "coco25": {5: "neck", 6: "left_shoulder", 14: "hip", 18: "right_ankle", 19: "left_big_toe", 24: "right_heel"},
    "crowdpose14": {0: "left_shoulder", 11: "right_ankle", 12: "head_top", 13: "neck"},
    "posetrack18": {0: "nose", 1: "head_bottom", 2: "head_top", 3: "left_ear", 16: "right_ankle"},
}  # fmt: skip


@pytest.fixture(params=SKELETONS, name="skeleton")
def each(request: pytest.FixtureRequest) -> Skeleton:
    return SKELETONS[request.param]


def test_the_configuration_names_every_set() -> None:
    assert set(get_args(SkeletonName)) == {"auto", *SKELETONS} == {"auto", *FACTS}


def test_the_numbers_are_those_of_the_sources(skeleton: Skeleton) -> None:
    parts = {part.name: part.end - part.begin for part in skeleton.parts}
    found = len(skeleton), len(skeleton.edges), len(skeleton.flip_pairs), skeleton.geometry, parts
    assert found == FACTS[skeleton.name]
    assert skeleton.is_animal == (skeleton.name in ("ap10k", "apt36k"))


@pytest.mark.parametrize("name", NAMES)
def test_keypoints_stand_where_the_sources_have_them(name: str) -> None:
    assert {index: SKELETONS[name].keypoint_names[index] for index in NAMES[name]} == NAMES[name]


def test_names_are_different_and_in_one_spelling(skeleton: Skeleton) -> None:
    assert len(set(skeleton.keypoint_names)) == len(skeleton)
    assert all(name == name.lower() and " " not in name for name in skeleton.keypoint_names)


def test_pairs_exchange_left_and_right_and_leave_the_middle(skeleton: Skeleton) -> None:
    names = skeleton.keypoint_names
    numbers = [index for pair in skeleton.flip_pairs for index in pair]
    assert len(numbers) == len(set(numbers))
    for a, b in skeleton.flip_pairs:
        if not names[a].startswith("face-"):
            assert {names[a], names[b]} == {f"{side}_{names[a].partition('_')[2]}" for side in ("left", "right")}
    sided = {index for index, name in enumerate(names) if name.startswith(("left_", "right_"))}
    assert sided <= set(numbers)


def test_every_keypoint_has_a_sigma_and_those_of_a_body_are_the_same_on_both_sides(skeleton: Skeleton) -> None:
    assert len(skeleton.sigmas) == len(skeleton)
    assert min(skeleton.sigmas) > 0
    body = skeleton.indices(["body"])
    pairs = [(skeleton.sigmas[a], skeleton.sigmas[b]) for a, b in skeleton.flip_pairs if a in body]
    # AI Challenger's sigmas were measured for each side.
    assert all(left == right for left, right in pairs) == (skeleton.name != "aic14")


def test_limbs_join_keypoints_of_the_set_once(skeleton: Skeleton) -> None:
    assert all(0 <= index < len(skeleton) for edge in skeleton.edges for index in edge)
    assert len({frozenset(edge) for edge in skeleton.edges}) == len(skeleton.edges)
    assert all(a != b for a, b in skeleton.edges)


def test_limbs_are_symmetric(skeleton: Skeleton) -> None:
    other = dict(skeleton.flip_pairs) | {b: a for a, b in skeleton.flip_pairs}
    edges = {frozenset(edge) for edge in skeleton.edges}
    mirrored = {frozenset(other.get(index, index) for index in edge) for edge in edges}
    # MPII's limbs meet in the pelvis, and easy_ViTPose's in the neck and the hips: all are symmetric
    assert mirrored == edges


def test_parts_follow_each_other_and_cover_all_keypoints(skeleton: Skeleton) -> None:
    ends = [0, *(part.end for part in skeleton.parts)]
    assert [part.begin for part in skeleton.parts] == ends[:-1]
    assert ends[-1] == len(skeleton)
    assert skeleton.only([part.name for part in skeleton.parts]) is skeleton


def test_the_fingers_go_out_from_the_root_of_their_hand() -> None:
    whole = SKELETONS["wholebody133"]
    for side, root in (("left", 91), ("right", 112)):
        tips = {whole.keypoint_names[b] for a, b in whole.edges if a == root}
        assert tips == {f"{side}_{finger}1" for finger in
                        ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")}  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "count", "name"),
    [
        (["body"], 17, "coco17"),
        (["feet", "body"], 23, "wholebody133-body-feet"),  # in the set's order
        (["hands"], 42, "wholebody133-hands"),
        (["face", "hands"], 110, "wholebody133-face-hands"),
    ],
)
def test_some_parts_of_a_whole_body_are_a_set_of_their_own(parts: list[str], count: int, name: str) -> None:
    whole = SKELETONS["wholebody133"]
    some = whole.only(parts)
    assert (some.name, len(some), some.geometry) == (name, count, "plain")
    kept = whole.indices(parts)
    assert some.keypoint_names == tuple(whole.keypoint_names[i] for i in kept)
    assert some.sigmas == tuple(whole.sigmas[i] for i in kept)
    for old, new in ((whole.edges, some.edges), (whole.flip_pairs, some.flip_pairs)):
        assert [(kept[a], kept[b]) for a, b in new] == [(a, b) for a, b in old if a in kept and b in kept]
    assert some.indices([part.name for part in some.parts]) == list(range(count))


def test_a_body_of_one_part_stays_itself() -> None:
    assert COCO17.only(["body", "hands"]) is COCO17
    assert SKELETONS["coco25"].only(["feet"]).keypoint_names[0] == "left_big_toe"


def test_crops_of_256_pixels_have_heatmaps_of_64() -> None:
    assert 256 // CROP_PER_HEATMAP == 64


def test_the_sets_import_nothing_but_the_skeleton() -> None:
    for path in Path(realtime.skeletons.__file__).parent.glob("*.py"):
        modules = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
        ours = {module for module in modules if module and not module.startswith("realtime.skeleton")}
        assert ours <= {"__future__", "dataclasses"}, path
