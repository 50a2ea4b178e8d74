"""The roofline: how long a batch must take at least, given the rates that the card reaches in the same run.

A batch takes at least as long as its products at the rate of one large matrix product, and as its bytes at the rate of
one large copy. The bytes are the least possible: weights and crops are read once, and heatmaps are written. What a
layer passes to the next counts as kept on the chip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.bench.gpu.networks import CROP_SIZE, KEYPOINTS, Cost

BYTES_PER_WEIGHT = {"fp32": 4, "bf16": 2, "fp16": 2}
# uint8 crops with three colours, and float32 heatmaps of a quarter of their height and width.
BYTES_PER_PERSON = CROP_SIZE[0] * CROP_SIZE[1] * 3 + KEYPOINTS * (CROP_SIZE[0] // 4) * (CROP_SIZE[1] // 4) * 4


class Rates(NamedTuple):
    """What a card reaches.

    Attributes:
        flops_per_s: of a large matrix product, by precision.
        bytes_per_s: of a large copy on the card, read and written bytes together.
    """

    flops_per_s: Mapping[str, float]
    bytes_per_s: float


class Floor(NamedTuple):
    """The least time that batches take.

    Attributes:
        compute_ms: for the products alone.
        memory_ms: for the bytes alone.
        ms: the larger of the two in each batch, added up.
    """

    compute_ms: float
    memory_ms: float
    ms: float


def batches(people: int, largest: int) -> list[int]:
    """Split people into batches of at most `largest`.

    >>> batches(64, 32), batches(1, 32), batches(40, 32)
    ([32, 32], [1], [32, 8])
    """
    return [min(largest, people - start) for start in range(0, people, largest)]


def floor(cost: Cost, precision: str, rates: Rates, sizes: Iterable[int]) -> Floor:
    """Return the least time that a network takes for batches of these sizes, one after the other.

    >>> floor(Cost(parameters=10**6, flops=10**9), "fp16", Rates({"fp16": 1e12}, 1e12), [8, 8]).ms
    16.0

    Args:
        cost: of the network.
        precision: of its weights and products.
        rates: of the card.
        sizes: people in each batch.
    """
    compute_ms = [1e3 * people * cost.flops / rates.flops_per_s[precision] for people in sizes]
    weights = cost.parameters * BYTES_PER_WEIGHT[precision]
    memory_ms = [1e3 * (weights + people * BYTES_PER_PERSON) / rates.bytes_per_s for people in sizes]
    both = [max(each) for each in zip(compute_ms, memory_ms, strict=True)]
    return Floor(sum(compute_ms), sum(memory_ms), sum(both))
