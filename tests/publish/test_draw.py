import numpy as np
import pytest

from realtime import wire
from realtime.publish.draw import colour_of, draw_people
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


def test_without_visible_keypoints_only_the_box_and_the_id_are_drawn():
    nothing = np.zeros((1, 0, 2))  # pose.model none
    np.testing.assert_array_equal(drawn([POINTS], 0.1), drawn(nothing, edges=[]))
    image = drawn(nothing, edges=[])
    inside = image[60:200, 40:160]
    assert not inside.any()
    for x, y in ((100, 20), (20, 150), (180, 150), (100, 220)):  # one point on each side
        assert pixel(image, x, y) == colour_of(1)


def test_the_label_shows_the_id():
    first, second = drawn([POINTS], ids=[1]), drawn([POINTS], ids=[11])
    label = np.s_[20:40, 20:60]  # the top left corner of the box
    assert (first[label] == colour_of(1)).all(axis=2).sum() > 50
    assert (second[label] == colour_of(11)).all(axis=2).sum() > (first[label] == colour_of(1)).all(axis=2).sum()


def test_each_person_is_drawn_in_their_box_with_their_keypoints_and_colour():
    people, boxes = [POINTS, np.add(POINTS, (200, 0))], [BOX, np.add(BOX, (200, 0, 200, 0))]
    image = drawn(people, [[0.9] * 3, [0.1] * 3], boxes=boxes, ids=[4, 5], size=(420, 240))
    assert pixel(image, 100, 100) == colour_of(4)
    assert pixel(image, 300, 100) == (0, 0, 0)
    assert pixel(image, 300, 220) == colour_of(5)


def test_an_image_without_people_stays_as_it_is():
    assert not drawn(np.zeros((0, 3, 2)), np.zeros((0, 3)), boxes=[], ids=[]).any()


def test_keypoints_and_boxes_may_lie_outside_the_image():
    boxes = [(-600, -50, -400, 90), (10, 10, 90, 9000)]
    image = drawn([np.add(POINTS, (-500, 0)), np.add(POINTS, (0, 5000))], boxes=boxes, ids=[1, 2])
    assert pixel(image, 90, 100) == colour_of(2)
    assert not (image == colour_of(1)).all(axis=2).any()


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


def test_colours_are_bright_and_those_of_consecutive_ids_differ_clearly():
    colours = np.array([colour_of(track_id) for track_id in range(1, 200)])
    assert colours.min() >= 0
    assert (colours.max(axis=1) == 255).all()
    for distance in (1, 2, 3):
        assert np.abs(np.diff(colours[::distance], axis=0)).max(axis=1).min() > 60
