"""Annotations of any keypoint set: whole bodies, other sets of people, and animals."""

from __future__ import annotations

import contextlib
import io
import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from realtime.errors import ConfigError
from realtime.evaluate import keypoints
from realtime.evaluate.__main__ import main
from realtime.evaluate.annotations import as_whole_body, fitted, read_dataset
from realtime.skeleton import COCO17, NO_SKELETON
from realtime.skeletons import SKELETONS
from tests.evaluate.test_keypoints import Knowing, box_of, models_of

IMAGES, PEOPLE = 4, 2
WHOLE, AP10K = SKELETONS["wholebody133"], SKELETONS["ap10k"]
# The keys of COCO-WholeBody, and which of the 133 keypoints each has.
KEYS = {
    "keypoints": (0, 17), "foot_kpts": (17, 23), "face_kpts": (23, 91), "lefthand_kpts": (91, 112),
    "righthand_kpts": (112, 133),
}  # fmt: skip
ROWS = {"body": "keypoints", "feet": "foot_kpts", "face": "face_kpts", "left hand": "lefthand_kpts",
        "right hand": "righthand_kpts"}  # fmt: skip


def places_of(image, person, count):
    """`count` positions in the person's box, which lie close together as those of a face do."""
    x, y, width, height = box_of(image, person)
    random = np.random.default_rng(10 * image + person)
    return np.round(random.uniform(0.1, 0.9, (count, 2)) * [width, height]) + np.array([x, y])


def write(folder, annotate, categories=({"id": 1, "name": "person"},)):
    """A file with images and IMAGES x PEOPLE annotations, each with the keys that `annotate(image, person)` returns."""
    data = {"images": [], "annotations": [], "categories": list(categories)}
    for image in range(IMAGES):
        name = f"{image}.png"
        cv2.imwrite(str(folder / name), np.full((360, 480, 3), image, np.uint8))
        data["images"].append({"id": image + 100, "file_name": name, "width": 480, "height": 360})
        for person in range(PEOPLE):
            box = box_of(image, person)
            row = {"id": len(data["annotations"]) + 1, "image_id": image + 100, "category_id": 1, "iscrowd": 0}
            data["annotations"].append(row | {"bbox": box, "area": box[2] * box[3]} | annotate(image, person))
    file = folder / "gt.json"
    file.write_text(json.dumps(data))
    return file


def plain(count):
    def annotate(image, person):
        return {"keypoints": np.c_[places_of(image, person, count), np.full(count, 2)].ravel().tolist()}

    return annotate


def whole_body(image, person):
    """An annotation of COCO-WholeBody. The left hand of each second person is not valid."""
    places = np.c_[places_of(image, person, 133), np.full(133, 2)]
    row = {key: places[begin:end].ravel().tolist() for key, (begin, end) in KEYS.items()}
    valid = {key.replace("kpts", "valid"): True for key in KEYS if key != "keypoints"}
    return row | valid | {"num_keypoints": 17, "lefthand_valid": person == 0}


class Close(Knowing):
    """A pose model whose keypoints are off, by more in later images."""

    def __init__(self, skeleton=WHOLE):
        super().__init__()
        self.skeleton = skeleton

    def estimate(self, images, xyxy):
        return [
            np.stack([self.of(int(image[0, 0, 0]), box) for box in boxes])
            if len(boxes)
            else np.zeros((0, len(self.skeleton), 3), np.float32)
            for image, boxes in zip(images, xyxy, strict=True)
        ]

    def of(self, image, box):
        count = len(self.skeleton)
        places = places_of(image, int(box[0] > 200), count)
        # about a sigma of each keypoint, in a box of 120 x 260 pixels, and more in later images
        scale = 176 * np.array(self.skeleton.sigmas)[:, None] * (0.5 + 0.5 * image)
        off = np.random.default_rng(image).normal(0, 1, (count, 2)) * scale
        return np.c_[places + off, np.full(count, 0.9)].astype(np.float32)


def by_hand(file, results, key, sigmas):
    """The AP of one key of a COCO-WholeBody file, by pycocotools with the sigmas of its keypoints."""
    truth, (begin, end) = json.loads(file.read_text()), KEYS[key]
    for row in truth["annotations"]:
        is_valid = row.get(key.replace("kpts", "valid"), True) if key != "keypoints" else True
        row["keypoints"] = row[key] if is_valid else [0] * len(row[key])
        row["num_keypoints"] = int((np.array(row["keypoints"][2::3]) > 0).sum())
    found = [row | {"keypoints": row["keypoints"][3 * begin : 3 * end]} for row in results]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth | {"info": {}}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas[begin:end])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * evaluation.stats


