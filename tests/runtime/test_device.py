"""Tests of devices and lanes that need no GPU."""

import logging
import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch

from realtime.errors import ConfigError, DeviceError, MemoryFullError
from realtime.runtime import device as devices
from realtime.runtime import gpu
from realtime.runtime import lane as lanes
from realtime.runtime.device import resolve_device
from realtime.runtime.lane import Lane, _pictures_on, sender
from tests.fake_cuda import FakeCuda, cuda_error, out_of_memory

CPU = torch.device("cpu")


def picture(value):
    image = np.full((4, 6, 3), value, np.uint8)
    image.setflags(write=False)
    return image


def test_an_image_is_sent_once_for_all_lanes():
    first, second = Lane(CPU), Lane(CPU)
    image, other = picture(1), picture(2)
    sent = first.picture(image)
    assert second.picture(image) is sent
    np.testing.assert_array_equal(sent.numpy(), image)
    np.testing.assert_array_equal(second.picture(other).numpy(), other)


def test_an_image_is_removed_once_its_array_is_freed():
    lane = Lane(CPU)
    kept, image = picture(1), picture(2)
    lane.picture(kept), lane.picture(image)
    before = len(_pictures_on(CPU)._sent)
    del image
    assert len(_pictures_on(CPU)._sent) == before - 1
    assert id(kept) in _pictures_on(CPU)._sent


def test_a_writeable_image_is_sent_each_time():
    lane = Lane(CPU)
    image = np.zeros((4, 6, 3), np.uint8)
    lane.picture(image)
    image[:] = 7
    assert (lane.picture(image) == 7).all()


def test_a_frame_that_was_sent_ahead_is_not_sent_again(make_frame, monkeypatch):
    counted = mock.Mock(side_effect=_pictures_on(CPU)._send)
    monkeypatch.setattr(_pictures_on(CPU), "_send", counted)
    frame = make_frame(0)
    sender(CPU)(frame)
    for lane in (Lane(CPU), Lane(CPU)):
        np.testing.assert_array_equal(lane.picture(frame.image).numpy(), frame.image)
    counted.assert_called_once()


def test_sending_ahead_leaves_a_full_memory_to_the_model_and_reports_a_device_that_failed(make_frame, monkeypatch):
    gpu = torch.device("cuda:0")
    pictures = SimpleNamespace(of=mock.Mock(side_effect=[out_of_memory(2**20), cuda_error("unknown error")]))
    monkeypatch.setattr(lanes, "_pictures_on", lambda device: pictures)
    send = sender(gpu)
    send(make_frame(0))
    with pytest.raises(DeviceError, match="cuda:0: the GPU failed"):
        send(make_frame(1))


# ---- errors of a GPU


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            out_of_memory(2**20),
            MemoryFullError,
            "cuda:1: not enough memory (CUDA out of memory. Tried to allocate 1.00 MiB. GPU 0 has a total capacity of "
            "1.00 GiB of which 3.06 MiB is free): choose a smaller pose.model or detector.weights, or --device cpu",
        ),
        (
            cuda_error("out of memory"),
            MemoryFullError,
            "cuda:1: not enough memory (CUDA error: out of memory): choose ",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            MemoryFullError,
            "cuda:1: not enough memory (CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`): ",
        ),
        (
            cuda_error("an illegal memory access was encountered"),
            DeviceError,
            "cuda:1: the GPU failed (CUDA error: an illegal memory access was encountered): start again; if it fails "
            "again, check nvidia-smi and the driver, or use --device cpu",
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
            DeviceError,
            "cuda:1: the GPU failed (cuDNN error: ",
        ),
        (
            RuntimeError("cuBLAS: CUBLAS_STATUS_NOT_INITIALIZED"),
            DeviceError,
            "cuda:1: the GPU failed (cuBLAS: CUBLAS_ST",
        ),
    ],
)
def test_an_error_of_a_gpu_is_one_line_that_names_it(error, kind, says):
    with pytest.raises(kind) as caught, devices.device_errors(torch.device("cuda:1")):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("device", "error"), [("cuda:0", RuntimeError("a bug")), ("cpu", RuntimeError("CUDA error: on a CPU?"))]
)
def test_other_errors_are_not_changed(device, error):
    with pytest.raises(RuntimeError) as caught, devices.device_errors(torch.device(device)):
        raise error
    assert caught.value is error


def test_a_download_waits_for_its_copy():
    with FakeCuda():
        lane = Lane(torch.device("cuda:0"))
        with lane.run():
            there = lane.upload(np.arange(5, dtype=np.float32)) * 2
            np.testing.assert_array_equal(lane.download(there), [0, 2, 4, 6, 8])


def test_a_failure_inside_a_lane_is_an_error_of_its_device():
    with FakeCuda() as cuda:
        lane = Lane(torch.device("cuda:0"))
        cuda.is_dead = True
        with pytest.raises(DeviceError, match=r"^cuda:0: the GPU failed"), lane.run():
            lane.upload(np.zeros(3)) + 1


# ---- the choice of the device


