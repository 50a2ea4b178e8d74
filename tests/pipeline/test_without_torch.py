"""A start from converted networks imports neither torch nor another library that is large and not needed then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.pose.checkpoints import save_checkpoint

HEAVY = ["torch", "torchvision", "ultralytics", "transformers", "boxmot", "safetensors", "scipy", "numba"]
HEAVY += ["huggingface_hub.hf_api", "httpx"]  # the client of the model hub; its constants are small
# Runs the program with each list of flags; prints what it has imported of these libraries, and its log.
RUN = f"""
import json, sys
from realtime.cli import main
for flags in json.loads(sys.argv[1]):
    assert main(flags) == 0
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


def run(cache: Path, commands: list[list[str]]) -> tuple[list[str], str]:
    """Run the program with each command in one process; return the heavy libraries that were imported, and the log."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", RUN, json.dumps(commands)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_second_start_imports_no_torch(tmp_path: Path, yolov8n: Path, yolo11n_pose: Path) -> None:
    flags = ["--device=auto", "--source=demo", "--max-frames=3", f"--publish.bind=ipc://{tmp_path}/stream"]
    flags += [f"--detector.weights={yolov8n}", "--detector.size=320"]
    models = ["none", str(yolo11n_pose), str(save_checkpoint(tmp_path / "vitpose"))]
    commands = [[*flags, f"--pose.model={model}"] for model in models]
    commands.append([flag for flag in flags if "weights" not in flag])  # auto looks at what is on this machine
    first, log = run(tmp_path, commands)
    assert "torch" in first
    assert log.count("converting") == len(models)  # the detector, and a network for each pose model but none
    imported, log = run(tmp_path, commands)
    assert imported == []
    assert log.count("not repeated") >= len(models)  # the self-tests
    assert "converting" not in log
    assert "auto chose yolo11n-pose" in log
    assert "measured here" not in log  # the speed of the precisions
