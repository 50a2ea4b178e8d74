"""Where the time of ViTPose-S goes in OpenVINO fp32, layer by layer; also as if the processor had AVX2 only.

    python -m tests.bench.avx2 layers               # as this processor is
    python -m tests.bench.avx2 --limit layers       # without AVX-512, AMX and VNNI (x86 Linux; needs gcc and objdump)
    python -m tests.bench.avx2 --limit speeds       # what the first start would measure
    python -m tests.bench.avx2 --limit gemm gelu batch cores

OpenVINO has no setting for the limit: ONEDNN_MAX_CPU_ISA reaches oneDNN, but not MLAS, which multiplies fp32 matrices.
`--limit` runs a copy of OpenVINO in which the instruction CPUID reports no more than AVX2: an invalid instruction of
the same length replaces it everywhere, and the handler of the signal answers in its place. Times are the CPU time on
one core (`layers`, `cores`: wall time), the least of several, with the variants in turns.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from realtime.models import openvino, speeds

_ROUNDS = 6
_HIDE = r"""
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <ucontext.h>
static void answer(int number, siginfo_t *info, void *context) {
  greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
  unsigned char *code = (unsigned char *)r[REG_RIP];
  if (code[0] != 0x0f || code[1] != 0x0b) { signal(SIGILL, SIG_DFL); return; }
  unsigned a, b, c, d, leaf = r[REG_RAX], sub = r[REG_RCX];
  __cpuid_count(leaf, sub, a, b, c, d);
  if (leaf == 7 && sub == 0) {  /* AVX-512 in all its parts, AMX */
    b &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31);
    c &= ~(1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14);
    d &= ~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25);
  }
  if (leaf == 7 && sub == 1) {  /* AVX-VNNI in all its parts, AVX-512 bf16, AMX fp16, AVX10 */
    a &= ~(1u << 4 | 1u << 5 | 1u << 21 | 1u << 23);
    d &= ~(1u << 4 | 1u << 5 | 1u << 8 | 1u << 10 | 1u << 19);
  }
  r[REG_RAX] = a; r[REG_RBX] = b; r[REG_RCX] = c; r[REG_RDX] = d; r[REG_RIP] += 2;
}
__attribute__((constructor)) static void start(void) {
  struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGILL, &action, 0);
}
"""


# ---- the limit


def limited(folder: Path) -> dict[str, str]:
    """Make a copy of OpenVINO that sees AVX2 only; return the environment in which Python takes it."""
    found = importlib.util.find_spec("openvino")
    assert found is not None
    assert found.origin is not None
    shutil.copytree(Path(found.origin).parent, folder / "openvino")
    for name in ("libopenvino_intel_cpu_plugin.so", "libopenvino.so.*"):
        for library in (folder / "openvino" / "libs").glob(name):
            _replace_cpuid(library)
    (folder / "hide.c").write_text(_HIDE)
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", folder / "hide.so", folder / "hide.c"], check=True)
    return {**os.environ, "LD_PRELOAD": str(folder / "hide.so"), "PYTHONPATH": str(folder)}


def _replace_cpuid(library: Path) -> None:
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", library], capture_output=True, text=True, check=True
    )
    header = subprocess.run(["objdump", "-h", library], capture_output=True, text=True, check=True).stdout
    section = next(line.split() for line in header.splitlines() if " .text " in line)
    shift = int(section[5], 16) - int(section[3], 16)  # from an address to a place in the file
    code = bytearray(library.read_bytes())
    for line in listing.stdout.splitlines():
        if line.rstrip().endswith("\tcpuid"):
            place = int(line.partition(":")[0], 16) + shift
            assert code[place : place + 2] == b"\x0f\xa2"
            code[place : place + 2] = b"\x0f\x0b"  # ud2
    library.write_bytes(code)


# ---- the measurements


@functools.cache
def _network() -> Any:
    """ViTPose-S with the simple head and random weights, in fp32: uint8 (B, 256, 192, 3)."""
    import torch

    from realtime.evaluate.speed.random_vitpose import SMALL, save_checkpoint
    from realtime.models.vitpose import load_network

    with tempfile.TemporaryDirectory() as folder:
        network = load_network(save_checkpoint(Path(folder), size=SMALL), (192, 256))
    return openvino.convert(network, torch.zeros((2, 256, 192, 3), dtype=torch.uint8))


def _crops(people: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (people, 256, 192, 3), np.uint8)


def _call(compiled: Any, values: Any) -> Callable[[], Any]:
    request = compiled.create_infer_request()
    return lambda: request.infer({0: values}, share_inputs=True, share_outputs=True)


def _in_turns(calls: dict[str, Callable[[], Any]], clock: Callable[[], float] = time.process_time) -> dict[str, float]:
    """The shortest time of each call in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_ROUNDS + 1):  # the first one is not counted
        for name, call in calls.items():
            begin = clock()
            call()
            times[name].append(1000 * (clock() - begin))
    return {name: min(each[1:]) for name, each in times.items()}


