"""The command `python -m realtime.replay`: publishes a recording as the program published it.

Not on the data path: for the programs that read the stream, it takes the place of the pipeline. realtime.recordings
contains its code.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from realtime.errors import ConfigError
from realtime.home import home_path
from realtime.observe.log import log_uncaught, set_up_logging
from realtime.recordings.reading import open_recording
from realtime.stdio import run_main
from realtime.tools import ToolParser, exit_code_of

if TYPE_CHECKING:
    from realtime.config import PublishConfig
    from realtime.recordings.replay import Replay

# The configuration keys that are flags.
_KEYS = ("bind", "encoding", "wait_for_subscribers", "curve_secret", "curve_clients", "allow_insecure")
_FASTEST = 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Publish a recording until its end, or until SIGINT or SIGTERM.

    Args:
        argv: the arguments after the program's name. None: those of this process.

    Returns:
        The exit code: 0 at the end or after a signal, 2 for a wrong command line, a recording that can't be read, a
        busy endpoint or a missing library, 1 for any other failure. A second signal ends the process at once, with 128
        plus its number.
    """
    if argv is None:
        set_up_logging("info", "text", [])
        log_uncaught()
    try:
        with _signals() as handle:
            return exit_code_of(lambda: _replay(argv, handle), "run")
    except KeyboardInterrupt:  # a signal before anything was published
        return 0


def _replay(argv: Sequence[str] | None, handle: _Signals) -> None:
    from realtime.recordings.replay import Pace, Replay

    options = _parser().parse_args(argv)
    config = _publish_config(options)
    if options.from_s >= options.to_s:
        raise ConfigError(f"--to: got {options.to_s:g}, expected more than --from, {options.from_s:g}")
    pace = Pace(options.speed, options.loop, options.from_s, options.to_s, options.restamp)
    replay = Replay(open_recording(options.recording), config, pace)
    handle.take(replay)
    replay.run()


def _publish_config(options: argparse.Namespace) -> PublishConfig:
    """Check the flags of the publisher as the program does.

    Raises:
        ConfigError: one is wrong.
    """
    from realtime.config import load

    flags = {f"publish.{key}": value for key in _KEYS if (value := getattr(options, key)) is not None}
    return load([], environment={}, flags=flags).publish


def _parser() -> argparse.ArgumentParser:
    from realtime.config import leaves

    parser = ToolParser(
        prog="python -m realtime.replay",
        allow_abbrev=False,
        description="Publish a recording as the program published it: the same messages at the same pace.",
    )
    parser.add_argument("recording", metavar="REC", type=home_path, help="a recording of --record (.jsonl or .parquet)")
    parser.add_argument(
        "--speed",
        metavar="X",
        type=_speed,
        default=1.0,
        help="1 is the speed of the recording, 10 is ten times as fast, inf is as fast as the subscribers read "
        "(default: 1)",
    )
    parser.add_argument("--loop", action="store_true", help="begin again at the end, with a new session")
    parser.add_argument(
        "--from",
        metavar="S",
        dest="from_s",
        type=_seconds,
        default=0.0,
        help="begin S seconds after the beginning of the recording",
    )
    parser.add_argument(
        "--to",
        metavar="S",
        dest="to_s",
        type=_seconds,
        default=math.inf,
        help="end S seconds after the beginning of the recording",
    )
    parser.add_argument(
        "--restamp",
        action="store_true",
        help="move captured_ns to now, instead of keeping the time of the recording",
    )
    for key in leaves():
        section, _, name = key.name.partition(".")
        if section == "publish" and name in _KEYS:
            names = dict.fromkeys(f"--publish.{spelled}" for spelled in (name.replace("_", "-"), name))
            text = key.description.replace("%", "%%")
            if name == "allow_insecure":
                parser.add_argument(*names, dest=name, action="store_const", const=True, help=text)
            elif name == "bind":
                text += "; repeatable (default: tcp://127.0.0.1:5555)"
                parser.add_argument(*names, dest=name, action="append", metavar=key.placeholder, help=text)
            else:
                parser.add_argument(*names, dest=name, metavar=key.placeholder, help=text)
    return parser


def _speed(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= _FASTEST or float(text) == math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected more than 0, or inf")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds, at least 0")


class _Signals:
    """The handler of SIGINT and SIGTERM: the first one ends the replay, the second one the process."""

    def __init__(self) -> None:
        self._replay: Replay | None = None
        self._has_come = False

    def take(self, replay: Replay) -> None:
        """Send signals to this replay from now on."""
        self._replay = replay

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._has_come:
            os._exit(128 + number)
        self._has_come = True
        if self._replay is None:
            raise KeyboardInterrupt
        self._replay.stop()


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    handle = _Signals()
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handle
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    run_main(main)
