import numpy as np
import pytest

from realtime import wire
from realtime.publish.draw import colour_of, draw_caption, draw_people
from tests.builders import make_frame, make_info, make_pose_message, make_poses

EDGES = [(0, 1), (1, 2)]
BOX = (20.0, 20.0, 180.0, 220.0)
# Three keypoints inside the box: a limb to the right, then one down.
POINTS = np.array([(50.0, 100.0), (150.0, 100.0), (150.0, 200.0)])


def drawn(points, scores=0.9, edges=EDGES, boxes=(BOX,), ids=(1,), size=(320, 240)):
    """Draw people of these keypoints (N, K, 2) on a black image, and return the image."""
    points = np.array(points, np.float32)
    scores = np.broadcast_to(np.float32(scores), points.shape[:2])[..., np.newaxis]
    image = np.zeros((size[1], size[0], 3), np.uint8)
    keypoints = np.concatenate([points, scores], axis=2).astype(np.float32)
    draw_people(image, ids, np.array(boxes, np.float32).reshape(-1, 4), keypoints, edges)
    return image


def pixel(image, x, y):
    return tuple(image[round(y), round(x)].tolist())


def test_a_limb_is_drawn_between_its_keypoints_in_the_colour_of_the_person():
    image = drawn([POINTS])
    assert pixel(image, 100, 100) == pixel(image, 150, 150) == colour_of(1)
    assert pixel(image, 100, 150) == (0, 0, 0)  # on no limb: keypoints 0 and 2 are not connected


def test_a_keypoint_is_a_white_dot():
    image = drawn([POINTS], edges=[])
    for x, y in POINTS:
        assert pixel(image, x, y) == (255, 255, 255)
    assert pixel(image, 100, 100) == (0, 0, 0)


@pytest.mark.parametrize(("score", "visible"), [(0.29, False), (0.3, True), (1.0, True), (0.0, False)])
def test_a_keypoint_with_a_low_score_is_not_drawn_and_neither_are_its_limbs(score, visible):
    image = drawn([POINTS], [[score, 0.9, 0.9]])
    assert (pixel(image, *POINTS[0]) == (255, 255, 255)) == visible
    assert (pixel(image, 100, 100) == colour_of(1)) == visible
    assert pixel(image, *POINTS[1]) == (255, 255, 255)
    assert pixel(image, 150, 150) == colour_of(1)


def test_without_visible_keypoints_only_the_corners_of_the_box_and_the_id_are_drawn():
    nothing = np.zeros((1, 0, 2))  # pose.model none
    np.testing.assert_array_equal(drawn([POINTS], 0.1), drawn(nothing, edges=[]))
    image = drawn(nothing, edges=[])
    inside = image[60:200, 40:160]
    assert not inside.any()
    for x, y in ((40, 20), (20, 40), (180, 40), (40, 220), (180, 200)):  # near the corners
        assert pixel(image, x, y) == colour_of(1)
    for x, y in ((20, 120), (180, 120), (100, 220)):  # the middles of the sides
        assert pixel(image, x, y) == (0, 0, 0)


def test_the_label_shows_the_id_above_the_box():
    first, second = drawn([POINTS], 0.0, ids=[1], edges=[]), drawn([POINTS], 0.0, ids=[17], edges=[])
    label = np.s_[1:18, 80:120]
    assert colour_of(1) == colour_of(17)
    assert 50 < (first[label] == colour_of(1)).all(axis=2).sum() < (second[label] == colour_of(1)).all(axis=2).sum()
    np.testing.assert_array_equal(first[:, :80], second[:, :80])  # they differ only in the label


def test_the_class_is_written_beside_the_id():
    images = []
    for classes in (None, ["cat"], ["giraffe"], ["\u732b"]):  # the last one can't be drawn by OpenCV
        image = np.zeros((240, 320, 3), np.uint8)
        draw_people(image, [1], np.float32([BOX]), np.zeros((1, 0, 3), np.float32), [], classes=classes)
        images.append((image[:18] == colour_of(1)).all(axis=2).sum())
    assert 0 < images[0] < images[1] < images[2]
    assert images[3] > images[0]


def test_labels_can_be_left_out():
    image = np.zeros((240, 320, 3), np.uint8)
    draw_people(image, [1], np.float32([BOX]), np.zeros((1, 0, 3), np.float32), [], labels=False)
    assert not image[:15].any()


def test_the_limbs_of_a_predicted_person_are_dashed():
    def limb(measured):
        image = np.zeros((240, 320, 3), np.uint8)
        keypoints = np.float32([[(20, 100, 0.9), (300, 100, 0.9)]])
        draw_people(image, [1], np.float32([BOX]), keypoints, [(0, 1)], measured=[measured], labels=False)
        return (image[100, 40:280] == colour_of(1)).all(axis=1)

    assert limb(True).all()
    assert 0.3 < limb(False).mean() < 0.7


