"""YOLO networks on each engine against torch in float32, on real photographs."""

import copy
import gc
import shutil
import threading
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torchvision  # noqa: F401 - or ultralytics would use its own NMS, which breaks ties otherwise

from realtime.boxes import iou
from realtime.config import DetectorConfig
from realtime.errors import ModelError
from realtime.models import openvino, yolo
from realtime.models.choice import EXACT, Choice, choose
from realtime.models.yolo import YoloNet, build_net
from realtime.runtime.core_budget import core_budget, fixed

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def exact(yolov8n):
    return YoloNet(yolov8n, CPU)


def pictures(photographs, width=320, height=256):
    return [cv2.resize(cv2.imread(str(path)), (width, height))[np.newaxis] for path in photographs]


@pytest.mark.parametrize("weights", ["yolov8n", "yolo11n_pose"])
@pytest.mark.parametrize(("precision", "pixels", "sure"), [("fp32", 0.05, 1e-3), ("bf16", 3, 0.1)])
def test_openvino_detects_the_same_people_as_torch(request, photographs, cache, weights, precision, pixels, sure):
    if precision not in openvino.native_precisions():
        pytest.skip(f"this CPU does not support {precision}: {precision} detections are NOT compared here")
    path = request.getfixturevalue(weights)
    exact, net = YoloNet(path, CPU), YoloNet(path, CPU, Choice("openvino", precision), cache)
    people = 0
    for size in ((320, 256), (256, 320)):
        for picture in pictures(photographs, *size):
            xyxy, scores, keypoints, _ = exact.predict(picture, 0.5, 0.7)[0]
            found = net.predict(picture, 0.3, 0.7)[0]
            people += len(xyxy)
            for box, score, points in zip(xyxy, scores, keypoints, strict=True):
                same = np.abs(found[0] - box).max(axis=1).argmin()
                np.testing.assert_allclose(found[0][same], box, atol=pixels)
                np.testing.assert_allclose(found[1][same], score, atol=sure)
                seen = points[:, 2] > 0.5
                np.testing.assert_allclose(found[2][same][seen], points[seen], atol=pixels)
    assert people >= 4


@pytest.mark.parametrize(("precision", "pixels"), [("fp16", 0.3), ("bf16", 1.5)])
def test_16_bit_networks_decode_boxes_in_float32(yolo11n_pose, photographs, precision, pixels):
    exact, net = YoloNet(yolo11n_pose, CPU), YoloNet(yolo11n_pose, CPU, Choice("torch", precision))
    batches = [np.concatenate(pictures(photographs, 480, 384)), *pictures(photographs, 480, 384)]
    people = 0
    for batch in batches:  # a batch of several images, then single images
        for found, expected in zip(net.predict(batch, 0.3, 0.7), exact.predict(batch, 0.5, 0.7), strict=True):
            for box, points in zip(expected[0], expected[2], strict=True):
                same = iou(box[np.newaxis], found[0])[0].argmax()
                np.testing.assert_allclose(found[0][same], box, atol=2 * pixels)
                seen = points[:, 2] > 0.5
                np.testing.assert_allclose(found[2][same][seen, :2], points[seen, :2], atol=2 * pixels)
                people += 1
    assert people >= 8


def test_cached_anchors_work_for_any_batch_size(yolov8n, photographs):
    net = YoloNet(yolov8n, CPU)
    one = pictures(photographs)[0]
    net.predict(one, 0.3, 0.7)
    head = net._forward._of((256, 320)).module.model[-1]
    anchors = head.anchors
    boxes = net.predict(np.concatenate([one, one, one]), 0.3, 0.7)
    assert head.anchors is anchors
    np.testing.assert_allclose(boxes[2][0], boxes[0][0])


