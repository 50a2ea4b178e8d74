"""The shape of the project: its imports, its English, and documents that match the code."""

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.flags import help_text

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "realtime"

# Each third-party library and the files that may import it; numpy may be imported everywhere. evaluate/speed/loops.py
# holds the loops that users would write without this package.
ONE_PLACE = {
    "av": [
        f"capture/{name}.py"
        for name in (
            "attempt", "complete", "connect", "convert", "faults", "formats", "kept_packets", "limits", "live",
            "live_decoder", "losses", "multipart", "nested",
            "orientation", "packets", "recorded", "start", "stream", "tracks",
        )
    ] + ["publish/mp4.py"],
    "PIL": ["bgr.py", "capture/image_file.py", "capture/image_pages.py", "capture/image_troubles.py", "settings.py"],
    "pillow_heif": ["capture/image_file.py"],
    "boxmot": ["evaluate/tracking/libraries.py", "evaluate/speed/loops.py", "track/boxmot.py"],
    "cv2": ["capture/*.py", "detect/letterbox.py", "pose/crop.py", "pose/stillness.py", "evaluate/speed/videos.py"]
    + [f"publish/{name}.py" for name in ("annotate", "draw", "draw_motion", "jpeg", "mp4", "wall", "window")]
    + ["settings.py"],
    "lap": ["track/assignment.py"],
    "huggingface_hub": ["models/download.py", "models/hub.py"],
    "msgspec": [
        "dashboard/*.py", "evaluate/bench/*.py", "evaluate/speed/loops.py", "recordings/*.py",
        "recordings/convert/*.py", "wire/*.py",
    ],
    "mcap": ["recordings/convert/mcap.py"],
    "nncf": ["models/openvino.py"],
    "openvino": ["models/openvino.py", "models/sample_networks.py"],
    "platformdirs": ["models/cache.py"],
    "pyarrow": ["recordings/parquet*.py"],
    "pydantic": ["config/*.py"],
    "rerun": ["recordings/convert/rerun.py"],
    "rich": ["evaluate/progress.py", "observe/bars.py"],
    "scipy": ["evaluate/tracking/mot.py"],
    "torch": [
        "runtime/gpu.py", "runtime/graphs.py", "runtime/lane.py", "runtime/torch_settings.py", "detect/on_device.py",
        "models/checkpoint*.py", "models/heatmap_network.py", "models/openvino.py", "models/ultralytics.py",
        "models/vitpose*.py", "models/yolo.py", "models/yolo_torch.py",
        "pose/build_torch.py", "pose/*on_device.py", "pose/yolo_pose.py", "track/boxmot.py", "bgr.py",
        "evaluate/speed/loops.py", "evaluate/speed/one_liner_loop.py", "evaluate/speed/random_vitpose.py",
    ],
    "supervision": ["evaluate/tracking/libraries.py"],
    "trackers": ["evaluate/tracking/libraries.py", "evaluate/tracking/metrics.py"],
    "safetensors": ["models/checkpoint_file.py"],
    "transformers": ["evaluate/speed/loops.py", "evaluate/speed/random_vitpose.py", "models/vitpose*.py"],
    "ultralytics": ["evaluate/speed/loops.py", "evaluate/speed/one_liner_loop.py", "models/ultralytics.py"],
    "filterpy": ["evaluate/smoothing/filters.py"],
    "matplotlib": ["evaluate/speed/plots.py", "evaluate/smoothing/command.py"],
    "pycocotools": ["evaluate/keypoints.py"],
    "yaml": ["config/*.py"],
    "zmq": ["dashboard/feed.py", "evaluate/speed/loops.py", "publish/*.py", "wire/*.py"],
    "prometheus_client": ["dashboard/metrics.py"],
    "starlette": ["dashboard/*.py"],
    "uvicorn": ["dashboard/serve.py"],
    "websockets": ["dashboard/serve.py"],
}  # fmt: skip


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)


@pytest.mark.parametrize("library", ONE_PLACE)
def test_a_library_is_imported_only_in_its_place(library: str) -> None:
    allowed = {path for pattern in ONE_PLACE[library] for path in PACKAGE.glob(pattern)}
    importers = {path for path in PACKAGE.rglob("*.py") if library in imports_of(path)}
    assert importers <= allowed, sorted(str(path.relative_to(ROOT)) for path in importers - allowed)


def test_every_third_party_library_has_a_place() -> None:
    ours = {"realtime", "numpy", "__future__"} | set(sys.stdlib_module_names)
    used = frozenset[str]().union(*(imports_of(path) for path in PACKAGE.rglob("*.py"))) - ours
    assert used <= set(ONE_PLACE)


def test_only_the_configuration_and_the_machine_read_the_environment() -> None:
    readers = [
        p for p in PACKAGE.rglob("*.py") if re.search(r"os\.environ\b(?!\.setdefault)|os\.getenv", p.read_text())
    ]
    config = [PACKAGE / "config" / f"{name}.py" for name in ("camera", "layers", "load")]
    assert sorted(readers) == [*config, PACKAGE / "machine.py"]


def test_no_stage_synchronises_the_whole_device() -> None:
    assert not [p for p in PACKAGE.rglob("*.py") if "cuda.synchronize" in p.read_text()]


