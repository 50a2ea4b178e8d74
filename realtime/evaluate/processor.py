"""The note below a table that says what its figures were computed with.

Used by `keypoints`, `tracking`, `presets` and benchmarks: scores depend on the precision, which `auto` chooses by the
processor.
"""

from __future__ import annotations

from collections.abc import Mapping

from realtime.runtime.processor import processor as processor


def computed_with(device: str, engines: Mapping[str, str | None]) -> str:
    """Return a note: "computed on cpu with detector openvino bf16; processor: AMD EPYC (avx2, avx512_bf16)".

    Args:
        device: the device of the networks.
        engines: by network, its engine and precision; None for one that was not run.
    """
    used = [f"{network} {engine}" for network, engine in engines.items() if engine]
    name, instructions = processor()
    known = f" ({', '.join(instructions)})" if instructions else ""
    return f"computed on {device} with {', '.join(used) or 'no network'}; processor: {name}{known}"
