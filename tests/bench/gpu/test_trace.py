from __future__ import annotations

import gzip
import json
import math
import random
import string
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.bench.gpu import overlap, trace
from tests.bench.gpu.overlap import Recording, copies, failures, judge, kernel_figures
from tests.bench.gpu.record import Record, read
from tests.bench.gpu.steps import Job

MAIN = threading.main_thread().name
# Numbers of threads in the hand-made traces.
DETECT, POSE, MAIN_NUMBER = 11, 12, 10
THREADS = {DETECT: "detect", POSE: "pose", MAIN_NUMBER: MAIN}
WINDOW = (100.0, 200.0)


def call(name, thread, ts, dur=1.0, correlation=0):
    return {"ph": "X", "cat": "cuda_runtime", "name": name, "pid": 1, "tid": thread, "ts": ts, "dur": dur,
            "args": {"cbid": 211, "correlation": correlation}}  # fmt: skip


def kernel(stream, ts, dur, correlation, cat="kernel", name="gemm", **args):
    return {"ph": "X", "cat": cat, "name": name, "pid": 0, "tid": stream, "ts": ts, "dur": dur,
            "args": {"stream": stream, "correlation": correlation, "grid": [1, 1, 1], **args}}  # fmt: skip


def launched(thread, stream, ts, dur, correlation, by="cudaLaunchKernel", **more):
    return [call(by, thread, ts - 2, correlation=correlation), kernel(stream, ts, dur, correlation, **more)]


def run_of(*events):
    """A recording in which detector and pose model overlap from 130 to 140."""
    marker = launched(MAIN_NUMBER, 7, 50, 1, 1)
    detector = [each for i in range(4) for each in launched(DETECT, 20, 100 + 10 * i, 10, 10 + i)]
    graph = [call("cudaGraphLaunch", POSE, 128, correlation=30)]
    pose = [kernel(24, 130 + 2 * i, 2, 30) for i in range(20)]
    empty = np.zeros((0, 2))
    all_events = [*marker, *detector, *graph, *pose, *(each for event in events for each in event)]
    return Recording(all_events, {"schemaVersion": 1}, THREADS, WINDOW, {"detect": empty, "pose": empty}, 4)


def figures_of(recording):
    return kernel_figures(recording, trace.calls(recording.events, recording.threads))


def test_a_kernel_belongs_to_the_thread_that_launched_it():
    found = trace.kernels([*launched(DETECT, 20, 5, 2, 1), *launched(POSE, 24, 3, 2, 2), kernel(7, 9, 1, 99)], THREADS)
    assert [(each.owner, each.stream, each.begin_us, each.end_us) for each in found] == [
        ("pose", 24, 3, 5),
        ("detect", 20, 5, 7),
        ("?", 7, 9, 10),
    ]


def test_threads_are_known_by_both_numbers_of_the_profiler():
    high = SimpleNamespace(name="pose", native_id=42, ident=0x7F00_F000_0000)  # the lower half is a negative int32
    low = SimpleNamespace(name="detect", native_id=43, ident=0x7F00_2000_0000)
    assert trace.numbers_of([high, low]) == {
        42: "pose",
        0x1000_0000: "pose",
        43: "detect",
        0x2000_0000: "detect",
    }
    named = trace.numbers_of(threading.enumerate())
    assert named[threading.get_native_id()] == threading.current_thread().name


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], []),
        ([(0, 1)], [(0, 1)]),
        ([(2, 3), (0, 1)], [(0, 1), (2, 3)]),
        ([(0, 1), (1, 2)], [(0, 2)]),
        ([(0, 9), (1, 2), (3, 4), (10, 11)], [(0, 9), (10, 11)]),
    ],
)
def test_spans_that_overlap_are_joined(spans, expected):
    found = trace.joined(np.array(spans, float).reshape(-1, 2))
    assert found.tolist() == [list(span) for span in expected]


def test_shared_time_equals_that_of_single_ticks():
    rng = np.random.default_rng(0)
    for _ in range(50):
        sets, ticks = [], []
        for _ in range(2):
            begins = rng.integers(0, 90, 12)
            spans = np.stack((begins, begins + rng.integers(1, 9, 12)), axis=1).astype(float)
            sets.append(trace.joined(spans))
            ticks.append({tick for begin, end in spans.astype(int) for tick in range(begin, end)})
        assert trace.shared_us(*sets) == len(ticks[0] & ticks[1])


