"""What the results were measured on: device, driver, processor, versions, commit."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from realtime.evaluate.processor import processor

# Run in a process of its own, because a process that has used CUDA once holds memory on the device.
_LOOK = """
import json, shutil, subprocess, sys, torch

def driver():
    if shutil.which("nvidia-smi") is None:
        return None
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    lines = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
    return lines[0].strip() if lines else None

device = sys.argv[1]
told = {"torch": torch.__version__, "cuda": torch.version.cuda}
if device.startswith("cuda"):
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        told["error"] = f"got device {device}, but torch {torch.__version__} sees {count} CUDA devices; try DEVICE=cpu"
    else:
        seen = torch.cuda.get_device_properties(number)
        told["gpu"], told["gpu_gb"] = seen.name, round(seen.total_memory / 1e9, 1)
        told["capability"], told["multiprocessors"] = f"{seen.major}.{seen.minor}", seen.multi_processor_count
        told["driver"] = driver()
print(json.dumps(told))
"""


def about(device: str, environment: Mapping[str, str], root: Path) -> dict[str, object]:
    """Return what the results were measured on, with the key `error` if the device can't be used."""
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, device], env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no error message"])[-1]
        return {"error": f"torch can't be used: {last}"}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = {"python": platform.python_version(), "cores": cores, "processor": _processor(), "commit": _commit(root)}
    machine["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    return {"device": device} | json.loads(done.stdout.splitlines()[-1]) | machine


def _processor() -> str:
    """The processor's name and the instructions that matter here."""
    name, instructions = processor()
    return f"{name} ({', '.join(instructions)})"


def _commit(root: Path) -> str:
    """The commit; without git, a digest of the sources, which `digest_of` of a commit's clone repeats."""
    words = ["git", "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError):  # git is not installed
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
        if done.stdout.strip():
            return done.stdout.strip()
    return f"unknown, sources {digest_of(root)}"


def digest_of(root: Path) -> str:
    """Return 12 digits that identify the Python sources of the program and of `make gpu`."""
    digest = hashlib.sha256()
    for file in sorted([*(root / "realtime").rglob("*.py"), *(root / "tests").rglob("*.py")]):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
