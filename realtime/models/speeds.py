"""How fast this processor runs networks in each precision: measured by the first start that needs it, and remembered.

Used by models.choice. That a processor supports a precision natively does not make it fast: on one with AVX2 only, int8
is slower than fp32. The measurement runs small networks of our own (models.sample_networks), in less than a second.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from realtime.errors import first_line
from realtime.models import openvino, sample_networks
from realtime.models.memory import recall, remember
from realtime.models.openvino import Precision
from realtime.runtime.processor import kind_of_processor

log = logging.getLogger(__name__)

# The kind of a network: ViTPose is a transformer, YOLO consists of convolutions.
Kind = Literal["transformer", "convolutions"]

_NETWORKS: dict[Kind, Callable[..., Any]] = {
    "transformer": sample_networks.transformer,
    "convolutions": sample_networks.convolutions,
}
# The source files that decide the result.
_SOURCES = [Path(__file__).with_name(f"{name}.py") for name in ("speeds", "sample_networks")]
# The precisions take turns. Each network runs this many times, or as often as it can in this time, but at least _LEAST
# times; an inference takes 3 to 20 ms on a core.
_ROUNDS, _LEAST, _ENOUGH_S = 12, 3, 0.4
# CPU time, because wall time depends on what else the machine does; but on Windows it rises in steps of 16 ms.
_clock = time.perf_counter if sys.platform == "win32" else time.process_time


class Speeds(NamedTuple):
    """The measured times.

    Attributes:
        times_ms: CPU time of one inference on one core, for each precision.
        is_new: whether this process measured them; otherwise an earlier start did.
    """

    times_ms: Mapping[Precision, float]
    is_new: bool

    def gain(self, precision: Precision) -> float:
        """Return how many times as fast as fp32 a precision is.

        >>> Speeds({"fp32": 6.0, "bf16": 4.0}, is_new=True).gain("bf16")
        1.5
        """
        return self.times_ms["fp32"] / self.times_ms[precision]


@functools.cache
def speeds(kind: Kind, precisions: tuple[Precision, ...], file: Path) -> Speeds | None:
    """Return how fast networks of a kind are here: as an earlier start measured it, or measured now.

    Args:
        kind: the kind of network.
        precisions: those to compare.
        file: the file of the cache that remembers it for this kind of processor. A process reads it once.

    Returns:
        The times; None if they can't be measured.
    """
    code = b"".join(source.read_bytes() for source in _SOURCES)
    parts = [kind, *precisions, kind_of_processor(), openvino.version()]
    key = hashlib.sha256("\0".join(parts).encode() + code).hexdigest()
    if times := _parsed(recall(file).get(key, []), len(precisions)):
        return Speeds(dict(zip(precisions, times, strict=True)), is_new=False)
    try:
        measured = measure(kind, precisions)
    except Exception as error:  # a start does not depend on it, whatever OpenVINO raises
        log.debug("models: the speed of %s can't be measured: %s", ", ".join(precisions), first_line(error))
        return None
    remember(file, key, [f"{measured[precision]:.4g}" for precision in precisions])
    return Speeds(measured, is_new=True)


def table() -> dict[Kind, dict[Precision, float]]:
    """Measure every native precision, for reports: the milliseconds of an inference for each kind of network."""
    return {kind: measure(kind, openvino.native_precisions()) for kind in _NETWORKS}


def measure(kind: Kind, precisions: Sequence[Precision]) -> dict[Precision, float]:
    """Measure the CPU time of one inference on one core in each precision, in milliseconds.

    On several cores, a single other program would decide the result. The precisions take turns, and the shortest time
    of each counts, because other programs can only slow an inference down.

    Args:
        kind: the kind of network.
        precisions: those to measure, each native.

    Raises:
        RuntimeError: OpenVINO can't run one of them.
    """
    calls = {precision: _call(kind, precision) for precision in precisions}
    times: dict[Precision, list[float]] = {precision: [] for precision in precisions}
    begin = time.perf_counter()
    for count in range(_ROUNDS):
        if count >= _LEAST and time.perf_counter() - begin > _ENOUGH_S:
            break
        for precision, call in calls.items():
            start = _clock()
            call()
            times[precision].append(_clock() - start)
    return {precision: 1000 * min(each) for precision, each in times.items()}


def _call(kind: Kind, precision: Precision) -> Callable[[], object]:
    """Compile a network, run it once, and return what runs it again."""
    model = _NETWORKS[kind](quantized=precision == "int8")
    request = openvino.compiled(model, precision, cores=1).create_infer_request()
    pixels = np.random.default_rng(0).integers(0, 256, model.input(0).shape, np.uint8)
    run = functools.partial(request.infer, {0: pixels}, share_inputs=True, share_outputs=True)
    run()
    return run


def _parsed(texts: Sequence[str], count: int) -> list[float]:
    """The remembered times; none if they are damaged."""
    try:
        times = [float(text) for text in texts]
    except ValueError:
        return []
    return times if len(times) == count and all(0 < each < math.inf for each in times) else []
