"""Compare our program with loops that a user would write with the same models: ratios, measured side by side.

This is `python -m realtime.evaluate compare`. Each side runs in its own process (`sides`). The sides run in rotation,
on the same cores and with the same video, and except in the mode `one-liner` with the same weights and thresholds.
Figures are medians over the rounds. Ratios are computed in each round, and the table shows their median.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from realtime.capture.demo import DEMO_FPS, demo_frame
from realtime.errors import ConfigError
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Report
from realtime.evaluate.speed import one_liner
from realtime.evaluate.speed.one_liner import ONE_LINER
from realtime.evaluate.speed.plots import plot_ratios
from realtime.evaluate.speed.processes import CAMERAS, PROCESSES, run_processes
from realtime.evaluate.speed.ratios import COLUMNS, NOTES, OURS, ratios
from realtime.evaluate.speed.runs import Run, Scene
from realtime.evaluate.speed.sides import run_loop, run_ours
from realtime.evaluate.speed.videos import images_of, write_video
from realtime.home import home_path
from realtime.models.cache import cache_folder
from realtime.models.weights import find_detector, find_pose
from realtime.runtime.core_budget import all_cores

# The default pose model: a network of the size of ViTPose-S with random weights.
RANDOM_POSE = "vitpose-s"
THROUGHPUT, LIVE, SEVERAL = "throughput", "live", "cameras"
# The default frame rate of several live sources: more than most machines can process.
_SEVERAL_FPS = 60.0
# The sides besides ours, in the order of the table.
HALF = "sequential-half"  # only on a CUDA device, where users run networks in fp16
_BOXES = ("track", "track-as-shipped", "sequential", HALF, "engines")
_POSES = ("sequential", HALF, "engines")


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
    add(
        "--mode",
        action="append",
        choices=[THROUGHPUT, LIVE, SEVERAL, ONE_LINER],
        help=f"{THROUGHPUT} (all frames at full speed), {LIVE} (a live source), {SEVERAL} (several live sources in one "
        f"process, against as many processes of our program), or {ONE_LINER}: "
        "YOLO('yolo11n-pose.pt').track(source, stream=True), the single line of ultralytics that people type, against "
        "our setting with one stage and our offline default, whatever --detector and --pose are; repeatable; default: "
        f"{THROUGHPUT} and {LIVE}",
    )
    add(
        "--fps",
        action="append",
        type=float,
        metavar="N",
        help=f"frame rate of a live source; repeatable; default 10 and 25, and {_SEVERAL_FPS:g} for {SEVERAL}",
    )
    add(
        "--cameras",
        action="append",
        type=int,
        metavar="N",
        help=f"number of live sources for {SEVERAL}, at least 2; repeatable; default 2 and 4",
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
        plan = _plan(options, folder)
        turns = [
            (mode, side)
            for number in range(options.rounds)
            for mode, scenes in plan.items()
            for side in [*scenes][number % len(scenes) :] + [*scenes][: number % len(scenes)]
        ]
        runs: dict[str, dict[str, list[Run]]] = {mode: {side: [] for side in scenes} for mode, scenes in plan.items()}
        # A first start converts the networks, which must not count as time to the first result.
        ours = [s for scenes in plan.values() for side, s in scenes.items() if _is_ours(side)]
        for scene in {tuple(s.configuration.items()): s for s in ours}.values():
            run_ours(replace(scene, frames=1, fps=None), folder)
        for mode, side in progress(turns, "rounds", unit="runs"):
            runs[mode][side].append(_run(side, plan[mode][side], folder))
    live = [mode for mode in plan if mode.startswith(LIVE)]
    if ONE_LINER in runs:
        runs |= one_liner.by_setting(runs.pop(ONE_LINER))
    report = _report(options, runs, live)
    if options.plot is not None:
        plot_ratios(options.plot, report.data)
    return report


def _plan(options: argparse.Namespace, folder: Path) -> dict[str, dict[str, Scene]]:
    """Return the scenes to run, by mode and side.

    Raises:
        ConfigError: a flag is wrong, or the other sides can't run this pose model.
        ModelError: a model can't be found.
    """
    wanted = options.mode or [THROUGHPUT, LIVE]
    plan: dict[str, dict[str, Scene]] = {}
    if {THROUGHPUT, LIVE, SEVERAL} & {*wanted}:
        scene = make_scene(options, folder)
        modes = _modes(options, scene, folder)
        offered = sides_for(scene)
        if HALF in (options.against or []) and HALF not in offered:
            raise ConfigError(f"--against: got {HALF} on a CPU, expected a CUDA device; use sequential")
        sides = [OURS, *(side for side in offered if side in (options.against or _BOXES))]
        plan = {mode: dict.fromkeys(sides, scene) for mode, scene in modes.items()}
        plan |= {
            f"{scene.cameras} cameras, {scene.fps:g} fps": {OURS: scene, PROCESSES: scene}
            for scene in (_several(options, scene, folder) if SEVERAL in wanted else [])
        }
    if ONE_LINER in wanted:
        video = find_video(options, folder)
        plan[ONE_LINER] = one_liner.sides(video, options.frames, options.device, settings_of(options))
    return plan


def _run(side: str, scene: Scene, folder: Path) -> Run:
    if scene.cameras > 1:
        return run_processes(scene.cameras if side == PROCESSES else 1, scene, folder)
    return run_ours(scene, folder) if _is_ours(side) else run_loop(side, scene, folder)


def _is_ours(side: str) -> bool:
    return side in (OURS, one_liner.ONE_STAGE, one_liner.OFFLINE)


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
    settings = settings_of(options)
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
    video = find_video(options, folder)
    return Scene(video, str(detector.path), pose, options.frames, None, all_cores(), options.device, settings)


def find_video(options: argparse.Namespace, folder: Path) -> str:
    """Return the path of the video, after writing the built-in source to `folder` if no other one was named.

    Raises:
        ConfigError: the video doesn't exist.
    """
    if options.video is None:
        file = folder / "demo.mp4"
        write_video((demo_frame(k) for k in range(options.frames)), DEMO_FPS, file)
        return str(file)
    if not Path(options.video).is_file():
        raise ConfigError(f"--video: {options.video}: no such file")
    return str(options.video)


def settings_of(options: argparse.Namespace) -> dict[str, str]:
    """Return the keys and values of `--set`."""
    return dict(text.split("=", 1) for text in options.set)


def sides_for(scene: Scene) -> list[str]:
    """Return the loops that can run a scene."""
    from realtime.runtime.device import resolve_device  # imports torch, which --help does not need

    sides = _BOXES if scene.pose in ("none", "detector") else _POSES
    on_cuda = resolve_device(scene.device).type == "cuda"
    return [side for side in sides if side != HALF or on_cuda]


def _modes(options: argparse.Namespace, scene: Scene, folder: Path) -> dict[str, Scene]:
    """Return the scenes to run, by the name of their mode in the table."""
    wanted = options.mode or [THROUGHPUT, LIVE]
    modes = {THROUGHPUT: scene} if THROUGHPUT in wanted else {}
    for fps in (options.fps or [10.0, 25.0]) if LIVE in wanted else []:
        modes[f"{LIVE} {fps:g} fps"] = _live(options, scene, fps, folder)
    return modes


def _several(options: argparse.Namespace, scene: Scene, folder: Path) -> list[Scene]:
    """Return the scenes of the mode `cameras`."""
    numbers = options.cameras or CAMERAS
    if min(numbers) < 2:
        raise ConfigError(f"--cameras: got {min(numbers)}, expected at least 2")
    lives = [_live(options, scene, fps, folder) for fps in options.fps or [_SEVERAL_FPS]]
    return [replace(live, cameras=number) for live in lives for number in numbers]


def _live(options: argparse.Namespace, scene: Scene, fps: float, folder: Path) -> Scene:
    """Return the scene with a live source of this frame rate, which plays the video in a loop for --live-s seconds."""
    if not 0 < fps <= 1000 or not 1 <= options.live_s < float("inf"):
        raise ConfigError(
            f"--fps, --live-s: got {fps:g} and {options.live_s:g}, expected --fps above 0 and at most 1000, "
            "and --live-s at least 1"
        )
    frames, video = round(fps * options.live_s), folder / f"live-{fps:g}.mp4"
    write_video(itertools.islice(images_of(scene.video), frames), fps, video)
    return replace(scene, video=str(video), frames=frames, fps=fps)


def _report(
    options: argparse.Namespace, runs: Mapping[str, Mapping[str, Sequence[Run]]], live: Collection[str]
) -> Report:
    rows, data = ratios(runs, live)
    engines = dict.fromkeys(f"{side}: {r[0].engine}" for sides in runs.values() for side, r in sides.items())
    video = "the built-in source" if options.video is None else options.video
    models = f"{options.detector}, pose {options.pose}"
    return Report(
        title=f"Ours against others: {video}, "
        f"{models if set(runs) - {*one_liner.SETTINGS} else 'yolo11n-pose'}, {all_cores()} cores each, "
        f"medians of {options.rounds} rounds",
        columns=COLUMNS,
        rows=rows,
        data={"threads": all_cores(), "video": video, "detector": options.detector, "pose": options.pose,
              "frames": options.frames, "modes": data},
        notes=[*NOTES, *engines],
    )  # fmt: skip
