"""OpenVINO: converts torch networks once and runs them in a precision that the CPU supports natively.

Used by pose.build, models.yolo and models.speeds; no other file imports nncf, and only models.sample_networks imports
openvino besides. A network here takes one batch of uint8 images and returns one float32 array.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from realtime.errors import EngineError, first_line
from realtime.runtime.core_budget import all_cores, take_cores
from realtime.runtime.memory import drop_pages

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16", "int8"]
# OpenVINO's name for each precision, and for the CPU capability that the precision needs.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
# The .xml file of the largest ViTPose has less than 1 MB.
_MOST_XML_BYTES = 4_000_000
# A network with more weights than this is compiled only once, because each compiled copy holds all of them.
_LARGE_BYTES = 1_000_000_000
# The entry of a model with the path of its weights, which OpenVINO maps into memory: its bytes in hexadecimal digits,
# because they need not be UTF-8.
_MAPPED = "mapped_weights"


def is_installed() -> bool:
    """Whether OpenVINO is installed (it has no wheels for some systems)."""
    return importlib.util.find_spec("openvino") is not None


def version() -> str:
    """The version of OpenVINO. A cached network is used only by the version that converted it."""
    return str(library().get_version())


def native_precisions() -> list[Precision]:
    """The precisions that this CPU supports natively, widest first.

    OpenVINO accepts the others too, but silently computes in float32.
    """
    offered = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names: list[Precision] = ["fp32", "bf16", "fp16", "int8"]
    return [name for name in names if _CAPABILITIES[name] in offered]


def convert(network: torch.nn.Module, pictures: torch.Tensor, free_size: bool = False) -> Any:  # noqa: ANN401
    """Convert a torch network to OpenVINO. The result shares its weights with the torch network.

    Args:
        network: takes uint8 (B, h, w, 3), returns float32.
        pictures: uint8 (B, h, w, 3), images to trace it with. B stays free; h and w become fixed, unless `free_size`.
        free_size: leave h and w free too. The network must then compute all values that depend on them in each call.

    Returns:
        The model, as `OpenVinoNetwork` expects it.

    Raises:
        EngineError: OpenVINO can't convert the network.
    """
    import torch

    openvino = library()
    sides = (-1, -1) if free_size else pictures.shape[1:3]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns that h and w become fixed
        shape = openvino.PartialShape([-1, *sides, pictures.shape[3]])
        try:
            return openvino.convert_model(network, example_input=pictures, input=[shape])
        except Exception as error:  # a converter can raise anything for a layer that it doesn't know
            raise EngineError(f"OpenVINO can't convert this network ({first_line(error)})") from error


def quantize(model: Any, pictures: NDArray[np.uint8], but: Sequence[str]) -> Any:  # noqa: ANN401
    """Quantise a converted network to 8-bit integers (post-training, with nncf).

    Args:
        model: what `convert` returned. It is not modified.
        pictures: uint8 (B, h, w, 3), typical inputs. They calibrate the value range of every layer.
        but: regular expressions that match the names of layers that stay in floating point.

    Returns:
        The quantised model.

    Raises:
        ModuleNotFoundError: nncf is not installed.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns that there is no CUDA
    import nncf

    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # it prints progress bars
        warnings.simplefilter("ignore")
        return nncf.quantize(
            model,
            nncf.Dataset([picture[np.newaxis] for picture in pictures]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(patterns=list(but), validate=False),  # some match no layer of this network
        )


def save(model: Any, path: Path, *, halve: bool = False) -> None:  # noqa: ANN401
    """Write a model.

    Args:
        model: what `convert` or `quantize` returned.
        path: the .xml file to write; the weights go into a file beside it. After an error, neither is left.
        halve: write the float32 weights as float16, which suffices for bf16 and fp16.

    Raises:
        OSError: the files can't be written.
    """
    try:
        library().save_model(model, path, compress_to_fp16=halve)
    except RuntimeError as error:  # it names no cause
        for file in (path, path.with_suffix(".bin")):
            with contextlib.suppress(OSError):
                file.unlink()
        weights = _weight_bytes(model) // (2 if halve else 1)
        _try_to_write(path.with_name("probe"), weights + _MOST_XML_BYTES)
        raise OSError(errno.EIO, first_line(error), str(path)) from error


def _weight_bytes(model: Any) -> int:  # noqa: ANN401
    return sum(node.data.nbytes for node in model.get_ordered_ops() if node.get_type_name() == "Constant")


def _try_to_write(path: Path, count: int) -> None:
    """Write this many bytes and delete them again, to learn from the system why they can't be written.

    Raises:
        OSError: they can't be written.
    """
    block = bytes(min(count, 2**20))
    try:
        with path.open("wb", buffering=0) as file:
            while count > 0:
                count -= file.write(block)
    finally:
        path.unlink(missing_ok=True)


def read(path: Path) -> Any:  # noqa: ANN401 - OpenVINO is not followed by mypy
    """Read a converted network.

    Args:
        path: the .xml file.

    Returns:
        The model, as `OpenVinoNetwork` expects it.

    Raises:
        RuntimeError: the file can't be read.
    """
    library()
    from openvino.frontend import FrontEndManager

    # On a damaged file Core.read_model would try the readers of all formats, and those write to standard error.
    reader = FrontEndManager().load_by_framework("ir")
    model = reader.convert(reader.load(str(path)))
    model.set_rt_info(os.fsencode(path.with_suffix(".bin")).hex(), _MAPPED)
    return model


class OpenVinoNetwork:
    """A converted network, compiled for this CPU. Any thread may call it.

    The network is compiled once for each core budget that an inference may get (runtime.core_budget), for as many
    concurrent inferences as fit on all cores. A large network is compiled only for all cores, and concurrent
    inferences of it wait for each other. Each thread has its own inference request.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - OpenVINO is not followed by mypy
        precision: Precision,
        shape: tuple[int, int, int] | None = None,
    ) -> None:
        """Prepare the network. It is compiled later, by the first inference with each core budget.

        Args:
            model: what `read` returned. It is not modified.
            precision: one of `native_precisions`; int8 for a network that `quantize` wrote.
            shape: batch size, height and width of the images, for a network converted with `free_size`. With a free
                batch size, OpenVINO would copy data at each concatenation.
        """
        self._precision = precision
        self._model = model
        if shape is not None:
            self._model = model.clone()
            self._model.reshape([*shape, 3])
        self._is_large = _weight_bytes(self._model) > _LARGE_BYTES
        self._compiled: dict[int, Any] = {}  # core budget -> network
        self._thread = threading.local()  # .requests: core budget -> inference request
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network on uint8 (B, h, w, 3).

        Returns:
            The network's own output buffer, valid until this thread's next call.
        """
        with take_cores() as taken:
            count = all_cores() if self._is_large else taken
            requests: dict[int, Any] = self._thread.__dict__.setdefault("requests", {})
            if is_first := count not in requests:
                requests[count] = self._compile(count).create_infer_request()
            found = np.asarray(requests[count].infer({0: pictures}, share_inputs=True, share_outputs=True)[0])
        if is_first:
            self._drop_weights()
        return found

    def _compile(self, count: int) -> Any:  # noqa: ANN401 - OpenVINO is not followed by mypy
        with self._lock:
            if count not in self._compiled:
                self._compiled[count] = compiled(self._model, self._precision, count, max(1, all_cores() // count))
                self._drop_weights()
            return self._compiled[count]

    def _drop_weights(self) -> None:
        """Free the pages of the file of the weights: a compiled network has its own copy, made by its first inference.

        OpenVINO keeps the file mapped, 90 MB of ViTPose-S in fp32, and does not read it again.
        """
        if self._model.has_rt_info([_MAPPED]):
            path = bytes.fromhex(self._model.get_rt_info([_MAPPED]).astype(str))
            drop_pages(Path(os.fsdecode(path)))


def compiled(model: Any, precision: Precision, cores: int, calls: int = 1) -> Any:  # noqa: ANN401 - as above
    """Compile a network for this CPU.

    Args:
        model: what `read` returned, or models.sample_networks built.
        precision: one of `native_precisions`.
        cores: how many cores an inference gets.
        calls: how many inferences run at the same time.

    Returns:
        The network, which makes inference requests.
    """
    rest = "bf16" if "bf16" in native_precisions() else "fp32"  # for the float layers of an int8 network
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[rest if precision == "int8" else precision],
        "INFERENCE_NUM_THREADS": cores * calls,
        "NUM_STREAMS": calls,
        # With pinning, the threads of two networks can share one core and leave another idle.
        "ENABLE_CPU_PINNING": False,
    }
    return _core().compile_model(model, "CPU", settings)


@functools.cache
def _core() -> Any:  # noqa: ANN401 - OpenVINO is not followed by mypy
    """The only Core of the process.

    Every Core installs a signal stack on its thread, and destroying one Core removes another's. The next signal,
    for example Ctrl-C, would then crash the process.
    """
    return library().Core()


def library() -> Any:  # noqa: ANN401 - OpenVINO is not followed by mypy
    """Import OpenVINO. Nothing else imports it first."""
    # Importing OpenVINO sends a report to Google Analytics, unless the import of its telemetry package fails.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes that import fail
    import openvino

    return openvino
