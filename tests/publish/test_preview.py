"""The window of --preview: its keys, and what it shows while cameras come, go and are lost."""

from dataclasses import replace

import numpy as np
import pytest

from realtime.observe.status import CameraStatus
from realtime.publish import preview as module
from realtime.publish.preview import Preview
from realtime.skeleton import NO_SKELETON
from realtime.types import Motion, Poses
from tests.builders import make_frame
from tests.clock import Clock


class FakeWindow:
    """A window whose keys a test presses."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.keys, self.shown, self.title = clock, list[str](), list[np.ndarray](), ""
        self.user_closes = self.was_closed = False
        self.dimensions = (320, 180)

    def open(self, title: str) -> "FakeWindow":
        self.title = title
        return self

    def size(self) -> tuple[int, int]:
        return self.dimensions

    def show(self, image: np.ndarray) -> None:
        self.shown.append(image)

    def key(self, timeout_s: float) -> str | None:
        self.clock.now_s += timeout_s
        return self.keys.pop(0) if self.keys else None

    def is_closed(self) -> bool:
        return self.user_closes

    def rename(self, title: str) -> None:
        self.title = title

    def close(self) -> None:
        self.was_closed = True


class Scene:
    """A preview of two cameras, each of which shows a plane of one grey level."""

    def __init__(self, clock: Clock) -> None:
        self.window = FakeWindow(clock)
        self.status = {name: CameraStatus(name) for name in ("a", "b")}
        for status in self.status.values():
            status.set_state("live")
        self.preview = Preview(NO_SKELETON, lambda camera: True, lambda: self.status, self.window.open)

    def offer(self, camera: str, grey: int, size: tuple[int, int] = (160, 90)) -> None:
        frame = make_frame(camera=camera, image=np.full((size[1], size[0], 3), grey, np.uint8))
        self.preview.offer(Poses.empty(frame, 0), 0)

    def press(self, *keys: str) -> None:
        self.window.keys += keys
        self.preview.wait(0.05)

    def greys(self) -> set[int]:
        """The grey levels of the frames that the window shows now."""
        self.preview.wait(0.05)
        levels, counts = np.unique(self.window.shown[-1], return_counts=True)
        return {int(level) for level, count in zip(levels, counts, strict=True) if count > 5000 and level > 50}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return Scene(clock)


def test_the_newest_frame_of_each_camera_is_shown(scene: Scene) -> None:
    for grey in (100, 150):
        scene.offer("a", grey)
        scene.offer("b", grey + 20)
    assert scene.greys() == {150, 170}


def test_nothing_is_drawn_while_nothing_changes(scene: Scene) -> None:
    scene.offer("a", 100)
    scene.greys()
    before = len(scene.window.shown)
    for _ in range(5):
        scene.preview.wait(0.05)
    assert len(scene.window.shown) == before
    scene.window.dimensions = (640, 360)  # the user resizes it
    scene.preview.wait(0.05)
    assert scene.window.shown[-1].shape == (360, 640, 3)


def test_space_freezes_what_is_shown_until_it_is_pressed_again(scene: Scene) -> None:
    scene.offer("a", 100)
    scene.press(" ")
    assert scene.window.title.startswith("PAUSED")
    scene.offer("a", 150)
    assert scene.greys() == {100}
    scene.press(" ")
    assert scene.greys() == {150}
    assert not scene.window.title.startswith("PAUSED")


@pytest.mark.parametrize("key", [".", "right"])
def test_a_step_shows_the_newest_frame_and_stays_paused(scene: Scene, key: str) -> None:
    scene.offer("a", 100)
    scene.press(" ")
    scene.offer("a", 150)
    scene.press(key)
    scene.offer("a", 200)
    assert scene.greys() == {150}


def test_keys_choose_one_camera_or_all(scene: Scene) -> None:
    scene.offer("a", 100)
    scene.offer("b", 150)
    expected = [("n", {100}), ("n", {150}), ("n", {100, 150}), ("2", {150}), ("7", {150}), ("0", {100, 150})]
    for key, greys in expected:
        scene.press(key)
        assert scene.greys() == greys, key


def test_l_shows_and_hides_labels(scene: Scene) -> None:
    scene.offer("a", 100)
    scene.press("l", "1")
    assert len(np.unique(scene.window.shown[-1])) == 1
    scene.press("l")
    assert len(np.unique(scene.window.shown[-1])) > 1


@pytest.mark.parametrize("key", ["q", "Q", "escape"])
def test_a_key_quits(scene: Scene, key: str) -> None:
    scene.press("x", "unknown")
    assert not scene.preview.is_over
    scene.press(key)
    assert scene.preview.is_over


def test_closing_the_window_quits(scene: Scene) -> None:
    scene.window.user_closes = True
    scene.preview.wait(0.05)
    assert scene.preview.is_over
    scene.preview.close()
    assert scene.window.was_closed


def test_a_lost_camera_is_dimmed_and_comes_back(scene: Scene) -> None:
    scene.offer("a", 200)
    scene.offer("b", 150)
    assert scene.greys() == {150, 200}
    scene.status["a"].set_state("reconnecting", "timed out")
    assert scene.greys() == {150, 70}  # 70: a dimmed 200
    scene.status["a"].set_state("live")
    assert scene.greys() == {150, 200}


def test_a_removed_camera_disappears_even_if_it_was_chosen(scene: Scene) -> None:
    scene.offer("a", 100)
    scene.offer("b", 150)
    scene.press("2")
    scene.status["b"].remove()
    assert scene.greys() == {100}


def test_before_the_first_frame_the_states_are_shown_and_without_cameras_the_wall(scene: Scene) -> None:
    scene.preview.wait(0.05)
    assert (scene.window.shown[-1] > 240).any()  # words
    scene.status.clear()
    scene.preview.wait(0.05)
    assert scene.window.shown[-1].shape == (180, 320, 3)


def test_a_preview_that_never_opened_closes(scene: Scene) -> None:
    scene.preview.finish()
    scene.preview.close()
    assert not scene.window.was_closed


def test_m_shows_and_hides_what_the_motion_gate_sees(scene: Scene) -> None:
    mask = np.float32([[0, 0], [160, 0], [160, 90], [0, 90]])
    motion = Motion("still", np.zeros((0, 4), np.float32), 0.0, (mask,))
    frame = replace(make_frame(camera="a", image=np.full((90, 160, 3), 150, np.uint8)), motion=motion)
    scene.preview.offer(Poses.empty(frame, 0), 0)
    assert scene.greys() == {150}
    assert "m: motion" in scene.window.title
    scene.press("m")
    assert 150 not in scene.greys()
    scene.press("m")
    assert scene.greys() == {150}
