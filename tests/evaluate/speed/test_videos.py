import itertools
import time
from pathlib import Path

import pytest

from realtime.evaluate.speed.videos import every, images_of, newest


def test_every_frame_of_a_video_has_its_number_and_time(clip: Path) -> None:
    shots = list(every(str(clip), None))
    assert [shot.number for shot in shots] == list(range(20))
    assert [shot.time_s for shot in shots] == pytest.approx([k / 10 for k in range(20)])
    assert len(list(every(str(clip), 7))) == 7


def test_images_of_starts_the_video_again_at_its_end(clip: Path) -> None:
    means = [image.mean() for image in itertools.islice(images_of(str(clip)), 25)]
    assert means[20:] == means[:5]


def test_a_live_source_returns_its_newest_frame_and_no_frame_twice(clip: Path) -> None:
    numbers = []
    for shot in newest(str(clip), 20, fps=200):
        numbers.append(shot.number)
        assert shot.captured_s <= time.monotonic()
        time.sleep(0.02)  # slower than the source
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 20
