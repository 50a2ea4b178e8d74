"""Rehearse `make gpu` without a GPU and without a network, with only the packages that it may rely on.

    python -m tests.bench.gpu.rehearse [--environment DIR]

`make gpu-rehearsal`. Builds an environment with these packages, clones the last commit, fills the clone's gpu-kit/, and
runs `make gpu DEVICE=cpu` there, behind a network of its own that reaches nothing. Then it checks that all steps passed
in time, and that nothing but gpu-results/ is left. Needs Linux, Python 3.12, unshare, ip and a package index. Takes
5 to 10 minutes and 6 GB, most of it for torch; 2 to 3 minutes with an environment from an earlier call.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.gpu import kit
from tests.bench.gpu.record import PASSED, read
from tests.bench.gpu.steps import STEPS

ROOT = Path(__file__).parents[3]
# What a machine with a GPU has.
PACKAGES = (
    "torch==2.11.*", "torchvision==0.26.*", "transformers==5.17.*", "scipy", "opencv-python-headless",
    "pyyaml", "matplotlib", "pytest", "hypothesis",
)  # fmt: skip
HOME, TEMPORARY = "home", "tmp"
MOST_S = 480
MOST_TRACE_MIB = 10


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu.rehearse", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument(
        "--environment", type=Path, help="a virtual environment with only the packages; built if missing"
    )
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="realtime-pose-rehearsal-") as name:
        folder = Path(name)
        environment = (options.environment or folder / "environment").absolute()
        try:
            python = build(environment)
            clone = copy(folder / "clone", python)
        except (subprocess.CalledProcessError, LookupError) as error:
            print(f"make gpu-rehearsal: {error}", file=sys.stderr)
            return 2
        before, started_s = files_in(environment), time.monotonic()
        code = rehearse(clone, python, folder)
        seconds = time.monotonic() - started_s
        faults = faults_of(clone, code, seconds) + changes(before, files_in(environment))
        faults += [f"it left {path}" for name in (HOME, TEMPORARY) for path in (folder / name).iterdir()]
    for text in faults:
        print(f"make gpu-rehearsal: {text}", file=sys.stderr)
    print(f"rehearsal {'failed' if faults else 'passed'} in {seconds:.0f} s")
    return 1 if faults else 0


def build(environment: Path) -> Path:
    """Return the Python of a virtual environment with PACKAGES, which is built if the folder is missing.

    Raises:
        LookupError: there is no Python 3.12.
        subprocess.CalledProcessError: pip failed.
    """
    python = environment / "bin" / "python"
    if not environment.exists():
        version = ".".join(map(str, kit.PYTHON))
        base = sys.executable if sys.version_info[:2] == kit.PYTHON else shutil.which(f"python{version}")
        if base is None:
            raise LookupError(f"found no python{version}")
        print(f"building {environment}", flush=True)
        subprocess.run([base, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def copy(clone: Path, python: Path) -> Path:
    """Clone the last commit, and fill its gpu-kit/. Returns the clone.

    Raises:
        subprocess.CalledProcessError: git or pip failed.
    """
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    if changed.stdout:
        print("uncommitted changes are not rehearsed", flush=True)
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
    subprocess.run(["make", "--silent", "gpu-kit", f"PYTHON={python}"], cwd=clone, check=True)
    return clone


def rehearse(clone: Path, python: Path, folder: Path) -> int:
    """Run `make gpu DEVICE=cpu` in the clone, and return its exit code.

    Its network has only a loopback device, and its home and temporary folders are empty.
    """
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    for variable, name in (("HOME", HOME), ("TMPDIR", TEMPORARY)):
        (folder / name).mkdir()
        environment[variable] = str(folder / name)
    words = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"])]
    words += ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    words += ["make", "--silent", "gpu", "DEVICE=cpu", f"PYTHON={python}"]
    return subprocess.run(words, cwd=clone, env=environment, check=False).returncode


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of each file in a folder, without compiled Python."""
    files = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(parent, name)
            about = path.lstat()
            files[str(path)] = about.st_size, about.st_mtime_ns
    return files


def changes(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    """Return a text if files were added, removed or changed."""
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return [f"{len(changed)} files of the environment changed, such as {changed[0]}"] if changed else []


def faults_of(clone: Path, code: int, seconds: float) -> list[str]:
    """Return what is wrong after a run in a clone.

    Args:
        clone: the folder of the clone.
        code: exit code of the run.
        seconds: how long it took.
    """
    results = clone / "gpu-results"
    steps = read(results / "gpu.json")["steps"]
    faults = [f"make gpu ended with exit code {code}"] if code else []
    faults += [f"the step {step.name} did not run" for step in STEPS if step.name not in steps]
    faults += [f"the step {name}: {part['state']}" for name, part in steps.items() if part["state"] != PASSED]
    if seconds > MOST_S:
        faults.append(f"it took {seconds:.0f} s, more than {MOST_S} s")
    for name in ("gpu.md", "trace.json.gz"):
        if not (results / name).exists():
            faults.append(f"gpu-results/{name} is missing")
    trace = results / "trace.json.gz"
    if trace.exists() and (mib := trace.stat().st_size / 2**20) > MOST_TRACE_MIB:
        faults.append(f"the trace takes {mib:.1f} MiB, more than {MOST_TRACE_MIB} MiB")
    left = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    return faults + [f"it left in the clone: {line}" for line in left.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
