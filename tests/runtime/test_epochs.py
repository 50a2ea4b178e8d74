from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.runtime.epochs import PerEpoch
from realtime.types import Frame

Make = Callable[..., Frame]


def test_a_state_lasts_until_the_next_epoch_of_its_camera(make_frame: Make) -> None:
    states = PerEpoch(lambda frame: [frame.index])
    first = states.of(make_frame(0))
    assert states.of(make_frame(1)) is first
    other = states.of(make_frame(2, camera="cam1"))
    second = states.of(make_frame(3, epoch=1))
    assert (first, other, second) == ([0], [2], [3])
    assert states.of(make_frame(4, camera="cam1")) is other
    assert states.get("cam0") is second


def test_a_camera_without_frames_has_no_state_and_can_be_forgotten(make_frame: Make) -> None:
    states = PerEpoch(lambda frame: frame.index)
    assert states.get("cam0") is None
    states.forget("cam0")
    states.of(make_frame(0))
    states.forget("cam0")
    assert states.get("cam0") is None


def test_clear_drops_the_states_of_all_cameras(make_frame: Make) -> None:
    states = PerEpoch(lambda frame: frame.index)
    for camera in ("cam0", "cam1"):
        states.of(make_frame(0, camera))
    states.clear()
    assert [states.get(camera) for camera in ("cam0", "cam1")] == [None, None]


CAMERAS = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("frame"), CAMERAS),
    st.tuples(st.just("new epoch"), CAMERAS),
    st.tuples(st.just("forget"), CAMERAS),
    st.tuples(st.just("clear"), st.none()),
)


@settings(deadline=None)
@given(steps=st.lists(STEPS, max_size=60))
def test_a_state_holds_exactly_the_frames_since_the_last_new_epoch_forget_or_clear(
    steps: list[tuple[str, str | None]],
) -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    states = PerEpoch[list[int]](lambda frame: [])
    epochs = dict.fromkeys("abc", 0)
    expected: dict[str, list[int]] = {}
    for index, (step, camera) in enumerate(steps):
        if step == "frame":
            states.of(Frame(camera, epochs[camera], index, image, float(index), 0, 0)).append(index)
            expected.setdefault(camera, []).append(index)
        elif step == "new epoch":
            epochs[camera] += 1
            states.of(Frame(camera, epochs[camera], index, image, float(index), 0, 0)).append(index)
            expected[camera] = [index]
        elif step == "forget":
            states.forget(camera)
            expected.pop(camera, None)
        else:
            states.clear()
            expected.clear()
        assert {name: states.get(name) for name in "abc"} == {name: expected.get(name) for name in "abc"}
