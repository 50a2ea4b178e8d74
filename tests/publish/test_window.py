"""Whether a window can be opened, and what a user reads if not. Those that need a display skip without Xvfb."""

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.errors import ConfigError
from realtime.publish.window import _why, check_window

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")


@LINUX
@pytest.mark.parametrize(("display", "why"), [(None, "there is no display"), (":4711", "connect to display :4711")])
def test_without_a_display_the_start_fails_and_names_the_page(
    display: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    line = rf"^preview: no window can be opened: .*{why}; watch in a browser instead: --web 127.0.0.1:8080$"
    with pytest.raises(ConfigError, match=line) as told:
        check_window()
    assert told.value.exit_code == 2


@LINUX
def test_files_in_the_current_folder_are_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cv2.py").write_text("raise SystemExit('not OpenCV')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    with pytest.raises(ConfigError, match="connect to display :4711"):
        check_window()


def test_a_display_that_hangs_does_not_hang_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("python", 20)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(ConfigError, match="the display does not answer"):
        check_window()


@pytest.mark.parametrize(
    ("errors", "why"),
    [
        ("cv2.error: The function is not implemented. Rebuild the library with GTK+", "remove opencv-python-headless"),
        ("qt.qpa.xcb: could not connect to display \nAborted", "there is no display"),
        ("Traceback\nModuleNotFoundError: No module named 'cv2'\n", "ModuleNotFoundError: No module named 'cv2'"),
        ("", "gives no reason"),
    ],
)
def test_the_reason_is_one_line(errors: str, why: str) -> None:
    assert why in _why(errors)
    assert "\n" not in _why(errors)


@pytest.fixture
def display() -> Iterator[str]:
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb is not installed")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield f":{server.stdout.readline().strip()}"
        server.terminate()


def test_a_window_shows_a_picture_and_is_noticed_when_it_is_gone(display: str) -> None:
    program = """
        import numpy as np
        from realtime.publish.window import Window, check_window
        check_window()
        window = Window("a title")
        window.show(np.zeros((720, 1280, 3), np.uint8))
        assert window.key(0.05) is None
        assert not window.is_closed()
        assert window.size() == (1280, 720), window.size()
        window.rename("another")
        window.close()
        assert window.is_closed()
        window.close()
    """
    environment = {"DISPLAY": display, "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