def test_shares_are_those_of_the_window():
    found = trace.side_by_side(np.array([[0, 140.0]]), np.array([[130.0, 170], [190, 999]]), WINDOW)
    assert found == {
        "pose_beside_detector": 0.2,
        "detector_beside_pose": 0.25,
        "detector_busy": 0.4,
        "pose_busy": 0.5,
        "either_busy": 0.8,
    }
    nothing = np.zeros((0, 2))
    assert math.isnan(trace.side_by_side(nothing, nothing, WINDOW)["pose_beside_detector"])


def test_a_good_run_has_no_failures():
    figures = figures_of(run_of())
    assert figures["pose_beside_detector"] == 0.25
    assert (figures["detector_kernels"], figures["pose_kernels"], figures["pose_graph_launches"]) == (4, 20, 1)
    assert failures(figures, {}) == []


def after_the_detector():
    recording = run_of()
    events = [each | {"ts": each["ts"] + 10} if each.get("args", {}).get("stream") == 24 else each
              for each in recording.events]  # fmt: skip
    return recording._replace(events=events)


def without(*streams):
    recording = run_of()
    kept = [each for each in recording.events if each["args"].get("stream") not in streams]
    return recording._replace(events=kept)


@pytest.mark.parametrize(
    ("recording", "text"),
    [
        (after_the_detector(), "run one after the other"),
        (without(7, 20, 24), "recorded no kernels"),
        (without(20), "no kernels of the detector"),
        (without(24), "no kernels of the pose"),
        (run_of(launched(POSE, 7, 150, 1, 98)), "1 kernels ran on the default stream"),
        (run_of([call("cudaGraphLaunch", POSE, 150 + i, correlation=100 + i) for i in range(3)]),
         "does not show the kernels of CUDA graphs"),
    ],
)  # fmt: skip
def test_a_run_in_which_something_is_wrong_fails(recording, text):
    found = failures(figures_of(recording), {})
    assert len(found) == 1
    assert text in found[0]


@pytest.mark.parametrize("name", sorted(trace.WAITS_FOR_DEVICE))
@pytest.mark.parametrize("version", ["", "_v3020"])
def test_a_call_that_waits_for_the_device_fails(name, version):
    found = trace.calls([call(name + version, DETECT, 150)], THREADS)
    waits = trace.counted(trace.waits(found, WINDOW, MAIN), trace.WAITS_FOR_DEVICE)
    assert waits == {f"{name} of detect": 1}
    assert len(failures(figures_of(run_of()), waits)) == 1


@pytest.mark.parametrize(
    "event",
    [
        call("cudaDeviceSynchronize", MAIN_NUMBER, 150),  # the profiler's own
        call("cudaDeviceSynchronize", DETECT, 99),  # before the window
        call("cudaDeviceSynchronize", DETECT, 200),  # after it
        call("cudaStreamSynchronize", DETECT, 150),  # waits for one stream
        call("cudaMemcpyAsync", DETECT, 150),
    ],
)
def test_other_calls_do_not_wait_for_the_device(event):
    assert trace.counted(trace.waits(trace.calls([event], THREADS), WINDOW, MAIN), trace.WAITS_FOR_DEVICE) == {}


def test_the_waits_of_a_thread_are_counted_and_added():
    events = [call("cudaStreamSynchronize", DETECT, 110, 500), call("cudaStreamSynchronize", DETECT, 150, 1500)]
    assert trace.waits(trace.calls(events, THREADS), WINDOW, MAIN) == {
        "cudaStreamSynchronize of detect": {"count": 2, "total_ms": 2.0}
    }


def test_copies_are_counted_by_their_kind_of_memory():
    name = "Memcpy HtoD (Pinned -> Device)"
    event = launched(POSE, 28, 110, 5, 40, by="cudaMemcpyAsync", cat="gpu_memcpy", name=name, bytes=3_000_000)
    found = trace.kernels(event, THREADS)
    assert copies(found) == {f"{name} of pose": {"count": 1, "mb": 3.0}}
    assert trace.streams(found) == {"stream 28": {"gpu_memcpy of pose": 1}}
    assert figures_of(run_of(event))["uploads_beside_kernels"] == 1


