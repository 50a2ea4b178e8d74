import importlib.util
import json

import cv2
import numpy as np
import pytest
import torch

from realtime.config import TrackerConfig, load
from realtime.errors import ConfigError, SourceError
from realtime.evaluate import keypoints
from realtime.evaluate.__main__ import main
from realtime.loading import Models, load_models
from realtime.pose.stage import PoseStage
from realtime.skeleton import COCO17
from realtime.track.stage import TrackStage
from realtime.types import Detections

IMAGES, PEOPLE = 4, 2


def box_of(image, person):
    """x, y, width and height of a synthetic person."""
    return [40.0 + 200 * person, 30.0 + 10 * image, 120.0, 260.0]


def keypoints_of(image, person):
    """17 positions in the person's box."""
    x, y, width, height = box_of(image, person)
    random = np.random.default_rng(10 * image + person)
    return np.round(random.uniform(0.1, 0.9, (17, 2)) * [width, height]) + np.array([x, y])


@pytest.fixture
def coco(tmp_path):
    """A folder with images and annotations of IMAGES x PEOPLE people."""
    data = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for image in range(IMAGES):
        name = f"{image}.png"
        cv2.imwrite(str(tmp_path / name), np.full((360, 480, 3), image, np.uint8))
        data["images"].append({"id": image + 100, "file_name": name, "width": 480, "height": 360})
        for person in range(PEOPLE):
            places = np.concatenate([keypoints_of(image, person), np.full((17, 1), 2)], axis=1)
            box = box_of(image, person)
            data["annotations"].append(
                {"id": len(data["annotations"]) + 1, "image_id": image + 100, "category_id": 1, "iscrowd": 0,
                 "bbox": box, "area": box[2] * box[3], "num_keypoints": 17, "keypoints": places.ravel().tolist()}
            )  # fmt: skip
    (tmp_path / "gt.json").write_text(json.dumps(data))
    return tmp_path


class Knowing:
    """A pose model that recognises the synthetic people by image and box, and returns keypoints off by `off` px."""

    name, engine_name, skeleton = "knowing", None, COCO17

    def __init__(self, off=0.0):
        self.off = off
        self.boxes = []

    def estimate(self, images, xyxy):
        self.boxes += [box for boxes in xyxy for box in boxes.tolist()]
        return [
            np.stack([self.of(int(image[0, 0, 0]), box) for box in boxes])
            if len(boxes)
            else np.zeros((0, 17, 3), np.float32)
            for image, boxes in zip(images, xyxy, strict=True)
        ]

    def of(self, image, box):
        person = int(box[0] > 200)
        # In a box without a person, the keypoints are all at (0, 0).
        known = list(box[:2]) == box_of(image, person)[:2]
        places = keypoints_of(image, person) + self.off if known else np.zeros((17, 2))
        return np.concatenate([places, np.full((17, 1), 0.9)], axis=1).astype(np.float32)

    def warm_up(self):
        pass


class Seeing:
    """A detector that finds the people that `people(image)` returns as (x, y, width, height)."""

    def __init__(self, people):
        self.people = people

    def process(self, batch):
        found = []
        for frame in batch:
            xywh = np.array(self.people(int(frame.image[0, 0, 0])), np.float32).reshape(-1, 4)
            corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
            found.append(Detections(frame, corners, np.linspace(0.9, 0.5, len(xywh), dtype=np.float32)))
        return found


def all_people(image):
    return [box_of(image, person) for person in range(PEOPLE)]


def models_of(pose, people=all_people):
    return Models(
        torch.device("cpu"),
        "seeing",
        "knowing",
        Seeing(people),
        TrackStage(TrackerConfig()),
        PoseStage(pose),
        concurrency=1,
    )


def scores(coco, models, boxes="truth"):
    dataset = keypoints.read_dataset(coco / "gt.json")
    return keypoints.score(dataset, keypoints.estimate(models, dataset, coco, boxes))


@pytest.mark.parametrize("boxes", ["truth", "detected"])
def test_perfect_keypoints_score_100(coco, boxes):
    measures = scores(coco, models_of(Knowing()), boxes)
    assert measures["AP"] == measures["AP50"] == measures["AR"] == pytest.approx(100.0)
    assert np.isnan(measures["APm"])  # no person is that small


def test_keypoints_further_off_score_lower(coco):
    ap = [scores(coco, models_of(Knowing(off)))["AP"] for off in (0.0, 6.0, 12.0, 200.0)]
    assert ap == sorted(ap, reverse=True)
    assert 0 < ap[2] < ap[1] < 100
    assert ap[3] == 0


def test_truth_boxes_are_the_annotated_boxes(coco):
    scores(coco, models_of(model := Knowing()), "truth")
    wanted = [box_of(image, person) for image in range(IMAGES) for person in range(PEOPLE)]
    corners = [[x, y, x + width, y + height] for x, y, width, height in wanted]
    np.testing.assert_allclose(model.boxes, corners)


