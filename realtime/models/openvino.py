"""OpenVINO: torch networks converted once and computed in the CPU's own numbers. Its only importer, and nncf's.

Used by pose.engine and models.ultralytics. A network here takes one batch of uint8 pictures and returns
one float32 array.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.runtime.share import all_cores, cores

Precision = Literal["fp32", "bf16", "fp16", "int8"]
# OpenVINO's names of the numbers it computes in, and of the capability that a CPU needs for them.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}


def is_installed() -> bool:
    """Whether there is OpenVINO here (it has no wheels for some systems)."""
    return importlib.util.find_spec("openvino") is not None


def version() -> str:
    """Of OpenVINO: what one version converted is not read by another."""
    return str(_openvino().get_version())


def native_precisions() -> list[Precision]:
    """What this CPU computes in by itself, widest first. Anything else OpenVINO would quietly compute in float32."""
    offered = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names: list[Precision] = ["fp32", "bf16", "fp16", "int8"]
    return [name for name in names if _CAPABILITIES[name] in offered]


def convert(network: torch.nn.Module, pictures: torch.Tensor, path: Path, free_size: bool = False) -> None:
    """Write a torch network as an OpenVINO one, weights in float32.

    Args:
        network: takes uint8 (B, h, w, 3), returns float32.
        pictures: uint8 (B, h, w, 3) to trace it with. B stays free; h and w become fixed, unless `free_size`.
        path: of the .xml file; the weights go beside it.
        free_size: leave h and w free too, for a network that works out all that depends on them anew in each call.
    """
    openvino = _openvino()
    sides = (-1, -1) if free_size else pictures.shape[1:3]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: that h and w become fixed
        model = openvino.convert_model(
            network, example_input=pictures, input=[openvino.PartialShape([-1, *sides, pictures.shape[3]])]
        )
    openvino.save_model(model, path, compress_to_fp16=False)


def quantize(path: Path, pictures: NDArray[np.uint8], but: Sequence[str], quantized: Path) -> None:
    """Write a converted network with its matrices in 8-bit integers (post-training quantisation with nncf).

    Args:
        path: of the network in float32.
        pictures: uint8 (B, h, w, 3), what it will be given: they decide the range of every layer.
        but: regular expressions of the names of layers that stay in float.
        quantized: the .xml file to write.

    Raises:
        ModuleNotFoundError: nncf is not installed.
    """
    openvino = _openvino()
    import nncf

    nncf.set_log_level(40)  # errors
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nncf.quantize(
            read(path),
            nncf.Dataset([picture[np.newaxis] for picture in pictures]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(patterns=list(but), validate=False),  # not every network has them
        )
    openvino.save_model(model, quantized, compress_to_fp16=False)


def read(path: Path) -> Any:  # noqa: ANN401 - see _openvino
    """A converted network, as OpenVinoNetwork takes it.

    Args:
        path: of the .xml file.

    Raises:
        RuntimeError: it can't be read.
    """
    _openvino()
    from openvino.frontend import FrontEndManager

    # Core.read_model would ask the readers of all formats about a damaged file, and they write to standard error.
    reader = FrontEndManager().load_by_framework("ir")
    return reader.convert(reader.load(str(path)))


class OpenVinoNetwork:
    """A converted network, compiled for this CPU. All methods may be called from any thread.

    It is compiled once for each number of cores that a call may use (runtime.share): as many calls as find cores then
    run side by side. Each thread has a request of its own.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - see _openvino
        precision: Precision,
        shape: tuple[int, int, int] | None = None,
    ) -> None:
        """Make it ready.

        Args:
            model: what `read` gave; it stays as it is.
            precision: one of `native_precisions`; int8 for what `quantize` wrote.
            shape: number (-1: any), height and width of the pictures, for a network that was converted with all free.
                Where the number is known, nothing is copied that layers can share.
        """
        native = native_precisions()
        rest: Precision = "bf16" if "bf16" in native else "fp32"  # of an int8 network: what isn't a matrix
        self._hint = _HINTS[rest if precision == "int8" else precision]
        self._model = model
        if shape is not None:
            self._model = model.clone()
            self._model.reshape([*shape, 3])
        self._compiled: dict[int, Any] = {}  # cores of a call -> network
        self._thread = threading.local()  # its requests, by cores
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output for uint8 (B, h, w, 3). Valid until the thread's next call: it is the network's own."""
        with cores() as count:
            requests: dict[int, Any] = self._thread.__dict__.setdefault("requests", {})
            if count not in requests:
                requests[count] = self._compile(count).create_infer_request()
            return np.asarray(requests[count].infer({0: pictures}, share_inputs=True, share_outputs=True)[0])

    def _compile(self, count: int) -> Any:  # noqa: ANN401 - Any: OpenVINO is not followed by mypy
        with self._lock:
            if count not in self._compiled:
                calls = max(1, all_cores() // count)
                settings = {
                    "INFERENCE_PRECISION_HINT": self._hint,
                    "INFERENCE_NUM_THREADS": count * calls,
                    "NUM_STREAMS": calls,
                    # Pinned threads of two networks would share one core and leave another idle.
                    "ENABLE_CPU_PINNING": False,
                }
                self._compiled[count] = _core().compile_model(self._model, "CPU", settings)
            return self._compiled[count]


@functools.cache
def _core() -> Any:  # noqa: ANN401 - see _openvino
    """The one that there is: each gives its thread a stack for signals, and takes that of another away when it dies."""
    return _openvino().Core()


def _openvino() -> Any:  # noqa: ANN401 - Any: not followed by mypy
    # Importing OpenVINO reports to Google Analytics, unless its reporter is not there.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: an import of it fails
    import openvino

    return openvino
