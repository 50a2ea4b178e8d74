"""The motion gate as the camera uses it: which frames enter, what is counted, and what the status says."""

import numpy as np
import pytest

from realtime.capture.source import Picture, Pixels
from realtime.config import ActivityConfig
from realtime.errors import SourceError, SourceReason
from realtime.runtime.activity import Activities
from tests.capture.rig import RecordingStop, Rig, ScriptedSource, lost

WALL = np.full((48, 64, 3), 90, np.uint8)


def pictures(seconds: float, fps: int = 10, start_s: float = 0.0, person: tuple[int, int] | None = None):
    """Pictures of a wall, with a person's dark shape at x and y if given."""
    image = WALL.copy()
    if person:
        x, y = person
        image[y : y + 20, x : x + 8] = 20
    return [Picture(Pixels(image), start_s + k / fps) for k in range(round(seconds * fps))]


def gated(mode: str = "auto", **keys) -> Activities:
    return Activities(ActivityConfig(mode=mode, **({"empty_s": 2.0} | keys)))


class Sparing(ScriptedSource):
    """A source that can decode less, and notes what it was asked for."""

    def __init__(self, *script, **keys):
        super().__init__(*script, **keys)
        self.asked = []

    def decode_only(self, what):
        if self.asked[-1:] != [what]:
            self.asked.append(what)


def test_frames_of_an_empty_camera_are_dropped_as_idle_but_for_one_a_second() -> None:
    rig = Rig("0", ScriptedSource(*pictures(20.0), live=True), activities=gated(), max_frames=200)
    rig.run()
    counts = rig.status.counts()
    assert counts.captured == counts.published + counts.dropped == 200
    assert set(counts.drops) == {"idle"}
    empty = [frame for frame in rig.frames if frame.motion.activity == "empty"]
    assert 15 <= len(empty) <= 20
    assert np.diff([frame.time_s for frame in empty]).max() <= 1.0 + 1e-6
    assert rig.frames[-2].index >= 180  # the count of source frames goes on


def test_the_frame_in_which_someone_enters_is_published() -> None:
    script = [*pictures(8.0), *pictures(0.5, start_s=8.0, person=(20, 15))]
    rig = Rig("0", ScriptedSource(*script, live=True), activities=gated(), max_frames=len(script))
    rig.run()
    entered = [frame for frame in rig.frames if frame.index >= 80]
    assert [frame.index for frame in entered] == [80, 81, 82, 83, 84]
    assert {frame.motion.activity for frame in entered} == {"active"}


@pytest.mark.parametrize(
    ("mode", "own", "live", "has_gate"),
    [
        ("auto", None, True, True),
        ("auto", None, False, False),
        ("on", None, False, True),
        ("off", None, True, False),
        ("off", "on", False, True),
        ("on", "off", True, False),
        ("on", "auto", False, False),
    ],
)
def test_live_sources_have_a_gate_unless_configured_otherwise(mode, own, live, has_gate) -> None:
    rig = Rig("0", ScriptedSource(*pictures(0.3), live=live), activities=gated(mode), activity=own, max_frames=3)
    rig.run()
    assert [frame.motion is not None for frame in rig.frames] == [has_gate] * 3


def test_a_paced_file_counts_as_a_file() -> None:
    rig = Rig("x.mp4", ScriptedSource(*pictures(0.3)), activities=gated(), realtime=True)
    assert {frame.motion for frame in rig.run()} == {None}


def test_the_status_tells_the_activity_until_the_camera_is_lost() -> None:
    seen = []
    first = ScriptedSource(*pictures(5.0), lost(), live=True)
    rig = Rig("rtsp://door/1", first, ScriptedSource(*pictures(0.3), live=True), stop=RecordingStop(),
              activities=gated(), max_frames=53)  # fmt: skip
    put, note = rig.put, rig._note_state
    rig.put = lambda frame: (seen.append(rig.status.activity), put(frame))
    rig.status.set_state = lambda *state: (seen.append(state[0]), note(*state))
    rig.run()
    lost_at = seen.index("reconnecting")
    assert seen[lost_at - 1] == "empty"
    assert "empty" not in seen[lost_at:]  # a new epoch starts as active
    assert rig.status.activity is None


def test_less_is_decoded_only_while_the_camera_is_empty() -> None:
    script = [*pictures(8.0), *pictures(0.5, start_s=8.0, person=(20, 15))]
    source = Sparing(*script, live=True)
    Rig("0", source, activities=gated(), idle_decode="key", max_frames=len(script)).run()
    assert source.asked == ["all", "key", "all"]


class Unreadable(Pixels):
    def luma(self, scale, box=None):
        raise SourceError("odd pixels", SourceReason.CODEC)


def test_a_picture_whose_brightness_cannot_be_read_is_that_camera_s_trouble() -> None:
    broken = Picture(Unreadable(WALL), 0.1)
    sources = ScriptedSource(*pictures(0.1), broken, live=True), ScriptedSource(*pictures(0.1), live=True)
    rig = Rig("rtsp://door/1", *sources, stop=RecordingStop(), activities=gated(), enough=2)
    rig.run()
    assert rig.status.drops == {"undecodable": 1}
    assert ("reconnecting", "can't be decoded") in rig.states


def test_a_slow_rate_limit_applies_before_the_gate() -> None:
    activities = gated()
    rig = Rig(
        "0", ScriptedSource(*pictures(60.0, fps=2), live=True), activities=activities, target_fps=0.5, max_frames=120
    )
    rig.run()
    assert set(rig.status.drops) == {"target_fps"}  # each of the others is due, as they come every 2 s
    assert rig.frames[-1].motion.activity == "empty"
