"""Fixtures of the machines: what they share, and the table that the run writes to docs/reliability.md."""

from __future__ import annotations

import compileall
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.capture.clips import write_clip
from tests.document import write_part
from tests.faults.fakecam import CameraProcess
from tests.faults.rig import ROOT

from .cell import CACHE, FRAMES_PACED, PASSWORD, Kit, arguments_of, prepare, run_on
from .namespace import Namespace
from .table import MACHINES, RUNS, Machine

_cells: dict[tuple[str, str], str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--allow-missing-machines",
        action="store_true",
        help="skip machines that can't be made here, instead of failing",
    )


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """The program, a clip, a camera, and a cache with the converted network."""
    folder = tmp_path_factory.mktemp("kit")
    app = folder / "app"
    shutil.copytree(ROOT / "realtime", app / "realtime", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_realtime.py", app)
    compileall.compile_dir(app, quiet=1)
    clip = write_clip(folder / "clip.mp4", FRAMES_PACED, (640, 360), 30)
    with CameraProcess("--key-every=5", "--size=640x360", f"--login=anna:{PASSWORD}") as camera:
        bare = Kit(app, clip, camera.url())
        yield Kit(app, clip, camera.url(), filled_cache(bare, folder / "cache"))


def filled_cache(kit: Kit, folder: Path) -> Path | None:
    """Run the program once and keep its cache; None if even that fails, which a test of its own reports."""
    machine = Machine("an ordinary user")
    with Namespace(kit.app) as space:
        prepare(space, machine, kit)
        run_on(space, machine, arguments_of("demo", machine, kit))
        cache = space.root / CACHE.lstrip("/")
        return Path(shutil.copytree(cache, folder)) if cache.is_dir() else None


@pytest.fixture
def cell() -> Callable[[str, str, str], None]:
    """Return cell(machine, run, text), which fills a cell of the table."""
    return lambda machine, run, text: _cells.update({(machine, run): text})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not _cells:
        return
    lines = ["| machine | demo | file, recording, report | camera, recording |", "| --- | --- | --- | --- |"]
    for number, machine in enumerate(MACHINES, 1):
        cells = [_cells.get((machine.name, run), "not run") for run in RUNS]
        if cells != ["not run"] * len(RUNS):
            lines.append(f"| {number}. {machine.name} | {' | '.join(cells)} |")
    terminalreporter.section("machines")
    terminalreporter.write_line("\n".join(lines))
    if config.getoption("--write-figures", default=False):
        if len(_cells) == len(MACHINES) * len(RUNS):
            write_part("machines", lines)
        else:
            terminalreporter.write_line("not written to docs/reliability.md: only a run of all machines is")