@pytest.mark.parametrize("choice", [EXACT, Choice("openvino", "fp32")], ids=str)
def test_threads_with_images_of_different_sizes_do_not_disturb_each_other(yolov8n, photographs, cache, choice):
    net = YoloNet(yolov8n, CPU, choice, cache)
    sizes = [(320, 256), (256, 320), (320, 256), (192, 192)]
    batches = [np.concatenate(pictures(photographs, *size)) for size in sizes]
    alone = [net.predict(batch, 0.3, 0.7) for batch in batches]
    wrong = []

    def work(number):
        for _ in range(3):
            with core_budget(fixed(1)):
                finds = net.predict(batches[number], 0.3, 0.7)
            for (xyxy, *_), (expected, *_) in zip(finds, alone[number], strict=True):
                if xyxy.shape != expected.shape or np.abs(xyxy - expected).max(initial=0) > 0.1:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(sizes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("choice", [EXACT, Choice("openvino", "fp32")], ids=str)
def test_a_dropped_network_is_freed_and_built_again_if_it_is_needed(yolov8n, photographs, cache, choice):
    net = YoloNet(yolov8n, CPU, choice, cache)
    picture = pictures(photographs)[0]
    expected = net.predict(picture, 0.3, 0.7)[0]
    net.predict(np.concatenate([picture, picture]), 0.3, 0.7)
    networks = getattr(net._forward, "_by_shape", None) or net._forward._by_size
    built = [weakref.ref(network) for network in networks.values()]
    net.drop((320, 256))
    gc.collect()
    assert [network() for network in built] == [None] * len(built)
    for found, wanted in zip(net.predict(picture, 0.3, 0.7)[0], expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("choice", [EXACT, Choice("openvino", "fp32")], ids=str)
def test_a_network_may_be_dropped_while_other_threads_use_it(yolov8n, photographs, cache, choice):
    net = YoloNet(yolov8n, CPU, choice, cache)
    picture = pictures(photographs)[0]
    expected, wrong = net.predict(picture, 0.3, 0.7)[0], []

    def work():
        for _ in range(10):
            with core_budget(fixed(1)):
                found = net.predict(picture, 0.3, 0.7)[0]
            if any(not np.allclose(a, b, atol=0.1) for a, b in zip(found, expected, strict=True)):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(25):
        net.drop((320, 256))
        threads[0].join(0.02)
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_network_uses_its_core_budget(yolov8n, photographs):
    net = YoloNet(yolov8n, CPU)
    with core_budget(fixed(3)):
        net.predict(pictures(photographs)[0], 0.5, 0.7)
    assert torch.get_num_threads() == 3


def test_a_damaged_conversion_is_repeated_and_a_running_network_survives_its_deletion(yolov8n, photographs, tmp_path):
    choice = Choice("openvino", "fp32")
    expected = YoloNet(yolov8n, CPU, choice, tmp_path).predict(pictures(photographs)[0], 0.3, 0.7)
    [folder] = tmp_path.iterdir()
    (folder / "network.xml").write_text("<net")
    net = YoloNet(yolov8n, CPU, choice, tmp_path)
    for found, wanted in zip(net.predict(pictures(photographs)[0], 0.3, 0.7)[0], expected[0], strict=True):
        np.testing.assert_array_equal(found, wanted)
    shutil.rmtree(folder)  # the user empties the cache while the program runs
    assert len(net.predict(pictures(photographs, 192, 192)[0], 0.3, 0.7)) == 1


@pytest.fixture
def blind(monkeypatch):
    """Make every network on OpenVINO detect nothing."""
    monkeypatch.setattr(yolo.OpenVinoForward, "__call__", lambda self, pictures: np.zeros((1, 6, 100), np.float32))


def test_an_engine_chosen_by_auto_is_replaced_if_it_misses_people(yolov8n, photographs, cache, blind, caplog):
    config = DetectorConfig(size=320)
    choice = choose("detector", CPU, config, None)
    net = build_net("detector", yolov8n, CPU, choice, config, cache, cv2.imread(str(photographs[0])))
    assert net.engine_name == "torch fp32"
    assert "of the people that fp32 detects in the test image; using torch fp32 instead" in caplog.text


def test_an_explicit_engine_is_refused_if_it_misses_people(yolov8n, photographs, cache, blind):
    config, choice = DetectorConfig(size=320, engine="openvino", precision="fp32"), Choice("openvino", "fp32")
    with pytest.raises(ModelError, match=r"detector: the self-test of openvino fp32 failed: .* try --detector.engine"):
        build_net("detector", yolov8n, CPU, choice, config, cache, cv2.imread(str(photographs[0])))


def test_the_self_test_counts_people_whose_keypoints_moved(yolo11n_pose, photographs, cache, monkeypatch):
    exact = YoloNet(yolo11n_pose, CPU)
    other = YoloNet(yolo11n_pose, CPU)
    picture = pictures(photographs)[0]
    expected = exact.predict(picture, 0.5, 0.7)[0]
    assert yolo._lost(expected, other, picture) == 0
    find = other.predict

    def elsewhere(*given, **others):
        return [found._replace(keypoints=found.keypoints + np.float32((0, 40, 0))) for found in find(*given, **others)]

    monkeypatch.setattr(other, "predict", elsewhere)
    assert yolo._lost(expected, other, picture) > 0


def with_person_as(number, weights, path):
    """Save the network with classes 0 and `number` swapped, so that `number` is the class of people."""
    stored = torch.load(weights, map_location="cpu", weights_only=False)
    module = stored["model"]
    names = dict(module.names)
    names[0], names[number] = names[number], names[0]
    for branch in module.model[-1].cv3:
        for values in (branch[-1].weight.data, branch[-1].bias.data):
            values[[0, number]] = values[[number, 0]]
    module.names = names
    torch.save(stored, path)
    return path


def test_people_are_detected_whatever_the_index_of_their_class(yolov8n, photographs, tmp_path):
    expected, net = (YoloNet(path, CPU) for path in (yolov8n, with_person_as(41, yolov8n, tmp_path / "other.pt")))
    people = 0
    for picture in pictures(photographs):
        for found, wanted in zip(
            net.predict(picture, 0.1, 0.7)[0], expected.predict(picture, 0.1, 0.7)[0], strict=True
        ):
            np.testing.assert_allclose(found, wanted, atol=1e-3)
            people += len(wanted)
    assert people


def test_a_pose_network_detects_all_of_its_classes(yolo11n_pose, photographs, tmp_path):
    stored = torch.load(yolo11n_pose, map_location="cpu", weights_only=False)
    head = stored["model"].model[-1]
    for branch in head.cv3:  # add a second class as likely as the first: each gets about half of the detections
        last = branch[-1]
        branch[-1] = torch.nn.Conv2d(last.in_channels, 2, 1).to(last.weight.dtype)
        branch[-1].weight.data = last.weight.data.repeat(2, 1, 1, 1)
        branch[-1].bias.data = last.bias.data.repeat(2)
        branch[-1].weight.data[1, ::2] *= 1.01
    head.nc, head.no = 2, head.no + 1
    stored["model"].names = {0: "dancer", 1: "skater"}
    torch.save(stored, tmp_path / "sports.pt")
    exact, net = YoloNet(yolo11n_pose, CPU), YoloNet(tmp_path / "sports.pt", CPU)
    people = 0
    for picture in pictures(photographs):
        boxes, _, keypoints, _ = exact.predict(picture, 0.5, 0.7)[0]
        found = net.predict(picture, 0.3, 0.7)[0]
        for box, points in zip(boxes, keypoints, strict=True):
            same = iou(box[np.newaxis], found[0])[0].argmax()
            np.testing.assert_allclose(found[0][same], box, atol=10)
            np.testing.assert_allclose(found[2][same, :, 2], points[:, 2], atol=0.3)
            people += 1
    assert people >= 2


def net_with(exact, predictions, library, labels, **layout):
    """A network with these predictions, which are evaluated in numpy, as those of OpenVINO, or in torch."""
    net = copy.copy(exact)
    net._layout, net._labels = replace(net._layout, **layout), torch.tensor(labels)
    net._forward = lambda images: predictions
    if library == "numpy":
        net.lane, net._labels = None, np.array(labels)
        net._forward = lambda images: predictions.numpy()
    return net


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("classes", "person"), [(1, 0), (2, 0), (2, 1), (80, 0), (80, 41)])
def test_nms_equals_that_of_ultralytics(exact, classes, person, library):
    from ultralytics.utils.nms import non_max_suppression

    generator = torch.Generator().manual_seed(classes)
    places, sizes = torch.rand((2, 400), generator=generator) * 100, torch.rand((2, 400), generator=generator) * 40 + 20
    scores = (torch.rand((classes, 400), generator=generator) * 20).round() / 20
    scores[person, ::2] = scores[:, ::2].amax(0)  # as high as the highest
    one = torch.cat((places, sizes, scores, torch.rand((6, 400), generator=generator)))
    predictions = torch.stack((one, one * 0, one[:, :200].repeat(1, 2)))  # no person in the second image
    labels = [0 if index == person else -1 for index in range(classes)]
    net = net_with(exact, predictions, library, labels, keypoints=2, columns=3)
    finds = net.predict(np.zeros((3, 32, 32, 3), np.uint8), 0.3, 0.5)
    expected = non_max_suppression(predictions, 0.3, 0.5, classes=[person], nc=classes)
    assert [len(rows) > 5 for rows in expected] == [True, False, True]
    for (boxes, sure, keypoints, _), rows in zip(finds, expected, strict=True):
        assert len(rows) < 300
        found = torch.from_numpy(np.concatenate((boxes, sure[:, None], keypoints.reshape(-1, 6)), axis=1))
        torch.testing.assert_close(sorted_rows(found), sorted_rows(rows[:, [0, 1, 2, 3, 4, *range(6, 12)]]))


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("end2end", [False, True], ids=["anchors", "end2end"])
@pytest.mark.parametrize("wanted", [[0], [15, 0], [41, 2, 15]])
def test_nms_of_several_classes_equals_that_of_ultralytics(exact, end2end, wanted, library):
    from ultralytics.utils.nms import non_max_suppression

    generator = torch.Generator().manual_seed(3)
    corners, sizes = torch.rand((2, 2, 600), generator=generator) * 60 + 20
    scores = (torch.rand((80, 600), generator=generator) * 1000).round() / 2000
    likely = torch.tensor([0, 2, 15, 41])[torch.randint(4, (600,), generator=generator)]
    scores[likely, range(600)] = torch.rand(600, generator=generator)
    predictions = torch.cat((corners, sizes, scores))[None]
    if end2end:
        best, which = scores.max(0)
        rows = torch.cat((corners - sizes, corners + sizes, best[None], which[None])).T
        predictions = rows[best.argsort(descending=True)[:300]][None]
    labels = [wanted.index(index) if index in wanted else -1 for index in range(80)]
    net = net_with(exact, predictions, library, labels, end2end=end2end)
    found = net.predict(np.zeros((1, 32, 32, 3), np.uint8), 0.3, 0.5)[0]
    [expected] = non_max_suppression(predictions, 0.3, 0.5, classes=wanted, nc=80, end2end=end2end)
    assert len(expected) > 20
    assert [wanted[label] for label in found.labels] == expected[:, 5].tolist()
    np.testing.assert_allclose(found.xyxy, expected[:, :4], atol=1e-5)
    np.testing.assert_allclose(found.scores, expected[:, 4], atol=1e-6)


def test_networks_that_were_converted_for_other_classes_are_not_mixed_up(yolov8n, photographs, cache):
    choice, picture = Choice("openvino", "fp32"), pictures(photographs, 640, 480)[1]
    for name in ("person", "tie"):
        found, expected = (
            YoloNet(yolov8n, CPU, each, cache, [name]).predict(picture, 0.3, 0.7)[0] for each in (choice, EXACT)
        )
        assert len(found.xyxy) == len(expected.xyxy) > 0
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=0.05)


def test_the_self_test_notices_a_broken_engine_if_people_are_not_looked_for(yolov8n, photographs, cache, blind, caplog):
    config = DetectorConfig(size=320, classes=["tie"])
    net = build_net(
        "detector", yolov8n, CPU, Choice("openvino", "fp32"), config, cache, cv2.imread(str(photographs[0]))
    )
    assert (net.engine_name, net.names) == ("torch fp32", ("tie",))
    assert "of the objects that fp32 detects in the test image; using torch fp32 instead" in caplog.text


def sorted_rows(rows):
    """Sort rows so that the order of equal scores does not matter."""
    return rows[np.lexsort(rows.T.numpy()).copy()]