@pytest.fixture
def machine(monkeypatch):
    """Make this machine one with these GPUs and this build of torch."""

    def make(gpus=0, capability=(9, 0), built_for=("sm_80", "sm_90"), cuda="13.0", problem=None, has_driver=False):
        def init():
            if problem:
                raise RuntimeError(problem)

        replaced = {
            "is_available": lambda: gpus > 0,
            "device_count": lambda: gpus,
            "init": init,
            "get_device_capability": lambda index: capability,
            "get_device_name": lambda index: "Tesla K80",
            "get_arch_list": lambda: list(built_for),
        }
        for name, value in replaced.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch, "version", SimpleNamespace(cuda=cuda, hip=None))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(devices, "_NVIDIA_DRIVER", mock.Mock(exists=lambda: has_driver))
        monkeypatch.setattr(devices, "_may_have_gpu", lambda: True)
        monkeypatch.setattr(devices.shutil, "which", lambda name: None)

    return make


OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040).\nPlease update your GPU driver."
UNUSABLE = [
    ({"cuda": None}, "is built without CUDA: install a build with it (https://pytorch.org/get-started/locally)"),
    (
        {"problem": OLD_DRIVER},
        "can't use a GPU (The NVIDIA driver on your system is too old (found version 11040).): install a driver that "
        "fits",
    ),
    ({}, "sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES"),
    (
        {"gpus": 1, "capability": (3, 7)},
        "has no code for the Tesla K80, of compute capability 3.7: install a build of torch for it "
        "(https://pytorch.org/get-started/locally)",
    ),
]


@pytest.mark.parametrize(("facts", "says"), UNUSABLE)
def test_a_gpu_that_torch_can_t_use_is_an_error_with_the_reason(machine, facts, says):
    machine(**facts)
    with pytest.raises(ConfigError) as caught:
        resolve_device("cuda")
    assert str(caught.value) == f"device: got cuda, but torch {torch.__version__} {says}; or use --device auto"


@pytest.mark.parametrize(("facts", "says"), UNUSABLE)
def test_auto_warns_of_a_gpu_that_torch_can_t_use(machine, caplog, facts, says):
    machine(**facts, has_driver=True)
    assert resolve_device("auto") == devices.CPU
    assert caplog.messages == [f"device: this machine has an NVIDIA GPU, but torch {torch.__version__} {says}"]


def test_auto_takes_the_cpu_silently_where_there_is_no_gpu(machine, caplog):
    machine()
    with caplog.at_level(logging.INFO):
        assert resolve_device("auto") == devices.CPU
    assert caplog.messages == ["device: auto chose cpu"]


def test_a_gpu_is_taken_if_torch_can_use_it(machine):
    machine(gpus=2)
    assert [str(resolve_device(name)) for name in ("auto", "cuda:1")] == ["cuda:0", "cuda:1"]
    with pytest.raises(
        ConfigError, match=r"got cuda:2, but torch \S+ sees 2 CUDA devices: expected cuda:0 to cuda:1; "
    ):
        resolve_device("cuda:2")


@pytest.mark.parametrize(
    ("capability", "built_for", "expected"),
    [
        ((8, 9), ["sm_80", "sm_90"], True),
        ((8, 0), ["sm_86", "sm_90"], False),
        ((12, 1), ["sm_90", "sm_120"], True),
        ((10, 0), ["sm_90", "compute_90"], True),
        ((10, 0), ["sm_90"], False),
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),
        ((10, 3), ["sm_100f"], True),
        ((7, 0), ["sm_75", "compute_120"], False),
        ((9, 4), ["gfx942"], True),  # AMD
        ((9, 0), [], True),
    ],
)
def test_which_gpus_a_build_of_torch_has_code_for(capability, built_for, expected):
    assert gpu._is_built_for(capability, built_for) is expected


WITHOUT_GPU = """
import sys
from realtime.runtime import device
device._has_nvidia_gpu = lambda: False
device._GPU_FILES = ("/dev/no such gpu",)
sys.platform = "linux"
print(device.resolve_device("auto"), device.resolve_device("cpu"), "torch" in sys.modules)
"""


def test_torch_is_not_imported_where_there_is_no_gpu():
    done = subprocess.run([sys.executable, "-c", WITHOUT_GPU], capture_output=True, text=True, check=True)
    assert done.stdout == "cpu cpu False\n"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_without_torch_a_gpu_is_refused_and_the_extra_is_named(monkeypatch, name):
    monkeypatch.setattr(devices, "_has_torch", lambda: False)
    with pytest.raises(
        ConfigError, match=r"needs torch, and torch is not installed: pip install 'realtime-pose\[run\]'"
    ):
        resolve_device(name)


def test_without_torch_auto_is_the_cpu_and_a_gpu_is_mentioned(monkeypatch, caplog):
    monkeypatch.setattr(devices, "_has_torch", lambda: False)
    monkeypatch.setattr(devices, "_has_nvidia_gpu", lambda: True)
    assert resolve_device("auto") == devices.CPU
    assert "this machine has an NVIDIA GPU, but torch, which runs models on it, is not installed" in caplog.text
