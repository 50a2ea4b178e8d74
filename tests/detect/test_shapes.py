"""Which shapes are compiled, kept and dropped, and into which one a frame goes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.detect.letterbox import Letterbox
from realtime.detect.shapes import COMPILE_EVERY_S, SPARE, SPARE_OF_FILES, Shapes
from realtime.types import Frame

SIDE, STRIDE = 640, 32
WIDE, OLD, SQUARE, TALL = (640, 384), (640, 480), (640, 640), (384, 640)
# Frame sizes whose own shapes are the ones above.
FRAME = {WIDE: (1280, 720), OLD: (640, 480), SQUARE: (500, 500), TALL: (720, 1280)}


def frame(size, camera="cam0"):
    return Frame(camera, 0, 0, np.zeros((size[1], size[0], 3), np.uint8), 0.0, 0, 0)


def shapes_with(*compiled, drop=lambda shape: None):
    shapes = Shapes(STRIDE, SIDE, drop)
    for shape in compiled:
        shapes.add(shape)
    return shapes


def placed(shapes, size, camera="cam0"):
    """Place a frame, as if the network processed it at once."""
    placement = shapes.place(frame(size, camera), SIDE)
    shapes.done(placement)
    return placement


def compile_due(shapes, now_s):
    """Compile the shape that is due and return it, or None."""
    due = shapes.due(now_s)
    if due is None:
        return None
    shapes.began(*due, now_s)
    shapes.add(due[1])
    return due[1]


# ---- where a frame goes


def test_a_frame_goes_into_its_own_shape_once_that_is_compiled():
    shapes = shapes_with(WIDE)
    shapes.need("cam0", FRAME[OLD], exact=False)
    assert placed(shapes, FRAME[OLD]).input_size == WIDE
    shapes.add(OLD)
    assert placed(shapes, FRAME[OLD]) == Letterbox.of(FRAME[OLD], SIDE, STRIDE)


@pytest.mark.parametrize(
    ("own", "compiled", "nearest"),
    [
        (OLD, [WIDE, SQUARE], SQUARE),  # at full size beats smaller
        (WIDE, [SQUARE, OLD, TALL], OLD),  # at full size in both: the smaller shape costs less
        (TALL, [WIDE, OLD], OLD),  # 480/1280 of its size instead of 384/1280
    ],
)
def test_the_nearest_shape_scales_the_frame_down_least(own, compiled, nearest):
    shapes = shapes_with(*compiled)
    shapes.need("cam0", FRAME[own], exact=False)
    assert placed(shapes, FRAME[own]).input_size == nearest


def test_a_frame_is_no_larger_in_another_shape_than_in_its_own():
    shapes = shapes_with((960, 960))
    shapes.need("cam0", FRAME[WIDE], exact=False)
    assert placed(shapes, FRAME[WIDE]).scaled_size == Letterbox.of(FRAME[WIDE], SIDE, STRIDE).scaled_size


def test_an_exact_or_unknown_camera_s_frames_always_go_into_their_own_shape():
    shapes = shapes_with(WIDE)
    shapes.need("file", FRAME[OLD], exact=True)
    assert placed(shapes, FRAME[OLD], "file").input_size == OLD
    assert placed(shapes, FRAME[TALL], "unknown").input_size == TALL
    assert shapes.compiled == {WIDE, OLD, TALL}


def test_a_live_frame_that_is_left_after_its_camera_has_ended_causes_no_compilation():
    shapes = shapes_with(WIDE)
    shapes.need("cam0", FRAME[OLD], exact=False)
    shapes.need("cam0", None, exact=True)
    assert placed(shapes, FRAME[OLD]).input_size == WIDE


# ---- what is compiled next


def test_a_camera_has_a_shape_compiled_once_in_ten_seconds():
    shapes = shapes_with(WIDE)
    shapes.need("cam0", FRAME[OLD], exact=False)
    assert compile_due(shapes, 100.0) == OLD
    shapes.need("cam0", FRAME[TALL], exact=False)
    assert shapes.due(100.0 + COMPILE_EVERY_S - 0.1) is None
    shapes.need("other", FRAME[SQUARE], exact=False)
    assert shapes.due(100.1) == ("other", SQUARE)
    assert compile_due(shapes, 100.1) == SQUARE
    assert compile_due(shapes, 100.0 + COMPILE_EVERY_S) == TALL


def test_cameras_that_share_a_shape_have_it_compiled_once():
    shapes = shapes_with(WIDE)
    for camera in ("cam0", "cam1", "cam2"):
        shapes.need(camera, FRAME[OLD], exact=False)
    assert compile_due(shapes, 0.0) == OLD
    assert shapes.due(0.0) is None


def test_a_change_of_the_input_s_side_makes_the_shapes_of_both_sides_needed():
    shapes = shapes_with(WIDE)
    shapes.need("cam0", FRAME[WIDE], exact=False)
    shapes.set_sides(480, 640)
    assert compile_due(shapes, 0.0) == (480, 288)
    assert shapes.missing("cam0") == []


def test_another_side_for_the_same_frames_does_not_have_to_wait():
    shapes = shapes_with()
    shapes.need("cam0", FRAME[WIDE], exact=False)
    assert compile_due(shapes, 0.0) == WIDE
    shapes.set_sides(480)
    assert compile_due(shapes, 1.0) == (480, 288)
    shapes.need("cam0", FRAME[OLD], exact=False)
    assert shapes.due(2.0) is None


def test_a_change_of_size_between_asking_and_compiling_gains_no_second_turn():
    shapes = shapes_with()
    shapes.need("cam0", FRAME[WIDE], exact=False)
    camera, shape = shapes.due(0.0)
    shapes.need("cam0", FRAME[OLD], exact=False)
    shapes.began(camera, shape, 0.0)
    shapes.add(shape)
    assert shapes.due(1.0) is None


def test_the_shapes_of_an_earlier_side_are_dropped_like_others():
    shapes = shapes_with()
    for number, size in enumerate([(640, 100), (640, 200), (640, 300), (640, 400), (640, 500)]):
        shapes.need(f"cam{number}", size, exact=False)
        compile_due(shapes, 0.0)
    assert len(shapes.compiled) == 5
    shapes.set_sides(320)
    assert len(shapes.compiled) == SPARE


def test_an_ended_camera_needs_nothing_and_a_forgotten_one_may_return():
    shapes = shapes_with(WIDE)
    shapes.need("cam0", FRAME[OLD], exact=False)
    shapes.need("cam0", None, exact=False)
    assert shapes.due(0.0) is None
    shapes.forget("cam0")
    shapes.need("cam0", None, exact=False)  # its thread ends after it was removed
    assert (shapes.due(0.0), shapes.missing("cam0")) == (None, [])
    shapes.need("cam0", FRAME[OLD], exact=False)
    assert shapes.due(0.0) == ("cam0", OLD)


# ---- what is kept


def test_the_shapes_of_the_cameras_and_the_last_four_others_are_kept():
    dropped = []
    shapes = shapes_with(WIDE, drop=dropped.append)
    shapes.need("cam0", FRAME[WIDE], exact=False)
    many = [(640, 32 * k) for k in range(1, 11)]
    for shape in many:
        shapes.add(shape)
    assert shapes.compiled == {WIDE, *many[-SPARE:]}
    assert dropped == many[:-SPARE]


def test_using_a_shape_keeps_it_longer():
    shapes = shapes_with(OLD, TALL)
    shapes.need("cam0", FRAME[WIDE], exact=False)
    placed(shapes, FRAME[OLD])  # a frame from before the change of size
    for shape in [(640, 32), (640, 64), (640, 96)]:
        shapes.add(shape)
    assert shapes.compiled == {OLD, (640, 32), (640, 64), (640, 96)}


def test_a_removed_camera_frees_its_shape():
    dropped = []
    shapes = shapes_with(WIDE, OLD, SQUARE, TALL, (640, 32), drop=dropped.append)
    shapes.need("cam0", FRAME[WIDE], exact=False)
    shapes.need("cam1", FRAME[OLD], exact=False)
    shapes.forget("cam0")
    assert dropped == []  # the last four others
    shapes.need("cam2", (640, 330), exact=False)
    shapes.forget("cam1")
    assert dropped == [WIDE]


def test_a_shape_is_not_dropped_while_a_frame_is_in_it():
    dropped = []
    shapes = shapes_with(WIDE, drop=dropped.append)
    shapes.need("cam0", FRAME[TALL], exact=False)
    placement = shapes.place(frame(FRAME[TALL]), SIDE)
    assert placement.input_size == WIDE
    for k in range(1, SPARE + 1):
        shapes.add((640, 32 * k))
    assert dropped == []
    shapes.done(placement)
    assert dropped == [(640, 32)]  # WIDE was used last


def test_a_run_of_files_keeps_more_shapes():
    shapes = shapes_with()
    for k in range(1, 20):
        shapes.need("folder", (640, 32 * k), exact=True)
        placed(shapes, (640, 32 * k), "folder")
    assert shapes.compiled == {(640, 32 * k) for k in range(19 - SPARE_OF_FILES, 20)}


sizes = st.sampled_from([(640, 32 * k) for k in range(1, 20)] + [(32 * k, 640) for k in range(1, 20)])
cameras = st.sampled_from(["cam0", "cam1", "cam2"])
steps = st.one_of(
    st.tuples(st.just("need"), cameras, sizes),
    st.tuples(st.just("frame"), cameras, sizes),
    st.tuples(st.sampled_from(["end", "forget"]), cameras),
    st.tuples(st.just("wait"), st.floats(0.0, 6.0)),
    st.tuples(st.sampled_from(["compile", "done"])),
)


@given(st.lists(steps, max_size=60))
def test_whatever_live_cameras_do_few_shapes_are_kept_and_no_frame_waits_for_the_compiler(script):
    network = {WIDE}  # the shapes that the network itself is compiled for
    shapes = shapes_with(WIDE, drop=network.remove)
    needed, inside, compiled_s, now_s = {}, [], {}, 0.0
    for step, *arguments in script:
        match step:
            case "need":
                needed[arguments[0]] = arguments[1]
                shapes.need(*arguments, exact=False)
            case "frame" if arguments[0] in needed:
                inside.append(shapes.place(frame(arguments[1], arguments[0]), SIDE))
            case "end" | "forget":
                shapes.need(arguments[0], None, exact=False)
                if step == "forget" and needed.pop(arguments[0], None):
                    shapes.forget(arguments[0])
            case "wait":
                now_s += arguments[0]
            case "done" if inside:
                shapes.done(inside.pop(0))
            case "compile" if due := shapes.due(now_s):
                camera, shape = due
                assert shape not in network
                assert now_s - compiled_s.get(camera, -COMPILE_EVERY_S) >= COMPILE_EVERY_S
                compiled_s[camera] = now_s
                shapes.began(camera, shape, now_s)
                network.add(shape)
                shapes.add(shape)
        if step == "forget":
            compiled_s.pop(arguments[0], None)
        assert all(placement.input_size in network for placement in inside)
        assert shapes.compiled == network
        assert len(network) <= len(needed) + SPARE_OF_FILES + len(inside)
    for placement in inside:
        shapes.done(placement)
    shapes.need("cam0", FRAME[WIDE], exact=False)
    shapes.add(FRAME[WIDE])
    assert len(shapes.compiled) <= len(needed) + 1 + SPARE
