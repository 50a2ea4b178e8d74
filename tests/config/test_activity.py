"""The keys of the motion gate, from YAML, the environment and flags; each mistake is one line."""

from pathlib import Path

import pytest

from realtime.config import AppConfig, load
from realtime.errors import ConfigError

ONE_CAMERA = "cameras: [{{name: a, source: '0', {}}}]"


def loaded(tmp_path: Path, text: str = "", environment: dict[str, str] | None = None, **flags: str) -> AppConfig:
    (file := tmp_path / "c.yaml").write_text(text)
    return load([file], environment=environment or {}, flags={key.replace("__", "."): flags[key] for key in flags})


@pytest.mark.parametrize("mode", ["auto", "on", "off"])
def test_the_mode_can_be_set_everywhere_and_a_camera_overrides_it(tmp_path: Path, mode: str) -> None:
    assert loaded(tmp_path, f"activity: {{mode: {mode}}}").activity.mode == mode
    assert loaded(tmp_path, environment={"REALTIME_ACTIVITY__MODE": mode}).activity.mode == mode
    assert loaded(tmp_path, activity__mode=mode).activity.mode == mode
    assert loaded(tmp_path, ONE_CAMERA.format(f"activity: {mode}")).cameras[0].activity == mode


def test_without_keys_the_gate_is_chosen_by_the_kind_of_source(tmp_path: Path) -> None:
    config = loaded(tmp_path, "cameras: [{name: a, source: '0'}]")
    assert (config.activity.mode, config.activity.empty_s, config.activity.look_s) == ("auto", 10.0, 5.0)
    [camera] = config.cameras
    assert (camera.activity, camera.mask, camera.sensitivity, camera.idle_decode) == (None, [], 0.5, "all")


@pytest.mark.parametrize(
    ("mask", "corners"),
    [
        ("[]", []),
        ("[[[0, 0], [100, 0], [100, 50]]]", [3]),
        ("[[[0, 0], [100, 100], [100, 0], [0, 100]]]", [4]),  # an hourglass
        ("[[[0.5, 0], [99.5, 0], [9, 50]], [[0, 0], [2, 0], [2, 2], [0, 2]]]", [3, 4]),
    ],
)
def test_a_mask_is_a_list_of_polygons(tmp_path: Path, mask: str, corners: list[int]) -> None:
    [camera] = loaded(tmp_path, ONE_CAMERA.format(f"mask: {mask}")).cameras
    assert [len(polygon) for polygon in camera.mask] == corners


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("mask: [[[0, 0], [9, 0]]]", "cameras.0.mask: got 2 corners, expected 3 to 1000"),
        ("mask: [[]]", "cameras.0.mask: got 0 corners"),
        ("mask: [[[0, 0], [9, 0], [9, 9]], [[0, 0], [9, 0]]]", "cameras.0.mask: polygon 1: got 2 corners"),
        ("mask: [[[0, 0], [9, 0], [20, 0]]]", "cameras.0.mask: got corners on one line"),
        ("mask: [[[7, 7], [7, 7], [7, 7]]]", "cameras.0.mask: got corners on one line"),
        ("mask: [[[0, 0], [0.5, 0], [0.5, 0.5]]]", "cameras.0.mask: got fractions of the frame, expected pixels"),
        ("mask: [[0, 0], [9, 0], [9, 9]]", "cameras.0.mask: got one polygon, expected a list of polygons"),
        ("mask: [[[0, 0, 1], [9, 0], [9, 9]]]", "cameras.0.mask.0.0: "),
        ("mask: [[[a, 0], [9, 0], [9, 9]]]", "cameras.0.mask.0.0.0: expected a number"),
        ("mask: [[[-1, 0], [9, 0], [9, 9]]]", "cameras.0.mask.0.0.0: "),
        ("mask: 3", "cameras.0.mask: got '3', expected a list"),
        ("sensitivity: 1.1", "cameras.0.sensitivity: got '1.1', input should be less than or equal to 1"),
        ("sensitivity: high", "cameras.0.sensitivity: got 'high', expected a number"),
        ("activity: true", "cameras.0.activity: got 'true', input should be 'auto', 'on' or 'off'"),
        ("activity: maybe", "cameras.0.activity: got 'maybe', input should be 'auto', 'on' or 'off'"),
        ("idle_decode: keys", "cameras.0.idle_decode: got 'keys', input should be 'all', 'nonref' or 'key'"),
    ],
)
def test_a_mistake_in_a_camera_s_keys_is_one_line(tmp_path: Path, key: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, ONE_CAMERA.format(key))
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(f"(from {tmp_path}/c.yaml line 1)")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mode", "true", "activity.mode: got 'true', input should be 'auto', 'on' or 'off'"),
        ("empty_s", "0", "activity.empty_s: got '0', input should be greater than 0"),
        ("empty_s", "inf", "activity.empty_s: got 'inf', expected a number"),
        ("look_s", "0.05", "activity.look_s: got '0.05', input should be greater than or equal to 0.1"),
        ("pose_s", "often", "activity.pose_s: got 'often', expected a number"),
    ],
)
def test_a_mistake_in_the_section_is_one_line(tmp_path: Path, key: str, value: str, said: str) -> None:
    ways = {"text": f"activity: {{{key}: {value}}}"}, {"environment": {f"REALTIME_ACTIVITY__{key.upper()}": value}}
    for way in (*ways, {f"activity__{key}": value}):
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, **way)  # type: ignore[arg-type]
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)
