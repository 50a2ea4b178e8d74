"""Latency from capture to publishing, stage by stage: percentiles of a recording or of a running publisher.

This is `python -m realtime.evaluate latency`. It reads the times that the publisher measured and wrote into its
messages, so the network between publisher and subscriber is not included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from realtime import wire
from realtime.client import PoseSubscriber
from realtime.errors import ConfigError, RealtimeError
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.home import home_path
from realtime.recordings.reading import open_recording
from realtime.wire.ending import LostError

# The rows that are not stages.
TOTAL = "capture to publish"
INTERVAL = "between messages"
_PERCENTILES = (50, 95, 99)
# How often the end time is checked while the publisher is silent.
_POLL_S = 0.1


@dataclass
class Gaps:
    """Gaps in a series of numbers that normally rises by one.

    Attributes:
        count: number of gaps.
        missing: total of the missing numbers.
        longest: most numbers missing in one gap.
    """

    count: int = 0
    missing: int = 0
    longest: int = 0

    def add(self, step: int) -> None:
        """Add the difference of two successive numbers. Only a difference above 1 is a gap."""
        if step > 1:
            self.count += 1
            self.missing += step - 1
            self.longest = max(self.longest, step - 1)


@dataclass
class CameraTimes:
    """The times and gaps in the messages of one camera.

    Attributes:
        ms: durations in milliseconds by row of the table, one for each message that has this row.
        frames: gaps in `frame`, which are frames that the pipeline dropped.
        seqs: gaps in `seq`, which are messages that this reader or the recorder missed.
        messages: number of messages.
        seconds: time from the first to the last message of each session, summed over the sessions.
    """

    ms: dict[str, list[float]] = field(default_factory=dict)
    frames: Gaps = field(default_factory=Gaps)
    seqs: Gaps = field(default_factory=Gaps)
    messages: int = 0
    seconds: float = 0.0
    _sessions: int = 0
    _last: wire.PoseMessage | None = None

    def add(self, message: wire.PoseMessage) -> None:
        """Add the next message of this camera."""
        self.messages += 1
        for stage, ms in message.timing_ms.items():
            self.ms.setdefault(stage, []).append(ms)
        self.ms.setdefault(TOTAL, []).append((message.published_ns - message.captured_ns) / 1e6)
        last = self._last
        if last is None or last.session != message.session:
            self._sessions += 1
        else:
            interval_s = (message.published_ns - last.published_ns) / 1e9
            self.seconds += interval_s
            self.ms.setdefault(INTERVAL, []).append(interval_s * 1e3)
            self.frames.add(message.frame - last.frame)
            self.seqs.add(message.seq - last.seq)
        self._last = message

    @property
    def rate_hz(self) -> float:
        """Messages per second; NaN if no session has two messages."""
        return (self.messages - self._sessions) / self.seconds if self.seconds > 0 else float("nan")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add = parser.add_argument
    add(
        "recording",
        nargs="?",
        type=home_path,
        metavar="FILE",
        help="a recording made with --record (.jsonl or .parquet)",
    )
    add(
        "--connect",
        metavar="ENDPOINT",
        action="append",
        help="listen to a running publisher instead of reading FILE; repeatable",
    )
    add(
        "--seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="how long to listen; default 30, or until the stream ends",
    )
    add("--camera", metavar="NAME", action="append", help="read only this camera; repeatable")
    add("--curve-secret", metavar="FILE", help="this reader's secret key, if the publisher requires keys")
    add("--curve-server", metavar="FILE", help="the publisher's public key")


def run(options: argparse.Namespace) -> Report:
    """Read all messages and summarise their times.

    Raises:
        ConfigError: a flag, the file or a key is wrong.
        RealtimeError: no message arrived, or a message can't be decoded.
    """
    if (options.recording is None) == (not options.connect):
        raise ConfigError("latency: expected either a recording (.jsonl or .parquet) or --connect ENDPOINT")
    if not 0 < options.seconds < float("inf"):
        raise ConfigError(f"--seconds: got {options.seconds:g}, expected more than 0")
    if options.recording is not None:
        recording = open_recording(options.recording)
        origin, messages = str(options.recording), recording.messages()
        files = [camera for camera, info in recording.infos.items() if info.live is False]
    else:
        origin, messages, files = ", ".join(options.connect), _listen(options), []
    cameras = gather(m for m in progress(messages, origin, unit="messages") if _is_wanted(m, options.camera))
    if not cameras:
        hint = "did that run publish anything?" if options.recording else "is the publisher running?"
        raise RealtimeError(f"{origin}: no poses received{_of(options.camera)}: {hint}")
    return _report(origin, cameras, [camera for camera in files if camera in cameras])


def gather(messages: Iterable[wire.PoseMessage]) -> dict[str, CameraTimes]:
    """Collect the times of each camera.

    Args:
        messages: the messages in the order in which they were published.
    """
    cameras: dict[str, CameraTimes] = {}
    for message in messages:
        cameras.setdefault(message.camera, CameraTimes()).add(message)
    return cameras


def _listen(options: argparse.Namespace) -> Iterator[wire.PoseMessage]:
    """Yield the messages that arrive within the next `options.seconds`, or until the stream ends or is lost."""
    try:
        subscriber = PoseSubscriber(
            options.connect,
            cameras=options.camera,
            timeout_s=_POLL_S,
            curve_secret=options.curve_secret,
            curve_server=options.curve_server,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    with subscriber:
        until_s = time.monotonic() + options.seconds
        while time.monotonic() < until_s:
            try:
                yield subscriber.next_message()
            except (StopIteration, LostError):
                return
            except TimeoutError:
                continue
            except wire.WireError as error:
                raise RealtimeError(str(error)) from None


def _is_wanted(message: wire.PoseMessage, cameras: list[str] | None) -> bool:
    return cameras is None or message.camera in cameras


def _of(cameras: list[str] | None) -> str:
    return f" from {', '.join(cameras)}" if cameras else ""


def _summary(ms: list[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max of the durations, in milliseconds."""
    values = np.percentile(ms, [*_PERCENTILES, 100])
    return dict(zip([*(f"p{percent}" for percent in _PERCENTILES), "max"], values.tolist(), strict=True))


