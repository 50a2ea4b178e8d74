import math

import pytest

from realtime.errors import EngineError
from realtime.models import openvino, sample_networks, speeds
from realtime.runtime.core_budget import all_cores

TIMES = {"fp32": 6.0, "bf16": 4.0}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cache" / "speeds.json"


@pytest.fixture
def measured(monkeypatch):
    """What was measured: a fake takes the place of the measurement."""
    calls = []

    def measure(kind, precisions):
        calls.append((kind, precisions))
        return {precision: TIMES[precision] for precision in precisions}

    monkeypatch.setattr(speeds, "measure", measure)
    return calls


def start(file, kind="transformer", precisions=("fp32", "bf16")):
    """What a new process finds."""
    speeds.speeds.cache_clear()
    return speeds.speeds(kind, precisions, file)


def test_a_real_measurement_has_every_native_precision_for_each_kind_of_network():
    table = speeds.table()
    assert set(table) == {"transformer", "convolutions"}
    for times in table.values():
        assert list(times) == openvino.native_precisions()
        assert all(0 < time < math.inf for time in times.values())


@pytest.mark.parametrize(
    ("build", "layer", "count"),
    [(sample_networks.transformer, "FullyConnected", 6), (sample_networks.convolutions, "Convolution", 13)],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8"])
def test_the_layers_with_weights_run_in_the_precision_that_is_measured(build, layer, count, precision):
    if precision not in openvino.native_precisions():
        pytest.skip("not native here")
    network = openvino.compiled(build(quantized=precision == "int8"), precision, all_cores())
    infos = [node.get_rt_info() for node in network.get_runtime_model().get_ordered_ops()]
    kernels = [info["primitiveType"].value for info in infos if info["layerType"] == layer]
    names = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "I8"}
    assert [kernel.rpartition("_")[2] for kernel in kernels] == [names[precision]] * count


def test_an_earlier_start_is_remembered(file, measured):
    assert start(file) == speeds.Speeds(TIMES, is_new=True)
    assert start(file) == speeds.Speeds(TIMES, is_new=False)
    assert measured == [("transformer", ("fp32", "bf16"))]


def test_a_process_measures_once_even_if_the_cache_can_not_be_written(tmp_path, measured):
    (tmp_path / "file").touch()
    file = tmp_path / "file" / "speeds.json"
    assert start(file) is speeds.speeds("transformer", ("fp32", "bf16"), file)
    assert len(measured) == 1
    assert start(file).is_new


@pytest.mark.parametrize("what", ["kind", "precisions", "processor", "OpenVINO", "source"])
def test_what_decides_the_speed_is_measured_again_if_it_changes(file, measured, monkeypatch, tmp_path, what):
    start(file)
    keys = {"kind": {"kind": "convolutions"}, "precisions": {"precisions": ("fp32",)}}.get(what, {})
    if what == "processor":
        monkeypatch.setattr(speeds, "kind_of_processor", lambda: "another one")
    if what == "OpenVINO":
        monkeypatch.setattr(openvino, "version", lambda: "another one")
    if what == "source":
        (tmp_path / "changed.py").write_text("# another benchmark")
        monkeypatch.setattr(speeds, "_SOURCES", [tmp_path / "changed.py"])
    assert start(file, **keys).is_new
    assert len(measured) == 2


@pytest.mark.parametrize(
    "times", [["6.0"], ["6.0", "4.0", "1.0"], ["6.0", "x"], ["6.0", "0"], ["6.0", "-1"], ["nan", "4.0"], ["6.0", "inf"]]
)
def test_damaged_times_are_measured_again(file, measured, monkeypatch, times):
    start(file)
    key = next(iter(speeds.recall(file)))
    speeds.remember(file, key, times)
    assert start(file).is_new
    assert not start(file).is_new


def test_a_measurement_that_fails_is_no_error(file, monkeypatch, caplog):
    def fail(kind, precisions):
        raise EngineError("no such kernel\nat line 3")

    monkeypatch.setattr(speeds, "measure", fail)
    caplog.set_level("DEBUG", "realtime")
    assert start(file) is None
    assert caplog.messages == ["models: the speed of fp32, bf16 can't be measured: no such kernel"]
    assert not file.exists()


def test_the_precisions_take_turns_and_the_shortest_time_counts(monkeypatch):
    now, order = [0.0], []

    def call(kind, precision):
        durations = iter([0.02] + [0.005 if precision == "bf16" else 0.01] * 20)

        def run():
            order.append(precision)
            now[0] += next(durations)

        return run

    monkeypatch.setattr(speeds, "_call", call)
    monkeypatch.setattr(speeds, "_clock", lambda: now[0])
    times = speeds.measure("transformer", ["fp32", "bf16"])
    assert times == pytest.approx({"fp32": 10, "bf16": 5})
    assert order == ["fp32", "bf16"] * 12


def test_a_slow_machine_measures_three_times(monkeypatch):
    now = [0.0]

    def run():
        now[0] += 5.0

    monkeypatch.setattr(speeds, "_call", lambda kind, precision: run)
    for clock in ("speeds._clock", "speeds.time.perf_counter"):
        monkeypatch.setattr(f"realtime.models.{clock}", lambda: now[0])
    assert speeds.measure("transformer", ["fp32"]) == {"fp32": 5000}
    assert now == [15.0]