def test_each_part_of_a_whole_body_scores_as_in_pycocotools_with_its_sigmas(tmp_path):
    file = write(tmp_path, whole_body)
    dataset = fitted(read_dataset(file), WHOLE, "close")
    results = keypoints.estimate(models_of(Close()), dataset, tmp_path, "truth")
    parts = keypoints.parts_of(WHOLE)
    assert list(parts) == list(ROWS)
    for name, kept in parts.items():
        measures = keypoints.score(dataset, results, WHOLE, kept)
        expected = by_hand(file, results, ROWS[name], WHOLE.sigmas)
        for index, measure in enumerate(keypoints.MEASURES):
            if measure in ("AP", "AP50", "AP75", "AR", "AR50", "AR75"):  # areas are the body's, as in COCO-WholeBody
                assert measures[measure] == pytest.approx(expected[index]), (name, measure)
        assert 5 < measures["AP"] < 95


def test_the_command_reports_the_parts_in_rows_and_writes_results_in_the_format_of_coco_wholebody(
    tmp_path, monkeypatch, capsys
):
    file = write(tmp_path, whole_body)
    monkeypatch.setattr(keypoints, "load_models", lambda config, concurrency: models_of(Close()))
    words = ["keypoints", "--annotations", str(file), "--images", str(tmp_path), "--boxes", "truth"]
    words += ["--json", str(tmp_path / "numbers.json"), "--results", str(tmp_path / "results.json")]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert [name in table for name in ("whole", *ROWS)] == [True] * 6
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert list(numbers["parts"]) == list(ROWS)
    for row in json.loads((tmp_path / "results.json").read_text()):
        assert {key: len(row[key]) for key in KEYS} == {key: 3 * (end - begin) for key, (begin, end) in KEYS.items()}


def test_a_part_that_is_not_valid_is_not_scored(tmp_path):
    file = write(tmp_path, lambda image, person: whole_body(image, person) | {"lefthand_valid": False})
    dataset = fitted(read_dataset(file), WHOLE, "close")
    results = keypoints.estimate(models_of(Close()), dataset, tmp_path, "truth")
    measures = keypoints.score(dataset, results, WHOLE, keypoints.parts_of(WHOLE)["left hand"])
    assert np.isnan(measures["AP"])


@pytest.mark.parametrize("kept", [["body"], ["body", "feet"], ["hands"]])
def test_a_model_with_some_parts_is_scored_on_them(tmp_path, kept):
    skeleton = WHOLE.only(kept)
    dataset = fitted(read_dataset(write(tmp_path, whole_body)), skeleton, "close")
    assert dataset.keypoints == len(skeleton)
    expected = np.c_[places_of(0, 0, 133), np.full(133, 2)][WHOLE.indices(kept)]
    np.testing.assert_array_equal(dataset.people[100][0]["keypoints"], expected.ravel())


@pytest.mark.parametrize("name", SKELETONS)
def test_perfect_keypoints_of_every_set_score_100(tmp_path, name):
    skeleton = SKELETONS[name]
    categories = [{"id": 1, "name": "dog" if skeleton.is_animal else "person", "keypoints": skeleton.keypoint_names}]
    file = write(tmp_path, plain(len(skeleton)), categories)
    dataset = fitted(read_dataset(file), skeleton, name)
    model = Close(skeleton)
    model.of = lambda image, box: np.c_[
        places_of(image, int(box[0] > 200), len(skeleton)), np.full(len(skeleton), 0.9)
    ].astype(np.float32)
    results = keypoints.estimate(models_of(model), dataset, tmp_path, "truth")
    assert keypoints.score(dataset, results, skeleton)["AP"] == pytest.approx(100.0)


