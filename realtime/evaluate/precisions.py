"""How fast this processor computes in each precision that it supports natively, as the first start measures it.

This is `python -m realtime.evaluate precisions`. It needs no model, and neither reads nor changes what earlier starts
have measured.
"""

from __future__ import annotations

import argparse

from realtime.errors import ConfigError
from realtime.evaluate.processor import processor
from realtime.evaluate.report import Report
from realtime.models import openvino
from realtime.models.speeds import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no flags."""


def run(options: argparse.Namespace) -> Report:
    """Measure, for about a second.

    Raises:
        ConfigError: OpenVINO is not installed.
    """
    if not openvino.is_installed():
        raise ConfigError("precisions: openvino is not installed: pip install openvino")
    times_ms = table()
    return Report(
        title=f"Native precisions of {processor()[0]}, in OpenVINO {openvino.version()}",
        columns=["network", "precision", "ms", "times fp32"],
        rows=[
            [kind, precision, ms, times["fp32"] / ms]
            for kind, times in times_ms.items()
            for precision, ms in times.items()
        ],
        data={"times_ms": times_ms},
        notes=[
            "transformer: one layer of ViTPose-S, two people; convolutions: the first layers of YOLO, one image",
            "ms: CPU time of one inference on one core, the least of several; times fp32: speed relative to fp32",
        ],
    )
