from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.config import DetectorConfig, PoseConfig
from realtime.errors import ConfigError
from realtime.models import choice, openvino, speeds
from realtime.models.choice import choose
from realtime.models.speeds import Speeds

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
    assert choose("pose", device, PoseConfig(engine=engine, precision=precision), None) == expected


def test_auto_chooses_float32_on_an_old_gpu_and_without_openvino(monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert choose("pose", CUDA, PoseConfig(), None) == ("torch", "fp32")
    assert choose("pose", CPU, PoseConfig(), None) == ("torch", "fp32")


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
        choose("pose", device, PoseConfig(engine=engine, precision=precision), None)


def test_openvino_as_an_explicit_choice_must_be_installed(monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    with pytest.raises(ConfigError, match="not installed"):
        choose("pose", CPU, PoseConfig(engine="openvino"), None)


# ---- what a precision gains is measured


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with these native precisions, and the milliseconds of an inference; returns what is measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def make(times_ms):
        measured = []

        def measure(kind, precisions):
            measured.append((kind, precisions))
            return {precision: times_ms[precision] for precision in precisions}

        monkeypatch.setattr(openvino, "native_precisions", lambda: list(times_ms))
        monkeypatch.setattr(speeds, "measure", measure)
        return measured

    return make


def start(section="pose", kind="transformer", **keys):
    """The choice of a new process."""
    speeds.speeds.cache_clear()
    return choose(section, CPU, (PoseConfig if section == "pose" else DetectorConfig)(**keys), kind)


MEASURED = [
    # milliseconds on a machine, the precision that auto takes, the log
    ({"fp32": 6.3, "bf16": 3.0, "int8": 1.0}, "bf16", "bf16 2.10 times"),
    ({"fp32": 6.0, "bf16": 6.5}, "fp32", "bf16 0.92 times"),
    ({"fp32": 6.0, "bf16": 5.7}, "fp32", "bf16 1.05 times"),  # not clearly faster, but less accurate
    ({"fp32": 6.0, "fp16": 3.0}, "fp16", "fp16 2.00 times"),
    ({"fp32": 6.0, "bf16": 3.0, "fp16": 2.5}, "fp16", "bf16 2.00, fp16 2.40 times"),
]


@pytest.mark.parametrize(("times_ms", "taken", "says"), MEASURED)
def test_auto_takes_the_lower_precision_only_if_it_is_clearly_faster_here(machine, caplog, times_ms, taken, says):
    measured = machine(times_ms)
    caplog.set_level("DEBUG", "realtime")
    assert start() == start() == ("openvino", taken)
    assert measured == [("transformer", tuple(name for name in times_ms if name != "int8"))]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"pose: measured here: {says} as fast as fp32; taken: openvino {taken}"),
        ("DEBUG", f"pose: measured by an earlier start: {says} as fast as fp32; taken: openvino {taken}"),
    ]


def test_a_precision_with_a_name_is_taken_though_it_is_slower_and_each_start_warns(machine, caplog):
    measured = machine({"fp32": 9.1, "int8": 10.0})
    for _ in range(2):
        assert start(precision="int8") == ("openvino", "int8")
    assert measured == [("transformer", ("fp32", "int8"))]
    says = (
        "pose.precision: int8 is slower than fp32 on this processor (0.91 times its speed); try --pose.precision auto"
    )
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", says)] * 2


def test_a_precision_with_a_name_that_is_faster_is_no_reason_to_warn(machine, caplog):
    machine({"fp32": 6.0, "bf16": 3.0, "int8": 2.0})
    caplog.set_level("INFO", "realtime")
    assert start(precision="int8") == ("openvino", "int8")
    assert caplog.messages == ["pose: measured here: int8 3.00 times as fast as fp32; taken: openvino int8"]


def test_models_of_one_kind_are_measured_once(machine):
    measured = machine({"fp32": 6.0, "bf16": 3.0})
    assert start("detector", "convolutions") == start("pose", "convolutions") == ("openvino", "bf16")
    assert measured == [("convolutions", ("fp32", "bf16"))]


@pytest.mark.parametrize("keys", [{"precision": "fp32"}, {"engine": "torch"}, {"engine": "torch", "precision": "bf16"}])
def test_nothing_is_measured_if_it_would_decide_nothing(machine, keys):
    measured = machine({"fp32": 6.0, "bf16": 7.0})
    start(**keys)
    assert start(kind=None) == ("openvino", "bf16")  # it will run on another machine
    machine({"fp32": 6.0, "int8": 7.0})
    assert start() == ("openvino", "fp32")
    assert measured == []


def test_a_measurement_that_fails_leaves_bf16_where_it_is_native(machine, monkeypatch):
    machine({"fp32": 6.0, "bf16": 7.0, "fp16": 7.0})
    monkeypatch.setattr(speeds, "measure", None)  # calling it raises
    assert start() == ("openvino", "bf16")
    assert start(precision="fp16") == ("openvino", "fp16")
    machine({"fp32": 6.0, "fp16": 7.0})
    monkeypatch.setattr(speeds, "measure", None)
    assert start() == ("openvino", "fp32")


def test_a_damaged_file_is_measured_again(machine, tmp_path):
    measured = machine({"fp32": 6.0, "bf16": 7.0})
    start()
    (file,) = tmp_path.rglob("speeds.json")
    file.write_bytes(b"{")
    assert start() == ("openvino", "fp32")
    assert len(measured) == 2


@given(
    native=st.sets(st.sampled_from(["bf16", "fp16", "int8"])),
    times_ms=st.fixed_dictionaries({name: st.floats(0.01, 1e4) for name in ("fp32", "bf16", "fp16", "int8")}),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_auto_never_takes_a_slower_precision_or_one_of_8_bits(native, times_ms):
    offered = ["fp32", *sorted(native)]
    with (
        mock.patch.object(openvino, "native_precisions", return_value=offered),
        mock.patch.object(choice, "speeds", lambda kind, names, file: Speeds({n: times_ms[n] for n in names}, True)),
        mock.patch.object(choice.log, "log") as log,
    ):
        taken = choose("pose", CPU, PoseConfig(), "transformer").precision
    assert taken in offered
    assert taken != "int8"
    assert taken == "fp32" or times_ms[taken] < times_ms["fp32"]
    said = str(log.call_args)
    assert all(name in said for name in native - {"int8"})
