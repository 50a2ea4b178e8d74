"""The command `python -m realtime.convert`: flags, exit codes, and the table of formats.

FORMATS names the module of each format, which is imported only when the format is written. Its
`write(conversion, out)` does that.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, cast

from realtime.errors import ConfigError, OutputError, RealtimeError
from realtime.home import at_home, home_path
from realtime.observe.log import log_uncaught, set_up_logging
from realtime.printable import Parser, say
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.info import files_of
from realtime.recordings.reading import Recording, open_recording
from realtime.redact import one_line
from realtime.stdout import discard_output, keep_stdout, kept_path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Format:
    """A format that recordings are converted to.

    Attributes:
        module: the module that writes it, in realtime.recordings.convert.
        content: the output, for --help.
        is_single: whether it holds only one camera.
        extra: the extra of this package that it needs.
    """

    module: str
    content: str
    is_single: bool = False
    extra: str = "run"


FORMATS = {
    "coco": Format("coco", "COCO keypoint results (.json), of one camera", is_single=True),
    "mot": Format("mot", "MOTChallenge results (.txt), of one camera", is_single=True),
    "csv": Format("csv_table", "a table with a row for each person and frame"),
    "openpose": Format("openpose", "a folder with a file for each frame, people as BODY_25"),
    "jsonl": Format("jsonl", "JSON lines, as --record writes them"),
    "parquet": Format("parquet", "two tables (.parquet), as --record writes them", extra="record"),
    "rerun": Format("rerun", "a recording for the Rerun viewer (.rrd)", extra="convert"),
    "mcap": Format("mcap", "a recording for Foxglove (.mcap)", extra="convert"),
    "video": Format("video", "the clip of --video with its people drawn on (.mp4), of one camera", is_single=True),
}


class Writer(Protocol):
    """The function that the module of a format provides."""

    def write(self, conversion: Conversion, out: Path) -> None:
        """Write the output.

        Raises:
            ConfigError: the recording can't be read, or the format can't hold it.
            OutputError: the output can't be written.
            RealtimeError: the conversion failed in the middle, because the disk is full, for example.
        """


def main(argv: Sequence[str] | None = None) -> int:
    """Convert a recording.

    Args:
        argv: the arguments after the program's name. None: those of this process.

    Returns:
        The exit code: 0 if the output is complete; 2 for a wrong command line, a recording that can't be read, an
        output that can't be written or a missing library; 3 if the clip can't be opened; 1 for any other failure, and
        after SIGINT or SIGTERM. Unless it is 0, there is no output.
    """
    if argv is None:
        keep_stdout()
        set_up_logging("info", "text", [])
        log_uncaught()
    options = _parser().parse_args(argv)
    chosen = FORMATS[options.to]
    try:
        with _interruptible():
            _convert(options, chosen)
    except RealtimeError as error:
        say(one_line(f"error: {error}", []))
        return error.exit_code
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "realtime"):
            raise
        say(f"error: {library} is not installed: pip install 'realtime-pose[{chosen.extra}]'")
        return ConfigError.exit_code
    except KeyboardInterrupt:
        say("error: interrupted before the output was complete")
        return RealtimeError.exit_code
    except BrokenPipeError:
        discard_output()  # its reader, such as `head`, is gone
        return RealtimeError.exit_code
    return 0


def _convert(options: argparse.Namespace, chosen: Format) -> None:
    if options.to == "video" and options.video is None:
        raise ConfigError("--to video: expected --video CLIP, the video that was recorded from")
    if options.to != "video" and options.video is not None:
        raise ConfigError(f"--video: got it with --to {options.to}, expected it with --to video only")
    writer = cast("Writer", importlib.import_module(f"realtime.recordings.convert.{chosen.module}"))
    recording = open_recording(options.recording)
    out = kept_path(options.out)
    _check_apart(out, recording, options.video)
    conversion = Conversion(recording, options.camera, chosen.is_single, options.video)
    writer.write(conversion, out)
    log.info("%s: converted %d frames with %d poses", options.out, conversion.frames, conversion.people)


def _check_apart(out: Path, recording: Recording, clip: str | None) -> None:
    """Check that the output is neither a file of the recording nor the clip.

    Raises:
        OutputError: it is one of them.
    """
    read = [*files_of(recording.path), *files_of(recording.path.resolve()), *([Path(clip)] if clip else [])]
    for path in read:
        with contextlib.suppress(OSError, ValueError):
            if out.is_file() and out.samefile(path):
                raise OutputError(f"--out: {out} is read by this conversion: choose another file")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m realtime.convert",
        allow_abbrev=False,
        description="Convert a recording to a format that other programs read.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="formats:\n" + "\n".join(f"  {word:10}{each.content}" for word, each in FORMATS.items()),
    )
    parser.add_argument("recording", metavar="REC", type=home_path, help="a recording of --record (.jsonl or .parquet)")
    parser.add_argument("--to", metavar="FORMAT", required=True, type=_format, help="one of the formats below")
    parser.add_argument("--out", metavar="PATH", required=True, type=home_path, help="the file, or the new folder")
    parser.add_argument("--video", metavar="CLIP", type=_clip, help="the video whose people were recorded")
    parser.add_argument("--camera", metavar="NAME", help="convert only this camera")
    return parser


class _Parser(Parser):
    def error(self, message: str) -> NoReturn:
        """Print the error in one line, without the usage, and exit with code 2."""
        say(f"error: {message}; see {self.prog} --help")
        raise SystemExit(ConfigError.exit_code)


def _format(text: str) -> str:
    if text not in FORMATS:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected one of: {', '.join(FORMATS)}")
    return text


def _clip(text: str) -> str:
    try:
        return at_home(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the conversion as SIGINT does, so that no part of an output stays behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