def test_missed_people_lower_recall_and_false_detections_lower_precision(coco):
    missed = scores(coco, models_of(Knowing(), lambda image: [box_of(image, 0)]), "detected")
    assert missed["AR"] == pytest.approx(50.0)
    # The detection with the highest score is false.
    wrong = scores(coco, models_of(Knowing(), lambda image: [[60, 50, 90, 90], *all_people(image)]), "detected")
    assert wrong["AR"] == pytest.approx(100.0)
    assert wrong["AP"] < 70
    none = scores(coco, models_of(Knowing(), lambda image: []), "detected")
    assert set(none.values()) == {0.0}


def test_crowds_and_people_without_keypoints_are_not_passed_to_the_pose_model(coco):
    data = json.loads((coco / "gt.json").read_text())
    data["annotations"][0] |= {"iscrowd": 1}
    data["annotations"][1] |= {"num_keypoints": 0, "keypoints": [0] * 51}
    (coco / "gt.json").write_text(json.dumps(data))
    scores(coco, models_of(model := Knowing()), "truth")
    assert len(model.boxes) == IMAGES * PEOPLE - 2


def test_a_persons_score_is_the_box_score_times_the_mean_score_of_visible_keypoints(coco):
    class HalfSeen(Knowing):
        def of(self, image, box):
            found = super().of(image, box)
            found[:8, 2] = 0.1
            return found

    dataset = keypoints.read_dataset(coco / "gt.json", limit=1)
    rows = keypoints.estimate(models_of(HalfSeen()), dataset, coco, "detected")
    np.testing.assert_allclose([row["score"] for row in rows], [0.9 * 0.9, 0.5 * 0.9], rtol=1e-5)


# ---- errors


def test_an_image_whose_size_differs_from_its_annotation_is_named(coco):
    cv2.imwrite(str(coco / "2.png"), np.zeros((360, 481, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"2\.png: got 481x360, expected 480x360 according to its annotation"):
        scores(coco, models_of(Knowing()))


def test_a_missing_image_is_named(coco):
    (coco / "2.png").unlink()
    with pytest.raises(SourceError, match=r"2\.png: no such file"):
        scores(coco, models_of(Knowing()))


# content of the file, part of the error
ANNOTATIONS = [
    ("no json", "not JSON in COCO's format"),
    ("[]", "not JSON in COCO's format"),
    ("{}", "no key 'images'"),
    ('{"images": [], "annotations": [], "categories": []}', "no people"),
    ('{"images": [], "annotations": [{"id": 1, "keypoints": [1, 2, 2]}], "categories": []}', "no key 'bbox'"),
]


@pytest.mark.parametrize(("text", "said"), ANNOTATIONS)
def test_an_invalid_annotation_file_is_an_error(tmp_path, text, said):
    (tmp_path / "gt.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        keypoints.read_dataset(tmp_path / "gt.json")


# ---- the command


def test_the_command_prints_a_table_and_writes_scores_and_results(coco, monkeypatch, capsys):
    asked = []
    loaded = models_of(Knowing())
    monkeypatch.setattr(keypoints, "load_models", lambda config, concurrency: asked.append(config) or loaded)
    words = ["keypoints", "--annotations", str(coco / "gt.json"), "--images", str(coco), "--boxes", "truth"]
    words += ["--results", str(coco / "results.json"), "--json", str(coco / "numbers.json")]
    assert main([*words, "--pose.model", "my.pt", "--detector.size", "320"]) == 0
    assert (asked[0].pose.model, asked[0].detector.size) == ("my.pt", 320)
    assert "100.00" in capsys.readouterr().out
    assert json.loads((coco / "numbers.json").read_text())["scores"]["AP"] == pytest.approx(100.0)
    assert len(json.loads((coco / "results.json").read_text())) == IMAGES * PEOPLE


def test_the_detectors_keypoints_are_not_available_in_truth_boxes(coco, capsys):
    words = ["keypoints", "--annotations", str(coco / "gt.json"), "--images", str(coco), "--boxes", "truth"]
    assert main([*words, "--pose.model", "detector"]) == ConfigError.exit_code
    assert "--boxes" in capsys.readouterr().err


# ---- parity with the independent scoring script, on the program's own models


@pytest.fixture(scope="module")
def real_models(yolov8n, yolo11n_pose):
    flags = {"detector.weights": str(yolov8n), "detector.size": "320", "pose.model": str(yolo11n_pose)}
    return load_models(load(environment={}, flags=flags))


@pytest.mark.parametrize("boxes", ["truth", "detected"])
def test_scores_equal_those_of_the_script_on_real_images(shared_data, real_models, boxes):
    spec = importlib.util.spec_from_file_location("score_keypoints", shared_data / "score" / "score_keypoints.py")
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    folder = shared_data / "keypoints" / "coco_train_ccby"
    dataset = keypoints.read_dataset(folder / "gt.json")
    results = keypoints.estimate(real_models, dataset, folder / "images", boxes)
    wanted = theirs.evaluate(str(folder / "gt.json"), results)
    measures = keypoints.score(dataset, results)
    # The script rounds to two digits.
    assert measures == pytest.approx({name: wanted[name] for name in keypoints.MEASURES}, abs=0.006)
    assert measures["AP"] > 40
