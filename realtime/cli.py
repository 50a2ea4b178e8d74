"""The command line: flags -> AppConfig -> Pipeline.run(), signals and exit codes.

The program's front; knows nothing of the stages. Heavy imports happen when they are needed: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from realtime import __version__
from realtime.errors import ConfigError, OutputError, RealtimeError
from realtime.redact import redact, secrets_of
from realtime.runtime.memory import share_pools

if TYPE_CHECKING:
    from realtime.config import AppConfig
    from realtime.pipeline import Pipeline

PROGRAM = "realtime-pose"
log = logging.getLogger(__name__)

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: the arguments after the program's name; default: the process's.

    Returns:
        The exit code: 0 end of stream or stopped by a signal, 2 command line or configuration, 3 a source, 4 a model,
        1 anything else.
    """
    share_pools()
    words = list(sys.argv[1:] if argv is None else argv)
    # Of every camera that there was: neither the log nor an error shows them.
    secrets = [secret for word in words for secret in secrets_of(word)]
    try:
        return _run(words, secrets)
    except RealtimeError as error:
        log.debug("where it came from", exc_info=True)
        _say(f"error: {error}", secrets)
        return error.exit_code
    except KeyboardInterrupt:  # a signal while models load: nothing has begun
        return 0
    except BrokenPipeError:  # whoever read our standard output is gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - swallows the flush at exit
        return 1
    except ImportError as error:
        return _missing_library(error)


def _run(argv: list[str], secrets: list[str]) -> int:
    try:
        from realtime.config import load, to_yaml
        from realtime.observe.log import set_up_logging
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the pipeline needs the extra 'run' ({error.name} is not installed): pip install 'realtime-pose[run]'"
        ) from None
    arguments, flags = _parse(argv)

    def read() -> AppConfig:
        config = load(arguments.config, flags=flags)
        found = {secret for camera in config.cameras for secret in secrets_of(camera.address)}
        secrets[:] = sorted(found.union(secrets), key=len, reverse=True)  # the longest first: one may hold another
        if not config.cameras and not arguments.dry_run and not arguments.print_config:
            raise ConfigError("no source: say --source 0 (webcam), a file, an rtsp:// URL or demo; see --help")
        return config

    config = read()
    if arguments.print_config:
        try:
            sys.stdout.write(to_yaml(config))
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"standard output can't be written: {error.strerror}") from None
        return 0
    set_up_logging(config.log_level, config.log_format, secrets)
    with _signals(reloads=bool(arguments.config)) as handle:
        with handle.not_swallowed():
            from realtime.loading import load_models
            from realtime.pipeline import Pipeline

            if arguments.dry_run:
                models = load_models(config)
                log.info("dry run: %s and %s are ready on %s", models.detector_name, models.pose_name, models.device)
                return 0
            pipeline = Pipeline(config, read)
        handle.take(pipeline)
        code, failure = RealtimeError.exit_code, None
        try:
            pipeline.run()
            code = 0
        except RealtimeError as error:
            code, failure = error.exit_code, error
            raise
        except Exception:  # ours, not the user's: the original error is what helps
            log.exception("the run failed")
        finally:
            if pipeline.stuck_threads:
                if failure is not None:
                    _say(f"error: {failure}", secrets)
                _leave_at_once(pipeline.stuck_threads, code)
    return code


class _Signals:
    """SIGINT and SIGTERM: the first one ends the run in order, the second one at once. SIGHUP reads the files again.

    Without files there is nothing to read again, and with its terminal closed nobody to do it for: then the run ends.
    """

    def __init__(self, reloads: bool) -> None:
        self._pipeline: Pipeline | None = None
        self._reloads = reloads
        self._has_terminal = sys.stderr.isatty()
        self._seen = self._reload_waits = False

    @contextlib.contextmanager
    def not_swallowed(self) -> Iterator[None]:
        """Around what comes before a pipeline: a library's import may catch KeyboardInterrupt and fail otherwise."""
        try:
            yield
        except Exception:
            if self._seen:
                raise KeyboardInterrupt from None
            raise
        if self._seen:
            raise KeyboardInterrupt

    def take(self, pipeline: Pipeline) -> None:
        """From now on signals are for this pipeline."""
        self._pipeline = pipeline
        if self._reload_waits:
            pipeline.reload()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number == _HANGUP and self._reloads and not (self._has_terminal and not sys.stderr.isatty()):
            if self._pipeline is None:
                self._reload_waits = True
            else:
                self._pipeline.reload()
            return
        if self._seen:
            os._exit(128 + number)
        self._seen = True
        if self._pipeline is None:
            raise KeyboardInterrupt
        self._pipeline.stop()


