"""Which pictures an image file holds, and which of them are shown one after the other.

Used by capture.image_file, capture.animation and capture.one_image, with files that Pillow has opened.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from PIL import Image, TiffImagePlugin

from realtime.errors import SourceError, SourceReason

# To list the pages of a TIFF takes time that grows with the square of their number (this many: 1 s).
_MOST_PAGES = 10_000
# The files of these formats show several pictures one after the other. In others, the further pictures are previews,
# other sizes of the same picture, layers or masks.
_SHOWS = frozenset({"PNG", "WEBP", "AVIF", "TIFF", "GIF"})
# TIFF's tag NewSubfileType, and its bits for a smaller copy of another picture and for a mask.
_SUBFILE_TYPE, _NOT_A_PAGE = 254, 1 | 4


def places(name: str, image: Image.Image) -> Sequence[int]:
    """Return which pictures of an open file are shown one after the other; one if it is a still.

    Args:
        name: the file or the redacted URL, for errors.
        image: the open image.

    Raises:
        SourceError: a TIFF has too many pages.
    """
    if image.format == "TIFF":
        pages = list(itertools.islice(pages_of(image), _MOST_PAGES + 1))
        if len(pages) > _MOST_PAGES:
            raise SourceError(f"{name}: too many pages: expected at most {_MOST_PAGES:,}", SourceReason.TOO_LARGE)
        image.seek(0)
        return pages or [0]  # a file of smaller copies only
    count = _count(image) if image.format in _SHOWS else 1
    # In a PNG, a picture for programs that can't show animations may come first.
    return range(int(count > 1 and image.info.get("default_image", False)), count)


def _count(image: Image.Image) -> int:
    """Return the number of pictures. If a GIF breaks off, that counts as one more, which fails when its turn comes."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # Pillow raises many kinds for damaged files
        if image.format != "GIF":
            raise
        count = image.tell() + 2
        image.seek(0)
        return count


def left_out(name: str, image: Image.Image) -> int:
    """Return how many pictures besides the selected one a file holds, without previews, layers and masks."""
    return (getattr(image, "n_frames", 1) if image.format == "HEIF" else len(places(name, image))) - 1


def pages_of(image: Image.Image) -> Iterator[int]:
    """Return which pictures of a TIFF are pages, and no smaller copies or masks. Selects each in turn.

    If the file breaks off, the first place that can't be reached is the last one here, and fails when its turn comes.
    """
    for place in itertools.count():
        try:
            image.seek(place)
            is_page = not tags_of(image).get(_SUBFILE_TYPE, 0) & _NOT_A_PAGE
        except EOFError:
            return
        except Exception:  # Pillow raises many kinds for damaged files
            if place == 0:
                raise
            yield place
            return
        if is_page:
            yield place


def tags_of(image: Image.Image) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Return the tags of the selected picture of a TIFF."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    return image.tag_v2
