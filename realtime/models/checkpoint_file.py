"""Reads the tensors of a .pth, .pt or .safetensors file without running anything in it.

Used by models.weights, which asks what a file is, and models.vitpose, which loads it.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import stat
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

import realtime.runtime.torch_settings  # noqa: F401 - before other libraries change torch's settings
from realtime.errors import ModelError, first_line

# The package whose classes only its own files contain.
_ULTRALYTICS = "ultralytics."


class YoloFileError(ModelError):
    """The file holds a network of ultralytics, not tensors alone."""


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint. They are mapped into memory where the format allows it, not copied.

    Args:
        file: a .safetensors file, or a .pth or .pt file that holds tensors alone, at the top or under `state_dict`.

    Returns:
        The tensors by name, without a leading `module.`.

    Raises:
        YoloFileError: it is a network of ultralytics.
        ModelError: it can't be read, holds something else than tensors, or only an average of weights (EMA).
    """
    _check_file(file)
    data = _safetensors(file) if file.suffix.lower() == ".safetensors" else _pickled(file)
    if isinstance(inner := data.get("state_dict"), Mapping):
        data = inner
    elif not any(isinstance(value, torch.Tensor) for value in data.values()):
        kept = ", ".join(sorted(str(key) for key in data)[:5]) or "nothing"
        raise ModelError(f"{file}: contains {kept}, expected tensors by name, or a state_dict")
    tensors = {
        str(key).removeprefix("module."): value
        for key, value in data.items()
        if isinstance(value, torch.Tensor) and value.layout is torch.strided and value.device.type == "cpu"
    }
    if not tensors:
        raise ModelError(f"{file}: contains no tensors")
    return tensors


def _check_file(file: Path) -> None:
    """Raise ModelError unless it is a file with content. Opening a pipe would wait for its other end."""
    try:
        status = file.stat()
    except OSError as error:
        raise ModelError(f"{file}: can't be read: {error.strerror or error}") from None
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        what = "an empty file" if stat.S_ISREG(status.st_mode) else "no regular file"
        raise ModelError(f"{file}: {what}, expected a checkpoint")


def _safetensors(file: Path) -> Mapping[object, object]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict[object, object](load_file(file).items())
    except OSError as error:
        raise ModelError(f"{file}: can't be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise ModelError(f"{file}: not a whole safetensors file ({first_line(error)})") from error


def _pickled(file: Path) -> Mapping[object, object]:
    """Load a file of torch.save, with tensors, numbers, texts and containers of these alone."""
    try:
        with _tensors_alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse and quantised tensors, which no ViTPose file has
            try:
                data = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as error:
                if "mmap can only be used" not in str(error):
                    raise
                data = torch.load(file, map_location="cpu", weights_only=True)  # torch before 1.6 wrote no zip files
    except pickle.UnpicklingError as error:
        if (found := _class_of_ultralytics(file)) is not None:
            raise YoloFileError(f"{file}: contains {found}") from error
        what = re.search(r"GLOBAL ([\w.]+)", str(error))
        why = f"contains {what[1]}, which is no part of a checkpoint" if what else "not a file of torch.save"
        raise ModelError(f"{file}: {why}, so it was not loaded") from error
    except OSError as error:
        raise ModelError(f"{file}: can't be read: {error.strerror or error}") from None
    except Exception as error:  # a damaged file can raise anything
        raise ModelError(f"{file}: not a whole file of torch.save ({first_line(error)})") from error
    if not isinstance(data, dict):
        raise ModelError(f"{file}: contains {type(data).__name__}, expected tensors by name, or a state_dict")
    return data


def _class_of_ultralytics(file: Path) -> str | None:
    """Return the name of a class of ultralytics that a file of torch.save contains, or None. Nothing in it is run."""
    with _tensors_alone(), contextlib.suppress(Exception):  # a damaged file can raise anything
        names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        return next((name for name in sorted(names) if name.startswith(_ULTRALYTICS)), None)
    return None


@contextlib.contextmanager
def _tensors_alone() -> Iterator[None]:
    """Let torch load only what it allows by itself. Libraries, such as ultralytics, add classes and functions."""
    added = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        yield
    finally:
        torch.serialization.add_safe_globals(added)
