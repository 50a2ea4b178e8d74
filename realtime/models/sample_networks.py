"""Small networks with random weights, built of the layers that ViTPose-S and YOLO spend their time in.

Used by models.speeds, which measures how fast a processor runs them. They need neither torch nor a model file. An int8
network has FakeQuantize operations where nncf places them, so that OpenVINO chooses the same kernels.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.models.openvino import library

# One layer of ViTPose-S for two people: tokens of a 256x192 crop, their width, and the heads of the attention.
_PEOPLE, _TOKENS, _WIDTH, _HEADS = 2, 192, 384, 12
# The input of a detector for a picture of 16:9.
_HEIGHT, _LENGTH = 384, 640
# Quantised values lie within this. Random ones hardly leave it.
_RANGE = 3.0

# A node of OpenVINO's graph. Any, because mypy does not follow OpenVINO.
Node = Any


def transformer(*, quantized: bool) -> Any:  # noqa: ANN401 - a model of OpenVINO
    """Build one layer of ViTPose-S: attention and MLP for two people, uint8 (2, 192, 384) to float32.

    Args:
        quantized: build it in int8.
    """
    layers, ops = _Layers(quantized), _ops()
    tokens = ops.parameter([_PEOPLE, _TOKENS, _WIDTH], np.uint8)
    x = ops.multiply(ops.convert(tokens, "f32"), np.float32(1 / 128))
    x = ops.add(x, layers.attention(layers.norm(x)))
    hidden = ops.gelu(layers.linear(layers.norm(x), _WIDTH, 4 * _WIDTH), "erf")
    return library().Model([ops.add(x, layers.linear(hidden, 4 * _WIDTH, _WIDTH))], [tokens])


def convolutions(*, quantized: bool) -> Any:  # noqa: ANN401 - a model of OpenVINO
    """Build the first layers of YOLO's backbone, at its smallest width: uint8 (1, 384, 640, 3) to float32.

    Args:
        quantized: build it in int8.
    """
    layers, ops = _Layers(quantized), _ops()
    pixels = ops.parameter([1, _HEIGHT, _LENGTH, 3], np.uint8)
    x = ops.multiply(ops.convert(pixels, "f32"), np.float32(1 / 255))
    x = layers.convolution(ops.transpose(x, np.array([0, 3, 1, 2])), 3, 16, stride=2)
    for width in (32, 64, 128):
        x = layers.convolution(x, width // 2, width, stride=2)
        bottleneck = layers.convolution(layers.convolution(x, width, width), width, width)
        x = layers.convolution(ops.add(x, bottleneck), width, width, side=1)
    return library().Model([x], [pixels])


@functools.cache
def _ops() -> Any:  # noqa: ANN401 - a module of OpenVINO
    library()
    from openvino import opset13

    return opset13


class _Layers:
    """Layers with random weights."""

    def __init__(self, quantized: bool) -> None:
        self._quantized = quantized
        self._random = np.random.default_rng(0)

    def attention(self, x: Node) -> Node:
        """Multi-head self-attention of tokens (B, T, C)."""
        ops, size = _ops(), _WIDTH // _HEADS
        query, key, value = (self._heads(self.linear(x, _WIDTH, _WIDTH), size) for _ in range(3))
        scores = ops.matmul(self._input(query), self._input(key), False, True)
        shares = ops.softmax(ops.multiply(scores, np.float32(size**-0.5)), -1)
        mixed = ops.transpose(ops.matmul(self._input(shares), self._input(value), False, False), np.array([0, 2, 1, 3]))
        return self.linear(ops.reshape(mixed, np.array([0, 0, _WIDTH]), True), _WIDTH, _WIDTH)

    def linear(self, x: Node, inputs: int, outputs: int) -> Node:
        """A fully connected layer with bias."""
        ops = _ops()
        return ops.add(ops.matmul(self._input(x), self._weights(outputs, inputs), False, True), self._noise(1, outputs))

    def norm(self, x: Node) -> Node:
        """Layer normalisation."""
        ops = _ops()
        scaled = ops.multiply(ops.mvn(x, np.array([2]), True, 1e-6, "INSIDE_SQRT"), self._noise(1, _WIDTH))
        return ops.add(scaled, self._noise(1, _WIDTH))

    def convolution(self, x: Node, inputs: int, outputs: int, side: int = 3, stride: int = 1) -> Node:
        """A convolution with bias and SiLU."""
        ops, pad = _ops(), [side // 2] * 2
        weights = self._weights(outputs, inputs, side, side)
        y = ops.convolution(self._input(x), weights, [stride] * 2, pad, pad, [1, 1])
        return ops.swish(ops.add(y, self._noise(outputs, 1, 1)))

    def _heads(self, x: Node, size: int) -> Node:
        ops = _ops()
        return ops.transpose(ops.reshape(x, np.array([0, 0, _HEADS, size]), True), np.array([0, 2, 1, 3]))

    def _noise(self, *shape: int) -> NDArray[np.float32]:
        return self._random.standard_normal((1, *shape), np.float32)

    def _weights(self, *shape: int) -> Node:
        """Weights that keep the variance of their input; in int8, quantised symmetrically for each output."""
        values = self._random.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]), dtype=np.float32)
        if not self._quantized:
            return _ops().constant(values)
        most = np.abs(values).max(axis=tuple(range(1, len(shape))), keepdims=True)
        return _ops().fake_quantize(_ops().constant(values), -most, most, -most, most, 255)

    def _input(self, x: Node) -> Node:
        """The input of a layer with weights, or of a product; in int8, quantised as a whole."""
        low, high = np.float32(-_RANGE), np.float32(_RANGE)
        return _ops().fake_quantize(x, low, high, low, high, 256) if self._quantized else x
