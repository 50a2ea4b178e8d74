import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from realtime.capture.motion import MotionDetector, Moved

SHAPE = (100, 160)
STEP_S = 0.12


class Camera:
    """A street with texture and noise, in front of which things are drawn."""

    def __init__(self, detector: MotionDetector | None = None, noise: float = 1.5, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        coarse = self.random.uniform(60, 140, (SHAPE[0] // 10, SHAPE[1] // 10))
        self.street = np.kron(coarse, np.ones((10, 10)))
        self.detector, self.noise, self.time_s = detector or MotionDetector(), noise, 0.0

    def picture(self, scene: np.ndarray | None = None) -> np.ndarray:
        scene = self.street if scene is None else scene
        return np.clip(scene + self.random.normal(0, self.noise, SHAPE), 0, 255).astype(np.uint8)

    def shows(self, scene: np.ndarray | None = None, step_s: float = STEP_S) -> Moved:
        self.time_s += step_s
        return self.detector.update(self.picture(scene), self.time_s)

    def runs(self, seconds: float, step_s: float = STEP_S) -> list[Moved]:
        return [self.shows(step_s=step_s) for _ in range(round(seconds / step_s))]

    def person(self, x: float, contrast: float = 40.0, height: int = 14, y: int = 50) -> np.ndarray:
        """Return the street with a person of 5 x `height` pixels; the edges are shared between two pixels."""
        scene = self.street.copy()
        cover = np.clip(np.minimum(np.arange(SHAPE[1]) + 1 - x, x + 5 - np.arange(SHAPE[1])), 0, 1)
        scene[y : y + height] -= contrast * cover
        return scene


def touches(moved: Moved, x: float, y: int = 50, height: int = 14) -> bool:
    low, high = (x - 1, y - 1), (x + 6, y + height + 1)
    return bool(((moved.xyxy[:, :2] < high) & (moved.xyxy[:, 2:] > low)).all(1).any())


def test_an_empty_street_is_still_and_sure_after_a_second() -> None:
    camera = Camera()
    seen = camera.runs(20)
    assert not seen[0].is_sure
    assert all(each.is_sure for each in seen[9:])
    assert not any(len(each.xyxy) for each in seen)


@pytest.mark.parametrize("contrast", [15, 40, -40, 100])
def test_a_person_who_walks_in_is_seen(contrast: float) -> None:
    camera = Camera()
    camera.runs(12)
    assert any(touches(camera.shows(camera.person(x, contrast)), x) for x in np.arange(0, 8, 0.7))


def test_a_person_who_appears_between_two_pictures_10_s_apart_is_seen_at_once() -> None:
    camera = Camera()
    camera.runs(12)
    camera.runs(60, step_s=10.0)
    assert touches(camera.shows(camera.person(70), step_s=10.0), 70)


def test_in_rain_a_person_who_walks_is_seen_in_pictures_a_second_apart_and_small_drops_are_not() -> None:
    camera = Camera()

    def rains(scene: np.ndarray) -> Moved:
        for _ in range(3):
            y, x = camera.random.integers(2, 44), camera.random.integers(2, SHAPE[1] - 4)
            scene[y : y + 3, x] += 40
        return camera.shows(scene, step_s=1.0)

    before = [rains(camera.street.copy()) for _ in range(120)][60:]
    assert np.mean([len(each.xyxy) > 0 for each in before]) < 0.1
    assert all(touches(rains(camera.person(x, height=9)), x, height=9) for x in range(10, 120, 10))


def test_a_person_at_a_third_of_a_pixel_per_second_stays_visible() -> None:
    camera = Camera()
    camera.runs(12)
    ways = np.arange(60, 70, 0.35 * STEP_S)
    seen = [touches(camera.shows(camera.person(x)), x) for x in ways]
    assert np.mean(seen) > 0.9


def test_a_parked_car_is_part_of_the_picture_within_a_minute() -> None:
    camera = Camera()
    camera.runs(12)
    camera.street = camera.street.copy()
    camera.street[40:60, 50:90] += 100
    seen = camera.runs(50)
    assert any(len(each.xyxy) for each in seen[:5])
    assert not any(len(each.xyxy) for each in seen[350:])


def test_a_picture_that_stays_different_is_calibrated_again() -> None:
    camera = Camera()
    camera.runs(12)
    camera.street = 255 - camera.street
    seen = camera.runs(12)
    assert not seen[0].is_sure
    assert all(each.is_sure and not len(each.xyxy) for each in seen[20:])


def test_after_lightning_nothing_is_calibrated_again() -> None:
    camera = Camera()
    camera.runs(12)
    assert not camera.shows(255 - camera.street).is_sure
    assert camera.shows().is_sure
    assert touches([camera.shows(camera.person(x)) for x in (60, 61)][-1], 61)


def test_a_strobe_lamp_keeps_the_detector_unsure_for_seconds_only_and_people_are_seen_between_flashes() -> None:
    camera = Camera()
    camera.runs(12)
    bright = 255 - camera.street
    seen = [camera.shows(bright if k % 4 == 0 else None) for k in range(200)]
    assert sum(not each.is_sure for each in seen) * STEP_S < 3
    assert any(touches(camera.shows(bright if k % 4 == 0 else camera.person(60 + k)), 60 + k) for k in range(8))


def test_a_change_that_all_pixels_share_is_no_motion() -> None:
    camera = Camera()
    camera.runs(12)
    seen = [camera.shows(camera.street + 15 * np.sin(k)) for k in range(50)]
    assert not any(len(each.xyxy) or not each.is_sure for each in seen)


def test_pixels_that_flicker_all_the_time_are_learnt_but_not_a_person_before_them() -> None:
    camera = Camera()
    leaves = np.zeros(SHAPE, bool)
    leaves[30:80, 40:100] = True
    for _ in range(300):
        before = camera.shows(np.where(leaves, camera.street + camera.random.choice((-8, 8), SHAPE), camera.street))
    assert not len(before.xyxy)
    assert any(touches(camera.shows(camera.person(x, contrast=70)), x) for x in range(60, 64))


def test_an_area_in_a_single_picture_is_no_motion() -> None:
    camera = Camera()
    camera.runs(12)
    drop = camera.street.copy()
    drop[20:24, 32] += 30
    assert not len(camera.shows(drop).xyxy)
    assert not len(camera.shows().xyxy)


def test_motion_under_the_mask_is_ignored() -> None:
    watched = np.ones(SHAPE, bool)
    watched[:, 60:] = False
    camera = Camera(MotionDetector(watched=watched))
    camera.runs(12)
    assert not any(len(camera.shows(camera.person(x)).xyxy) for x in range(80, 90))
    assert any(len(camera.shows(camera.person(x)).xyxy) for x in range(20, 30))


def test_a_screen_under_the_mask_does_not_shift_the_rest() -> None:
    screen = np.zeros(SHAPE, bool)
    screen[:, 60:] = True  # most of the picture
    watched = ~screen
    watched[:, 59] = False  # into which the blur carries it
    camera = Camera(MotionDetector(watched=watched))
    camera.runs(12)
    bright = np.where(screen, 250, camera.street)
    assert not any(len(camera.shows(bright).xyxy) for _ in range(5))


def test_with_everything_masked_nothing_moves_and_the_detector_is_sure() -> None:
    camera = Camera(MotionDetector(watched=np.zeros(SHAPE, bool)))
    camera.runs(12)
    moved = camera.shows(255 - camera.street)
    assert moved.is_sure
    assert not len(moved.xyxy)


def test_a_higher_sensitivity_sees_less_contrast() -> None:
    def sees(sensitivity: float) -> bool:
        camera = Camera(MotionDetector(sensitivity), noise=0.5)
        camera.runs(12)
        return any(len(camera.shows(camera.person(x, contrast=8)).xyxy) for x in np.arange(60, 64, 0.5))

    assert [sees(0.0), sees(1.0)] == [False, True]


def test_a_picture_of_another_size_starts_again() -> None:
    camera = Camera()
    camera.runs(12)
    assert not camera.detector.update(np.zeros((50, 60), np.uint8), camera.time_s + 1).is_sure


@pytest.mark.parametrize("level", [0, 255])
def test_a_person_before_a_black_or_a_white_picture_is_seen(level: int) -> None:
    camera = Camera(noise=0)
    camera.street = np.full(SHAPE, float(level))
    camera.runs(12)
    assert any(len(camera.shows(camera.person(x, contrast=40 if level else -40)).xyxy) for x in (60, 61))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_pictures_masks_and_times_give_areas_within_the_picture(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 30)))
    watched = data.draw(st.none() | arrays(bool, shape))
    detector = MotionDetector(data.draw(st.floats(0, 1)), watched)
    time_s = data.draw(st.floats(0, 1e9))
    for _ in range(8):
        time_s += data.draw(st.sampled_from([0.0, 0.04, 0.5, 10.0, 1e6]))
        moved = detector.update(data.draw(arrays(np.uint8, shape, fill=st.sampled_from([0, 128, 255]))), time_s)
        assert moved.xyxy.dtype == np.float32
        assert ((moved.xyxy[:, :2] >= 0) & (moved.xyxy[:, 2:] <= shape[::-1])).all()
        assert (moved.xyxy[:, 2:] > moved.xyxy[:, :2]).all()


def test_after_many_people_passed_one_with_less_contrast_is_seen_on_the_same_way() -> None:
    camera = Camera()
    camera.runs(12)
    for _ in range(12):
        for x in range(10, 90, 3):
            camera.shows(camera.person(x))
    camera.runs(15)
    assert any(touches(camera.shows(camera.person(x, contrast=25)), x) for x in np.arange(40, 50, 0.7))
