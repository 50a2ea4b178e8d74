import pytest

from realtime.capture.mask import beyond, check_mask
from realtime.config import CameraConfig
from realtime.errors import ConfigError, SourceError
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
        with pytest.raises(SourceError, match="mask: got polygons over the whole frame of 64x48, expected a part"):
            check_mask((64, 48), camera(mask))
    else:
        check_mask((64, 48), camera(mask))


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
