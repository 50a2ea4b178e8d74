"""Compare the presets, and some single changes that users try, with the defaults: speed, people and keypoints.

This is `python -m realtime.evaluate presets CLIP`. It answers "how do I make it faster on this machine, and what does
that cost". Each setting runs the whole program in a process of its own, and the settings take turns. The fastest round
of each one counts, because other programs on the machine can only slow a run down.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from realtime.capture.image_formats import IMAGE_SUFFIXES
from realtime.capture.kind import kind_of
from realtime.capture.open import check_source
from realtime.config import load
from realtime.config.mistakes import as_flag
from realtime.errors import ConfigError, RealtimeError, SourceError
from realtime.evaluate.presets.outcome import SAME_IOU, SURE, Outcome
from realtime.evaluate.processor import processor
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.flags import parse
from realtime.home import home_path
from realtime.machine import environment_without_settings
from realtime.redact import shown
from realtime.runtime.core_budget import all_cores

# All others are compared with this one, which is the same as no flag.
DEFAULT = "--preset balanced"
SETTINGS = (
    "--preset fast",  # one stage: the detector's own keypoints
    "--preset fast --detector.size 1280",
    "--preset accurate",
    "--detector.size 480",
    "--detector.size 320",
    "--detector.every 2",
    "--pose.max-people 2",
    "--pose.input-size 192x144",
)
# With fewer frames than this, the speed is only a rough figure.
_ENOUGH_FRAMES = 30
# If the fastest round of a setting is faster than its slowest by this factor, other programs disturbed them.
_LARGE_FACTOR = 1.3
_ENTRY = "import sys; from realtime.cli import main; sys.exit(main())"
# Keys that this command sets itself.
_OURS = {"cameras", "device", "realtime", "loop", "max_frames", "record", "report"}
_LIVE = {"webcam": "a webcam", "network": "a network source", "pipe": "a pipe, which can be read only once"}
_NOTES = (
    "fps: of the fastest round. speed: relative to the first row. people: mean per frame.",
    f"found: share of the first row's people that this setting finds too (boxes with an IoU of {SAME_IOU} or more).",
    "change: distance of these people's keypoints from the first row's (median and 95th percentile),",
    f"in percent of the longer side of their box; only keypoints that the first row scores {SURE} or more.",
    "A change is not an error, because the first row is no ground truth. `evaluate keypoints` and `evaluate tracking`",
    "measure accuracy.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add = parser.add_argument
    add("clip", metavar="CLIP", help="a recording of your own scene: a video, a folder of images, or demo")
    add("--frames", type=int, default=100, metavar="N", help="use the first N frames of the clip; default 100")
    add("--rounds", type=int, default=3, metavar="N", help="run each setting N times; default 3")
    add("--device", default="auto", help="device for the models: auto, cpu or cuda; default auto")
    add(
        "--setting",
        action="append",
        metavar="FLAGS",
        help='measure these flags of the program instead of the built-in list, e.g. --setting="--detector.every 3"; '
        "repeatable",
    )


def run(options: argparse.Namespace) -> Report:
    """Run all settings in turns, and compare them with the defaults.

    A setting that can't run here, because its model is missing or does not support it, is named below the table.

    Raises:
        ConfigError: a flag or the clip is wrong.
        RealtimeError: the program failed with the defaults.
    """
    clip = _checked_clip(options.clip)
    for flag, value in (("--frames", options.frames), ("--rounds", options.rounds)):
        if value < 1:
            raise ConfigError(f"{flag}: got {value}, expected at least 1")
    settings = [DEFAULT, *dict.fromkeys(options.setting or SETTINGS)]
    for setting in settings:
        _check_setting(setting)
    always = [f"--device={options.device}", f"--source=clip={clip}", f"--max-frames={options.frames}"]
    outcomes: dict[str, list[Outcome]] = {setting: [] for setting in settings}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="realtime-pose-") as name:
        turns = [
            setting
            for number in range(options.rounds)
            for setting in settings[number % len(settings) :] + settings[: number % len(settings)]
        ]
        for setting in progress(turns, "settings", unit="runs"):
            if setting in failed:
                continue
            try:
                outcomes[setting].append(run_program([*shlex.split(setting), *always], Path(name)))
            except RealtimeError as error:
                if setting == DEFAULT:
                    raise
                failed[setting] = str(error)
    return _report(options, {key: runs for key, runs in outcomes.items() if key not in failed}, failed)


def run_program(words: Sequence[str], folder: Path) -> Outcome:
    """Run the program once, in a process of its own.

    Args:
        words: its arguments.
        folder: where the recording and the report are written.

    Raises:
        RealtimeError: it failed. The message is its error line.
    """
    recording, report = folder / "poses.jsonl", folder / "report.json"
    for file in (recording, report):
        file.unlink(missing_ok=True)
    # The last one of a repeated flag wins.
    words = [
        *words, "--realtime=false", "--loop=false", "--publish.bind=tcp://127.0.0.1:*", f"--record={recording}",
        f"--report={report}", "--log-level=warning", "--log-format=text",
    ]  # fmt: skip
    # The settings of the table alone, not those of the user's shell.
    environment = environment_without_settings()
    command = [sys.executable, "-c", _ENTRY, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 - ourselves
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode} without an error line"]
        raise RealtimeError(last[0].removeprefix("realtime-pose: ").removeprefix("error: "))
    return Outcome.read(recording, report)


def _checked_clip(clip: str) -> str:
    """Return the address of the clip.

    Raises:
        ConfigError: it is missing, live or a single image.
    """
    clip = clip if kind_of(clip) != "file" else str(home_path(clip))
    kind, name = kind_of(clip), shown(clip)
    if kind in _LIVE:
        raise ConfigError(f"clip: {name} is {_LIVE[kind]}, expected a recording: each setting must see the same frames")
    if kind == "images" and Path(clip).suffix.lower() in IMAGE_SUFFIXES and Path(clip).is_file():
        raise ConfigError(f"clip: {name} is a single image, expected a video or a folder of images")
    try:
        check_source(load(environment={}, flags={"cameras": [{"name": "clip", "source": clip}]}).cameras[0])
    except SourceError as error:
        raise ConfigError(str(error)) from None
    return clip


def _check_setting(setting: str) -> None:
    """Check the flags of a setting.

    Raises:
        ConfigError: they are wrong, or choose the source.
    """
    try:
        own, flags = parse(shlex.split(setting))
        load(own.config, flags=flags)
    except (ConfigError, ValueError) as error:  # ValueError: a quotation mark is missing
        raise ConfigError(f"--setting: {setting}: {error}") from None
    if (taken := sorted(_OURS & flags.keys())) or own.dry_run or own.print_config:
        got = ("--source" if taken[0] == "cameras" else as_flag(taken[0])) if taken else setting
        raise ConfigError(f"--setting: got {got}, expected only flags that change how the clip is processed")


def _report(
    options: argparse.Namespace, outcomes: Mapping[str, Sequence[Outcome]], failed: Mapping[str, str]
) -> Report:
    reference = outcomes[DEFAULT]
    rows: list[list[Cell]] = []
    data: dict[str, object] = {}
    networks: dict[str, list[str]] = {}
    for setting, runs in outcomes.items():
        fps = [run.fps for run in runs]
        speed = max(fps) / max(run.fps for run in reference)
        # The results on a file do not depend on the speed of the machine, so one run is enough for them.
        people, change = runs[0].people, runs[0].change_from(reference[0])
        rows.append([setting, max(fps), speed, people, *change])
        data[setting] = {"fps": fps, "speed": speed, "people": people, **change._asdict(), "models": runs[0].networks}
        networks.setdefault(runs[0].networks, []).append(setting)
    name, instructions = processor()
    frames, device = len(reference[0].poses), reference[0].device
    machine = f"{name}, {all_cores()} cores ({', '.join(instructions) or 'instruction sets unknown'}), on {device}"
    return Report(
        title=f"Settings on {shown(options.clip)}, {frames} frames, rounds: {options.rounds}: {machine}",
        columns=["setting", "fps", "speed", "people", "found", "change p50 %", "change p95 %"],
        rows=rows,
        data={"clip": options.clip, "frames": frames, "rounds": options.rounds, "processor": name,
              "instructions": instructions, "cores": all_cores(), "device": device, "settings": data,
              "failed": dict(failed)},
        notes=[
            *_NOTES,
            *_of_clip(reference[0]),
            *_of_disturbance(outcomes),
            *(f"models: {used}: {', '.join(settings)}" for used, settings in networks.items()),
            *(f"not measured: {setting}: {reason}" for setting, reason in failed.items()),
        ],
    )  # fmt: skip


def _of_disturbance(outcomes: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """A note if the rounds of a setting differ a lot."""
    factor = max(max(run.fps for run in runs) / min(run.fps for run in runs) for runs in outcomes.values())
    if not factor >= _LARGE_FACTOR:  # also NaN, without frames
        return []
    return [
        f"The fps of a setting differed by a factor of up to {factor:.1f} between rounds, so other programs probably "
        "used the machine: repeat it with more --rounds."
    ]


def _of_clip(outcome: Outcome) -> list[str]:
    """Notes about a clip that can't show much."""
    notes = []
    if len(outcome.poses) < _ENOUGH_FRAMES:
        notes.append(f"The clip has only {len(outcome.poses)} frames here, so the speeds are rough; use a longer one.")
    if not outcome.people:
        notes.append("The first row finds no people in this clip, so found and change can't be measured.")
    return notes
