"""Compare our program with loops that a user would write with the same models: ratios, measured side by side.

This is `python -m realtime.evaluate compare`. Each side runs in its own process: ours is the program itself, the others
are in `loops`. The sides run in rotation, on the same cores and with the same video, weights and thresholds. Figures
are medians over the rounds. Ratios are computed in each round, and the table shows their median.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from realtime.capture.demo import DEMO_FPS, demo_frame
from realtime.errors import ConfigError, RealtimeError
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.evaluate.speed.plots import plot_ratios
from realtime.evaluate.speed.runs import Run, Scene
from realtime.evaluate.speed.videos import images_of, write_video
from realtime.home import home_path
from realtime.models.cache import cache_folder
from realtime.models.weights import find_detector, find_pose
from realtime.recordings.reading import open_recording
from realtime.runtime.core_budget import all_cores

# The default pose model: a network of the size of ViTPose-S with random weights.
RANDOM_POSE = "vitpose-s"
THROUGHPUT, LIVE = "throughput", "live"
# The sides, in the order of the table. The first is compared with each of the others.
OURS = "ours"
HALF = "sequential-half"  # only on a CUDA device, where users run networks in fp16
_BOXES = ("track", "track-as-shipped", "sequential", HALF, "engines")
_POSES = ("sequential", HALF, "engines")
_ENTRY = "import sys; from realtime.cli import main; sys.exit(main())"
_RECORDING, _REPORT = "ours.jsonl", "ours.json"
_FIGURES = ("people_per_s", "fps", "p50_ms", "p95_ms", "people", "thrown_away")


def add_scene_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `compare` and `cost` have in common."""
    add = parser.add_argument
    add(
        "--video",
        type=lambda text: str(home_path(text)),
        metavar="FILE",
        help="video file to process; default: the built-in demo source",
    )
    add("--detector", default="yolov8n", metavar="MODEL", help="detector, as in detector.weights; default yolov8n")
    add(
        "--pose",
        default=RANDOM_POSE,
        metavar="MODEL",
        help="pose model: none, detector (the detector's own keypoints), a ViTPose folder, or "
        f"{RANDOM_POSE} (default), a network of that size with random weights",
    )
    add("--device", default="auto", help="device for the models: auto, cpu or cuda; default auto")
    add("--threads", type=int, metavar="N", help="cores and threads to use; default: all cores of this process")
    add("--rounds", type=int, default=5, metavar="N", help="number of repetitions; default 5")
    add("--frames", type=int, default=200, metavar="N", help="frames per run at full speed; default 200")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a configuration key of our program, e.g. pose.precision=fp32; repeatable",
    )
    add("--plot", type=home_path, metavar="FILE", help="also draw a chart to this file")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_scene_arguments(parser)
    add = parser.add_argument
    modes = [THROUGHPUT, LIVE]
    add(
        "--mode",
        action="append",
        choices=modes,
        help="all frames at full speed, or a live source; repeatable; default: both",
    )
    add(
        "--fps",
        action="append",
        type=float,
        metavar="N",
        help="frame rate of the live source; repeatable; default 10 and 25",
    )
    add("--live-s", type=float, default=20.0, metavar="S", help="length of a live run in seconds; default 20")
    add(
        "--against",
        action="append",
        choices=_BOXES,
        metavar="SIDE",
        help="compare only with this loop: track (YOLO.track), track-as-shipped (the same with ultralytics' own thread "
        f"count), sequential (YOLO, boxmot, Hugging Face), {HALF} (the same in fp16, on CUDA only), engines (our "
        "stages in sequence); repeatable",
    )


def run(options: argparse.Namespace) -> Report:
    """Run all sides in rotation and report the ratios.

    Raises:
        ConfigError: a flag is wrong.
        ModelError: a model can't be loaded.
        RealtimeError: a side failed.
    """
    check_arguments(options)
    with tempfile.TemporaryDirectory(prefix="realtime-pose-") as name:
        folder = Path(name)
        scene = make_scene(options, folder)
        modes = _modes(options, scene, folder)
        offered = sides_for(scene)
        if HALF in (options.against or []) and HALF not in offered:
            raise ConfigError(f"--against: got {HALF} on a CPU, expected a CUDA device; use sequential")
        sides = [OURS, *(side for side in offered if side in (options.against or _BOXES))]
        turns = [
            (mode, side)
            for number in range(options.rounds)
            for mode in modes
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]
        ]
        runs: dict[str, dict[str, list[Run]]] = {mode: {side: [] for side in sides} for mode in modes}
        for mode, side in progress(turns, "rounds", unit="runs"):
            runs[mode][side].append(
                run_ours(modes[mode], folder) if side == OURS else _run_loop(side, modes[mode], folder)
            )
    report = _report(scene, options, runs)
    if options.plot is not None:
        plot_ratios(options.plot, report.data)
    return report


