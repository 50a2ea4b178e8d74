"""OpenVINO and signals. Its numerical results are tested in tests/parity and test_ultralytics."""

from __future__ import annotations

import errno
import gc
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from realtime.models import openvino
from realtime.runtime.core_budget import all_cores, core_budget, fixed
from tests.runtime.test_memory import resident_kb

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
openvino.save(openvino.convert(Half(), pictures), path)
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


def doubled() -> object:
    """A converted network whose weights take 4 MB."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8 * 8 * 3, 5000))
    return openvino.convert(Floats(network), torch.zeros((1, 8, 8, 3), dtype=torch.uint8))


class Floats(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pictures):
        return self.network(pictures.float())


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path):
    # A limit on the size of a file fails as a full disk does: OpenVINO's own error names no cause.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = doubled()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            openvino.save(model, tmp_path / "network.xml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_stored_for_another_reason_is_an_error_too(tmp_path):
    (tmp_path / "network.xml").mkdir()
    with pytest.raises(OSError, match="xml_file"):
        openvino.save(doubled(), tmp_path / "network.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["network.xml"]


def test_a_network_works_from_memory_and_from_its_file_alike(tmp_path):
    model = doubled()
    openvino.save(model, tmp_path / "network.xml")
    pictures = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    gc.collect()  # the torch network, whose weights the model shares
    first, second = (
        openvino.OpenVinoNetwork(each, "fp32")(pictures).copy()
        for each in (model, openvino.read(tmp_path / "network.xml"))
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", [b"plain", b"two words\nin lines", "é".encode(), b"not UTF-8 \xff\xfe"])
def test_a_compiled_network_keeps_its_weights_once_in_memory(tmp_path, name):
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    openvino.save(doubled(), folder / "network.xml")
    network = openvino.OpenVinoNetwork(openvino.read(folder / "network.xml"), "fp32")
    pictures = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    for count in (1, all_cores()):
        with core_budget(fixed(count)):
            first = network(pictures).copy()
            assert resident_kb(folder / "network.bin") == 0
            np.testing.assert_array_equal(network(pictures), first)


@pytest.mark.parametrize("bytes_left", [0, 1000, -1])
def test_a_truncated_file_of_weights_is_not_read(tmp_path, bytes_left):
    openvino.save(doubled(), tmp_path / "network.xml")
    weights = (tmp_path / "network.bin").read_bytes()
    (tmp_path / "network.bin").write_bytes(weights[:bytes_left])
    with pytest.raises(RuntimeError):
        openvino.read(tmp_path / "network.xml")


def test_halved_weights_take_half_the_space_and_change_results_by_rounding_only(tmp_path):
    model = doubled()
    for name, halve in [("whole.xml", False), ("half.xml", True)]:
        openvino.save(model, tmp_path / name, halve=halve)
    whole, half = ((tmp_path / name).stat().st_size for name in ("whole.bin", "half.bin"))
    assert 0.49 < half / whole < 0.51
    pictures = np.full((1, 8, 8, 3), 200, np.uint8)
    expected, found = (
        openvino.OpenVinoNetwork(openvino.read(tmp_path / name), "fp32")(pictures).copy()
        for name in ("whole.xml", "half.xml")
    )
    assert 0 < np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize(("large_bytes", "compiled"), [(1_000_000, [all_cores()]), (10_000_000, [1, all_cores()])])
def test_a_large_network_is_compiled_once_for_all_core_budgets(monkeypatch, large_bytes, compiled):
    monkeypatch.setattr(openvino, "_LARGE_BYTES", large_bytes)  # this network has 4 MB
    network = openvino.OpenVinoNetwork(doubled(), "fp32")
    for count in (1, all_cores()):
        with core_budget(fixed(count)):
            network(np.zeros((1, 8, 8, 3), np.uint8))
    assert list(network._compiled) == list(dict.fromkeys(compiled))