def test_each_person_is_drawn_in_their_box_with_their_keypoints_and_colour():
    people, boxes = [POINTS, np.add(POINTS, (200, 0))], [BOX, np.add(BOX, (200, 0, 200, 0))]
    image = drawn(people, [[0.9] * 3, [0.1] * 3], boxes=boxes, ids=[4, 5], size=(420, 240))
    assert pixel(image, 100, 100) == colour_of(4)
    assert pixel(image, 300, 100) == (0, 0, 0)
    assert pixel(image, 240, 220) == colour_of(5)


def test_an_image_without_people_stays_as_it_is():
    assert not drawn(np.zeros((0, 3, 2)), np.zeros((0, 3)), boxes=[], ids=[]).any()


def test_keypoints_and_boxes_may_lie_outside_the_image():
    boxes = [(-600, -50, -400, 90), (10, 10, 90, 9000)]
    image = drawn([np.add(POINTS, (-500, 0)), np.add(POINTS, (0, 5000))], boxes=boxes, ids=[1, 2])
    assert (image == colour_of(2)).all(axis=2).any()  # the label
    assert not (image == colour_of(1)).all(axis=2).any()


@pytest.mark.parametrize("far", [1e4, 1e9, 1e30])
def test_keypoints_and_boxes_however_far_away_are_drawn_without_an_error(far):
    points = [np.add(POINTS, (far, -far)), POINTS]
    drawn(points, boxes=[(-far, -far, far, far), (far, far, 2 * far, 2 * far)], ids=[1, 2])
    image = np.zeros((240, 320, 3), np.uint8)
    keypoints = np.concatenate([np.float32(points), np.ones((2, 3, 1), np.float32)], axis=2)
    draw_people(image, [1, 2], np.float32([BOX, BOX]), keypoints, EDGES, measured=[False, False])


# Keypoints and limbs as in InfoMessage: of a face, of a hand with two fingers, of a single point.
@pytest.mark.parametrize(
    ("names", "edges"),
    [
        (["nose", "left_eye", "right_eye"], [(0, 1), (0, 2)]),
        (["wrist", "thumb", "thumb_tip", "index", "index_tip"], [(0, 1), (1, 2), (0, 3), (3, 4)]),
        (["head"], []),
    ],
)
def test_any_skeleton_of_the_stream_is_drawn_from_its_messages_alone(names, edges):
    angles = np.arange(len(names)) * 2 * np.pi / len(names)
    places = np.array([(160.0, 120.0)]) + 80 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    frame = make_frame(image=np.zeros((240, 320, 3), np.uint8))
    poses = make_poses(frame, [places], (10, 10, 300, 220), ids=[3])
    info = wire.decode(b"info/cam0/", wire.encode(make_info(keypoint_names=names, edges=edges), "msgpack"))
    message = wire.decode(b"pose/cam0/", wire.encode(make_pose_message(poses), "msgpack"))
    image = np.zeros((message.size[1], message.size[0], 3), np.uint8)
    draw_people(image, message.track_ids, message.boxes_array(), message.keypoints_array(), info.edges)
    for x, y in places:
        assert pixel(image, x, y) == (255, 255, 255)
    for start, end in edges:
        assert pixel(image, *(places[start] + places[end]) / 2) == colour_of(3)


def linear(colours):
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


# Red-green blindness, as matrices on linear RGB (Machado, Oliveira, Fernandes: "A physiologically-based model for
# simulation of color vision deficiency", 2009, severity 1.0); and usual sight.
SIGHTS = {
    "usual": np.eye(3),
    "protan": np.array(
        [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)]
    ),
    "deutan": np.array(
        [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)]
    ),
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_of_neighbouring_ids_differ_clearly_for_the_colour_blind_too(sight):
    rgb = np.array([colour_of(track_id)[::-1] for track_id in range(1, 40)]) / 255
    seen = np.clip(linear(rgb) @ SIGHTS[sight].T, 0, 1)
    for distance in (1, 2):
        assert np.abs(seen[distance:] - seen[:-distance]).max(axis=1).min() > 0.12


def test_colours_are_light_enough_for_dark_letters():
    rgb = np.array([colour_of(track_id)[::-1] for track_id in range(1, 40)]) / 255
    assert (linear(rgb) @ (0.2126, 0.7152, 0.0722)).min() > 0.2


def test_colours_are_those_of_the_page():
    assert colour_of(0)[::-1] == (0xFF, 0xB0, 0x00)
    assert colour_of(7)[::-1] == (0x4F, 0x7D, 0xFF)
    assert colour_of(8)[::-1] == (0xFF, 0xD4, 0x73)  # every second round is paler


def test_a_caption_is_shortened_until_it_fits():
    image = np.zeros((120, 160, 3), np.uint8)
    draw_caption(image, "cam0  " + "x" * 200)
    assert image.any()
    assert not image[:, 154:].any()
    draw_caption(np.zeros((1, 1, 3), np.uint8), "cam0")
