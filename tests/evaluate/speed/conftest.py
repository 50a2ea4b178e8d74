from pathlib import Path

import numpy as np
import pytest

from realtime.evaluate.speed.videos import write_video


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of 20 frames that become brighter, at 10 frames per second."""
    file = tmp_path / "clip.mp4"
    write_video((np.full((48, 64, 3), 10 * k, np.uint8) for k in range(20)), 10, file)
    return file
