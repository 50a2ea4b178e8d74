"""Compare smoothing filters on true motion: error, jitter, lag and overshoot.

This is `python -m realtime.evaluate smoothing`. It runs the program's own filters. They are compared with the One-Euro
filter of the paper, which works in pixels and is swept over its two parameters (`reference`), and with filterpy's
constant-velocity Kalman filter.

Jitter and lag must be judged together, because each alone is easy to minimise: frozen output has no jitter, and
unfiltered input has no lag. The plot therefore shows jitter against lag, and the last two columns of the table compare
each filter with the best that the reference reaches at the same lag or jitter.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np

from realtime.config import SmoothingConfig
from realtime.errors import ConfigError, OutputError
from realtime.evaluate.config_flags import add_keys, load_keys
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.evaluate.smoothing.clips import Clip, Floats, read_clips, thin
from realtime.evaluate.smoothing.filters import as_the_program, filterpy_kalman
from realtime.evaluate.smoothing.motion import MOTION_SPEED, REST_SPEED, Score, measure
from realtime.evaluate.smoothing.reference import KNOWN, Curve, Setting, moves, one_setting, sweep
from realtime.home import home_path

FILTERS = ("none", "one-euro", "kalman", "reference", "filterpy")
_COLUMNS = {
    "rmse_px": "RMSE px",
    "rmse_percent": "% of size",
    "jitter_px": "jitter px",
    "rest_px": "at rest",
    "motion_px": "in motion",
    "lag_ms": "lag ms",
    "overshoot_px": "overshoot px",
    "missing_percent": "missing %",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `smoothing`."""
    add = parser.add_argument
    add("clips", nargs="+", type=home_path, metavar="CLIP", help=".npz file with gt, noisy, conf, fps and scale, .jsonl recording of the program (no ground truth: jitter only), or folder of such files")  # fmt: skip # noqa: E501
    add("--filter", type=_filters, default=FILTERS, metavar="NAME,...", help=f"comma-separated filters: {', '.join(FILTERS)}; default: all")  # fmt: skip # noqa: E501
    add("--every", type=int, default=1, metavar="N", help="keep only every Nth frame")
    add("--drop", type=float, default=0.0, metavar="SHARE", help="drop this share of the frames at random, e.g. 0.3")
    add("--seed", type=int, default=0, metavar="N", help="random seed of --drop; default 0")
    add("--plot", type=home_path, metavar="FILE.png", help="plot jitter against lag, with the reference's curve")
    add_keys(parser, lambda key: key.startswith("smoothing.") and key != "smoothing.method")