def test_figures_and_failures_are_recorded(tmp_path):
    record = Record(tmp_path / "gpu.json", "overlap")
    judge(Job("cuda:0", False, record, 1e12, tmp_path, tmp_path), run_of([call("cudaFree", POSE, 150, 4000)]))
    part = read(tmp_path / "gpu.json")["steps"]["overlap"]
    assert part["failures"] == ["cudaFree of pose: 1 calls that wait for the whole device"]
    assert part["entries"]["waits"]["pose_waits_ms_per_frame"] == 1.0
    assert part["entries"]["kernels"]["pose_beside_detector"] == 0.25


@pytest.mark.parametrize(("allocations", "frames", "fails"), [(0, 0, 0), (1, 20, 0), (1, 19, 1), (6, 100, 1)])
def test_allocations_fail_if_they_go_on(allocations, frames, fails):
    assert len(failures(figures_of(run_of()), {}, allocations, frames)) == fails


# ---- the file


def opened(file):
    return json.loads(gzip.decompress(file.read_bytes()))


def test_a_small_trace_is_written_whole(tmp_path):
    events = [*run_of().events, {"ph": "X", "cat": "cpu_op", "name": "aten::add", "tid": 1, "ts": 1, "dur": 1}]
    file = tmp_path / "trace.json.gz"
    assert trace.write(events, {"schemaVersion": 1}, file, 10_000) == "all events"
    assert opened(file) == {"schemaVersion": 1, "traceEvents": events}


def test_a_large_trace_is_reduced_until_it_fits(tmp_path):
    rng = random.Random(0)
    names = {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "ts": 0, "args": {"name": "pose"}}
    noise = [{"ph": "X", "cat": "cpu_op", "name": "".join(rng.choices(string.ascii_letters, k=200)), "ts": i, "dur": 1,
              "pid": 1, "tid": 1} for i in range(500)]  # fmt: skip
    kernels = [kernel(20, rng.random() * 1e6, 1, i, name="k" * 500) for i in range(500)]
    file = tmp_path / "trace.json.gz"
    what = trace.write([*noise, *kernels, names], {}, file, 20_000)
    assert what == "kernels, copies, calls and spans of the host"
    assert file.stat().st_size <= 20_000
    kept = opened(file)["traceEvents"]
    assert kept[0] == names
    assert len(kept) == 501
    assert max(len(event["name"]) for event in kept) == 80
    what = trace.write([*noise, *kernels, names], {}, file, 4_000)
    assert file.stat().st_size <= 4_000
    shorter = opened(file)["traceEvents"]
    assert shorter == kept[: len(shorter)]  # the first ones, and the names
    assert what == f"the first {len(shorter) - 1} kernels, copies, calls and spans of the host"
    with pytest.raises(ValueError, match="expected at most 10"):
        trace.write(kernels, {}, file, 10)


def test_the_profiler_of_this_torch_writes_what_is_read_here(tmp_path):
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        torch.ones(8).add_(1)
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    told = json.loads((tmp_path / "trace.json").read_text())
    events = told["traceEvents"]
    assert told["baseTimeNanoseconds"] > 0
    spans = [each for each in events if each["ph"] == "X" and each.get("cat") == "cpu_op"]
    assert {each["tid"] for each in spans} <= set(trace.numbers_of(threading.enumerate()))
    assert all(isinstance(each[key], int | float) for each in spans for key in ("ts", "dur"))
    assert trace.kernels(events, {}) == trace.calls(events, {}) == []
    trace.write(events, {}, tmp_path / "trace.json.gz", 10**6)


def test_the_clock_of_the_recording_is_that_of_the_trace(tmp_path):
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        before_ns = time.time_ns()
        torch.ones(8).add_(1)
        after_ns = time.time_ns()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    told = json.loads((tmp_path / "trace.json").read_text())
    begins = [each["ts"] for each in told["traceEvents"] if each.get("name") == "aten::add_"]
    begin, end = ((moment - told["baseTimeNanoseconds"]) / 1e3 for moment in (before_ns, after_ns))
    assert begin - 1000 < begins[0] < end + 1000  # the profiler converts its clock, within a millisecond


def test_the_calls_of_the_stages_are_collected():
    meter = overlap.StageMeter()
    with overlap._calls_of_stages() as ended:
        meter.measure("pose", 3, 0.5)
    assert [(name, seconds, items) for name, _, seconds, items in ended] == [("pose", 0.5, 3)]
    assert meter.summary()["pose"]["calls"] == 1
