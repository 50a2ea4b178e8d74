"""Opens and reads one input as a camera of the program does, and tells how that ended and what was wrong."""

from __future__ import annotations

import contextlib
import gc
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from realtime.capture.kind import kind_of
from realtime.capture.open import check_source, open_source
from realtime.capture.source import Picture, Source
from realtime.config import CameraConfig
from realtime.errors import SourceError, TruncatedError, first_line
from realtime.runtime.door import Unconverted
from realtime.runtime.memory import give_back_memory
from realtime.types import Frame
from tests.capture.rig import Rig

from . import stamps
from .inputs import KINDS
from .mutate import Mutator

# Short, because many inputs only end by a timeout. Each call may take its own and GRACE_S. OPEN_S is longer than
# GRACE_S, or it would not be noticed if opening took it twice.
OPEN_S, READ_S, GRACE_S = 1.5, 0.5, 1.0
# A camera is stopped after so many frames, or after so many reads without any.
ENOUGH_FRAMES, ENOUGH_READS = 8, 40
NAMES = [kind.__name__ for kind in KINDS] + ["stamps"]
INTERNAL = "internal error"
_T = TypeVar("_T")


@dataclass
class Outcome:
    """What became of one input.

    Attributes:
        seed: its number.
        kind: what was changed, and `changes`: how.
        end: how it ended: the reason of the last fault, or "live", "ended", "crash" or "hang".
        harm: what must not happen: an exception that would end the run, a call that took too long, a crash.
        internal: an exception of the source that is no SourceError. It is the camera's own trouble, but unexpected.
        frames: how many frames came out.
        seconds: how long all of it took.
        peak_mb: how much memory it took, beyond what was used before.
        resident_mb: memory of the process afterwards.
    """

    seed: int
    kind: str
    changes: str = ""
    end: str = ""
    harm: str = ""
    internal: str = ""
    frames: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    resident_mb: float = 0.0


def kind_of_seed(seed: int) -> str:
    return NAMES[seed % len(NAMES)]


def probe(seed: int, folder: Path) -> Outcome:
    """Make the input of a seed and use it as a camera.

    Args:
        seed: the number of the input.
        folder: a folder for its files, the same for all inputs of a process.
    """
    outcome = Outcome(seed, kind_of_seed(seed))
    mutator = Mutator(seed)
    before_mb = _memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    began_s = time.monotonic()
    try:
        if outcome.kind == "stamps":
            outcome.end, outcome.frames = "connection lost", stamps.play(mutator)
        else:
            with KINDS[NAMES.index(outcome.kind)](mutator, folder) as address:
                _use(address, outcome)
    except BaseException as error:
        outcome.harm = outcome.harm or f"{type(error).__name__}: {first_line(error)}"
    outcome.seconds = time.monotonic() - began_s
    outcome.peak_mb = _memory_mb("VmHWM") - before_mb
    outcome.changes = " ".join(mutator.done)
    gc.collect()
    give_back_memory()
    outcome.resident_mb = _memory_mb("VmRSS")
    return outcome


def _use(address: str, outcome: Outcome) -> None:
    """Run a camera until it is lost, ends, or has delivered enough.

    Raises:
        Exception: whatever would end the run.
    """
    stop = threading.Event()
    watch = _Watch(stop, outcome)
    is_network = kind_of(address) == "network"
    options = {"open_timeout_s": OPEN_S, "read_timeout_s": READ_S}
    rig = Rig(address, opener=watch.open, until_lost=True, stop=stop, door=watch, **options)
    try:
        if not is_network:
            check_source(CameraConfig(name="cam0", source=address))
        rig.run()
    except SourceError as error:
        # The program itself ends for a file that can't be opened, in one line. Over HTTP a file may be truncated.
        if is_network and not isinstance(error, TruncatedError):
            raise
        watch.note(error)
    outcome.end = outcome.end or rig.state[0]


@dataclass
class _Watch:
    """Opens a source, measures each call into it and notes its exceptions. It is also the camera's door."""

    stop: threading.Event
    outcome: Outcome
    reads: int = field(default=0, init=False)

    def open(self, config: CameraConfig) -> Source:
        return _WatchedSource(self.call("open", OPEN_S, lambda: open_source(config)), self)

    def call(self, name: str, limit_s: float, function: Callable[[], _T]) -> _T:
        began_s = time.monotonic()
        try:
            return function()
        except BaseException as error:
            self.note(error, f"{name}: ")
            raise
        finally:
            took_s = time.monotonic() - began_s
            if took_s > limit_s + GRACE_S:
                self.outcome.harm = f"slow: {name} took {took_s:.1f} s, expected at most {limit_s + GRACE_S:g}"

    def note(self, error: BaseException, where: str = "") -> None:
        if isinstance(error, SourceError):
            self.outcome.end = error.reason.value
            if error.reason.value == INTERNAL:
                self.outcome.internal = self.outcome.internal or f"{where}{first_line(error)}"
        else:
            self.outcome.end = INTERNAL
            self.outcome.internal = f"{where}{type(error).__name__}: {first_line(error)}"

    # ---- the door, as the camera uses it

    def attach(self, camera: str, newest_wins: bool) -> None: ...

    def wait_until_open(self) -> None: ...

    def finish(self, camera: str) -> None: ...

    def put(self, item: Frame | Unconverted) -> None:
        if not isinstance(item, Frame):
            item.frame()  # converts the picture, as the door of a run does
        self.outcome.frames += 1
        if self.outcome.frames >= ENOUGH_FRAMES:
            self.stop.set()


class _WatchedSource:
    def __init__(self, source: Source, watch: _Watch) -> None:
        self._source, self._watch = source, watch
        self.size, self.fps, self.live = source.size, source.fps, source.live

    def read(self) -> Picture | None:
        self._watch.reads += 1
        if self._watch.reads >= ENOUGH_READS:
            self._watch.stop.set()
        return self._watch.call("read", READ_S, self._source.read)

    def close(self) -> None:
        self._watch.call("close", 0.0, self._source.close)

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)  # what else a camera may ask of its source


def _memory_mb(field_name: str) -> float:
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(re.search(rf"{field_name}:\s*(\d+)", status)[1]) / 1e3
    return 0.0
