"""The pictures that a caller of the library may hand over, as the frames of the data path need them: BGR in numpy.

Used by realtime.tracker, before detection.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

if TYPE_CHECKING:
    import torch

# Modes of Pillow with more than eight bits per sample. Pillow would cut them off at 255 instead of scaling them.
_DEEP_MODES = ("I", "F")
_EXPECTED = "expected a numpy array uint8 (H, W, 3) BGR, a PIL image, or a torch tensor uint8 (3, H, W) RGB"


def to_bgr(image: object) -> NDArray[np.uint8]:
    """Return a picture as a C-contiguous uint8 array (H, W, 3), BGR.

    >>> to_bgr(Image.new("RGB", (640, 480), "red"))[0, 0].tolist()
    [0, 0, 255]
    >>> to_bgr(np.zeros((480, 640), np.uint8))
    Traceback (most recent call last):
    ValueError: image: expected shape (H, W, 3), BGR, got (480, 640)

    Args:
        image: a numpy array uint8 (H, W, 3), BGR as OpenCV reads it; a PIL image, which is turned upright as its EXIF
            data says, and of which transparency is ignored; or a torch tensor uint8 (3, H, W), RGB as torchvision reads
            it, on any device.

    Returns:
        A view of the caller's array if it is one in the right layout, otherwise a copy. The view can be made read-only
        without a change to the caller's array.

    Raises:
        ValueError: the picture has another type, dtype or shape, no pixels, or data that can't be read.
    """
    if isinstance(image, np.ndarray):
        _check("shape (H, W, 3), BGR", image.ndim == 3 and image.shape[2] == 3, image.shape)
        _check("dtype uint8, values 0 to 255", image.dtype == np.uint8, image.dtype)
        pixels = image
    elif (torch := sys.modules.get("torch")) is not None and isinstance(image, torch.Tensor):
        pixels = _of_tensor(image)
    elif isinstance(image, Image.Image):
        _check("a PIL image with eight bits per sample", not image.mode.startswith(_DEEP_MODES), f"mode {image.mode}")
        pixels = np.asarray(_upright(image).convert("RGB"))[..., ::-1]
    else:
        raise ValueError(f"image: {_EXPECTED}, got {_described(image)}")
    _check("at least one pixel", 0 not in pixels.shape, pixels.shape)
    return np.ascontiguousarray(pixels).view()


def _of_tensor(image: torch.Tensor) -> NDArray[np.uint8]:
    import torch  # the caller has imported it: there is a tensor

    _check("shape (3, H, W), RGB, of one image", image.ndim == 3 and image.shape[0] == 3, tuple(image.shape))
    _check("dtype torch.uint8, values 0 to 255", image.dtype == torch.uint8, image.dtype)
    _check("a dense tensor with data", image.layout == torch.strided and not image.is_meta, _kind(image))
    return np.asarray(image.detach().cpu().numpy()[::-1].transpose(1, 2, 0))


def _upright(image: Image.Image) -> Image.Image:
    """The image as viewers show it, decoded: Pillow reads a file when its pixels are first used."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise ValueError(f"image: expected a PIL image that can be decoded, got: {error}") from None
    with contextlib.suppress(Exception):  # of damaged EXIF data; viewers show the picture as it is stored
        image = ImageOps.exif_transpose(image)
    return image


def _kind(image: torch.Tensor) -> str:
    return f"{image.layout} on {image.device}"


def _check(expected: str, is_so: bool, got: object) -> None:
    if not is_so:
        raise ValueError(f"image: expected {expected}, got {got}")


def _described(image: object) -> str:
    if image is None:
        return "None, which OpenCV returns for a picture that it can't read"
    if isinstance(image, str | bytes):
        return f"{type(image).__name__}: use realtime.track for files and cameras"
    return type(image).__name__
