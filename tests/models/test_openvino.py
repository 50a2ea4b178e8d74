"""OpenVINO and signals. Its numerical results are tested in tests/parity and test_ultralytics."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from realtime.models import openvino

_PROGRAM = """
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from realtime.models import openvino

class Half(torch.nn.Module):
    def forward(self, pictures):
        return pictures.float() / 2

pictures = torch.full((1, 8, 8, 3), 6, dtype=torch.uint8)
path = Path(sys.argv[1]) / "half.xml"
openvino.convert(Half(), pictures, path)
networks = [openvino.OpenVinoNetwork(openvino.read(path), "fp32") for _ in range(2)]
assert all((network(pictures.numpy()) == 3).all() for network in networks)
del networks[0]
del networks[0]
signal.signal(signal.SIGINT, lambda *_: print("heard"))
signal.raise_signal(signal.SIGINT)
"""


def test_a_signal_is_handled_after_networks_are_destroyed(tmp_path):
    # Every OpenVINO Core installs a signal stack on its thread, and its destruction removes that of another Core.
    command = [sys.executable, "-X", "faulthandler", "-c", _PROGRAM, str(tmp_path)]
    program = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert (program.returncode, program.stdout) == (0, "heard\n"), program.stderr


def test_a_network_that_cannot_be_stored_is_an_error_of_the_disk(tmp_path):
    path = tmp_path / "network.xml"
    path.mkdir()  # a folder in the place of the file fails as a full disk does
    pictures = torch.zeros((1, 8, 8, 3), dtype=torch.uint8)
    with pytest.raises(OSError, match=r"MB are free on this disk"):
        openvino.convert(torch.nn.Flatten(), pictures, path)
