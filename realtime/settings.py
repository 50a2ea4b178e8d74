"""Settings of the whole process that our libraries change when they are imported, and their original values.

Used by realtime.tracker: the process is the caller's, who may depend on them. The program is alone in its process.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from PIL import Image

from realtime.machine import environment_kept

# Two threads that load models at the same time would each restore what the other one has changed.
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Restore the settings of the process at the end of the block, in which libraries are imported and models loaded.

    These are the print options of numpy and torch, the threads of OpenCV and torch, the warning filters, environment
    variables such as OMP_NUM_THREADS, which child processes inherit, and functions of torch and Pillow that ultralytics
    replaces by its own. Without CUDA, the permission for TF32 is restored too; with CUDA, our networks need it to stay
    off. Only one thread at a time is inside a block.
    """
    with _one_at_a_time, environment_kept(), np.printoptions(), warnings.catch_warnings(), threads_kept():
        torch_prints = vars(torch._tensor_str.PRINT_OPTS).copy()  # there is no public way to read them
        threads, save, open_image = cv2.getNumThreads(), torch.save, Image.open
        tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        try:
            yield
        finally:
            torch.set_printoptions(**torch_prints)  # type: ignore[no-untyped-call]  # torch
            cv2.setNumThreads(threads)
            torch.save, Image.open = save, open_image
            if not torch.cuda.is_available():
                torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Restore the calling thread's number of torch threads at the end of the block, in which our networks run."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