def _report(origin: str, cameras: dict[str, CameraTimes], files: list[str]) -> Report:
    rows: list[list[Cell]] = []
    data: dict[str, object] = {}
    notes = []
    for name, times in cameras.items():
        last = (TOTAL, INTERVAL)
        order = [row for row in times.ms if row not in last] + [row for row in last if row in times.ms]
        summaries = {row: _summary(times.ms[row]) for row in order}
        rows += [[name, row, len(times.ms[row]), *summaries[row].values()] for row in order]
        data[name] = {
            "messages": times.messages,
            "rate_hz": times.rate_hz,
            "ms": summaries,
            "frame_gaps": vars(times.frames),
            "seq_gaps": vars(times.seqs),
        }
        notes += _notes(name, times)
    return Report(
        title=f"Latency of {origin}",
        columns=["camera", "stage", "messages", *(f"p{percent} ms" for percent in _PERCENTILES), "max ms"],
        rows=rows,
        data={"cameras": data},
        notes=notes,
        decimals=1,
        warnings=[
            f"{camera}: a file, whose frames are read ahead and wait: their latency says nothing; record it with "
            "--realtime"
            for camera in files
        ],
    )


def _notes(name: str, times: CameraTimes) -> list[str]:
    return [
        f"{name}: {times.messages} messages, {times.rate_hz:.1f} per second",
        f"{name}: frames dropped before publishing: {_in_words(times.frames)}",
        f"{name}: messages lost after publishing: {_in_words(times.seqs)}",
    ]


def _in_words(gaps: Gaps) -> str:
    return f"{gaps.missing} in {gaps.count} gaps, at most {gaps.longest} per gap" if gaps.count else "none"
