"""Networks that are exported, and runs of them: also in a process that has no torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from realtime.capture.demo import demo_canvas, demo_people
from realtime.config import load
from realtime.errors import ConfigError, ModelError, OutputError
from realtime.export import export
from realtime.loading import load_models
from realtime.models import openvino
from realtime.models.__main__ import main
from realtime.models.about import about
from realtime.models.choice import choose
from realtime.models.converted import read_people
from realtime.models.weights import find_pose
from tests.pose.checkpoints import save_checkpoint

# Hides the libraries that the extra `light` does not install, as if they were not there, and runs the program with each
# list of flags.
WITHOUT = """
import importlib.util, json, sys
hidden = {"torch", "torchvision", "ultralytics", "transformers", "safetensors", "boxmot", "huggingface_hub"}
class Hide:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.partition(".")[0] in hidden else find(name, *rest)
from realtime.cli import main
for words in json.loads(sys.argv[1]):
    print("exit code", main(words), file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, yolov8n: Path) -> Path:
    """An export of yolov8n and a tiny ViTPose. Tests must not change it."""
    folder = tmp_path_factory.mktemp("export")
    save_checkpoint(folder / "vitpose")
    export(folder / "out", [f"--detector.weights={yolov8n}", f"--pose.model={folder / 'vitpose'}"])
    return folder / "out"


