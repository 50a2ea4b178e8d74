"""torch's settings of the whole process, which libraries change when they are imported or when networks run.

Used by realtime.settings. Every file of ours that loads torch later than the caller imports this one first, so that the
settings are known as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def settings() -> Callable[[], None]:
    """Note the present settings, and return a function that restores them.

    These are the print options, the number of threads, and torch.save, which ultralytics replaces by its own. Without
    CUDA, the permission for TF32 is restored too; with CUDA, our networks need it to stay off.
    """
    prints: dict[str, Any] = vars(torch._tensor_str.PRINT_OPTS).copy()  # there is no public way to read them
    threads, save = torch.get_num_threads(), torch.save
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    def restore() -> None:
        torch.set_printoptions(**prints)  # type: ignore[no-untyped-call]  # torch
        torch.save = save
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if not torch.cuda.is_available():
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32

    return restore


# As they were when our first file that needs torch loaded it.
restore_first = settings()
