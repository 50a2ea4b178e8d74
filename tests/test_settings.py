import os
import subprocess
import sys
import warnings

import cv2
import numpy as np
import torch
from PIL import Image

from realtime.settings import settings_kept, threads_kept


def settings() -> list[object]:
    return [
        np.get_printoptions(), vars(torch._tensor_str.PRINT_OPTS).copy(), cv2.getNumThreads(), torch.get_num_threads(),
        torch.save, Image.open, warnings.filters[:], torch.backends.cudnn.allow_tf32, os.environ.copy(),
    ]  # fmt: skip


def test_what_libraries_set_for_the_whole_process_is_restored() -> None:
    before = settings()
    with settings_kept():  # as importing ultralytics and loading a network in fp32 do
        np.set_printoptions(linewidth=320, formatter={"float_kind": "{:11.5g}".format})
        torch.set_printoptions(linewidth=320)
        cv2.setNumThreads(0 if cv2.getNumThreads() != 1 else 2)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.save, Image.open = print, print
        warnings.filterwarnings("ignore", message="timm")
        torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32
        os.environ |= {"OMP_NUM_THREADS": "17", "YOLO_VERBOSE": "false", "TF_CPP_MIN_LOG_LEVEL": "3"}
    after = settings()
    if torch.cuda.is_available():  # there, TF32 stays off
        before[7] = after[7]
    assert after == before


def test_a_variable_that_the_caller_sets_meanwhile_stays() -> None:
    try:
        with settings_kept():
            os.environ["CALLER_EXAMPLE"] = "1"
        assert os.environ["CALLER_EXAMPLE"] == "1"
    finally:
        del os.environ["CALLER_EXAMPLE"]


def test_a_network_in_torch_does_not_change_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    with threads_kept():
        torch.set_num_threads(before + 1)
    assert torch.get_num_threads() == before


LATE = """
import sys
from PIL import Image
from realtime.settings import settings_kept
opens = Image.open
with settings_kept():
    assert "torch" not in sys.modules
    from realtime.models.yolo_torch import load
    from realtime.models.ultralytics import tame
    import torch
    threads = torch.get_num_threads()
    tame()
    torch.set_num_threads(threads + 1)
    torch.set_printoptions(linewidth=333)
    torch.save = print
assert torch.save is torch.serialization.save
assert torch._tensor_str.PRINT_OPTS.linewidth == 80
assert torch.get_num_threads() == threads
assert Image.open is opens
"""


def test_settings_of_torch_are_restored_if_it_is_imported_inside() -> None:
    subprocess.run([sys.executable, "-c", LATE], check=True)