def run_without_torch(cache: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """Run the program with each list of flags, in one process; return the exit codes and what was logged."""
    flags = ["--source=demo", "--max-frames=5", "--publish.bind=tcp://127.0.0.1:*"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, json.dumps([flags + each for each in commands])],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    *told, rest = re.split(r"^exit code (\d)\n", done.stderr, flags=re.MULTILINE)
    assert (rest, len(told)) == ("", 2 * len(commands)), done.stderr
    return [(int(code), text) for text, code in zip(told[::2], told[1::2], strict=True)]


def config(out: Path, **keys: object) -> object:
    flags = {"detector.weights": str(out), "pose.model": str(out), "device": "cpu"}
    return load(environment={}, flags=flags | {key.replace("__", "."): value for key, value in keys.items()})


def test_an_export_holds_all_that_a_run_needs(out: Path) -> None:
    names = ["about.json", "expected.npy", "network.bin", "network.xml", "people.npz"]
    for part in ("detector", "pose"):
        assert sorted(file.name for file in (out / part).iterdir()) == names
    image, xyxy = read_people(out / "pose")
    np.testing.assert_array_equal(image, demo_canvas())
    np.testing.assert_array_equal(xyxy, demo_people())
    text = (out / "README.txt").read_text()
    assert "yolov8n; licence of its weights: AGPL-3.0" in text
    assert "vitpose; licence of its weights: not known" in text
    assert about(out / "detector")[0].startswith(f"{out / 'detector'}: yolov8n, converted by realtime-pose ")


def test_an_exported_network_finds_the_same_people_as_its_weights(out: Path, yolov8n: Path) -> None:
    exact = {"detector__precision": "fp32", "pose__precision": "fp32"}
    there = load_models(config(out, **exact))
    weights = {"detector__weights": str(yolov8n), "pose__model": str(out.parent / "vitpose")}
    here = load_models(config(out, **exact | weights))
    assert (there.detector_name, there.pose_name) == (here.detector_name, here.pose_name) == ("yolov8n", "vitpose")
    image, boxes = demo_canvas(), demo_people()
    found, expected = (models.pose._model.estimate([image], [boxes])[0] for models in (there, here))
    np.testing.assert_allclose(found, expected, atol=0.5)


def test_a_machine_without_torch_runs_an_export(out: Path, tmp_path: Path) -> None:
    record = tmp_path / "poses.jsonl"
    [(code, log)] = run_without_torch(
        tmp_path, [f"--detector.weights={out}", f"--pose.model={out}", f"--record={record}"]
    )
    assert code == 0, log
    messages = [json.loads(line) for line in record.read_text().splitlines()]
    assert [len(message["track_ids"]) for message in messages][-1] == 5
    measures = not {"bf16", "fp16"}.isdisjoint(openvino.native_precisions())
    assert [f"{part}: measured here: " in log for part in ("detector", "pose")] == [measures] * 2


def test_an_export_does_not_measure_the_machine_that_makes_it(tmp_path: Path, yolov8n: Path, monkeypatch) -> None:
    measured: list[object] = []
    monkeypatch.setattr("realtime.plan.choose", lambda *given: measured.append(given[-1]) or choose(*given))
    export(tmp_path / "out", [f"--detector.weights={yolov8n}", "--pose.model=none"])
    assert measured == [None]


def test_without_torch_auto_is_the_export_in_the_cache(out: Path, tmp_path: Path) -> None:
    (tmp_path / "realtime-pose").mkdir(mode=0o700)
    shutil.copytree(out, tmp_path / "realtime-pose" / "exported")
    [(code, log)] = run_without_torch(tmp_path, [])
    assert code == 0, log
    assert "pose.model: vitpose, converted, from " in log


NEEDS_TORCH = [
    (["--pose.model=none"], "detector.weights: no converted networks in "),
    (["--detector.weights=yolo11n", "--pose.model=none"], "detector.weights: got yolo11n, which needs torch: "),
    (["--detector.weights={out}", "--pose.model=vitpose-plus-small"], "pose.model: got vitpose-plus-small, which "),
    (["--detector.weights={out}", "--pose.model={out}", "--device=cuda"], "device: got cuda, which needs torch, "),
    (["--detector.weights={out}", "--pose.model={out}", "--tracker.method=botsort"], "tracker.method botsort needs "),
]


def test_what_needs_torch_is_one_line_that_names_the_extra(out: Path, tmp_path: Path) -> None:
    commands = [[flag.format(out=out) for flag in flags] for flags, _ in NEEDS_TORCH]
    for (_, says), (code, log) in zip(NEEDS_TORCH, run_without_torch(tmp_path, *commands), strict=True):
        assert code == 2
        errors = [line for line in log.splitlines() if "error" in line]
        assert len(errors) == 1, log
        assert errors[0].startswith(f"realtime-pose: error: {says}")
        assert "realtime-pose[run]" in errors[0]
        assert "Traceback" not in log


@pytest.mark.parametrize(
    ("keys", "kind", "says"),
    [
        ({"detector__engine": "torch"}, ConfigError, "detector.engine: got torch for the converted network "),
        ({"pose__engine": "torch"}, ConfigError, "pose.engine: got torch for the converted network "),
        ({"pose__input_size": "192x144"}, ConfigError, "pose.input_size: can't be changed for the converted network "),
        ({"pose__skeleton": "ap10k"}, ConfigError, "pose.skeleton: can't be changed for the converted network "),
        ({"detector__classes": ["cat"]}, ModelError, "{out}/detector: was converted for detector.classes person, not "),
    ],
)
def test_what_is_fixed_in_an_export_can_t_be_changed(
    out: Path, keys: dict[str, object], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind) as caught:
        load_models(config(out, **keys))
    assert str(caught.value).startswith(says.format(out=out))


DAMAGES = ["about.json", "expected.npy", "network.bin", "network.xml", "people.npz"]


@pytest.mark.parametrize("file", DAMAGES)
@pytest.mark.parametrize("content", [b"", b"{}"])
def test_a_damaged_export_is_one_line(out: Path, tmp_path: Path, file: str, content: bytes) -> None:
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    (copy / "pose" / file).write_bytes(content)
    with pytest.raises(ModelError, match="export it again"):
        load_models(config(copy))


def test_a_folder_that_holds_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        find_pose(str(tmp_path / "missing"), on_gpu=False, cache=tmp_path)


def test_nothing_is_overwritten_and_nothing_is_left_after_an_error(out: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is there already"):
        export(out, [])
    with pytest.raises(ModelError):
        export(tmp_path / "new", [f"--detector.weights={tmp_path / 'none.pt'}", "--pose.model=none"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="got torch, but only OpenVINO"):
        export(tmp_path / "new", ["--detector.engine=torch", "--pose.model=none"])
    with pytest.raises(ConfigError, match="holds a converted network"):
        export(tmp_path / "new", [f"--detector.weights={out}", "--pose.model=none"])


def test_the_command_says_what_is_wrong(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["export"])
    assert "OUT" in capsys.readouterr().err
    assert main(["export", str(out), "--pose.modle=none"]) == 2
    assert "did you mean --pose.model?" in capsys.readouterr().err
