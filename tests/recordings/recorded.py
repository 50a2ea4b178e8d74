"""Recordings for the tests of this folder."""

from pathlib import Path

from realtime import wire
from tests.wire.examples import pose


def lines(*messages: wire.PoseMessage) -> bytes:
    return b"".join(wire.encode(message, "json") + b"\n" for message in messages)


def record(path: Path, *messages: wire.PoseMessage, rest: bytes = b"") -> Path:
    path.write_bytes(lines(*messages) + rest)
    return path


def of_camera(count: int, camera: str = "cam0", fps: float = 10.0, **changes: object) -> list[wire.PoseMessage]:
    """The messages of a camera that was live, one every 1 / fps seconds."""
    return [
        pose(
            camera=camera, seq=seq, frame=seq, media_s=seq / fps, captured_ns=10**18 + round(seq / fps * 1e9),
            published_ns=10**18 + round(seq / fps * 1e9) + 50_000_000, **changes,
        )
        for seq in range(count)
    ]  # fmt: skip