def test_the_score_of_several_kinds_of_animals_is_their_mean_with_true_boxes_and_of_all_with_detected_ones(tmp_path):
    def annotate(image, animal):
        return plain(17)(image, animal) | {"category_id": 5 + animal}

    file = write(tmp_path, annotate, [{"id": 5, "name": "dog"}, {"id": 6, "name": "cat"}, {"id": 7, "name": "bear"}])
    dataset = fitted(read_dataset(file), AP10K, "close")
    assert dataset.categories == [5, 6]

    class CatsAlone(Close):
        def of(self, image, box):
            found = super().of(image, box)
            return found if box[0] > 200 else found + 500

    results = keypoints.estimate(models_of(CatsAlone(AP10K)), dataset, tmp_path, "truth")
    per_kind = keypoints.score(dataset, results, AP10K)
    cats = keypoints.score(dataset, [row for row in results if row["category_id"] == 6], AP10K)
    assert per_kind["AR50"] == pytest.approx(50.0)
    assert cats["AP"] == pytest.approx(per_kind["AP"])
    together = dataset.without_categories()
    results = keypoints.estimate(models_of(CatsAlone(AP10K)), together, tmp_path, "detected")
    assert {row["category_id"] for row in results} == {5}
    assert keypoints.score(together, results, AP10K)["AR50"] == pytest.approx(50.0)


def test_an_annotation_without_an_area_gets_it_from_its_box(tmp_path):
    file = write(tmp_path, plain(14))
    data = json.loads(file.read_text())
    for row in data["annotations"]:
        del row["area"]
    file.write_text(json.dumps(data))
    row = read_dataset(file).coco["annotations"][0]
    assert row["area"] == pytest.approx(0.53 * row["bbox"][2] * row["bbox"][3])


# ---- annotations and a model that don't fit

UNFIT = [
    # keypoints of the annotations, what the category is, the model's skeleton, part of the error
    (17, {"name": "person"}, WHOLE, "got 17 keypoints of people, expected the 133 keypoints of wholebody133"),
    (17, {"name": "person"}, AP10K, "expected the 17 keypoints of ap10k"),  # people, and a model of animals
    (17, {"name": "dog"}, COCO17, "categories other than person, expected the 17 keypoints of coco17"),
    (14, {"name": "person"}, COCO17, "got 14 keypoints"),
    # the same number of keypoints, but the file names others
    (14, {"name": "person", "keypoints": SKELETONS["crowdpose14"].keypoint_names}, SKELETONS["aic14"],
     "got crowdpose14 of people, expected the 14 keypoints of aic14"),
    (17, {"name": "person"}, NO_SKELETON, "sigmas for OKS are not known"),
]  # fmt: skip


@pytest.mark.parametrize(("count", "category", "skeleton", "said"), UNFIT)
def test_annotations_with_other_keypoints_than_the_model_are_refused(tmp_path, count, category, skeleton, said):
    dataset = read_dataset(write(tmp_path, plain(count), [{"id": 1} | category]))
    with pytest.raises(ConfigError, match=said) as raised:
        fitted(dataset, skeleton, "my model")
    assert "\n" not in str(raised.value)
    assert "my model" in str(raised.value)


def test_the_command_refuses_them_in_one_line(tmp_path, monkeypatch, capsys):
    file = write(tmp_path, plain(17))
    monkeypatch.setattr(keypoints, "load_models", lambda config, concurrency: models_of(Close()))
    words = ["keypoints", "--annotations", str(file), "--images", str(tmp_path), "--boxes", "truth"]
    assert main(words) == ConfigError.exit_code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--annotations: got 17 keypoints of people" in error


def test_annotations_with_different_numbers_of_keypoints_are_refused(tmp_path):
    file = write(tmp_path, lambda image, person: plain(17 + (image == 3))(image, person))
    with pytest.raises(ConfigError, match="annotation 7 has 54 numbers in keypoints, expected 51"):
        read_dataset(file)


@pytest.mark.parametrize(
    "wrong",
    [
        {"area": "big"}, {"num_keypoints": "x"}, {"bbox": ["a", 1, 2, 3]}, {"bbox": None}, {"keypoints": "abc"},
        {"keypoints": [1, 2, "x"] * 17}, {"image_id": {}}, {"foot_kpts": [0] * 18}, {"category_id": "x"},
    ],
)  # fmt: skip
def test_an_annotation_with_other_values_is_refused_in_one_line(tmp_path, wrong):
    file = write(tmp_path, lambda image, person: plain(17)(image, person) | wrong)
    with pytest.raises(ConfigError) as raised:
        fitted(read_dataset(file), COCO17, "my model")
    assert str(raised.value).startswith(f"--annotations: {file}: ")
    assert "\n" not in str(raised.value)


def test_a_whole_body_result_is_split_as_its_own_evaluation_reads_it():
    row = as_whole_body({"keypoints": list(range(399)), "score": 1.0})
    joined = [number for key in KEYS for number in row[key]]
    assert joined == list(range(399))
