"""The kit: what is missing is installed from checked wheels, and each reason why it can't be is told."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.bench.gpu import kit
from tests.bench.gpu.kit import KitError, Wheel

# A package that no environment has.
ABSENT = "realtime-pose-absent"


def make_wheel(folder: Path, name: str = ABSENT) -> Wheel:
    """Write a wheel with one module into the folder."""
    module = name.replace("-", "_")
    about = f"{module}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    file = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{module}.py", "ANSWER = 42\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return Wheel(name, "1.0", hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.fixture
def _right_python(monkeypatch):
    monkeypatch.setattr(kit, "PYTHON", sys.version_info[:2])


def test_the_list_names_each_package_once_and_never_the_opencv_with_windows():
    names = [wheel.name for wheel in kit.listed(kit.LIST.read_text())]
    assert len(set(names)) == len(names) >= 10
    assert not {"opencv-python", "torch", "pandas", "pyarrow", "polars", "timm"} & set(names)


def test_a_line_of_another_form_is_refused():
    with pytest.raises(ValueError, match="got 'av>=18'"):
        kit.listed("# a comment\n\nav>=18\n")


def test_an_environment_that_lacks_nothing_needs_no_kit(tmp_path):
    wheels = [Wheel("pytest_timeout", "0.1", "")]  # it has another version, which stays
    assert kit.install(tmp_path / "none", tmp_path / "site", wheels) is None


@pytest.mark.usefixtures("_right_python")
def test_only_missing_packages_are_installed_and_only_into_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "elsewhere"))  # settings of the machine don't matter
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "no-such-file"))
    wheels = [make_wheel(tmp_path / "kit"), Wheel("pytest", "1", "")]
    site = kit.install(tmp_path / "kit", tmp_path / "site", wheels)
    assert site == tmp_path / "site"
    assert sorted(path.name for path in site.iterdir()) == [
        "realtime_pose_absent-1.0.dist-info", "realtime_pose_absent.py",
    ]  # fmt: skip
    words = [sys.executable, "-c", "import realtime_pose_absent; print(realtime_pose_absent.ANSWER)"]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"


@pytest.mark.usefixtures("_right_python")
def test_what_the_kit_lacks_is_named(tmp_path):
    wheel = make_wheel(tmp_path / "kit")
    for folder, wanted, message in [
        # no kit at all
        (tmp_path / "none", wheel, rf"lacks {ABSENT}, and there is no folder .*none; run `make gpu-kit`"),
        # a kit of another list
        (tmp_path / "kit", wheel._replace(version="1.1"), rf"holds no wheel of {ABSENT} 1.1; run `make gpu-kit` again"),
        # a copy that broke off
        (tmp_path / "kit", wheel._replace(sha256="0" * 64), r"absent-1.0-py3-none-any.whl is damaged"),
    ]:
        with pytest.raises(KitError, match=message):
            kit.install(folder, tmp_path / "site", [wanted])


def test_another_python_is_told_which_one_the_wheels_need(tmp_path, monkeypatch):
    monkeypatch.setattr(kit, "PYTHON", (3, 5))
    with pytest.raises(KitError, match=r"lacks realtime-pose-absent; the wheels of the kit are for Python 3\.5"):
        kit.install(tmp_path / "kit", tmp_path / "site", [make_wheel(tmp_path / "kit")])


@pytest.mark.usefixtures("_right_python")
def test_a_python_without_pip_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(KitError, match="has no pip"):
        kit.install(tmp_path / "kit", tmp_path / "site", [make_wheel(tmp_path / "kit")])


def test_a_kit_that_is_too_large_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "large.whl"
    file.write_bytes(bytes(3 * 2**19))
    assert kit.checked_size_mib([file]) == 1.5
    monkeypatch.setattr(kit, "MOST_MIB", 1)
    with pytest.raises(KitError, match=r"take 1\.5 MiB, more than 1 MiB"):
        kit.checked_size_mib([file])
