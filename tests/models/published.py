"""ViTPose files as their authors write them, with random weights, and an independent network that reads them.

`original` writes the tensors of each family under its exact names. `Reference` is the network of the paper (Xu et al.,
"ViTPose", NeurIPS 2022; "ViTPose++", TPAMI 2024), written from its description: a plain vision transformer with patches
padded by 2, the position of the class token added to every patch, one matrix for query, key and value, experts that
give the last part of each layer's output, and a head of two deconvolutions (classic) or of an upsampling (simple).
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

# Rows of the last matrix of a layer that an expert gives, by width, as in the published files of ViTPose+.
# No file has a width of 96: tests/proof trains such a network, and widens it to 384.
EXPERT_ROWS = {96: 24, 384: 96, 768: 192, 1024: 256, 1280: 320}
ATTENTION_HEADS = {96: 3, 384: 12, 768: 12, 1024: 16, 1280: 16}
SIX_SETS = (17, 14, 16, 17, 17, 133)


def original(
    width=384, depth=2, keypoints=17, grid=(16, 12), simple=False, experts=0, associated=(), split=False, seed=0,
    deconv=256,
):  # fmt: skip
    """The tensors of a file, by name.

    Args:
        width: of the network.
        depth: number of layers.
        keypoints: K of the main head.
        grid: height and width in patches.
        simple: simple decoders instead of classic ones.
        experts: their number.
        associated: K of the associated heads.
        split: the last matrix of each layer is whole, although there are experts, as model_split.py writes it.
        seed: of the random weights.
        deconv: channels of the deconvolutions.
    """
    random = torch.Generator().manual_seed(seed)

    def tensor(*sizes, scale=None):
        scale = scale if scale is not None else 1 / math.sqrt(max(1, math.prod(sizes[1:])))
        return torch.randn(sizes, generator=random) * scale

    rows = width - EXPERT_ROWS[width] if experts and not split else width
    found = {
        "backbone.pos_embed": tensor(1, 1 + grid[0] * grid[1], width, scale=0.1),
        "backbone.patch_embed.proj.weight": tensor(width, 3, 16, 16),
        "backbone.patch_embed.proj.bias": tensor(width, scale=0.1),
    }
    for i in range(depth):
        block = f"backbone.blocks.{i}."
        sizes = {
            "norm1": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width), "norm2": (width,),
            "mlp.fc1": (4 * width, width), "mlp.fc2": (rows, 4 * width),
        }  # fmt: skip
        sizes |= {f"mlp.experts.{e}": (EXPERT_ROWS[width], 4 * width) for e in range(experts)}
        for name, (out, *into) in sizes.items():
            found[f"{block}{name}.weight"] = tensor(out, *into) if into else 1 + tensor(out, scale=0.1)
            found[f"{block}{name}.bias"] = tensor(out, scale=0.1)
    found["backbone.last_norm.weight"] = 1 + tensor(width, scale=0.1)
    found["backbone.last_norm.bias"] = tensor(width, scale=0.1)
    heads = {"keypoint_head": keypoints} | {f"associate_keypoint_heads.{n}": k for n, k in enumerate(associated)}
    for prefix, k in heads.items():
        if simple:
            found[f"{prefix}.final_layer.weight"] = tensor(k, width, 3, 3)
            found[f"{prefix}.final_layer.bias"] = tensor(k, scale=0.1)
            continue
        for at, into in ((0, width), (3, deconv)):
            found[f"{prefix}.deconv_layers.{at}.weight"] = tensor(into, deconv, 4, 4, scale=1 / math.sqrt(4 * into))
            norm = f"{prefix}.deconv_layers.{at + 1}"
            found[f"{norm}.weight"], found[f"{norm}.bias"] = 1 + tensor(deconv, scale=0.1), tensor(deconv, scale=0.1)
            found[f"{norm}.running_mean"] = tensor(deconv, scale=0.1)
            found[f"{norm}.running_var"] = 1 + tensor(deconv, scale=0.1).abs()
            found[f"{norm}.num_batches_tracked"] = torch.tensor(1000)
        found[f"{prefix}.final_layer.weight"] = tensor(k, deconv, 1, 1)
        found[f"{prefix}.final_layer.bias"] = tensor(k, scale=0.1)
    return found


class Reference:
    """The published network, computed from a file's tensors as they are."""

    def __init__(self, tensors, prefix="keypoint_head", expert=None):
        self.tensors, self.prefix, self.expert = tensors, prefix, expert

    def __call__(self, pixels):
        """Heatmaps (P, K, h / 4, w / 4) of normalised pixels float32 (P, 3, h, w), RGB."""
        t = self.tensors
        x = functional.conv2d(
            pixels, t["backbone.patch_embed.proj.weight"], t["backbone.patch_embed.proj.bias"], stride=16, padding=2
        )
        people, width, rows, columns = x.shape
        x = x.flatten(2).transpose(1, 2)
        x = x + t["backbone.pos_embed"][:, 1:] + t["backbone.pos_embed"][:, :1]
        depth = 1 + max(int(key.split(".")[2]) for key in t if key.startswith("backbone.blocks."))
        for i in range(depth):
            block = f"backbone.blocks.{i}."
            x = x + self._attention(self._norm(x, f"{block}norm1"), f"{block}attn")
            x = x + self._mlp(self._norm(x, f"{block}norm2"), f"{block}mlp")
        x = self._norm(x, "backbone.last_norm").transpose(1, 2).reshape(people, width, rows, columns)
        return self._head(x)

    def _linear(self, x, name):
        return functional.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, x, name):
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], weight, bias, eps=1e-6)

    def _attention(self, x, name):
        people, patches, width = x.shape
        count = ATTENTION_HEADS[width]
        q, k, v = self._linear(x, f"{name}.qkv").reshape(people, patches, 3, count, -1).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (width // count) ** -0.5, dim=-1)
        return self._linear((weights @ v).transpose(1, 2).reshape(people, patches, width), f"{name}.proj")

    def _mlp(self, x, name):
        x = functional.gelu(self._linear(x, f"{name}.fc1"))
        shared = self._linear(x, f"{name}.fc2")
        if self.expert is None:
            return shared
        return torch.cat([shared, self._linear(x, f"{name}.experts.{self.expert}")], dim=-1)

    def _head(self, x):
        t, prefix = self.tensors, self.prefix
        if f"{prefix}.deconv_layers.0.weight" not in t:
            x = functional.interpolate(functional.relu(x), scale_factor=4, mode="bilinear", align_corners=False)
            return functional.conv2d(x, t[f"{prefix}.final_layer.weight"], t[f"{prefix}.final_layer.bias"], padding=1)
        for at in (0, 3):
            x = functional.conv_transpose2d(x, t[f"{prefix}.deconv_layers.{at}.weight"], stride=2, padding=1)
            norm = [
                t[f"{prefix}.deconv_layers.{at + 1}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
            ]
            x = functional.relu(functional.batch_norm(x, *norm))
        return functional.conv2d(x, t[f"{prefix}.final_layer.weight"], t[f"{prefix}.final_layer.bias"])
