"""Which kind of source an address names, judged by its text and the file system. Opens nothing.

Used before capture: by capture.open, which opens the source, and wherever files and live sources are treated
differently.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from realtime.capture.image_formats import IMAGE_SUFFIXES
from realtime.config import CameraConfig
from realtime.errors import ConfigError, SourceError, SourceReason
from realtime.redact import shown

Kind = Literal["webcam", "network", "file", "pipe", "images", "demo"]

# The demo, and the demo with its clock drawn as a bar code.
_DEMO, DEMO_CLOCK = "demo", "demo:clock"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# An unplugged webcam has no device file, so a path that starts like this counts as a webcam by its name alone.
_WEBCAM_PATHS = ("/dev/video", "/dev/v4l/")
# The major number of the device files of webcams on Linux (Documentation/admin-guide/devices.txt of the kernel).
_VIDEO_MAJOR = 81
# A number up to this is always a webcam: Linux has at most 256. Any other run of digits may be the name of a folder.
_LAST_WEBCAM = 255
_GLOB = re.compile(r"[*?\[]")
# Paths that name a file descriptor of this process.
_DESCRIPTOR = re.compile(r"/dev/(?:stdin|fd/(\d{1,9}))|/proc/self/fd/(\d{1,9})")
_EXPECTED = "expected a video, an image, a folder, a pipe or a webcam"


def kind_of(source: str) -> Kind:
    """Return the kind of a source, judged by its text and the file system. Opens nothing.

    >>> kind_of("0"), kind_of("rtsp://10.0.0.5/stream1"), kind_of("clip.mp4"), kind_of("shots/*.png")
    ('webcam', 'network', 'file', 'images')

    Args:
        source: a camera's address: the number or device file of a webcam, a URL, `demo` or `demo:clock`, or the path of
            a video, an image, a pipe, a folder or a glob.
    """
    if _is_number(source) or source.startswith(_WEBCAM_PATHS):
        return "webcam"
    if source in (_DEMO, DEMO_CLOCK):
        return "demo"
    if _URL.match(source):
        return "network"
    try:
        mode = os.stat(source).st_mode  # noqa: PTH116 - Path("") would be the current folder
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no file can have this name
        mode = 0
    except OSError:  # no permission or a name that is too long: opening it reports that
        return "file"
    if stat.S_ISDIR(mode):
        return "images"
    if stat.S_ISFIFO(mode) or (stat.S_ISSOCK(mode) and descriptor_of(source) is not None):
        return "pipe"
    if mode and not stat.S_ISREG(mode):
        return "webcam" if _is_video_device(source) else "file"
    if Path(source).suffix.lower() in IMAGE_SUFFIXES:
        return "images"
    # The name of a file may contain brackets, so a path that exists is not a pattern.
    return "images" if _GLOB.search(source) and not mode else "file"


def is_live_source(address: str) -> bool:
    """Whether frames of this source arrive in real time, judged by its address: a webcam or a network camera.

    >>> is_live_source("rtsp://10.0.0.5/stream1"), is_live_source("clip.mp4"), is_live_source("demo")
    (True, False, False)
    """
    return kind_of(address) in ("webcam", "network")


def descriptor_of(path: str) -> int | None:
    """Return the number of the open file that a path such as /dev/stdin or /dev/fd/63 names; None for other paths.

    >>> descriptor_of("/dev/stdin"), descriptor_of("/dev/fd/63"), descriptor_of("clip.mp4")
    (0, 63, None)
    """
    match = _DESCRIPTOR.fullmatch(path)
    return None if match is None else int(match[1] or match[2] or 0)


def check_pipes(cameras: Sequence[CameraConfig], *, loop: bool) -> None:
    """Check that each pipe is read once: by one camera, and without --loop.

    Args:
        cameras: all cameras of the run.
        loop: whether files are restarted at their end.

    Raises:
        ConfigError: two cameras read the same pipe, or a pipe would have to be read again.
    """
    readers: dict[tuple[int, int], str] = {}
    for camera in cameras:
        if kind_of(camera.address) != "pipe":
            continue
        name = f"{camera.name}: {shown(camera.address)}"
        if loop:
            raise ConfigError(f"{name}: a pipe can be read only once, so it can't be looped; remove --loop")
        try:
            status = os.stat(camera.address)  # noqa: PTH116 - as in kind_of
        except OSError:  # it is gone already: opening it reports that
            continue
        other = readers.setdefault((status.st_dev, status.st_ino), camera.name)
        if other != camera.name:
            raise ConfigError(f"{name}: a pipe can be read by only one camera, but {other} reads it too")


def check_file(path: str) -> None:
    """Check that a path that is neither a folder nor a pipe leads to a file, before it is opened.

    Args:
        path: a source of the kind "file". A missing file is reported when it is opened.

    Raises:
        SourceError: it is a device or a socket.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as in kind_of
    except (OSError, ValueError):
        return
    descriptor = descriptor_of(path)
    if stat.S_ISSOCK(mode):
        what = "a socket"
    elif stat.S_ISBLK(mode):
        what = "a block device"
    elif stat.S_ISCHR(mode) and descriptor is not None and os.isatty(descriptor):
        what = "a terminal: connect a pipe or a file (< clip.mp4)"
    elif stat.S_ISCHR(mode) and descriptor == 0:
        what = "standard input is closed or empty: connect a pipe or a file (< clip.mp4)"
    elif stat.S_ISCHR(mode):
        what = "a device that is not a webcam"
    else:
        return
    expected = "" if descriptor is not None and stat.S_ISCHR(mode) else f", {_EXPECTED}"
    raise SourceError(f"{shown(path)}: not a video or an image: {what}{expected}", SourceReason.NOT_MEDIA)


def hint_of_name(config: CameraConfig) -> str:
    """Return what a person probably meant, as the end of a message; empty if nothing is likely.

    Args:
        config: a camera whose source is missing.
    """
    if config.address.lower().startswith(f"{_DEMO}:"):
        return f" (the built-in sources are {_DEMO} and {DEMO_CLOCK})"
    whole = f"{config.name}={config.source}"
    meant = config.address if _is_number(config.address) else whole
    return f" (for the file or folder {meant}, write ./{meant})" if os.path.lexists(meant) else ""


def _is_number(source: str) -> bool:
    """Whether a source is the number of a webcam. 20240101 and 007 are folders, if there are folders of these names."""
    if not (source.isascii() and source.isdecimal()):
        return False
    is_usual = source == "0" or (not source.startswith("0") and len(source) <= 3 and int(source) <= _LAST_WEBCAM)
    return is_usual or not os.path.lexists(source)


def _is_video_device(path: str) -> bool:
    """Whether a path that is no regular file leads to the device file of a webcam."""
    if sys.platform != "linux":
        return False
    status = os.stat(path)  # noqa: PTH116 - as in kind_of
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _VIDEO_MAJOR
