"""The packages that `make gpu` needs and a machine with torch lacks, as a folder of wheels.

    python -m tests.bench.gpu.kit [--kit gpu-kit]

Downloads the wheels that wheels.txt lists, with their hashes, into the folder (`make gpu-kit`; needs a package index).
`install` then needs no network, and changes nothing in the environment. This file uses the standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
LIST = Path(__file__).with_name("wheels.txt")
# The kit must be small enough to be copied along with the project.
MOST_MIB = 60
# What the wheels are for. pip takes a wheel only if its platform is named exactly: manylinux_2_NN needs glibc 2.NN.
PYTHON = (3, 12)
_MACHINE = "Linux x86_64"
_PLATFORMS = ["manylinux1_x86_64", "manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 36))]


class KitError(Exception):
    """The kit can't be made or used; the message says what to do."""


class Wheel(NamedTuple):
    """One line of wheels.txt."""

    name: str
    version: str
    sha256: str


def listed(text: str) -> list[Wheel]:
    """Return the wheels in a text of the form of wheels.txt: NAME==VERSION --hash=sha256:DIGEST, and comments.

    Raises:
        ValueError: a line has another form.
    """
    wheels = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([\w.-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", line.strip())
        if found is None:
            raise ValueError(f"got {line!r}; expected NAME==VERSION --hash=sha256:DIGEST")
        wheels.append(Wheel(*found.groups()))
    return wheels


# ---- on the machine with the GPU


def install(kit: Path, site: Path, wheels: Sequence[Wheel] | None = None) -> Path | None:
    """Install the packages that this environment lacks into a folder, from the kit.

    Args:
        kit: the folder of wheels.
        site: a folder for the packages, to be named in PYTHONPATH. Created if a package is missing.
        wheels: the packages that are needed; None: those of wheels.txt. A package that the environment has in another
            version is left as it is.

    Returns:
        `site`, or None if the environment lacks none of the packages.

    Raises:
        KitError: packages are missing, and can't be installed from this kit into this Python.
    """
    missing = [wheel for wheel in (listed(LIST.read_text()) if wheels is None else wheels) if not _is_there(wheel.name)]
    if not missing:
        return None
    lacks = f"{sys.executable} lacks {', '.join(wheel.name for wheel in missing)}"
    here = f"{platform.system()} {platform.machine()}"
    if sys.version_info[:2] != PYTHON or here != _MACHINE:
        wanted, found = (f"Python {major}.{minor}" for major, minor in (PYTHON, sys.version_info[:2]))
        raise KitError(f"{lacks}; the wheels of the kit are for {wanted} on {_MACHINE}, and this is {found} on {here}. "
                       f"Name another one: make gpu PYTHON=...")  # fmt: skip
    if not kit.is_dir():
        raise KitError(f"{lacks}, and there is no folder {kit}; run `make gpu-kit` where there is a package index, "
                       "and copy gpu-kit/ here")  # fmt: skip
    files = [_checked(kit, wheel) for wheel in missing]
    _pip("install", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--target", site, *files, alone=True)
    return site


def _is_there(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _checked(kit: Path, wheel: Wheel) -> Path:
    """Return the file of a wheel in the kit.

    Raises:
        KitError: it is missing or damaged.
    """
    again = "run `make gpu-kit` again where there is a package index, and copy gpu-kit/ here"
    key = _normal(wheel.name), wheel.version
    files = [file for file in kit.glob("*.whl") if _key(file) == key]
    if not files:
        raise KitError(f"{kit} holds no wheel of {wheel.name} {wheel.version}; {again}")
    for file in files:
        if hashlib.sha256(file.read_bytes()).hexdigest() == wheel.sha256:
            return file
    raise KitError(f"{files[0]} is damaged: its hash differs from that in {LIST.name}; {again}")


def _key(file: Path) -> tuple[str, str]:
    """The name and version of a wheel, from its file name."""
    name, version = (*file.name.split("-"), "")[:2]
    return _normal(name), version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip(*words: str | Path, alone: bool = False) -> None:
    """Run pip.

    Args:
        words: its arguments.
        alone: without the settings of the machine (constraints, folders of wheels), which an index may need.

    Raises:
        KitError: this Python has no pip, or pip failed.
    """
    if importlib.util.find_spec("pip") is None:
        raise KitError(f"{sys.executable} has no pip; run {sys.executable} -m ensurepip, or name another Python")
    environment = {name: value for name, value in os.environ.items() if not (alone and name.startswith("PIP_"))}
    if alone:
        environment["PIP_CONFIG_FILE"] = os.devnull
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or done.stderr.splitlines()
        raise KitError(f"pip {words[0]} failed: {' '.join(errors[-3:]) or 'no error message'}")


# ---- on a machine with a package index


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu.kit", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--kit", type=Path, default=ROOT / "gpu-kit", help="the folder to fill; default gpu-kit")
    kit = parser.parse_args(argv).kit.absolute()
    try:
        files = download(kit, listed(LIST.read_text()))
        mib = checked_size_mib(files)
    except KitError as error:
        print(f"make gpu-kit: {error}", file=sys.stderr)
        return 1
    print(f"{kit}: {len(files)} wheels, {mib:.1f} MiB of at most {MOST_MIB} MiB; copy it along with the project")
    return 0


def download(kit: Path, wheels: Sequence[Wheel]) -> list[Path]:
    """Fill a folder with wheels, remove other wheels from it, and return its files.

    Raises:
        KitError: a wheel can't be had.
    """
    kit.mkdir(parents=True, exist_ok=True)
    _tidy(kit, wheels)  # pip keeps a file that is there, even if it is damaged
    platforms = [word for name in _PLATFORMS for word in ("--platform", name)]
    version = ["--implementation", "cp", "--python-version", ".".join(map(str, PYTHON)), "--only-binary", ":all:"]
    _pip("download", "--no-deps", "--require-hashes", "--requirement", LIST, "--dest", kit, *version, *platforms)
    return [_checked(kit, wheel) for wheel in wheels]


def _tidy(kit: Path, wheels: Sequence[Wheel]) -> None:
    """Remove the wheels that are not wanted, or damaged."""
    wanted = {wheel.sha256 for wheel in wheels}
    for file in kit.glob("*.whl"):
        if hashlib.sha256(file.read_bytes()).hexdigest() not in wanted:
            file.unlink()


def checked_size_mib(files: Sequence[Path]) -> float:
    """Return the size of all files in MiB.

    Raises:
        KitError: it exceeds MOST_MIB.
    """
    mib = sum(file.stat().st_size for file in files) / 2**20
    if mib > MOST_MIB:
        raise KitError(f"the wheels take {mib:.1f} MiB, more than {MOST_MIB} MiB; take some out of {LIST.name}")
    return mib


if __name__ == "__main__":
    sys.exit(main())
