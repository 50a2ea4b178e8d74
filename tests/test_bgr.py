"""The pictures that a caller may hand over."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from realtime.bgr import to_bgr

BGR = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
RGB = np.ascontiguousarray(BGR[..., ::-1])


@pytest.mark.parametrize(
    "image",
    [
        BGR,
        RGB[..., ::-1],  # another layout in memory
        np.asfortranarray(BGR),
        Image.fromarray(RGB),
        Image.merge("RGBA", (*Image.fromarray(RGB).split(), Image.new("L", (16, 12), 77))),  # transparency is ignored
        torch.from_numpy(RGB).permute(2, 0, 1),
        torch.from_numpy(RGB).permute(2, 0, 1).contiguous(),
    ],
)
def test_each_kind_of_picture_becomes_the_same_array(image: object) -> None:
    found = to_bgr(image)
    np.testing.assert_array_equal(found, BGR)
    assert found.flags.c_contiguous


def test_grey_pictures_and_palettes_are_converted() -> None:
    assert to_bgr(Image.new("L", (4, 3), 9)).tolist() == np.full((3, 4, 3), 9).tolist()
    assert to_bgr(Image.new("1", (4, 3), 1)).min() == 255
    assert to_bgr(Image.new("RGB", (4, 3), "red").convert("P"))[0, 0].tolist() == [0, 0, 255]


def photograph(orientation: int) -> io.BytesIO:
    picture, file = Image.fromarray(RGB), io.BytesIO()
    picture.getexif()[0x0112] = orientation
    picture.save(file, "PNG", exif=picture.getexif())
    return file


def test_a_photograph_is_turned_upright_as_viewers_do() -> None:
    np.testing.assert_array_equal(to_bgr(Image.open(photograph(1))), BGR)
    np.testing.assert_array_equal(to_bgr(Image.open(photograph(6))), np.rot90(BGR, -1))  # 6: the camera lay on its side
    damaged = Image.fromarray(RGB)
    damaged.info["exif"] = b"Exif\0\0II*\0\xff"
    np.testing.assert_array_equal(to_bgr(damaged), BGR)


def test_an_array_is_not_copied_and_stays_writable() -> None:
    mine = BGR.copy()
    found = to_bgr(mine)
    found.setflags(write=False)
    mine[0, 0] = 7
    assert found[0, 0].tolist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((4, 5), np.uint8), "expected shape (H, W, 3), BGR, got (4, 5)"),
        (np.zeros((4, 5, 4), np.uint8), "expected shape (H, W, 3), BGR, got (4, 5, 4)"),
        (np.zeros((1, 4, 5, 3), np.uint8), "expected shape (H, W, 3), BGR, got (1, 4, 5, 3)"),  # a batch
        (np.zeros((4, 5, 3)), "expected dtype uint8, values 0 to 255, got float64"),
        (np.zeros((0, 5, 3), np.uint8), "expected at least one pixel, got (0, 5, 3)"),
        (torch.zeros(4, 5, 3, dtype=torch.uint8), "expected shape (3, H, W), RGB, of one image, got (4, 5, 3)"),
        (torch.zeros(3, 4, 5), "expected dtype torch.uint8, values 0 to 255, got torch.float32"),
        (Image.new("I;16", (4, 3)), "expected a PIL image with eight bits per sample, got mode I;16"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8, device="meta"), "with data, got torch.strided on meta"),
        (
            torch.zeros(3, 4, 5, dtype=torch.uint8).to_sparse(),
            "expected a dense tensor with data, got torch.sparse_coo on cpu",
        ),
        (Image.open(io.BytesIO(photograph(1).getvalue()[:-60])), "that can be decoded, got: image file is truncated"),
        (None, "got None, which OpenCV returns for a picture that it can't read"),
        ("a.jpg", "got str: use realtime.track for files and cameras"),
        ([[0]], "got list"),
    ],
)
def test_anything_else_is_an_error_that_says_what_was_expected(image: object, said: str) -> None:
    with pytest.raises(ValueError, match=r"^image: ") as caught:
        to_bgr(image)
    assert str(caught.value).endswith(said)
    assert "expected" in str(caught.value)
