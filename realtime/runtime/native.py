"""Loops over pixels as machine code: numba, and its only importer.

Used by pose.crop and pose.decode for the few functions on the data path that numpy can't express in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compile_loops(function: Callable[..., None], *arguments: str) -> Callable[..., None]:
    """A function as machine code that runs without the interpreter's lock.

    The code is kept on disk beside the source, or in the user's cache where that can't be written. The types are told
    and not found out at the first call: what is called in a warm-up is what is called afterwards.

    Args:
        function: in the subset of Python that numba compiles; returns nothing.
        arguments: its types: a dtype, with a `[:, :]` for C-contiguous arrays: `uint8[:, :, :]`. Inputs may be
            read-only when they are marked so: `const float32[:]`.

    Returns:
        The compiled function. It takes exactly these types.
    """
    import numba

    signature = numba.void(*(_type(argument) for argument in arguments))
    try:
        return numba.njit(signature, nogil=True, cache=True)(function)  # type: ignore[no-any-return]  # untyped
    except RuntimeError:  # no folder to keep it in: compiled at every start
        return numba.njit(signature, nogil=True)(function)  # type: ignore[no-any-return]  # untyped


def _type(argument: str) -> Any:  # noqa: ANN401 - Any: numba ships no types
    from numba import types

    name = argument.removeprefix("const ")
    dtype = getattr(types, name.partition("[")[0])
    dimensions = name.count(":")
    return types.Array(dtype, dimensions, "C", readonly=argument != name) if dimensions else dtype
