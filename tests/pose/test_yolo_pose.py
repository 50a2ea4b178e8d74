from __future__ import annotations

import cv2
import numpy as np
import pytest

from realtime.detect.letterbox import Letterbox
from realtime.errors import ModelError
from realtime.models.yolo import Found, YoloNet
from realtime.pose import yolo_pose
from realtime.pose.on_device import crop_people_on_device
from realtime.pose.yolo_pose import YoloPose
from realtime.runtime.lane import Lane
from realtime.skeleton import COCO17
from tests.pose.checkpoints import CPU, people, picture


class FakeNet:
    """Replaces YoloNet: returns the detections that `find` returns for each crop uint8 (320, 256, 3)."""

    keypoints = 17
    engine_name = "fake"
    lane = Lane(CPU)

    def __init__(self, find):
        self._find = find
        self.batches = []

    def predict(self, images, min_score, nms_iou):
        self.batches.append(len(images))
        return [self._find(image) for image in images]


def person(box, place, score=0.9):
    """One detection, with all keypoints in one place."""
    points = np.full((1, 17, 3), (*place, 0.7), np.float32)
    return Found(np.array([box], np.float32), np.array([score], np.float32), points, np.array([0]))


NOTHING = Found(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 17, 3), np.float32), np.zeros(0, np.int64)
)
# The tracked box in pixels of its crop. The crop's window has an aspect ratio of 4:5 and is a quarter larger.
IN_CROP = (25.6, 32, 230.4, 288)


@pytest.fixture
def fake():
    def build(find):
        net = FakeNet(find)
        return YoloPose(net), net

    return build


def test_the_crop_of_a_whole_frame_is_the_frame_resized():
    # OpenCV, and with it YOLO's training, measures between pixel edges. A resize to a quarter shows any shift.
    image = picture(1024, 1280)
    crops = []
    net = FakeNet(lambda crop: crops.append(crop.copy()) or NOTHING)
    model = YoloPose(net)
    model.estimate([image], [np.array([[102.4, 128, 921.6, 1152]], np.float32)])
    expected = cv2.resize(image, (256, 320), interpolation=cv2.INTER_LINEAR).astype(int)
    assert np.abs(crops[0].astype(int) - expected).max() <= 1


