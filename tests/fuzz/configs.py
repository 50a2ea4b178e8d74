"""Makes configuration files: valid ones with a few changes. Their cameras are files and `demo`, not other machines."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import yaml

from .mutate import INSERTS, Mutator

# The configuration with which a run starts, and to which it returns.
FIRST = b"realtime: true\ncameras: [{name: well, source: demo}]\n"
GOOD = (
    b"""\
# two cameras
realtime: true
cameras:
  - name: well
    source: demo
  - {name: "b", source: "missing \\u00fc.mp4", resize: 640, target_fps: 12.5, clock: arrival}
detector: {size: 160, min_score: 0.05}
pose:
  model: none
smoothing:
  method: one-euro
publish:
  encoding: msgpack
""",
    b"""\
realtime: true
cameras:
- &a {name: well, source: demo}
- name: c
  source: 'clips/*.png'
  crop_xyxy: [10, 10, 100, 100]
  rotate: 90
- {<<: *a, name: d}
""",
    b"""\
{"realtime": true, "cameras": [{"name": "well", "source": "demo"}, {"name": "e", "source": "a\\tb.mkv",
 "open_timeout_s": 3.0, "read_timeout_s": 2, "transport": "udp", "mode": "640x480@30"}]}
""",
)
# What YAML gives a meaning to, besides what any text may contain.
MARKS = (
    *INSERTS, b'"\\0"', b"\\0", b'"\\ud800"', b"&x ", b"*x", b"*a", b"<<: *a", b"!!python/object:os.system ",
    b"!!binary ", b"!!float ", b"? ", b"- ", b"{", b"}", b"[", b'"', b"'", b"|\n", b": ", b"\t", b"---\n", b"...\n",
    b"~", b".nan", b"-.inf", b"1e999", b"0o17", b"2026-11-28", b"yes", b"&x [*x]", b"[" * 2000,
)  # fmt: skip
# Webcams 97 and later: no machine has them.
VALUES: tuple[Any, ...] = (
    "a\0b.mp4", "\ud800", "\udcff.mp4", "", " ", ".", "/", "~", "a" * 5000, "x/" * 3000, "**x", "[", "[a-", "98", "99",
    "-1", "demo", "env:", "env:HOME", "secret:", "secret:.", "secret:/", "secret:a\0b", "file://", "file:///%00",
    "rtsp://[", "rtsp://[::1", "http://\0", "rtsp://", "0x10", "\u202e", "***", None, True, False, 97, -1, 2**63,
    10**30, 1e308, float("nan"), float("inf"), [], {}, [[]], {"name": "b"}, datetime.date(2026, 11, 28), b"bytes",
    [0, 0, 0, 0],
)  # fmt: skip


def configuration(seed: int) -> bytes:
    """Return the content of a configuration file: one of ten is valid, the others were changed.

    If it can be read, it has the camera `well`, because a run whose cameras all end is over.
    """
    data = _changed(seed)
    try:
        cameras = yaml.safe_load(data)["cameras"]
    except (yaml.YAMLError, ValueError, TypeError, KeyError, RecursionError):
        return data
    if not isinstance(cameras, list):
        return data
    found = [(camera.get("name"), camera.get("source")) for camera in cameras if isinstance(camera, dict)]
    return data if ("well", "demo") in found else GOOD[0]


def _changed(seed: int) -> bytes:
    mutator = Mutator(seed, MARKS)
    good = GOOD[seed % len(GOOD)]
    if seed % 10 == 9:
        return good
    if mutator.random.random() < 0.6:
        return _with_odd_values(yaml.safe_load(good), mutator)
    return mutator.text(good) if mutator.random.random() < 0.8 else mutator.binary(good)


def _with_odd_values(data: Any, mutator: Mutator) -> bytes:
    """Replace one or two values, mostly of the cameras, and write the file again."""
    data = copy.deepcopy(data)
    for _ in range(mutator.random.randint(1, 2)):
        camera = mutator.random.choice([each for each in data["cameras"][1:] if isinstance(each, dict)] or [data])
        place = camera if mutator.random.random() < 0.8 else data
        key = mutator.random.choice([*place, "source", "source"] if place is camera else list(place))
        if key == "cameras":
            continue
        place[key] = mutator.random.choice(VALUES)
    return yaml.safe_dump(data).encode()
