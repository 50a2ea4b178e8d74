"""Images: each format in each EXIF orientation, alone and in a folder, and animations with their number and times."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

from PIL import Image, features
from PIL.Image import Exif

from .check import faults_of, play
from .clip import NotMade
from .combination import Outcome
from .expect import Expected
from .picture import TURNS, UPRIGHT, Turn, draw

SIZE = (128, 96)
ORIENTATION = 0x0112
APART_S = Fraction(1, 10)
PICTURES = 8
# Images that are no animation follow a nominal rate (capture.images).
IMAGES_PER_S = 30
FORMATS = {
    "jpg": "JPEG", "jfif": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF", "avif": "AVIF", "heic": "HEIF",
    "mpo": "MPO",
}  # fmt: skip
ANIMATED = {"webp": "WEBP", "png": "PNG", "gif": "GIF", "avif": "AVIF", "tiff": "TIFF"}


@dataclass(frozen=True)
class ImageFile:
    """An image, or a folder of images, to be written and read."""

    name: str
    group: str
    write: Callable[[Path], tuple[Path, Expected]]
    turn: Turn = UPRIGHT

    def run(self, folder: Path) -> Outcome:
        """Write it, read it, and judge the result."""
        try:
            path, right = self.write(folder)
        except (NotMade, OSError, KeyError, ValueError) as error:
            return Outcome(self.name, self.group, "not made", str(error))
        faults = list(faults_of(play(path), right, SIZE, self.turn))
        return Outcome(self.name, self.group, "wrong" if faults else "right", "; ".join(faults))


@cache
def images() -> list[ImageFile]:
    """Return all images."""
    found = []
    for suffix in FORMATS:
        for turn, exif in TURNS.values():
            found += [
                ImageFile(f"image-{suffix}-{exif}-alone", "images, EXIF orientation", _single(suffix, exif), turn),
                ImageFile(
                    f"image-{suffix}-{exif}-in-a-folder", "images, EXIF orientation", _folder(suffix, exif), turn
                ),
            ]
    found += [ImageFile(f"image-animated-{suffix}", "animated images", _animation(suffix)) for suffix in ANIMATED]
    return found


def _single(suffix: str, exif: int) -> Callable[[Path], tuple[Path, Expected]]:
    def write(folder: Path) -> tuple[Path, Expected]:
        return _save(folder / f"one.{suffix}", 5, suffix, exif), _expected([5], Fraction(1, IMAGES_PER_S))

    return write


def _folder(suffix: str, exif: int) -> Callable[[Path], tuple[Path, Expected]]:
    def write(folder: Path) -> tuple[Path, Expected]:
        place = folder / "shots"
        place.mkdir()
        for number in (9, 10, 11):  # natural order: 9 comes before 10
            _save(place / f"shot{number}.{suffix}", number, suffix, exif)
        (place / f"._shot9.{suffix}").write_bytes(b"\x00\x05\x16\x07 what a Mac leaves")
        return place, _expected([9, 10, 11], Fraction(1, IMAGES_PER_S))

    return write


def _save(path: Path, number: int, suffix: str, exif: int) -> Path:
    tags = Exif()
    tags[ORIENTATION] = exif
    options = {"quality": 95} if suffix not in ("png", "tiff") else {}
    if suffix == "avif" and not features.check("avif"):
        raise NotMade("Pillow was built without AVIF")
    if suffix == "heic":
        try:
            pillow_heif = importlib.import_module("pillow_heif")
        except ImportError:
            raise NotMade("pillow-heif is not installed") from None
        pillow_heif.register_heif_opener()
    # As bytes: of an Exif object, pillow-heif writes the data, but not the boxes (irot, imir) that turn a HEIC.
    Image.fromarray(draw(number, SIZE)).save(path, FORMATS[suffix], exif=tags.tobytes(), **options)
    return path


def _animation(suffix: str) -> Callable[[Path], tuple[Path, Expected]]:
    def write(folder: Path) -> tuple[Path, Expected]:
        path = folder / f"animated.{suffix}"
        first, *others = (Image.fromarray(draw(number, SIZE)) for number in range(PICTURES))
        options = {"quality": 95} if suffix in ("webp", "avif") else {}
        first.save(path, ANIMATED[suffix], save_all=True, append_images=others, duration=100, **options)
        apart_s = Fraction(1, IMAGES_PER_S) if suffix == "tiff" else APART_S  # the pages of a TIFF have no times
        return path, _expected(list(range(PICTURES)), apart_s, is_timed=suffix != "tiff")

    return write


def _expected(numbers: list[int], apart_s: Fraction, is_timed: bool = False) -> Expected:
    return Expected(
        numbers=numbers,
        optional=frozenset(),
        stamps_s=[place * apart_s for place in range(len(numbers))],
        apart_s=apart_s,
        tick_s=Fraction(1, 1000),
        is_timed=is_timed,
        is_sparse=False,
        shifts=True,
    )