def check_arguments(options: argparse.Namespace) -> None:
    """Check the flags, and pin this process to `--threads` cores.

    Raises:
        ConfigError: a flag is wrong.
    """
    for flag, value, least in (("--rounds", options.rounds, 1), ("--frames", options.frames, 20)):
        if value < least:
            raise ConfigError(f"{flag}: got {value}, expected at least {least}")
    if wrong := [text for text in options.set if "=" not in text]:
        raise ConfigError(f"--set: got {wrong[0]!r}, expected KEY=VALUE, e.g. pose.precision=fp32")
    if options.threads is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("--threads: this system can't pin a process to cores; omit the flag")
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= options.threads <= len(cores):
        raise ConfigError(f"--threads: got {options.threads}, expected 1..{len(cores)}, the number of available cores")
    # The affinity also applies to the processes of the sides, which use one thread per core.
    os.sched_setaffinity(0, cores[: options.threads])


def make_scene(options: argparse.Namespace, folder: Path) -> Scene:
    """Return the throughput scene that the flags describe.

    Args:
        options: the flags.
        folder: where the default video and the default pose model are created.

    Raises:
        ModelError: a model can't be found.
        ConfigError: the other sides can't run this pose model, or the video doesn't exist.
    """
    detector = find_detector(options.detector, False, cache_folder())
    settings = dict(text.split("=", 1) for text in options.set)
    pose = options.pose
    if pose == RANDOM_POSE:
        from realtime.evaluate.speed.random_vitpose import SMALL, save_checkpoint

        pose = str(save_checkpoint(folder / RANDOM_POSE, size=SMALL))
        settings = {"pose.self_test": "warn"} | settings  # random weights may fail the self-test in bf16
    elif pose not in ("none", "detector"):
        found = find_pose(pose, False, cache_folder())
        if found.kind != "vitpose":
            raise ConfigError(f"--pose: got {found.name}, expected none, detector, {RANDOM_POSE} or a ViTPose folder")
        pose = str(found.path)
    video = options.video
    if video is None:
        video = str(folder / "demo.mp4")
        write_video((demo_frame(k) for k in range(options.frames)), DEMO_FPS, Path(video))
    elif not Path(video).is_file():
        raise ConfigError(f"--video: {video}: no such file")
    return Scene(video, str(detector.path), pose, options.frames, None, all_cores(), options.device, settings)


def sides_for(scene: Scene) -> list[str]:
    """Return the loops that can run a scene."""
    from realtime.runtime.device import resolve_device  # imports torch, which --help does not need

    sides = _BOXES if scene.pose in ("none", "detector") else _POSES
    on_cuda = resolve_device(scene.device).type == "cuda"
    return [side for side in sides if side != HALF or on_cuda]


def run_ours(scene: Scene, folder: Path, cameras: int = 1) -> Run:
    """Run our program once.

    Args:
        scene: the scene.
        folder: where the recording and the report are written.
        cameras: how many cameras play the video. The result contains the frames of all of them.

    Raises:
        RealtimeError: the program failed.
    """
    _start(*words_of_ours(scene, folder, cameras))
    return read_ours(folder)


def words_of_ours(scene: Scene, folder: Path, cameras: int = 1) -> list[str]:
    """Return Python's arguments that run our program once; see `run_ours`."""
    flags = {"publish.bind": "tcp://127.0.0.1:*"} | scene.configuration | {
        "max_frames": str(scene.frames),
        "realtime": str(scene.fps is not None).lower(),
        "record": str(folder / _RECORDING),
        "report": str(folder / _REPORT),
        "log_level": "warning",
    }  # fmt: skip
    words = [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()]
    return ["-c", _ENTRY, *(f"--source=cam{i}={scene.video}" for i in range(cameras)), *words]


def words_of_loop(side: str, scene: Scene, result: Path) -> list[str]:
    """Return Python's arguments that run a loop once; it writes its `Run` to the file `result`."""
    return ["-m", "realtime.evaluate.speed.loops", side, scene.to_json(), str(result)]