def layers(people: int = 4) -> None:
    """OpenVINO's profile: the shortest time of each operation, summed by type and kernel."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERF_COUNT": True}
    request = openvino._core().compile_model(_network(), "CPU", settings).create_infer_request()
    times: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for _ in range(_ROUNDS):
        request.infer({0: _crops(people)})
        for part in request.get_profiling_info():
            times[part.node_type, part.exec_type, part.node_name].append(part.real_time.total_seconds() * 1000)
    sums: Counter[str] = Counter()
    for (kind, kernel, _), each in times.items():
        sums[f"{kind} {kernel}"] += min(each)
    for name, ms in sums.most_common(12):
        print(f"{name:40} {ms:8.2f} ms {ms / sums.total():6.1%}")
    print(f"{'sum':40} {sums.total():8.2f} ms, {people} people")


def gemm() -> None:
    """GFLOP/s of ViTPose-S' matrix products for four people, and of a large one."""
    openvino.library()
    from openvino import Model, opset13

    calls, flops = {}, {}
    for rows, inner, columns in [(2048, 2048, 2048), (768, 384, 384), (768, 384, 1536), (768, 1536, 384)]:
        left = np.random.default_rng(0).standard_normal((rows, inner), np.float32)
        node = opset13.parameter([rows, inner], np.float32)
        right = np.random.default_rng(1).standard_normal((columns, inner), np.float32)
        model = Model([opset13.matmul(node, right, False, True)], [node])
        name = f"{rows} x {inner} x {columns}"
        calls[name], flops[name] = _call(openvino.compiled(model, "fp32", 1), left), 2e-6 * rows * inner * columns
    for name, ms in _in_turns(calls).items():
        print(f"{name:20} {flops[name] / ms:6.1f} GFLOP/s")


def gelu(people: int = 4) -> None:
    """The network as it is, and with its GELU in other forms; `none` leaves it out, which is its whole cost."""
    calls, heatmaps = {}, {}
    for form in ("erf", "apart", "tanh", "none"):
        calls[form] = _call(openvino.compiled(_with_gelu(_network().clone(), form), "fp32", 1), _crops(people))
        heatmaps[form] = calls[form]()[0].copy()
    times = _in_turns(calls)
    for form, ms in times.items():
        off = np.abs(heatmaps[form] - heatmaps["erf"]).max() / np.abs(heatmaps["erf"]).max()
        print(f"{form:6} {ms:7.1f} ms, {ms / times['erf']:.3f} of erf, deviates by {off:.0e}")


def _with_gelu(model: Any, form: str) -> Any:
    from openvino import opset13

    for node in model.get_ordered_ops():
        if form == "erf" or node.get_type_name() != "Gelu":
            continue
        x = node.input_value(0)
        if form == "tanh":
            x = opset13.gelu(x, "tanh").output(0)
        elif form == "apart":  # in another shape, it is not computed by the kernel of the matrix product
            tokens, width = 192, 1536
            flat = opset13.gelu(opset13.reshape(x, np.array([-1, tokens * width]), False), "erf")
            x = opset13.reshape(flat, np.array([-1, tokens, width]), False).output(0)
        node.output(0).replace(x)
    model.validate_nodes_and_infer_types()
    return model


def batch() -> None:
    """The time per person for batches of several sizes, with a free and with a fixed batch size."""
    model, calls, people = _network(), {}, {}
    free = openvino.compiled(model, "fp32", 1)
    for size in (1, 2, 4, 8, 16):
        fixed = model.clone()
        fixed.reshape([size, 256, 192, 3])
        for name, network in (("free", free), ("fixed", openvino.compiled(fixed, "fp32", 1))):
            calls[f"{name} {size}"], people[f"{name} {size}"] = _call(network, _crops(size)), size
    for name, ms in _in_turns(calls).items():
        print(f"{name:10} {ms / people[name]:6.1f} ms per person")


def cores() -> None:
    """One inference on two cores, twice, against two on one core each at the same time."""
    model = _network()
    each, both = openvino.compiled(model, "fp32", 1, 2), openvino.compiled(model, "fp32", 2)
    for people in (1, 2, 4, 8):
        alone, apart = _call(both, _crops(people)), [_call(each, _crops(people)) for _ in range(2)]

        def twice(call: Callable[[], Any] = alone) -> None:
            call()
            call()

        def together(calls: list[Callable[[], Any]] = apart) -> None:
            threads = [threading.Thread(target=call) for call in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        times = _in_turns({"both": twice, "each": together}, time.perf_counter)
        ms, gain = {name: wall / 2 for name, wall in times.items()}, times["both"] / times["each"]
        print(f"{people} people: {ms['both']:.1f} and {ms['each']:.1f} ms per inference, gain {gain:.2f}")


def choice() -> None:
    """The times that decide about the precision."""
    for kind, times in speeds.table().items():
        print(kind, ", ".join(f"{name} {ms:.2f} ms ({times['fp32'] / ms:.2f})" for name, ms in times.items()))


_MEASUREMENTS = {"layers": layers, "speeds": choice, "gemm": gemm, "gelu": gelu, "batch": batch, "cores": cores}


def main() -> int:
    """Run measurements, with or without the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", action="store_true", help="as if this processor had AVX2 only")
    parser.add_argument("what", nargs="+", choices=list(_MEASUREMENTS))
    options = parser.parse_args()
    if options.limit:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.bench.avx2", *options.what]
            return subprocess.run(command, env=limited(Path(folder)), check=False).returncode
    print("native:", ", ".join(openvino.native_precisions()))
    for name in options.what:
        print(f"{name}:", flush=True)
        _MEASUREMENTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