def _filters(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in FILTERS:
            raise argparse.ArgumentTypeError(f"got {name!r}, expected some of {', '.join(FILTERS)}")
    return names


def run(options: argparse.Namespace) -> Report:
    """Filter every clip with every filter, and measure the results.

    Raises:
        ConfigError: a flag or a file is wrong.
        OutputError: the plot can't be written.
    """
    if options.every < 1 or not 0 <= options.drop < 1:
        raise ConfigError(
            f"got --every {options.every} --drop {options.drop}, expected --every >= 1 and 0 <= --drop < 1"
        )
    random = np.random.default_rng(options.seed)
    config = load_keys(options).smoothing
    clips = [thin(clip, options.every, options.drop, random) for clip in read_clips(options.clips)]
    if short := [clip.name for clip in clips if len(clip) < 4]:
        raise ConfigError(
            f"smoothing: {short[0]}: got fewer than 4 frames after --every and --drop, expected 4 or more"
        )
    results = {
        label: [measure(*each) for each in outputs] for label, outputs in _outputs(options.filter, clips, config)
    }
    settings = sweep(clips) if "reference" in options.filter else []
    report = _report(clips, results, settings, config)
    if options.plot is not None:
        _plot(options.plot, _moving(clips, results), settings)
    return report


def _outputs(
    names: Sequence[str], clips: Sequence[Clip], config: SmoothingConfig
) -> Iterator[tuple[str, list[tuple[Clip, Floats, Floats | None]]]]:
    """Yield each filter's label, and a list with an item per clip.

    An item is the clip, the filter's output for it, and its output for the ground truth as input (None if the
    clip has no ground truth).
    """
    for name in names:
        for label, filtered in _labelled(name, config):
            yield (
                label,
                [
                    (clip, filtered(clip), None if clip.truth is None else filtered(clip.without_noise()))
                    for clip in progress(clips, label, unit="clips")
                ],
            )


def _labelled(name: str, config: SmoothingConfig) -> list[tuple[str, Callable[[Clip], Floats]]]:
    """The filters that a name of --filter stands for, each with its label in the table."""
    if name == "none":
        return [("none", lambda clip: clip.keypoints)]
    if name == "filterpy":
        return [("filterpy constant velocity", filterpy_kalman)]
    if name == "reference":
        return [(f"reference {cutoff:g}, {beta:g}", partial(one_setting, cutoff, beta)) for cutoff, beta in KNOWN]
    return [(name, partial(as_the_program, config=SmoothingConfig(**(config.model_dump() | {"method": name}))))]


def _moving(clips: Sequence[Clip], results: Mapping[str, Sequence[Score]]) -> dict[str, Score]:
    """Each filter's mean score over the clips with motion, from which the reference's curve is built."""
    moving = [moves(clip) for clip in clips]
    return {label: Score.mean([*compress(scores, moving)]) for label, scores in results.items()}


def _report(
    clips: Sequence[Clip], results: Mapping[str, Sequence[Score]], settings: Sequence[Setting], config: SmoothingConfig
) -> Report:
    curve = Curve.of(settings) if settings else None
    means = {label: Score.mean(scores) for label, scores in results.items()}
    against = {
        label: (curve.jitter_ratio(score), curve.later_ms(score)) if curve else (np.nan, np.nan)
        for label, score in _moving(clips, results).items()
    }
    rows: list[list[Cell]] = [
        [label, *(getattr(score, name) for name in _COLUMNS), *against[label]] for label, score in means.items()
    ]
    data = {
        "clips": [clip.name for clip in clips],
        "smoothing": config.model_dump(),
        "filters": {
            label: {
                "mean": asdict(score),
                "clips": {clip.name: asdict(own) for clip, own in zip(clips, results[label], strict=True)},
                "jitter_to_reference": against[label][0],
                "later_than_reference_ms": against[label][1],
            }
            for label, score in means.items()
        },
        "reference": [
            {"min_cutoff_hz": setting.min_cutoff_hz, "beta": setting.beta, **asdict(setting.score)}
            for setting in settings
        ],
    }
    title = f"smoothing: {len(clips)} clips, {sum(map(len, clips))} frames, mean over the clips"
    return Report(title, ["filter", *_COLUMNS.values(), "jitter/ref", "lag-ref ms"], rows, data, _notes(clips, curve))


def _notes(clips: Sequence[Clip], curve: Curve | None) -> list[str]:
    notes = [
        "jitter: RMS second difference of the error, in px per frame^2; at rest: of keypoints with a true speed below "
        f"{REST_SPEED:g} person sizes per second; in motion: above {MOTION_SPEED:g}",
    ]
    if curve is not None:
        notes.append(
            "jitter/ref: jitter divided by that of the paper's One-Euro filter at the same lag; lag-ref: lag minus its "
            "lag at the same jitter; both at its best setting, on the clips with motion"
        )
    if untrue := sum(clip.truth is None for clip in clips):
        notes.append(
            f"{untrue} clips have no ground truth: their jitter is that of the output itself. To compare filters, "
            "record with --smoothing.method none"
        )
    return notes


def _plot(file: Path, means: Mapping[str, Score], settings: Sequence[Setting]) -> None:
    """Plot jitter against lag: the settings of the reference with their curve, every other filter as a point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="tight")
    axes = figure.subplots()
    if settings:
        scores, curve = [setting.score for setting in settings], Curve.of(settings)
        axes.plot([s.lag_ms for s in scores], [s.jitter_px for s in scores], ".", color="0.85", ms=3)
        axes.plot(curve.lag_ms, curve.jitter_px, color="0.4", label="reference One-Euro, best of its settings")
    for label, score in means.items():
        axes.plot(score.lag_ms, score.jitter_px, "o", label=label)
    axes.set(xlabel="lag in motion, ms", ylabel="jitter, px per frame$^2$", xlim=(-5, 105), ylim=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    try:
        figure.savefig(file, dpi=100)
    except OSError as error:
        raise OutputError(f"--plot: can't write {file}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"--plot: got {file}: {error}") from None
