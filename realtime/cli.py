"""The command line: flags -> AppConfig -> Pipeline.run(), signals and exit codes.

This is the program's front end and knows nothing about the stages. It imports heavy modules only when they are
needed, so that `--help` and `--version` answer quickly.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from realtime import __version__
from realtime.config_reader import ConfigReader
from realtime.errors import ConfigError, RealtimeError
from realtime.machine import prepared_folders
from realtime.observe.log import is_json, log_uncaught, set_up_logging
from realtime.printable import say
from realtime.redact import one_line, secrets_of
from realtime.runtime.limits import check_limits, explained
from realtime.runtime.memory import share_pools
from realtime.stdio import open_standard_streams
from realtime.stdout import discard_output, is_kept, keep_stdout, out_encoding, write_out
from realtime.tools import TOOLS, run_tool

if TYPE_CHECKING:
    from realtime.pipeline import Pipeline

PROGRAM = "realtime-pose"
log = logging.getLogger(__name__)

# A signal must end the program within 3 s. A normal exit unloads the libraries, which takes up to a second, so it is
# skipped if this much time (s) has passed since the signal.
_LATE_S = 1.5

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program, or the tool that the first argument names.

    Args:
        argv: the arguments after the program's name. None: those of this process, which is the program's own. Its
            standard output is then kept from libraries that print, and uncaught exceptions are logged.

    Returns:
        The exit code: 0 at the end of the stream or after a signal, 2 for a wrong command line or configuration or an
        output that can't be opened, 3 for a source, 4 for a model, 1 for anything else. A second SIGINT or SIGTERM ends
        the program immediately, with 128 + the signal's number.

    Raises:
        SystemExit: help or the version was printed, or a tool ended.

    Example:
        >>> main(["--source", "demo", "--sorce", "1"])  # stderr: unknown flag --sorce, did you mean --source?
        2
    """
    open_standard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in TOOLS:
        run_tool(words[0], words[1:])
        return 0
    share_pools()
    # Secrets of all cameras so far; the log and the error lines redact them.
    secrets = [secret for word in words for secret in secrets_of(word)]
    if argv is None:
        keep_stdout()
        set_up_logging("info", "text", secrets)
        log_uncaught()
    try:
        return _run(words, secrets)
    except RealtimeError as error:
        log.debug("the error was raised here", exc_info=True)
        _say_error(error, secrets)
        return error.exit_code
    except KeyboardInterrupt:  # a signal while the models load: nothing was started
        return 0
    except BrokenPipeError:  # the reader of our standard output is gone
        discard_output()
        return 1
    except Exception as error:
        if (known := _of_installation(error) or explained(error)) is None:
            raise
        log.debug("the error was raised here", exc_info=True)
        _say_error(known, secrets)
        return known.exit_code


def _run(argv: list[str], secrets: list[str]) -> int:
    if argv == ["--version"]:  # without the imports below
        write_out(f"{PROGRAM} {__version__}\n")
        return 0
    try:
        from realtime.config import service_variables, to_yaml
        from realtime.flags import parse
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the pipeline needs the extra 'run' ({error.name} is not installed): pip install 'realtime-pose[run]'"
        ) from None
    arguments, flags = parse(argv)
    reader = ConfigReader(arguments, flags, secrets)
    config = reader.read()
    if arguments.print_config:
        for level, line in reader.new_lines():
            _say(f"warning: {line}" if level == logging.WARNING else line, secrets)
        write_out(to_yaml(config, out_encoding()))
        return 0
    set_up_logging(config.log_level, config.log_format, secrets)
    reader.log_lines()
    if ignored := service_variables():
        log.debug("environment: ignored variables of a service with a name like ours: %s", ", ".join(ignored))
    check_limits()
    log.info("%s %s: loading the libraries", PROGRAM, __version__)
    with _signals(reloads=bool(arguments.config)) as handle, contextlib.ExitStack() as resources:
        resources.enter_context(prepared_folders())
        page = None
        if config.web is not None:
            from realtime.web.page import live_page

            # Before the imports below, which take seconds: the page can be opened while they run.
            page = resources.enter_context(live_page(config, arguments.dry_run, lambda: handle.is_ending))
        with handle.not_swallowed():
            from realtime.loading import load_models
            from realtime.pipeline import Pipeline

            if arguments.dry_run:
                models = load_models(config)
                log.info("dry run: %s and %s are ready on %s", models.detector_name, models.pose_name, models.device)
                return 0
            pipeline = Pipeline(config, reader.read_again, page)
        handle.take(pipeline)
        # Whoever reads a recording on standard output may print to the same terminal.
        with_bars = config.log_format == "text" and not (config.record and is_kept(config.record))
        return _process(pipeline, with_bars, handle, resources.close, secrets)


