import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.capture.mask import beyond, check_mask
from realtime.capture.source import Pixels
from realtime.capture.view import Box, rotated, viewed_size
from realtime.capture.watcher import Watcher, watched
from realtime.config import ActivityConfig, CameraConfig
from realtime.errors import ConfigError, SourceError
from realtime.runtime.activity import Activities
from tests.capture.clips import write_clip
from tests.capture.rig import RecordingStop, Rig, ScriptedSource, lost, picture

EVERYTHING = [[(0, 0), (64, 0), (64, 48), (0, 48)]]
LEFT_HALF = [[(0, 0), (32, 0), (32, 48), (0, 48)]]


def camera(mask: list[list[tuple[float, float]]]) -> CameraConfig:
    return CameraConfig(name="door", source="0", mask=mask)


@pytest.mark.parametrize(
    ("mask", "covers"),
    [
        ([], False),
        (LEFT_HALF, False),
        (EVERYTHING, True),
        ([[(0, 0), (200, 0), (0, 200)]], True),  # a triangle that is much larger than the frame
        ([*LEFT_HALF, [(32, 0), (64, 0), (64, 48), (32, 48)]], True),  # two halves
        ([[(100, 0), (200, 0), (200, 100)]], False),  # outside
    ],
)
def test_a_mask_over_the_whole_frame_is_an_error(mask: list[list[tuple[float, float]]], covers: bool) -> None:
    if covers:
        with pytest.raises(SourceError, match="mask: got polygons over the whole frame of 64x48, or with less"):
            check_mask((64, 48), camera(mask))
    else:
        check_mask((64, 48), camera(mask))


@pytest.mark.parametrize("keys", [{}, {"crop_xyxy": (0, 0, 1920, 1080)}, {"resize": 1920}])
@pytest.mark.parametrize(("bottom", "covers"), [(1000, False), (1060, True), (1075, True)])
def test_a_strip_that_is_too_narrow_to_be_watched_does_not_count_as_left(keys: dict, bottom: int, covers: bool) -> None:
    mask = [[(0, 0), (1920, 0), (1920, bottom), (0, bottom)]]
    config = CameraConfig.model_validate({"name": "door", "source": "0", "mask": mask, **keys})
    if covers:
        with pytest.raises(SourceError, match="over the whole frame of 1920x1080"):
            check_mask((1920, 1080), config)
    else:
        check_mask((1920, 1080), config)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.floats(0.9, 1), st.sampled_from([0, 90]), st.data())
def test_a_mask_that_is_accepted_leaves_something_that_is_watched(
    width: int, height: int, share: float, rotate: int, data: st.DataObject
) -> None:
    view = (height, width) if rotate else (width, height)
    crop = data.draw(st.sampled_from([None, (0, 0, max(1, view[0] // 2), max(1, view[1] // 2))]))
    keys = {"rotate": rotate, "crop_xyxy": crop, "resize": data.draw(st.sampled_from([None, 32, 300]))}
    base = CameraConfig.model_validate({"name": "door", "source": "0", **keys})
    size = viewed_size((width, height), base)
    mask = [[(0, 0), (size[0], 0), (size[0], share * size[1]), (0, share * size[1])]]
    config = base.model_copy(update={"mask": mask})
    with contextlib.suppress(SourceError):
        check_mask(size, config)
        lumas: list[tuple[int, int]] = []

        class Seen(Pixels):
            def luma(self, scale: float, box: Box | None = None) -> np.ndarray:
                luma = super().luma(scale, box)
                lumas.append(rotated(luma, rotate).shape[::-1])
                return luma

        Watcher(config, Activities(ActivityConfig())).see(Seen(np.zeros((height, width, 3), np.uint8)), 0, 0.0)
        seen = watched(lumas[0], size, config)
        assert seen is not None
        assert seen.any()


@pytest.mark.parametrize("size", [(0, 0), (0, 480)])
def test_a_mask_is_not_checked_before_the_size_is_known(size: tuple[int, int]) -> None:
    check_mask(size, camera(EVERYTHING))


@pytest.mark.parametrize("size", [(1, 1), (3840, 8), (16, 2000)])
def test_frames_of_odd_sizes_can_have_a_mask(size: tuple[int, int]) -> None:
    check_mask(size, camera([[(9000, 0), (9999, 0), (9000, 999)]]))


def test_polygons_outside_of_the_frame_are_found() -> None:
    mask = [*LEFT_HALF, [(64, 0), (70, 0), (70, 9)], [(0, 50), (9, 50), (9, 60)], [(60, 40), (90, 40), (90, 90)]]
    assert beyond((64, 48), camera(mask)) == [1, 2]


@pytest.mark.parametrize("activity", ["auto", "on", "off"])
def test_a_mask_over_everything_is_a_mistake_in_the_configuration_of_a_file(tmp_path, activity) -> None:
    rig = Rig(write_clip(tmp_path / "clip.mp4"), mask=EVERYTHING, activity=activity)
    with pytest.raises(ConfigError, match=r"^cam0: mask: got polygons over the whole frame of 64x48, "):
        rig.run()
    assert rig.state == ("failed", "mode not possible")
    assert rig.frames == []


def test_so_it_is_for_a_camera_that_is_opened_for_the_first_time() -> None:
    source = ScriptedSource(picture(), live=True)
    rig = Rig("rtsp://door/1", lost(), source, stop=RecordingStop(), mask=EVERYTHING)
    with pytest.raises(ConfigError, match=r"^cam0: mask: "):
        rig.run()
    assert source.closed


def test_a_camera_whose_mask_covers_everything_once_its_size_has_changed_is_opened_again(caplog) -> None:
    mask = [[(0, 0), (64, 0), (64, 48), (0, 48)]]
    sizes = [ScriptedSource(*(picture(size=size) for size in sizes), live=True, size=sizes[0]) for sizes in (
        [(128, 96), (64, 48)], [(64, 48)], [(128, 96)],
    )]  # fmt: skip
    rig = Rig("rtsp://door/1", *sizes, stop=RecordingStop(), enough=2, mask=mask)
    rig.run()
    assert [frame.size for frame in rig.frames] == [(128, 96), (128, 96)]
    assert ("reconnecting", "mode not possible") in rig.states
    assert rig.status.drops == {"mask": 2}
    assert "cam0: mask: got polygons over the whole frame of 64x48" in caplog.text


def test_a_polygon_outside_the_frame_is_logged_once(caplog) -> None:
    mask = [[(0, 0), (9, 0), (9, 9)], [(70, 0), (90, 0), (90, 9)], [(0, 48), (90, 48), (90, 99)]]
    rig = Rig("x.mp4", *(ScriptedSource(picture()) for _ in range(2)), loop=True, enough=2, mask=mask)
    rig.run()
    assert caplog.text.count("cam0: mask: polygon 1 and 2: outside the frame of 64x48") == 1
