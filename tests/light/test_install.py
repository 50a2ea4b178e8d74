"""An installation of the extra `light`, in an environment of its own, runs networks that this one exports."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from realtime.client import PoseSubscriber
from realtime.export import export
from tests.pose.checkpoints import save_checkpoint

pytestmark = [pytest.mark.light, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-light" / "bin" / "python"
HEAVY = ("torch", "torchvision", "ultralytics", "transformers", "boxmot", "safetensors", "huggingface_hub")


def test_nothing_heavy_is_installed() -> None:
    code = f"import importlib.util; print([name for name in {HEAVY} if importlib.util.find_spec(name)])"
    assert subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("model", ["none", "yolo", "vitpose"])
def test_the_demo_reaches_a_subscriber(tmp_path: Path, yolov8n: Path, yolo11n_pose: Path, model: str) -> None:
    vitpose, out = tmp_path / "vitpose", tmp_path / "out"
    pose = {"none": "none", "yolo": str(yolo11n_pose), "vitpose": str(vitpose)}[model]
    if model == "vitpose":
        save_checkpoint(vitpose)
    export(out, [f"--detector.weights={yolov8n}", f"--pose.model={pose}"])
    endpoint = f"ipc://{tmp_path}/poses"
    words = [f"--detector.weights={out}", f"--pose.model={'none' if model == 'none' else out}", "--source=demo"]
    words += ["--max-frames=20", f"--publish.bind={endpoint}", "--publish.wait-for-subscribers=1"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    run = subprocess.Popen(
        [PYTHON, "run_realtime.py", *words], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    with PoseSubscriber(endpoint) as poses:
        people = [len(pose.track_ids) for pose in poses]
    _, log = run.communicate()
    assert run.returncode == 0, log
    assert len(people) == 20
    assert people[-1] == 5