def _process(
    pipeline: Pipeline, with_bars: bool, handle: _Signals, release: Callable[[], None], secrets: Sequence[str]
) -> int:
    """Run the pipeline. Leave the process at once if a thread is stuck, or a signal came too long ago.

    Args:
        with_bars: show bars, if there is a terminal for them.
        release: ends the page and removes the temporary folders, if the process is left at once.
    """
    from realtime.observe.progress import progress

    code = RealtimeError.exit_code
    failure: RealtimeError | None = None
    try:
        pipeline.run(progress(lambda: pipeline.status, with_bars=with_bars))
        code = 0
    except RealtimeError as error:
        code, failure = error.exit_code, error
        raise
    except Exception as error:
        if (failure := explained(error)) is not None:
            raise failure from error
        log.exception("the run failed")  # a bug in our code: log its traceback
    finally:
        if pipeline.stuck_threads or handle.is_late:
            if failure is not None:
                _say_error(failure, secrets)
            release()
            _leave_at_once(pipeline.stuck_threads, code)
    return code


class _Signals:
    """The handler of SIGINT, SIGTERM and SIGHUP.

    The first SIGINT or SIGTERM ends the run gracefully, the second one ends the program immediately. SIGHUP reads the
    configuration files again. It ends the run if there are no files or if the terminal of the program was closed.
    """

    def __init__(self, reloads: bool) -> None:
        self._pipeline: Pipeline | None = None
        self._reloads = reloads
        self._has_terminal = sys.stderr.isatty()
        self._seen = self._reload_waits = False
        self._seen_s = 0.0

    @property
    def is_ending(self) -> bool:
        """Whether a signal ends the program."""
        return self._seen

    @property
    def is_late(self) -> bool:
        """Whether a normal exit would take too long after the signal."""
        return self._seen and time.monotonic() - self._seen_s > _LATE_S

    @contextlib.contextmanager
    def not_swallowed(self) -> Iterator[None]:
        """Raise KeyboardInterrupt after a signal, even if a library swallowed the first one during its import."""
        try:
            yield
        except Exception:
            if self._seen:
                raise KeyboardInterrupt from None
            raise
        if self._seen:
            raise KeyboardInterrupt

    def take(self, pipeline: Pipeline) -> None:
        """Send signals to this pipeline from now on."""
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
        self._seen, self._seen_s = True, time.monotonic()
        if self._pipeline is None:
            raise KeyboardInterrupt
        self._pipeline.stop()


@contextlib.contextmanager
def _signals(reloads: bool) -> Iterator[_Signals]:
    handle = _Signals(reloads)
    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP and (reloads or signal.getsignal(_HANGUP) is not signal.SIG_IGN):  # it is ignored under nohup
        numbers.append(_HANGUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield handle
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_at_once(stuck: Sequence[str], code: int) -> NoReturn:
    """End the process without unloading its libraries. A C library may hold threads, and a normal exit could hang."""
    if stuck:
        log.warning("threads that did not stop: %s", ", ".join(stuck))
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


# ---- error lines


def _say(message: str, secrets: Sequence[str] = ()) -> None:
    say(one_line(f"{PROGRAM}: {message}", secrets))


def _say_error(error: RealtimeError, secrets: Sequence[str] = ()) -> None:
    """Print the line of an error; as a log line if these are JSON, because programs read them."""
    if is_json():
        log.error("%s", error)
    else:
        _say(f"error: {error}", secrets)


# The dynamic linker's message, after the file's name and a colon, unless it is about memory (see runtime.limits).
_NOT_LOADED = re.compile(r"(\S+\.so[.\d]*): (?!.*(?:Cannot allocate memory|from shared object$))(.+)")


def _of_installation(error: Exception) -> ConfigError | None:
    """The error of a library that is missing or can't be loaded, in one line; None if the error has another cause.

    An extension module raises it as an ImportError, a library that is loaded with ctypes as an OSError.
    """
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("realtime"):
        return ConfigError(f"{error.name} is not installed: pip install 'realtime-pose[run]'")
    if not isinstance(error, ImportError | OSError) or not (match := _NOT_LOADED.match(str(error))):
        return None
    if "cannot open shared object file: No such file" in match[2]:
        return ConfigError(f"a system library is missing ({error}): apt-get install libgl1 libglib2.0-0")
    if "failed to map segment" in match[2] or "executable stack" in match[2]:
        return ConfigError(
            f"a library can't be loaded ({error}): this machine doesn't allow code in its folder, or code of its kind, "
            "to run (a mount with noexec, SELinux)"
        )
    return ConfigError(f"a library can't be loaded ({error}): install the packages again for this system")
