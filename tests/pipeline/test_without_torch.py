"""A start from converted networks imports neither torch nor another library that is large and not needed then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pose.checkpoints import save_checkpoint

HEAVY = ["torch", "torchvision", "ultralytics", "transformers", "boxmot", "safetensors", "scipy", "numba"]
HEAVY += ["huggingface_hub.hf_api", "httpx"]  # the client of the model hub; its constants are small
# Runs the program and prints which of these libraries it has imported, and its log.
RUN = f"""
import sys
from realtime.cli import main
code = main(sys.argv[1:])
print([name for name in {HEAVY} if name in sys.modules])
sys.exit(code)
"""


def run(cache: Path, *flags: str) -> tuple[list[str], str]:
    """Track the built-in source for some frames; return the heavy libraries that were imported, and the log."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    words = ["--device=auto", "--source=demo", "--max-frames=6", "--publish.bind=tcp://127.0.0.1:*", *flags]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.replace("'", '"')), done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("model", ["none", "yolo", "vitpose"])
def test_a_second_start_imports_no_torch(
    cache: Path, tmp_path: Path, yolov8n: Path, yolo11n_pose: Path, model: str
) -> None:
    pose = {"none": "none", "yolo": str(yolo11n_pose), "vitpose": str(tmp_path)}[model]
    if model == "vitpose":
        save_checkpoint(tmp_path)
    flags = f"--detector.weights={yolov8n}", f"--pose.model={pose}"
    first, log = run(cache, *flags)
    assert "torch" in first
    assert "converting" in log
    imported, log = run(cache, *flags)
    assert imported == []
    assert "not repeated" in log  # the self-test
    assert "converting" not in log


def test_auto_finds_what_is_on_this_machine_without_the_client_of_the_hub(
    cache: Path, yolov8n: Path, yolo11n_pose: Path
) -> None:
    run(cache)  # converts the networks, unless a test above did
    imported, log = run(cache)
    assert imported == []
    assert "auto chose yolo11n-pose" in log