def read_ours(folder: Path) -> Run:
    """Read the result of our program from the folder that `words_of_ours` named."""
    told = json.loads((folder / _REPORT).read_text())
    run = Run(", ".join(f"{key} {Path(name).name}" for key, name in told["models"].items()))
    for message in sorted(open_recording(folder / _RECORDING).messages(), key=lambda message: message.published_ns):
        run.add(message.frame, message.captured_ns / 1e9, message.published_ns / 1e9, message.boxes_array())
    run.thrown_away = sum(c["captured"] - c["published"] - sum(c["drops"].values()) for c in told["cameras"].values())
    return run


def _run_loop(side: str, scene: Scene, folder: Path) -> Run:
    result = folder / "loop.json"
    _start(*words_of_loop(side, scene, result))
    return Run.read(result)


def _start(*words: str) -> None:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no error message"]
        raise RealtimeError(f"{' '.join(words[1:3])[:80]}: exit code {done.returncode}: {last[0]}")


def _modes(options: argparse.Namespace, scene: Scene, folder: Path) -> dict[str, Scene]:
    """Return the scenes to run, by the name of their mode in the table."""
    wanted = options.mode or [THROUGHPUT, LIVE]
    modes = {THROUGHPUT: scene} if THROUGHPUT in wanted else {}
    for fps in (options.fps or [10.0, 25.0]) if LIVE in wanted else []:
        if not 0 < fps <= 1000 or not 1 <= options.live_s < float("inf"):
            raise ConfigError(
                f"--fps, --live-s: got {fps:g} and {options.live_s:g}, expected --fps above 0 and at most 1000, "
                "and --live-s at least 1"
            )
        frames, video = round(fps * options.live_s), folder / f"live-{fps:g}.mp4"
        write_video(itertools.islice(images_of(scene.video), frames), fps, video)
        modes[f"{LIVE} {fps:g} fps"] = Scene(
            str(video), scene.weights, scene.pose, frames, fps, scene.threads, scene.device, scene.settings
        )
    return modes


def _report(scene: Scene, options: argparse.Namespace, runs: Mapping[str, Mapping[str, Sequence[Run]]]) -> Report:
    rows: list[list[Cell]] = []
    data: dict[str, dict[str, object]] = {}
    for mode, sides in runs.items():
        ours = [run.figures() for run in sides[OURS]]
        data[mode] = {}
        for side, theirs in sides.items():
            figures = [run.figures() for run in theirs]
            speed = "fps" if mode == THROUGHPUT else "people_per_s"
            ratios = {
                "speed": _ratio(ours, figures, speed),
                "age_p50": _ratio(ours, figures, "p50_ms"),
                "age_p95": _ratio(ours, figures, "p95_ms"),
            }
            shares = [theirs[i].share_found_by(sides[OURS][i]) for i in range(len(theirs))]
            medians = {name: float(np.median([f[name] for f in figures])) for name in _FIGURES}
            rows.append(
                [mode, side, *(r["median"] for r in ratios.values()), *medians.values(), float(np.median(shares))]
            )
            data[mode][side] = {
                "engine": theirs[0].engine,
                "ours_to_this": ratios,
                "figures": medians,
                "found_by_ours": float(np.median(shares)),
                "rounds": figures,
            }
    engines = dict.fromkeys(f"{side}: {r[0].engine}" for sides in runs.values() for side, r in sides.items())
    video = "the built-in source" if options.video is None else options.video
    return Report(
        title=f"Ours against others: {video}, {options.detector}, pose {options.pose}, {scene.threads} threads each, "
        f"medians of {options.rounds} rounds",
        columns=["mode", "side", "speed", "age p50", "age p95", "people/s", "frames/s", "p50 ms", "p95 ms", "people",
                 "lost", "found by ours"],
        rows=rows,
        data={"threads": scene.threads, "video": video, "detector": options.detector, "pose": options.pose,
              "frames": scene.frames, "modes": data},
        notes=[
            "speed, age: ours divided by that side's; speed is people/s live, else frames/s. people: mean per frame.",
            "found by ours: share of that side's boxes that ours has (IoU 0.7), in frames that both published.",
            "lost: frames neither published nor counted as dropped. "
            "In throughput mode, the age of track and track-as-shipped starts at the request for a frame.",
            *engines,
        ],
    )  # fmt: skip


def _ratio(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], name: str) -> dict[str, float]:
    """Return the median, minimum and maximum over the rounds of our figure divided by theirs."""
    ratios = [a[name] / b[name] if b[name] else float("nan") for a, b in zip(ours, theirs, strict=True)]
    return {"median": float(np.median(ratios)), "min": min(ratios), "max": max(ratios)}
