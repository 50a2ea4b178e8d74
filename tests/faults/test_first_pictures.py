"""The first pictures of many cameras are fresh, case 61 of docs/reliability.md: `make faults`.

The stages prepare for each shape of picture, which takes seconds. The pictures that arrive meanwhile are old.
"""

import contextlib

import numpy as np
import pytest

from realtime.models.openvino import OpenVinoNetwork

from .fakecam import CameraProcess
from .rig import Run

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

# 16:9, 4:3 and 9:16, each of about 230,000 pixels; how many cameras have each.
CAMERAS = {"640x360": 3, "552x414": 3, "360x640": 2}
FEW = "--fps=15", "--key-every=15"
# For how long (s) the cameras are watched. Later pictures are the business of other cases.
WATCHED_S = 5


def repeat_compiling(monkeypatch, times):
    """Compile each network several times, which takes as long as for larger pictures, or on a slower machine."""
    compile_once = OpenVinoNetwork._compile

    def compile_often(self, count):
        for _ in range(times - 1 if count not in self._compiled else 0):
            compile_once(self, count)
            del self._compiled[count]
        return compile_once(self, count)

    monkeypatch.setattr(OpenVinoNetwork, "_compile", compile_often)


@pytest.mark.parametrize("times", [1, 6])
@pytest.mark.timeout(180)
def test_61_the_first_pictures_of_eight_cameras_of_three_shapes_are_fresh(times, tmp_path, figure, monkeypatch):
    repeat_compiling(monkeypatch, times)
    with contextlib.ExitStack() as stack:
        # One process for each shape: it sends the same encoded video to each of its clients.
        processes = {size: stack.enter_context(CameraProcess(f"--size={size}", *FEW)) for size in CAMERAS}
        cameras = {f"c{size}-{i}": processes[size] for size, count in CAMERAS.items() for i in range(count)}
        run = stack.enter_context(Run({name: camera.url() for name, camera in cameras.items()}, tmp_path))
        for name in cameras:
            run.until_pose(name)
        run.run_for(WATCHED_S)
        ages_s = {name: run.ages_s(camera.clock, name) for name, camera in cameras.items()}
    print({name: (ages[0], run.poses(name)[0].at_s - run.began_s) for name, ages in ages_s.items()})
    first_s = [ages[0] for ages in ages_s.values()]
    assert not np.isnan(first_s).any(), "the number of a first picture can't be read"
    what = "8 cameras of 3 shapes" + (f", each network compiled {times} times" if times > 1 else "")
    figure("61", f"{what}: highest age of a first picture", max(first_s), "s", at_most=0.5)
    oldest_s = max(np.nanmax(ages) for ages in ages_s.values())
    figure("61", f"{what}: highest age of any picture in {WATCHED_S} s", oldest_s, "s", at_most=0.7)
