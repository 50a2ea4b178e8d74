"""What the fake dashboard plays: walls of cameras, every state, odd names."""

from __future__ import annotations

from collections.abc import Callable

from realtime import __version__

from .fake import Fake
from .fake_camera import FakeCamera, Record, now_ms

NAMES = [
    "front-door", "back-door", "lobby", "reception", "hall-east", "hall-west", "stairs-1", "stairs-2", "lift-lobby",
    "loading-bay", "garage-in", "garage-out", "car-park", "yard", "bike-shed", "gym", "pool", "canteen", "workshop",
    "roof",
]  # fmt: skip


def wall(port: int = 0) -> Fake:
    """Twenty cameras: most are live, some idle, three in trouble."""
    cameras = [
        FakeCamera(name, seed=i, people=(3, 1, 4, 2, 5)[i % 5], fps=4, first_id=1 + 5 * i)
        for i, name in enumerate(NAMES)
    ]
    for name in ("stairs-2", "bike-shed", "roof"):
        camera = next(each for each in cameras if each.name == name)
        camera.activity, camera.people = "empty", 0
    return Fake(cameras, port)


def trouble(fake: Fake) -> None:
    """Bring three cameras of the wall into trouble, once they have shown a picture."""
    fake.change("garage-in", state="reconnecting", reason="connection refused", since_ms=now_ms() - 42_000)
    fake.change("pool", state="reconnecting", reason="timed out", since_ms=now_ms() - 8_000)
    fake.change("workshop", state="failed", reason="login failed", since_ms=now_ms() - 3_725_000)


STATES: dict[str, Record] = {
    "live": {},
    "idle": {"activity": "empty", "people": 0},
    "starting": {"state": "starting", "people": 0},
    "reconnecting": {"state": "reconnecting", "reason": "connection refused", "since_ms": -42_000},
    "frozen": {"state": "reconnecting", "reason": "timed out", "since_ms": -7_000},
    "failed": {"state": "failed", "reason": "login failed", "since_ms": -3_725_000},
    "ended": {"state": "ended", "since_ms": -130_000},
    "gone": {"gone_since_ms": -95_000},
    "late": {"sends": False},
}


def states(port: int = 0) -> Fake:
    """One camera for each state; call `enter` once all have shown a picture."""
    return Fake([FakeCamera(name, seed=i, first_id=1 + 3 * i) for i, name in enumerate(STATES)], port)


def enter(fake: Fake) -> None:
    """Bring each camera of `states` into its state."""
    for name, fields in STATES.items():
        moved = {key: now_ms() + value if key.endswith("_ms") else value for key, value in fields.items()}
        fake.change(name, **moved)


def few(port: int = 0) -> Fake:
    """Three cameras, one of which lowers its effort."""
    cameras = [FakeCamera(name, seed=i + 3, people=3, first_id=1 + 4 * i) for i, name in enumerate(NAMES[:3])]
    cameras[0].lowered = ["detector.every=2", "pose.max_people=3"]
    cameras[0].predicted = frozenset({2})
    return Fake(cameras, port)


def one(port: int = 0) -> Fake:
    """One camera."""
    return Fake([FakeCamera("front-door", seed=3, people=4)], port)


def empty(port: int = 0) -> Fake:
    """No camera."""
    return Fake([], port)


def odd(port: int = 0) -> Fake:
    """Names and reasons that no one expects, and other shapes of pictures."""
    hostile = "<img src=x onerror=alert(1)>"
    long = "the server closes the connection after the first request, " * 8
    return Fake(
        [
            FakeCamera(hostile, seed=1, reason=hostile, state="reconnecting", since_ms=now_ms() - 4_000),
            FakeCamera("Überwachung-東京-カメラ-١٢٣-a-very-long-name-that-can-not-fit-into-any-tile", seed=2),
            FakeCamera("long-reason", seed=4, state="reconnecting", reason=long, since_ms=now_ms() - 90_000_000),
            FakeCamera("a/b?c#d%2f", seed=5),
            FakeCamera("boxes-only", seed=6, skeleton="none"),
            FakeCamera("no-pictures", seed=7, pictures=False),
            FakeCamera("broken-pictures", seed=8, broken=True),
            FakeCamera("crowd", seed=9, people=14),
            FakeCamera("cam0@2", seed=10, size=None, people=0),
        ],
        port,
    )


SCENARIOS: dict[str, Callable[[int], Fake]] = {
    "wall": wall, "states": states, "few": few, "one": one, "empty": empty, "odd": odd,
}  # fmt: skip


def details(camera: FakeCamera) -> Record:
    """Return a `details` message of web/1."""
    stages = {
        "detect": (31.0, 44.0, 18.0), "track": (0.6, 1.2, 0.1), "pose": (44.0, 61.0, 9.0),
        "relink": (0.2, 0.5, 0.1), "smooth": (0.3, 0.6, 0.1), "publish": (0.4, 0.9, 0.2),
    }  # fmt: skip
    status = {
        "schema": "status/1", "session": "fake", "camera": camera.name, "state": camera.state, "reason": camera.reason,
        "captured": 40_215, "dropped": 26_803, "published": 13_412, "fps": camera.fps,
        "latency_ms": camera.record()["latency_ms"], "uptime_s": 4_512.0, "lowered": camera.lowered,
        "drops": {"newer frame": 26_120, "target_fps": 641, "corrupt": 42},
        "reconnects": {"timed out": 3, "connection refused": 1},
        "stages": {name: {"p50": a, "p95": b, "wait_p95": c} for name, (a, b, c) in stages.items()},
        "process": {"cpu_s": 8_114.2, "rss_mb": 1_240.0}, "recording": None, "activity": camera.activity,
    }  # fmt: skip
    info = {
        "schema": "info/1", "session": "fake", "camera": camera.name, "detector": "yolo11n",
        "pose": "usyd-community/vitpose-plus-small", "device": "cpu", "smoothing": "one-euro", "source_fps": 30.0,
        "size": camera.size, "version": __version__, "pictures": "tcp://127.0.0.1:5557",
    }  # fmt: skip
    return {"type": "details", "camera": camera.name, "status": status, "info": info, "clock_difference_ms": 0.0}
