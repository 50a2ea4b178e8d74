"""The pictures of one image file, one after the other: an animated WebP, PNG, AVIF or GIF, or the pages of a TIFF.

One of the sources of capture.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from realtime.capture.image_file import opened, picture_of
from realtime.capture.image_pages import places
from realtime.capture.images import IMAGES_PER_S
from realtime.capture.source import Picture, Pixels
from realtime.config import MOST_PIXELS
from realtime.errors import SourceError, SourceReason, TruncatedError
from realtime.redact import shown

# Browsers show a picture for 100 ms if its declared duration is at most 10 ms (Chrome and Firefox; milliseconds).
SHORTEST_MS, INSTEAD_MS = 10.0, 100.0


def is_animation(path: Path, max_pixels: int) -> bool:
    """Whether an image file shows several pictures one after the other.

    Raises:
        SourceError: the file can't be opened or is no image.
    """
    with opened(path, max_pixels) as image:
        return len(places(str(path), image)) > 1


class AnimationSource:
    """All pictures of one image file, decoded one by one. Pages of a TIFF have no times; all others do.

    Args:
        source: the path of the file.
        max_pixels: read no larger picture.

    Raises:
        SourceError: the first picture can't be read.
    """

    live = False
    prompt = False

    def __init__(self, source: str, max_pixels: int = MOST_PIXELS) -> None:
        self._source = source
        self.fps: float | None = IMAGES_PER_S
        self.length: int | None = None
        self._pictures = self._read(Path(source), max_pixels)
        first = next(self._pictures)
        assert first.decoded is not None  # or this had raised
        self.size = first.decoded.size
        self._first: Picture | None = first

    def read(self) -> Picture | None:
        """Return the next picture, or None after the last one.

        Raises:
            TruncatedError: the pictures from here on can't be read.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return next(self._pictures, None)

    def close(self) -> None:
        """Close the file."""
        self._pictures.close()
        self._first = None

    def _read(self, path: Path, max_pixels: int) -> Generator[Picture]:
        # Pillow rounds each duration of an AVIF to milliseconds. Its timestamps don't add these errors up.
        time_ms, longer_ms = 0.0, 0.0
        with opened(path, max_pixels) as image:
            wanted = places(str(path), image)
            self.length = len(wanted)
            for number, place in enumerate(wanted):
                try:
                    image.seek(place)
                    picture = picture_of(str(path), image, max_pixels)
                except Exception as error:  # Pillow raises many kinds for damaged files
                    if number == 0:
                        raise
                    raise self._ended(error, number, len(wanted)) from None
                if image.format == "TIFF":
                    yield Picture(Pixels(picture))
                    continue
                lasts_ms, time_ms = float(image.info.get("duration", 0)), image.info.get("timestamp", time_ms)
                shown_ms = lasts_ms if lasts_ms > SHORTEST_MS else INSTEAD_MS
                self.fps = 1000.0 / shown_ms
                yield Picture(Pixels(picture), (time_ms + longer_ms) / 1000.0)
                time_ms += lasts_ms
                longer_ms += shown_ms - lasts_ms

    def _ended(self, error: Exception, number: int, count: int) -> TruncatedError:
        """Return the error of a file that can't be read from this picture on."""
        why, reason = "the file is truncated or damaged", SourceReason.TRUNCATED
        if isinstance(error, SourceError):
            why, reason = str(error).removeprefix(f"{self._source}: "), error.reason
        name = shown(self._source)
        return TruncatedError(f"{name}: the last {count - number} of {count} pictures can't be read: {why}", reason)
