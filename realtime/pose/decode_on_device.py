"""From heatmaps to peaks on a GPU: the steps of pose.decode in torch, in float32.

Used by pose.on_device, after the network. The tests run it on a CPU and compare it with pose.decode.
"""

from __future__ import annotations

import numpy as np
import torch

from realtime.pose.decode import EPSILON, HIGHEST, LONGEST_STEP_PX, LOWEST, around, gaussian


class DeviceDecoder:
    """pose.decode.decode for torch tensors, in float32."""

    def __init__(self, sigma: float, device: torch.device) -> None:
        taps = gaussian(sigma)
        shifted = np.stack([np.pad(taps, (i, 2 - i)) for i in range(3)])  # (3, 13): before, at and after the peak
        self._blur = torch.tensor(np.kron(shifted, shifted), dtype=torch.float32, device=device)  # (9, 13 x 13)
        self._around: dict[int, torch.Tensor] = {}

    def __call__(self, heatmaps: torch.Tensor) -> torch.Tensor:
        """Return the peaks of heatmaps float32 (P, K, h, w): float32 (P, K, 3) x, y in heatmap pixels, score 0..1."""
        people, keypoints, height, width = heatmaps.shape
        maps = heatmaps.reshape(people * keypoints, height * width)
        peak, index = maps.max(dim=1)
        y, x = torch.div(index, width, rounding_mode="floor"), index % width
        rows, columns = self._mirrored(height, maps.device)[y], self._mirrored(width, maps.device)[x]
        patches = maps.gather(1, (rows[:, :, None] * width + columns[:, None]).flatten(1))
        z = (patches[:, None] * self._blur).sum(dim=2).clamp(LOWEST, HIGHEST).log()
        dx, dy = _newton_step(z)
        near = dx * dx + dy * dy <= LONGEST_STEP_PX**2  # False for NaN
        found = torch.isfinite(peak) & (peak > 0) & (peak > maps.amin(dim=1))
        place_x = torch.where(found, x + torch.where(near, dx, 0.0), (width - 1) / 2)
        place_y = torch.where(found, y + torch.where(near, dy, 0.0), (height - 1) / 2)
        score = torch.where(found, peak.clamp(max=1.0), 0.0)
        return torch.stack((place_x, place_y, score), dim=1).reshape(people, keypoints, 3)

    def _mirrored(self, length: int, device: torch.device) -> torch.Tensor:
        if length not in self._around:
            self._around[length] = torch.tensor(around(length), device=device)
        return self._around[length]


def _newton_step(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the Newton step of pose.decode, x and y (M,) each, from the middle of 3x3 neighbourhoods (M, 9)."""
    corner, above, _, left, middle, right, _, below, opposite = z.unbind(dim=1)
    dx, dy = (right - left) / 2, (below - above) / 2
    dxx = right - 2 * middle + left + EPSILON
    dyy = below - 2 * middle + above + EPSILON
    dxy = (opposite - right - below + 2 * middle - left - above + corner) / 2
    determinant = dxx * dyy - dxy * dxy
    return (dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant
