"""A window on the screen, by OpenCV: whether it can be opened, its picture and its keys.

Used by publish.preview, on the main thread, as window systems require.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.errors import ConfigError

_SIZE = (1280, 720)
# Which key OpenCV's numbers mean: ASCII, and the right arrow of X11, Windows and macOS.
_NAMES = {65363: "right", 2555904: "right", 63235: "right", 27: "escape"}
# Opens a window in a process of its own, because Qt ends the process if it finds no display.
_TRY = """
import cv2
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass
cv2.namedWindow("realtime-pose", cv2.WINDOW_NORMAL)
cv2.destroyAllWindows()
"""
_TRY_S = 20.0


def check_window() -> None:
    """Check that a window can be opened here.

    Raises:
        ConfigError: there is no display, or this build of OpenCV has no windows.
    """
    if why := why_no_window():
        raise ConfigError(f"preview: no window can be opened: {why}; watch in a browser instead: --web 127.0.0.1:8080")


def why_no_window() -> str | None:
    """Return why no window can be opened here; None if one can."""
    try:
        command = [sys.executable, "-P", "-c", _TRY]  # -P: no modules from the current folder
        tried = subprocess.run(command, capture_output=True, timeout=_TRY_S, stdin=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return "the display does not answer"
    return _why(tried.stderr.decode(errors="replace")) if tried.returncode else None


class Window:
    """A window that can be resized. All methods are called on the main thread.

    Args:
        title: the text in its title bar, with the keys.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(title, *_SIZE)

    def size(self) -> tuple[int, int]:
        """Return the width and height of its picture in pixels."""
        _, _, width, height = cv2.getWindowImageRect(self._title)
        return (width, height) if width > 0 and height > 0 else _SIZE

    def show(self, image: NDArray[np.uint8]) -> None:
        """Show a picture, uint8 (H, W, 3) BGR."""
        cv2.imshow(self._title, image)

    def key(self, timeout_s: float) -> str | None:
        """Handle the events of the window for some time. Return the key that was pressed first, if any.

        Returns:
            A character, "right" or "escape"; None if no key was pressed.
        """
        number = cv2.waitKeyEx(max(1, round(timeout_s * 1e3)))
        if number in _NAMES:
            return _NAMES[number]
        return chr(number & 0xFF) if number >= 0 else None

    def is_closed(self) -> bool:
        """Whether the user has closed it."""
        try:
            return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1)
        except cv2.error:
            return True

    def rename(self, title: str) -> None:
        """Change the text in its title bar."""
        cv2.setWindowTitle(self._title, title)

    def close(self) -> None:
        """Close it, if it is open."""
        with contextlib.suppress(cv2.error):
            cv2.destroyWindow(self._title)


def _why(errors: str) -> str:
    """The reason in the messages of the process that tried it.

    >>> _why("qt.qpa.xcb: could not connect to display :99\\nAborted")
    'could not connect to display :99'
    """
    if "not implemented" in errors:
        return "this build of OpenCV has none (remove opencv-python-headless and install opencv-python again)"
    for line in errors.splitlines():
        if "could not connect to display" in line:
            display = line.rpartition("display")[2].strip()
            return f"could not connect to display {display}" if display else "there is no display"
    return (errors.strip().splitlines() or ["OpenCV gives no reason"])[-1].strip()
