"""Which files a path, a folder or a pattern names: images, or one video.

Used by capture.files and capture.images: text -> paths, in natural order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from realtime.capture.image_formats import IMAGE_SUFFIXES, image_format
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# The ends of the names of files that count as videos in a folder.
VIDEO_SUFFIXES = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".dav", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc",
    ".insv", ".ivf", ".lrv", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4",
    ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob",
    ".webm", ".wmv", ".y4m",
})  # fmt: skip
_WILD = re.compile(r"[*?\[]")
# A name like this has no suffix that tells the file type: frame_0001 or shot.0001.
_BARE = re.compile(r"(\.\d+)?")


@dataclass(frozen=True)
class Named:
    """The files that a source names.

    Attributes:
        images: in natural order.
        videos: in natural order.
        single: whether the source is the path of one file, or names only one.
    """

    images: list[Path]
    videos: list[Path]
    single: bool = False


def files_of(source: str) -> Named:
    """Return the files that a source names; at least one.

    Args:
        source: the path of a file or a folder, or a pattern. A file need not exist. In a folder, and in a pattern that
            matches other files too, images and videos are found by the ends of their names. Files that begin with a
            dot are left out, as the shell leaves them out.

    Raises:
        SourceError: the source names no image and no video, several videos, or can't be read.
    """
    try:
        return _files_of(source)
    except ValueError as error:  # pathlib rejects patterns like "**x"
        raise SourceError(f"{shown(source)}: invalid pattern: {error}", SourceReason.MISSING) from None
    except OSError as error:
        raise SourceError(f"{shown(source)}: can't be read: {error.strerror}", SourceReason.PERMISSION) from None


def natural_key(path: Path) -> tuple[list[int | str], str]:
    """Return a sort key that compares the numbers in names by value: img2 before img10."""
    parts = re.split(r"(\d+)", str(path))
    # re.split puts the numbers at odd positions, so a number is only compared with numbers.
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)], str(path)


def _files_of(source: str) -> Named:
    path = Path(source)
    if path.is_dir():
        found = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        named = _sorted_out(found)
        missing = _missing_in_folder(found)
    elif path.exists() or not _WILD.search(source):
        return Named([path], [], single=True)
    else:
        found = matches(path)
        named = _sorted_out(found)
        missing = "no file matches (upper and lower case differ)"
        if found:
            missing = "the pattern matches files, but no images or videos"
    count = len(named.images) + len(named.videos)
    if not count:
        raise SourceError(f"{shown(source)}: {missing}", SourceReason.MISSING)
    if len(named.videos) > 1 and not named.images:
        raise SourceError(
            f"{shown(source)}: {len(named.videos)} videos, expected one, or images: give each video its own --source "
            f"(the first is {named.videos[0].name})",
            SourceReason.NOT_MEDIA,
        )
    return Named(named.images, named.videos, single=count == 1)


def matches(pattern: Path) -> list[Path]:
    """Return what a pattern matches. Its first folders are taken literally if they exist, brackets and all.

    As in the shell, a wildcard doesn't match a dot at the beginning of a name.
    """
    # Python 3.13 matches files by a final "**", earlier versions only folders.
    parts = (*pattern.parts, "*") if pattern.name == "**" else pattern.parts
    literal = len(parts) - 1
    while literal and not (Path(*parts[:literal]).is_dir()):
        literal -= 1
    root = Path(*parts[:literal])
    wild = parts[literal:]
    if any(part.startswith(".") for part in wild):
        return list(root.glob("/".join(wild)))
    level = len(root.parts)
    return [path for path in root.glob("/".join(wild)) if not any(part.startswith(".") for part in path.parts[level:])]


def _sorted_out(paths: list[Path]) -> Named:
    """Return the images and videos among these paths, in natural order."""
    images: list[Path] = []
    videos: list[Path] = []
    for path in paths:
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            is_image = True
        elif suffix in VIDEO_SUFFIXES:
            is_image = False
        elif _BARE.fullmatch(suffix) and image_format(path) is not None:
            is_image = True
        else:
            continue
        # Keep broken links, so that they are reported as missing; skip links to folders.
        if path.is_file() or (path.is_symlink() and not path.exists()):
            (images if is_image else videos).append(path)
    return Named(sorted(images, key=natural_key), sorted(videos, key=natural_key))


def _missing_in_folder(found: list[Path]) -> str:
    """Return why a folder without images and videos can't be a source, and what to do."""
    if any(path.is_dir() for path in found):
        return "no images in this folder, only folders: add /**/*.png, say, to name the images inside them"
    return "no images in this folder, expected files such as .jpg, .png, .tif or .heic (docs/cameras.md lists all)"