def test_the_client_imports_without_the_pipeline_s_libraries() -> None:
    code = (
        "import sys, realtime.client; bad = {'torch', 'cv2', 'av', 'pydantic', 'yaml', 'boxmot'} & set(sys.modules)\n"
    )
    code += "sys.exit(f'imported {bad}' if bad else 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_wire_its_faces_the_keypoint_sets_and_the_dashboard_and_no_other_file_are_mit() -> None:
    marked = {path for path in PACKAGE.rglob("*.py") if path.read_text().startswith("# SPDX-License-Identifier: MIT\n")}
    faces = {PACKAGE / f"{name}.py" for name in ("client", "home", "keys", "printable", "skeleton", "stdio")}
    folders = ("wire", "dashboard", "skeletons")
    assert marked == {path for folder in folders for path in (PACKAGE / folder).glob("*.py")} | faces


def test_the_architecture_names_every_folder_and_no_other() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/**/__init__.py")}
    assert folders == set(re.findall(r"`realtime/([\w/]+)/`", text))
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


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


# Log lines of the pipeline that begin with something other than the name of a camera: the file, and the argument or
# arguments.
NOT_A_CAMERA = {
    "cli.py": ("warning", "error", "PROGRAM"),
    "config_reader.py": "line", "loading.py": ("section", "text"), "machine.py": "found", "models/cache.py": "text",
    "models/choice.py": "section",
    "models/proof.py": "section", "publish/refusals.py": "self._key",
    "models/weights.py": "key", "models/yolo_torch.py": "path.name", "observe/log.py": "what",
    "pose/on_device.py": "len(inputs.frames)", "publish/output_file.py": "self._key",
    "publish/peers.py": "self._purpose.key", "publish/socket.py": "self.purpose.", "publish/video_file.py": "_KEY",
    "runtime/batches.py": "self._lane.device", "web/child.py": "self._name",
}  # fmt: skip
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
HAVE_NO_JSON = {"dashboard", "evaluate", "recordings"}


def test_each_log_line_about_a_camera_has_the_keys_of_a_json_line() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for call in ast.walk(ast.parse(path.read_text())):
            if name.partition("/")[0] in HAVE_NO_JSON or not (
                isinstance(call, ast.Call) and re.fullmatch(rf"log\.({'|'.join(LEVELS)})", ast.unparse(call.func))
            ):
                continue
            text, *rest = call.args[1:] if call.func.attr == "log" else call.args
            if isinstance(text, ast.Constant) and not text.value.startswith("%s"):
                continue
            first, where = ast.unparse(rest[0] if rest else text), f"{name}:{call.lineno}"
            extra = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
            if extra is None:
                assert first.startswith(NOT_A_CAMERA.get(name, "-")), f"{where}: give it extra={{'camera': {first}}}"
            elif isinstance(extra, ast.Dict):
                keys = [ast.literal_eval(key) for key in extra.keys]
                assert "camera" in keys, where
                assert "reason" in keys or "state" not in keys or "'live'" in ast.unparse(extra), where


# Idioms that make a sentence hard to read, with the number of matches in realtime/. It may only fall.
IDIOMS = re.compile(
    r"\b(?:what|who|whom) (?:is|was|are|were|has|had|comes|came|goes|went|isn't|wasn't)\b|\bso (?:many|much|long)\b|"
    r"\b(?:nobody|somebody|everybody|anybody)\b|"
    r'(?:^|[.:;] |"""|# )(?:Of (?:a|an|the|these|those|every|each|all|both|two|several|what) |Where |So (?:a|an|the|that|it|they) )',  # noqa: E501
    re.MULTILINE,
)
IDIOMS_LEFT = 0


def test_the_english_stays_plain() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for match in IDIOMS.finditer(path.read_text())
    ]
    assert len(found) <= IDIOMS_LEFT, found
    assert not IDIOMS.findall((ROOT / "README.md").read_text())
    assert not IDIOMS.findall(help_text() + help_text("cameras"))


# The objects that a newcomer meets first.
PUBLIC = [
    ("client", ["PoseSubscriber"]),
    ("tracker", ["PoseTracker", "track"]),
    ("pipeline", ["Pipeline"]),
    ("types", ["Frame", "Detections", "Tracks", "Poses"]),
    ("detect.stage", ["DetectStage"]),
    ("track.stage", ["TrackStage"]),
    ("track.relink", ["RelinkStage"]),
    ("pose.stage", ["PoseStage"]),
    ("pose.passthrough", ["PassThrough"]),
    ("smooth.stage", ["SmoothStage"]),
    ("publish.stage", ["PublishStage"]),
    ("recordings.reading", ["Recording"]),
    ("pose.crop", None),
    ("pose.decode", None),
    ("smooth.one_euro", None),
    ("smooth.kalman", None),
]  # None: every public function of the file. A block after "::" is run by a test of the module.


@pytest.mark.parametrize(("name", "objects"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_a_public_object_shows_an_example(name: str, objects: list[str] | None) -> None:
    module = importlib.import_module(f"realtime.{name}")
    if objects is None:
        objects = [
            key for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
        ]  # fmt: skip
    without = [key for key in objects if not re.search(r">>>|::\n\n", vars(module)[key].__doc__ or "")]
    assert not without


def test_no_weights_and_no_media_are_committed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [f for f in tracked if Path(f).suffix in {".pt", ".safetensors", ".onnx", ".mp4", ".avi", ".jpg"}]
