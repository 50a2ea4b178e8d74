from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.models.vitpose import load_network
from realtime.pose.build import TOLERANCE, deviation
from realtime.pose.build_torch import TorchNetwork
from tests.bench.gpu.networks import checkpoint, cost, network
from tests.bench.gpu.roofline import BYTES_PER_PERSON, Cost, Rates, batches, floor

# Parameters (millions) of the published checkpoints with a classic head, without the experts of ViTPose+, and the
# products of one person (GFLOP) in S and B, which docs/benchmarks.md counted in another way.
PUBLISHED = {"S": (24.3, 11.2), "B": (90.0, 37.0), "L": (308.5, None), "H": (637.2, None)}


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_network_has_the_published_size(size: str) -> None:
    parameters, gflop = PUBLISHED[size]
    found = cost(size)
    assert found.parameters / 1e6 == pytest.approx(parameters, abs=0.1)
    if gflop is not None:
        assert found.flops / 1e9 == pytest.approx(gflop, abs=0.1)


def test_the_products_grow_with_the_parameters() -> None:
    """Each patch of a crop passes through almost all weights of the backbone once; there are 192."""
    for size in ("L", "H"):
        found = cost(size)
        assert 2 * 192 * found.parameters < found.flops < 1.1 * 2 * 192 * found.parameters


def test_random_weights_pass_the_self_test_of_bf16(tmp_path: Path) -> None:
    """So values neither vanish nor overflow on their way through the layers."""
    loaded = load_network(checkpoint("S", tmp_path))
    crops = np.random.default_rng(0).integers(0, 255, (1, 256, 192, 3), np.uint8)
    exact = TorchNetwork(loaded)(crops)
    loaded.compute_in(torch.bfloat16)
    assert deviation(TorchNetwork(loaded)(crops), exact) < TOLERANCE["bf16"]
    assert 0.2 < exact.max() < 1


def test_a_network_made_in_place_is_like_one_that_was_loaded(tmp_path: Path) -> None:
    loaded = load_network(checkpoint("TINY", tmp_path))
    made = network("TINY", torch.float32, torch.device("cpu"))
    assert str(made) == str(loaded)
    attentions = {each.module.backbone.config._attn_implementation for each in (made, loaded)}
    assert len(attentions) == 1
    crops = np.random.default_rng(0).integers(0, 255, (1, 256, 192, 3), np.uint8)
    assert deviation(TorchNetwork(made)(crops), TorchNetwork(loaded)(crops)) < 0.01  # of weights in float16


def test_a_checkpoint_is_written_once(tmp_path: Path) -> None:
    first = checkpoint("TINY", tmp_path)
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert checkpoint("TINY", tmp_path) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written


def test_the_floor_of_a_large_batch_is_its_products() -> None:
    rates = Rates({"fp16": 1e12}, 1e12)
    least = floor(Cost(parameters=10**6, flops=10**9), "fp16", rates, [32])
    assert least.ms == least.compute_ms == pytest.approx(32)
    assert least.memory_ms == pytest.approx(1e3 * (2e6 + 32 * BYTES_PER_PERSON) / 1e12)


def test_the_floor_of_a_small_batch_is_its_weights_in_their_precision() -> None:
    wide = Cost(parameters=10**9, flops=10**9)
    rates = Rates({"fp16": 1e15, "fp32": 1e15}, 1e12)
    assert floor(wide, "fp16", rates, [1]).ms == pytest.approx(2, rel=1e-3)
    assert floor(wide, "fp32", rates, [1]).ms == pytest.approx(4, rel=1e-3)


def test_weights_are_read_again_for_each_batch() -> None:
    wide, rates = Cost(parameters=10**9, flops=10**9), Rates({"fp16": 1e15}, 1e12)
    assert batches(64, 32) == [32, 32]
    assert floor(wide, "fp16", rates, [32, 32]).ms == pytest.approx(2 * floor(wide, "fp16", rates, [32]).ms)
