"""Compare smoothing filters on true motion: error, jitter, lag and overshoot.

This is `python -m realtime.evaluate smoothing`. It runs the program's own filters, each with the configuration's keys,
or with those of a `--setting`. They are compared with the One-Euro filter of the paper, which works in pixels and is
swept over its two parameters (`reference`), and with filterpy's constant-velocity Kalman filter.

Jitter and lag must be judged together, because each alone is easy to minimise: frozen output has no jitter, and
unfiltered input has no lag. The plot therefore shows jitter against lag, and the last two columns of the table compare
each filter with the best that the reference reaches at the same lag or jitter.
"""

from __future__ import annotations

import argparse
from collections import Counter
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
from realtime.evaluate.smoothing.clips import UNKNOWN, UNSMOOTHED, Clip, Floats, read_clips, thin
from realtime.evaluate.smoothing.filters import as_the_program, filterpy_kalman
from realtime.evaluate.smoothing.motion import MOTION_SPEED, REST_SPEED, Score, measure
from realtime.evaluate.smoothing.reference import KNOWN, Curve, Setting, moves, one_setting, sweep
from realtime.evaluate.smoothing.settings import check, read_settings
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
    add("clips", nargs="+", type=home_path, metavar="CLIP", help=".npz file with gt, noisy, conf, fps and scale; .jsonl or .parquet recording of the program (no ground truth: jitter only); or folder of such files")  # fmt: skip # noqa: E501
    add("--setting", action="append", default=[], metavar="'KEY=VALUE ...'", help="measure the program with these keys of smoothing, such as 'method=one-euro min_cutoff_hz=0.5'; repeat it to compare settings")  # fmt: skip # noqa: E501
    add("--filter", type=_filters, metavar="NAME,...", help=f"comma-separated filters: {', '.join(FILTERS)}; default: all, with --setting: none")  # fmt: skip # noqa: E501
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
    named = read_settings(options)
    for each in [config, *named.values()]:
        check(each)
    clips = [thin(clip, options.every, options.drop, random) for clip in read_clips(options.clips)]
    if short := [clip.name for clip in clips if len(clip) < 4]:
        raise ConfigError(
            f"smoothing: {short[0]}: got fewer than 4 frames after --every and --drop, expected 4 or more"
        )
    names = options.filter or (["none"] if named else FILTERS)
    filters = [each for name in names for each in _labelled(name, config)]
    filters += [(label, partial(as_the_program, config=own)) for label, own in named.items()]
    results = {label: [measure(*each) for each in outputs] for label, outputs in _outputs(filters, clips)}
    settings = sweep(clips)
    report = _report(clips, results, settings, config, named)
    if options.plot is not None:
        _plot(options.plot, _moving(clips, results), settings)
    return report


def _outputs(
    filters: Sequence[tuple[str, Callable[[Clip], Floats]]], clips: Sequence[Clip]
) -> Iterator[tuple[str, list[tuple[Clip, Floats, Floats | None]]]]:
    """Yield each filter's label, and a list with an item per clip.

    An item is the clip, the filter's output for it, and its output for the ground truth as input (None if the
    clip has no ground truth).
    """
    for label, filtered in filters:
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
    clips: Sequence[Clip],
    results: Mapping[str, Sequence[Score]],
    settings: Sequence[Setting],
    config: SmoothingConfig,
    named: Mapping[str, SmoothingConfig],
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
        "settings": {label: own.model_dump() for label, own in named.items()},
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
    columns = ["filter", *_COLUMNS.values(), "jitter/ref", "lag-ref ms"]
    is_beyond = curve is not None and bool(np.isnan([*against.values()]).any())
    return Report(title, columns, rows, data, _notes(clips, curve, is_beyond), warnings=_warnings(clips))


def _warnings(clips: Sequence[Clip]) -> list[str]:
    """What a reader must know before the table: these keypoints were smoothed when they were recorded."""
    methods = Counter(clip.smoothing for clip in clips)
    unknown = methods.pop(UNKNOWN, 0)
    del methods[UNSMOOTHED]
    lines = []
    if smoothed := methods.total():
        lines.append(
            f"{smoothed} of {len(clips)} clips are already smoothed ({', '.join(methods)}), so this table is about a "
            "second filter after the first. Record with --smoothing.method none, or with --publish.raw-keypoints true"
        )
    if unknown:
        lines.append(
            f"{unknown} of {len(clips)} clips may already be smoothed: their recording has no x.info.json beside it"
        )
    return lines


def _notes(clips: Sequence[Clip], curve: Curve | None, is_beyond: bool) -> list[str]:
    notes = [
        "jitter: RMS second difference of the error, in px per frame^2; at rest: of keypoints with a true speed below "
        f"{REST_SPEED:g} person sizes per second; in motion: above {MOTION_SPEED:g}",
    ]
    if curve is not None:
        notes.append(
            "jitter/ref: jitter divided by that of the paper's One-Euro filter at the same lag; lag-ref: lag minus its "
            "lag at the same jitter; both at its best setting, on the clips with motion"
        )
    elif all(clip.truth is None for clip in clips):
        notes.append(
            "jitter/ref and lag-ref can't be computed, because recordings have no ground truth, and so no lag: use "
            ".npz clips of true motion"
        )
    else:
        notes.append("jitter/ref and lag-ref can't be computed, because nothing moves in these clips")
    if is_beyond:
        notes.append("jitter/ref or lag-ref is -: the reference does not reach this lag or this jitter at any setting")
    if untrue := sum(clip.truth is None for clip in clips):
        notes.append(f"{untrue} clips have no ground truth: their jitter is that of the output itself")
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
