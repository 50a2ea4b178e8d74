import pytest
import torch

from realtime.config import PoseConfig
from realtime.errors import ConfigError
from realtime.models import openvino
from realtime.models.choice import choose

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda:0"), torch.device("mps")


CHOICES = [
    # device, engine, precision, the CPU's native precisions, the choice
    (CPU, "auto", "auto", ["fp32", "bf16", "int8"], ("openvino", "bf16")),  # auto never chooses fewer than 16 bits
    (CPU, "auto", "auto", ["fp32", "int8"], ("openvino", "fp32")),  # an older CPU
    (CPU, "auto", "int8", ["fp32", "bf16", "int8"], ("openvino", "int8")),
    (CPU, "torch", "auto", ["fp32", "bf16"], ("torch", "fp32")),
    (CPU, "torch", "bf16", ["fp32"], ("torch", "bf16")),
    (MPS, "auto", "auto", ["fp32"], ("torch", "fp32")),
    (MPS, "auto", "fp16", ["fp32"], ("torch", "fp16")),
    (CUDA, "auto", "auto", ["fp32"], ("torch", "fp16")),
    (CUDA, "auto", "fp32", ["fp32"], ("torch", "fp32")),
]


@pytest.mark.parametrize(("device", "engine", "precision", "native", "expected"), CHOICES)
def test_auto_chooses_the_fastest_engine_of_at_least_16_bits(monkeypatch, device, engine, precision, native, expected):
    monkeypatch.setattr(openvino, "native_precisions", lambda: native)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert choose("pose", device, PoseConfig(engine=engine, precision=precision)) == expected


def test_auto_chooses_float32_on_an_old_gpu_and_without_openvino(monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert choose("pose", CUDA, PoseConfig()) == ("torch", "fp32")
    assert choose("pose", CPU, PoseConfig()) == ("torch", "fp32")


REFUSED = [
    # device, engine, precision, part of the message
    (CUDA, "openvino", "auto", "runs on a CPU only"),
    (CPU, "openvino", "fp16", "expected one of fp32, bf16"),
    (CPU, "auto", "fp16", "expected one of fp32, bf16"),
    (CPU, "torch", "int8", "needs --pose.engine openvino"),
    (CUDA, "auto", "int8", "needs --pose.engine openvino"),
]


@pytest.mark.parametrize(("device", "engine", "precision", "says"), REFUSED)
def test_an_explicit_choice_is_refused_rather_than_replaced(monkeypatch, device, engine, precision, says):
    monkeypatch.setattr(openvino, "native_precisions", lambda: ["fp32", "bf16"])
    with pytest.raises(ConfigError, match=says):
        choose("pose", device, PoseConfig(engine=engine, precision=precision))


def test_openvino_as_an_explicit_choice_must_be_installed(monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    with pytest.raises(ConfigError, match="not installed"):
        choose("pose", CPU, PoseConfig(engine="openvino"))
