"""Frame numbers and ids over several sessions and cameras."""

from realtime.recordings.convert.numbering import Numbering
from tests.recordings.convert.recordings import people

# The session, the frame and the track ids of each message; then its number and its ids.
CASES = [
    (("s1", 5, [1, 2]), (5, [1, 2])),  # the first session keeps its numbers
    (("s1", 9, [2, 7]), (9, [2, 7])),
    (("s2", 0, [1, 2]), (10, [8, 9])),
    (("s2", 1, [4, 1]), (11, [11, 8])),
    (("s1", 10, [7, 8]), (22, [18, 19])),  # two recordings that were mixed: a session that returns is another one
    (("s1", 3, [1, 2]), (26, [20, 21])),  # two copies that were joined: the frames begin again
]


def test_numbers_never_repeat() -> None:
    numbering = Numbering()
    for (session, frame, ids), expected in CASES:
        assert numbering.place(people(frame, session=session, track_ids=ids)) == expected


def test_each_camera_has_numbers_of_its_own() -> None:
    numbering = Numbering()
    placed = [numbering.place(people(0, camera=camera, session=camera)) for camera in ("door", "yard")]
    assert placed == [(0, [1, 2]), (0, [1, 2])]
