"""The shape of the project: who imports what, and that the papers tell the truth."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.config import load
from realtime.flags import parse

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "realtime"

# A third-party library and the files that may import it. numpy, torch (below) and pydantic's models are everywhere;
# evaluate/loops.py is what one writes without us.
ONE_PLACE = {
    "av": ["capture/connect.py", "capture/stream.py"],
    "boxmot": ["evaluate/baseline.py", "evaluate/loops.py", "track/boxmot.py"],
    "cv2": ["capture/*.py", "detect/letterbox.py", "evaluate/videos.py", "publish/draw.py"],
    "huggingface_hub": ["weights.py"],
    "msgspec": ["evaluate/loops.py", "wire.py"],
    "nncf": ["models/openvino.py"],
    "numba": ["runtime/native.py"],
    "openvino": ["models/openvino.py"],
    "pydantic": ["config.py"],
    "scipy": ["evaluate/mot.py"],
    "torch": [
        "runtime/device.py", "models/*.py", "detect/on_device.py", "detect/yolo.py", "track/boxmot.py", "pose/*.py",
        "loading.py", "evaluate/loops.py", "evaluate/random_vitpose.py",
    ],
    "torchvision": ["models/ultralytics.py"],
    "tqdm": ["evaluate/progress.py"],
    "trackers": ["evaluate/mot_metrics.py"],
    "transformers": ["evaluate/loops.py", "evaluate/random_vitpose.py", "pose/checkpoint.py"],
    "ultralytics": ["evaluate/loops.py", "models/ultralytics.py"],
    "filterpy": ["evaluate/filters.py"],
    "matplotlib": ["evaluate/plots.py", "evaluate/smoothing.py"],
    "pycocotools": ["evaluate/keypoints.py"],
    "yaml": ["config.py"],
    "zmq": ["client.py", "evaluate/loops.py", "keys.py", "publish/zmq_pub.py"],
}  # fmt: skip


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("library", ONE_PLACE)
def test_a_library_is_imported_in_its_place_only(library: str) -> None:
    allowed = {path for pattern in ONE_PLACE[library] for path in PACKAGE.glob(pattern)}
    importers = {path for path in PACKAGE.rglob("*.py") if library in imports_of(path)}
    assert importers <= allowed, sorted(str(path.relative_to(ROOT)) for path in importers - allowed)


def test_every_third_party_library_has_a_place() -> None:
    ours = {"realtime", "numpy", "__future__"} | set(sys.stdlib_module_names)
    used = set().union(*(imports_of(path) for path in PACKAGE.rglob("*.py"))) - ours
    assert used <= set(ONE_PLACE)


def test_nothing_reads_the_environment_but_the_configuration() -> None:
    readers = [
        p for p in PACKAGE.rglob("*.py") if re.search(r"os\.environ\b(?!\.setdefault)|os\.getenv", p.read_text())
    ]
    assert readers == [PACKAGE / "config.py"]


def test_no_stage_synchronises_the_whole_device() -> None:
    assert not [p for p in PACKAGE.rglob("*.py") if "cuda.synchronize" in p.read_text()]


def test_the_client_imports_without_the_pipeline_s_libraries() -> None:
    code = (
        "import sys, realtime.client; bad = {'torch', 'cv2', 'av', 'pydantic', 'yaml', 'boxmot'} & set(sys.modules)\n"
    )
    code += "sys.exit(f'imported {bad}' if bad else 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_architecture_names_every_folder_and_no_other() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(re.findall(r"`realtime/(\w+)/`", text))
    rows = re.findall(r"^\| (`r.*?) \| (.*) \|$", text, re.MULTILINE)
    for folder in [*folders, ""]:
        named = {
            word.removesuffix(".py").removeprefix("realtime/")
            for where, what in rows
            if (f"`realtime/{folder}/`" in where if folder else "/`" not in where)
            for word in re.findall(r"`([\w./]+)`", where + what)
        }
        files = {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__", "__main__"}
        assert not files - named, folder


@pytest.mark.parametrize(
    "line",
    [
        line.partition("#")[0].strip()
        for paper in ("README.md", "configs/webcam.yaml", "configs/rtsp.yaml")
        for line in re.findall(r"python (run_realtime.py .*)", (ROOT / paper).read_text())
    ],
)
def test_every_command_of_the_papers_is_accepted(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments, flags = parse(shlex.split(line)[1:])
    assert load(arguments.config, environment={}, flags=flags).cameras


def test_links_in_the_papers_lead_somewhere() -> None:
    for paper in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", paper.read_text()):
            assert (paper.parent / target).exists(), f"{paper.name}: {target}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_no_weights_and_no_media_are_committed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [f for f in tracked if Path(f).suffix in {".pt", ".safetensors", ".onnx", ".mp4", ".avi", ".jpg"}]
