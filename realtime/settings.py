"""Settings of the whole process that our libraries change when they are imported, and their original values.

Used by realtime.tracker: the process is the caller's, who may depend on them. The program is alone in its process.
torch may be imported in the middle of a block, or never.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from realtime.machine import environment_kept

# Two threads that load models at the same time would each restore what the other one has changed.
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Restore the settings of the process at the end of the block, in which libraries are imported and models loaded.

    These are the print options of numpy, the threads of OpenCV, the warning filters, environment variables such as
    OMP_NUM_THREADS, which child processes inherit, Pillow's function that ultralytics replaces by its own, and the
    settings of torch (runtime.torch_settings). Only one thread at a time is inside a block.
    """
    with _one_at_a_time, environment_kept(), np.printoptions(), warnings.catch_warnings():
        threads, open_image = cv2.getNumThreads(), Image.open
        restore_torch = None
        if "torch" in sys.modules:
            from realtime.runtime.torch_settings import settings

            restore_torch = settings()
        try:
            yield
        finally:
            cv2.setNumThreads(threads)
            Image.open = open_image
            if restore_torch is None and "realtime.runtime.torch_settings" in sys.modules:
                from realtime.runtime.torch_settings import restore_first as restore_torch
            if restore_torch is not None:
                restore_torch()


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Restore the calling thread's number of torch threads at the end of the block, in which our networks run."""
    torch = sys.modules.get("torch")
    if torch is None:  # no network runs in torch
        yield
        return
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