def test_a_dot_found_in_the_crop_is_mapped_to_its_position_in_the_frame(fake):
    def find(crop):
        rows, columns = np.mgrid[:320, :256]
        light = crop[..., 0].astype(float)
        return person(IN_CROP, ((light * columns).sum() / light.sum() + 0.5, (light * rows).sum() / light.sum() + 0.5))

    model, _ = fake(find)
    rows, columns = np.mgrid[:300, :400]
    for x, y in ((150.0, 120.0), (171.3, 160.9), (201.7, 101.2)):
        light = 255 * np.exp(-((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2) / 18)
        image = np.rint(light).astype(np.uint8)[..., np.newaxis].repeat(3, axis=2)
        found = model.estimate([image], [np.array([[130.5, 60.25, 220.75, 200]], np.float32)])[0]
        # The tolerance covers the rounding of the light to 256 levels.
        np.testing.assert_allclose(found[0, :, :2], [(x, y)] * 17, atol=0.05)
        np.testing.assert_allclose(found[0, :, 2], 0.7)


def test_points_mapped_to_the_crop_and_back_are_unchanged():
    rng = np.random.default_rng(0)
    centers = rng.uniform(-50, 2000, (30, 2)).astype(np.float32)
    scales = rng.uniform(2, 900, (30, 1)).astype(np.float32) * np.array([[0.8, 1]], np.float32)
    points = (centers[:, np.newaxis] + rng.uniform(-1, 1, (30, 17, 2)) * scales[:, np.newaxis]).astype(np.float32)
    there = yolo_pose._to_crop(points, centers, scales)
    back = [yolo_pose._to_frame(*one) for one in zip(there, centers, scales, strict=True)]
    np.testing.assert_allclose(back, points, atol=2e-3)  # float32 at about 2000 px


def test_samples_outside_the_frame_have_the_grey_of_yolos_padding(fake):
    seen = []
    model, _ = fake(lambda crop: seen.append(crop.copy()) or NOTHING)
    model.estimate([np.zeros((50, 50, 3), np.uint8)], [np.array([[500, 500, 600, 700]], np.float32)])
    assert (seen[0] == 114).all()


FINDS = [
    # boxes in descending order of score, index of the one that is the person
    ([IN_CROP], 0),  # the only one
    ([(0, 0, 100, 100), IN_CROP], 1),  # one with a higher score beside it
    ([(20, 30, 240, 300), (25, 32, 230, 288)], 1),  # one with a higher score that overlaps less
    ([IN_CROP, IN_CROP], 0),  # a tie: the one with the higher score
]


@pytest.mark.parametrize(("boxes", "expected"), FINDS)
def test_the_detection_that_overlaps_the_tracked_box_most_is_the_person(fake, boxes, expected):
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    points = np.stack([np.full((17, 3), (10 * i, 0, 0.5), np.float32) for i in range(len(boxes))])
    finds = Found(np.array(boxes, np.float32), scores, points, np.zeros(len(boxes), np.int64))
    model, _ = fake(lambda crop: finds)
    found = model.estimate([np.zeros((100, 100, 3), np.uint8)], [np.array([[12.8, 16, 115.2, 144]], np.float32)])[0]
    np.testing.assert_allclose(found[0, 0, :2], (5 * expected, 0), atol=1e-4)  # the crop enlarges by 2


NOT_FOUND = [
    NOTHING,  # no detection
    person((240, 300, 256, 320), (1, 2)),  # a neighbour in the crop's corner
    person((0, 0, 0, 0), (1, 2)),  # a detection without area
]


@pytest.mark.parametrize("finds", NOT_FOUND)
def test_the_keypoints_of_a_person_not_found_are_in_the_middle_of_the_box_with_score_0(fake, finds):
    model, _ = fake(lambda crop: finds)
    found = model.estimate([np.zeros((200, 200, 3), np.uint8)], [np.array([[10, 20, 50, 180]], np.float32)])[0]
    np.testing.assert_array_equal(found[0], [(30, 100, 0)] * 17)


def test_people_of_several_images_are_split_into_batches_of_bounded_size(fake):
    model, net = fake(lambda crop: NOTHING)
    image = np.zeros((50, 50, 3), np.uint8)
    boxes = [np.tile(np.array([[i, 0, i + 9, 20]], np.float32), (n, 1)) for i, n in enumerate((20, 0, 25))]
    found = model.estimate([image] * 3, boxes)
    assert net.batches == [22, 23]
    assert [len(part) for part in found] == [20, 0, 25]
    assert (found[0][:, :, 0] == 4.5).all()
    assert (found[2][:, :, 0] == 6.5).all()


def test_without_people_the_network_does_not_run(fake):
    model, net = fake(lambda crop: NOTHING)
    assert model.estimate([], []) == []
    found = model.estimate([np.zeros((9, 9, 3), np.uint8)], [np.zeros((0, 4), np.float32)])
    assert [part.shape for part in found] == [(0, 17, 3)]
    assert net.batches == []


# ---- the real networks, on ultralytics' photographs


def test_a_detection_network_is_refused(yolov8n):
    with pytest.raises(ModelError, match=r"yolov8n\.pt: got a YOLO detection model"):
        YoloPose(YoloNet(yolov8n, CPU))


# Boxes x1 y1 x2 y2: the two men in bus.jpg and the man in front in zidane.jpg, all facing the camera.
PEOPLE = [
    np.array([[48, 399, 244, 904], [222, 405, 344, 860]], np.float32),
    np.array([[745, 38, 1142, 712]], np.float32),
]


def test_keypoints_of_people_in_photographs_are_anatomically_plausible(yolo11n_pose, photographs):
    model = YoloPose(YoloNet(yolo11n_pose, CPU))
    assert model.skeleton == COCO17
    model.warm_up()
    found = model.estimate([cv2.imread(str(path)) for path in photographs], PEOPLE)
    names = COCO17.keypoint_names
    for boxes, skeletons in zip(PEOPLE, found, strict=True):
        for (x1, y1, x2, y2), keypoints in zip(boxes, skeletons, strict=True):
            at = {name: keypoints[i] for i, name in enumerate(names)}
            height = y2 - y1
            assert at["nose"][2] > 0.5
            assert y1 < at["nose"][1] < y1 + height / 3
            assert at["left_shoulder"][0] > at["right_shoulder"][0]  # he faces the camera: his left is on its right
            assert at["left_eye"][0] > at["right_eye"][0]
            assert at["nose"][1] < at["left_shoulder"][1] < at["left_hip"][1]
            sure = keypoints[keypoints[:, 2] > 0.5]
            assert len(sure) >= 9
            assert (sure[:, 0] > x1 - 0.1 * (x2 - x1)).all()
            assert (sure[:, 0] < x2 + 0.1 * (x2 - x1)).all()


def test_keypoints_of_crops_agree_with_the_same_network_on_the_whole_image(yolo11n_pose, photographs):
    image = cv2.imread(str(photographs[0]))
    box = Letterbox.of((image.shape[1], image.shape[0]), 640, 32)
    whole = np.empty((1, *box.input_size[::-1], 3), np.uint8)
    box.apply(image, whole[0])
    xyxy, _, points, _ = YoloNet(yolo11n_pose, CPU).predict(whole, 0.5, 0.7)[0]
    xyxy = box.to_frame(xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
    points[..., :2] = box.to_frame(points[..., :2])
    found = YoloPose(YoloNet(yolo11n_pose, CPU)).estimate([image], [xyxy])[0]
    sure = (found[..., 2] > 0.8) & (points[..., 2] > 0.8)
    assert sure.sum() > 20
    sizes = np.sqrt((xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1))[:, np.newaxis]
    distances = np.linalg.norm(found[..., :2] - points[..., :2], axis=-1) / sizes
    # The small network sees the person at two different sizes. A wrong mapping is off by a tenth of the person or more.
    assert np.median(distances[sure]) < 0.03


def test_the_gpus_crops_lead_to_the_same_keypoints(yolo11n_pose):
    image, boxes = people()
    here, there = (YoloPose(YoloNet(yolo11n_pose, CPU)) for _ in range(2))
    there._crops = lambda crowd: crop_people_on_device(there._net.lane, crowd, (256, 320), 114)
    expected, found = (model.estimate([image], [boxes])[0] for model in (here, there))
    assert (expected[..., 2] > 0.5).sum() > 10
    np.testing.assert_allclose(found, expected, atol=0.5)  # crops may differ by one grey level
