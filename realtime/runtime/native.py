"""Compiles loops over pixels to machine code. The only importer of numba.

Used by pose.crop and pose.decode for the few functions on the data path that numpy can't express
in one pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from realtime.errors import first_line
from realtime.wire.writers import changed_by_others

log = logging.getLogger(__name__)


def compile_loops(function: Callable[..., None], *arguments: str) -> Callable[..., None]:
    """Compile a function to machine code that runs without holding the interpreter's lock.

    The code is cached on disk beside the source, or in the user's cache if that folder is not
    writable. It is not read from a folder that other users can change, except beside the source,
    because Python's own compiled files are there too. The argument types are fixed here instead of
    inferred at the first call, so that the warm-up runs the same code as later calls.

    Args:
        function: a function in the subset of Python that numba compiles. It returns nothing.
        arguments: the types of its arguments, each a dtype and, for a C-contiguous array, a colon
            per dimension: `uint8[:, :, :]`. With `const` in front, the array may be read-only:
            `const float32[:]`.

    Returns:
        The compiled function. It accepts exactly these types.
    """
    import numba

    signature = numba.void(*(_type(argument) for argument in arguments))
    try:
        compiled = numba.njit(nogil=True, cache=True)(function)
        folder = Path(compiled.stats.cache_path)
        if folder == Path(function.__code__.co_filename).parent / "__pycache__" or changed_by_others(folder) is None:
            compiled.compile(signature)
            compiled.disable_compile()
            return compiled  # type: ignore[no-any-return]  # untyped
        log.debug("numba's cache %s is not used: other users can change it", folder)
    except Exception as error:  # no folder can be written, the disk is full, or a cached file is damaged
        log.debug("numba's cache is not used: %s", first_line(error))
    return numba.njit(signature, nogil=True)(function)  # type: ignore[no-any-return]  # untyped


def _type(argument: str) -> Any:  # noqa: ANN401 - Any: numba ships no types
    from numba import types

    name = argument.removeprefix("const ")
    dtype = getattr(types, name.partition("[")[0])
    dimensions = name.count(":")
    return types.Array(dtype, dimensions, "C", readonly=argument != name) if dimensions else dtype
