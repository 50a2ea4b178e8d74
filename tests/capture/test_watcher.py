import numpy as np

from realtime.capture.source import Pixels
from realtime.capture.watcher import Watcher
from realtime.config import ActivityConfig, CameraConfig
from realtime.runtime.activity import Activities


def test_each_frame_carries_the_mask_of_its_camera_to_where_it_is_drawn() -> None:
    polygons = [[[0, 0], [40, 0], [0, 30]], [[90, 90], [99.5, 90], [99, 99]]]
    camera = CameraConfig(name="cam0", source="demo", mask=polygons)
    watcher = Watcher(camera, Activities(ActivityConfig()))
    for k in range(3):
        motion = watcher.see(Pixels(np.zeros((120, 160, 3), np.uint8)), 0, k / 10).motion
        assert [polygon.tolist() for polygon in motion.mask] == polygons
