"""`make gpu`: run the steps, each in a process of its own with a time limit, and write the results.

    python -m tests.bench.gpu [--device cuda:0] [--out gpu-results] [--kit gpu-kit] [--short] [STEP ...]

Needs no network and installs nothing into the environment: packages that it lacks come from the folder of wheels that
`make gpu-kit` filled. Exit code 0 if all steps passed, 1 if one failed or ended early, 2 if it can't start.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.gpu import kit
from tests.bench.gpu.about import about
from tests.bench.gpu.record import CRASHED, ENDED_EARLY, FAILED, PASSED, Record, read, write
from tests.bench.gpu.steps import SPARE_S, STEPS, TOTAL_S, Job, Step, limit_s
from tests.bench.gpu.table import markdown

ROOT = Path(__file__).parents[3]
# Seconds between the request to end and the end by force.
_GRACE_S = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    started_s = time.monotonic()
    options = _options(argv)
    results = options.out / "gpu.json"
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "gpu.log").touch()
    except OSError as error:
        print(
            f"make gpu: can't write to {options.out}: {error.strerror}; choose another folder: OUT=DIR", file=sys.stderr
        )
        return 2
    if options.one:
        return _run_one(options, results)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the step that runs, too
    for name in ("gpu.json", "gpu.md", "gpu.log", "trace.json.gz"):
        (options.out / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="realtime-pose-gpu-") as name:
        folder = Path(name)
        try:
            site = kit.install(options.kit, folder / "site")
        except kit.KitError as error:
            print(f"make gpu: {error}", file=sys.stderr)
            return 2
        environment = _environment(folder, site)
        told = about(options.device, environment, ROOT)
        if "error" in told:
            print(f"make gpu: {told['error']}", file=sys.stderr)
            return 2
        write(results, {"about": told | {"short": options.short}, "steps": {}})
        for step in [step for step in STEPS if not options.steps or step.name in options.steps]:
            _start(step, limit_s(step, time.monotonic() - started_s), options, folder, environment)
            _write_tables(results)
    done = read(results)
    done["about"]["seconds"] = round(time.monotonic() - started_s, 1)
    write(results, done)
    print(_write_tables(results))
    bad = [name for name, part in done["steps"].items() if part["state"] != PASSED]
    print(f"{len(done['steps']) - len(bad)} steps passed in {done['about']['seconds']:.0f} s"
          + (f"; not passed: {', '.join(bad)}" if bad else "") + f"; results: {options.out}")  # fmt: skip
    return 1 if bad else 0


def _write_tables(results: Path) -> str:
    """Write gpu.md, and return it. Whatever is wrong with it, the figures are in gpu.json, and the run goes on."""
    try:
        text = markdown(read(results))
    except Exception:
        text = traceback.format_exc()
    results.with_suffix(".md").write_text(text)
    return text


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    names = [step.name for step in STEPS]
    add("steps", nargs="*", metavar="STEP", help=f"some of {', '.join(names)}; default: all")
    add("--device", default="cuda:0", help="the device to prove: cuda, cuda:N or cpu; default cuda:0")
    add("--out", type=Path, default=ROOT / "gpu-results", help="folder of the results; default gpu-results")
    add("--kit", type=Path, default=ROOT / "gpu-kit", help="folder of wheels from `make gpu-kit`; default gpu-kit")
    add("--short", action="store_true", help="tiny networks and short runs; always so on a CPU")
    add("--one", nargs=2, metavar=("STEP", "SECONDS"), help=argparse.SUPPRESS)
    add("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if unknown := set(options.steps) - set(names):
        parser.error(f"no such step: {min(unknown)}; expected some of {', '.join(names)}")
    options.device = "cuda:0" if options.device == "cuda" else options.device
    options.short |= options.device == "cpu"
    options.out, options.kit = options.out.absolute(), options.kit.absolute()
    return options


def _environment(folder: Path, site: Path | None) -> dict[str, str]:
    """Return the environment of the steps: the kit's packages, no network, caches in a folder that is removed."""
    environment = dict(os.environ)
    if site is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    fixed = {"HF_HUB_OFFLINE": "1", "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "PYTHONUNBUFFERED": "1",
             "OMP_WAIT_POLICY": "PASSIVE"}  # fmt: skip  # threads that spin slow each other down on a few cores
    folders = {"XDG_CACHE_HOME": folder / "cache", "YOLO_CONFIG_DIR": folder / "yolo", "TMPDIR": folder / "tmp"}
    folders["TMPDIR"].mkdir()  # a step that is killed leaves its temporary files, too
    return environment | fixed | {name: str(path) for name, path in folders.items()}


def _start(
    step: Step, most_s: float, options: argparse.Namespace, folder: Path, environment: Mapping[str, str]
) -> None:
    """Run a step in its own process, and kill it and its children at the limit."""
    record = Record(options.out / "gpu.json", step.name)
    if most_s <= 2 * SPARE_S:
        record.leave_out(f"the step: no time was left within {TOTAL_S:.0f} s")
        record.set_state(ENDED_EARLY)
        return
    print(f"--- {step.name}: {step.about} (at most {most_s:.0f} s)", flush=True)
    words = [sys.executable, "-m", "tests.bench.gpu", "--device", options.device, "--out", str(options.out)]
    words += ["--folder", str(folder), "--one", step.name, f"{most_s - SPARE_S:.1f}"]
    started_s = time.monotonic()
    with (options.out / "gpu.log").open("ab") as log:
        log.write(f"--- {step.name}\n".encode())
        log.flush()
        process = subprocess.Popen(
            [*words, *(["--short"] if options.short else [])],
            cwd=ROOT, env=dict(environment), stdin=subprocess.DEVNULL, stderr=log, start_new_session=True,
        )  # fmt: skip
        state = _follow(process, most_s)
    record.set_state(state or (FAILED if record.failures else PASSED), time.monotonic() - started_s)
    if state == CRASHED and not record.failures:
        record.fail(f"the step's process ended with exit code {process.returncode}; its output is in gpu.log")
        record.set_state(CRASHED, time.monotonic() - started_s)


def _follow(process: subprocess.Popen[bytes], most_s: float) -> str | None:
    """Wait for a step. Returns ENDED_EARLY if it was killed at its limit, CRASHED if it failed to end well, or None."""
    try:
        process.wait(most_s)
    except subprocess.TimeoutExpired:
        return ENDED_EARLY
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):  # its children too, if some are left
            try:
                os.killpg(process.pid, number)
                process.wait(_GRACE_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
    return CRASHED if process.returncode else None


def _run_one(options: argparse.Namespace, results: Path) -> int:
    """Run one step in this process."""
    name, seconds = options.one
    record = Record(results, name)
    record.set_state("running")
    job = Job(options.device, options.short, record, time.monotonic() + float(seconds), options.folder, options.out)
    try:
        importlib.import_module(f"tests.bench.gpu.{name}").run(job)
    except Exception as error:  # whatever happens in a step, the other steps run
        traceback.print_exc()
        record.fail(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