@contextlib.contextmanager
def _signals(reloads: bool) -> Iterator[_Signals]:
    handle = _Signals(reloads)
    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP and (reloads or signal.getsignal(_HANGUP) is not signal.SIG_IGN):  # ignored: started with nohup
        numbers.append(_HANGUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield handle
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_at_once(stuck: Sequence[str], code: int) -> NoReturn:
    """End the process by force: a C library holds these threads, and to leave the interpreter under it can hang."""
    log.warning("threads still busy at the end: %s", ", ".join(stuck))
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


# ---- flags


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see --help")


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, object]]:
    """The program's own flags, and the configuration keys that were given as flags."""
    from realtime.config import leaves, parse_source

    parser = _Parser(
        PROGRAM,
        allow_abbrev=False,
        description="Real-time multi-person pose tracking: video in, smooth and identified skeletons out on ZeroMQ.",
        epilog="Every key can also be set in YAML (--config) and in the environment (REALTIME_POSE__MODEL). Order: "
        "defaults < files < environment < flags.",
    )
    add = parser.add_argument
    add("--source", action="append", metavar="[NAME=]SRC", help="webcam number, video, image, folder, URL or demo; repeatable")  # fmt: skip # noqa: E501
    add("--config", action="append", type=Path, default=[], metavar="FILE", help="YAML file; repeatable, later ones win")  # fmt: skip # noqa: E501
    add("--dry-run", action="store_true", help="load and warm the models, open nothing, exit")
    add("--print-config", action="store_true", help="print the resolved configuration as YAML and exit")
    add("--version", action="version", version=f"{PROGRAM} {__version__}")
    keys = list(leaves())
    for key, kind, description in keys:
        add(_flag(key), dest=key, help=description.replace("%", "%%"), **_shape(kind))
    arguments, rest = parser.parse_known_args([_dashed(word) for word in argv])
    if rest:
        raise ConfigError(_unknown(rest[0], [option for action in parser._actions for option in action.option_strings]))
    flags = {key: value for key, _, _ in keys if (value := getattr(arguments, key)) is not None}
    if arguments.source:
        flags["cameras"] = [parse_source(text, position) for position, text in enumerate(arguments.source)]
    return arguments, flags


def _shape(kind: object) -> dict[str, Any]:  # Any: argparse's keywords are of many types
    from realtime.config import is_repeatable

    if kind is bool:
        return {"nargs": "?", "const": "true", "metavar": "true|false"}
    if is_repeatable(kind):
        return {"action": "append", "metavar": "VALUE"}
    return {"metavar": "VALUE"}


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


def _dashed(word: str) -> str:
    """Underscores stand for dashes in a flag's name, not in its value."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _unknown(word: str, options: Sequence[str]) -> str:
    if not word.startswith("-"):
        return f"unexpected argument {word!r}; a video is given as --source {word}"
    name = word.partition("=")[0]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.7)
    return f"unknown flag {name}" + (f", did you mean {close[0]}?" if close else "; see --help")


# ---- what is said when it goes wrong


def _say(message: str, secrets: Sequence[str] = ()) -> None:
    sys.stderr.write(redact(f"{PROGRAM}: {message}\n", secrets))


def _missing_library(error: ImportError) -> int:
    """A library that is not there is a matter of installation, not a crash."""
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("realtime"):
        _say(f"error: {error.name} is not installed: pip install 'realtime-pose[run]'")
        return ConfigError.exit_code
    if re.match(r"\S+\.so[.\d]*: cannot open shared object", str(error)):
        _say(f"error: a system library is missing ({error}): apt-get install libgl1 libglib2.0-0")
        return ConfigError.exit_code
    raise error
