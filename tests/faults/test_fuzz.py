"""Thousands of changed inputs, cases 62 and 63 of docs/reliability.md: what cameras send, and configuration files.

`make faults` takes some of them, `make fuzz` the rest. tests/fuzz makes the inputs, and repeats one by its seed.
"""

import contextlib
import logging
import random
import re
import signal
import statistics
import threading
import time
from pathlib import Path

import pytest
import yaml

from realtime import pipeline as pipeline_module
from realtime.config import load
from realtime.errors import ConfigError
from realtime.pipeline import Pipeline
from tests.doubles import wait_until
from tests.fuzz import pool
from tests.fuzz.configs import FIRST, configuration
from tests.fuzz.inputs import KINDS
from tests.fuzz.mutate import Mutator
from tests.fuzz.summary import growth_mb, summary

from .fakecam import CameraProcess
from .rig import QUICK, Program
from .test_strange_cameras import share_published

FAULTS, FUZZ = pytest.mark.faults, pytest.mark.fuzz
# The most memory that one input may take: a picture of 64 million pixels, decoded twice and converted to BGR.
MOST_MB = 800
# Inputs through the whole program, in rounds, because each is a camera.
ROUNDS, CAMERAS, ROUND_S = 5, 10, 3.0


@pytest.mark.parametrize("inputs", [pytest.param(300, marks=FAULTS), pytest.param(5000, marks=FUZZ)])
@pytest.mark.timeout(3600)
def test_62_no_input_ends_a_camera_s_thread(inputs, figure):
    outcomes = pool.run(range(inputs))
    print(summary(outcomes))
    each = [outcome for own in outcomes for outcome in own]
    harm = [f"seed {outcome.seed}: {outcome.harm}" for outcome in each if outcome.harm]
    assert len(each) == inputs
    what = f"{inputs} inputs of cameras"
    assert not harm, "\n".join([*harm[:20], summary(outcomes), "repeat one with: python -m tests.fuzz SEED"])
    figure("62", f"{what}: that would end the run, crash, hang or take more than 1 s too long", len(harm), at_most=0)
    figure("62", f"{what}: with an unexpected exception (internal error)", sum(bool(o.internal) for o in each))
    figure("62", f"{what}: slowest", max(outcome.seconds for outcome in each), "s", at_most=20)
    figure("62", f"{what}: most memory for one", max(outcome.peak_mb for outcome in each), "MB", at_most=MOST_MB)
    figure("62", f"{what}: memory growth of a process after the first third", growth_mb(outcomes), "MB", at_most=15)


@FAULTS
def test_62_fifty_inputs_do_not_disturb_a_healthy_camera_of_the_program(tmp_path, figure, yolov8n):
    seeds = iter(range(1000))
    with CameraProcess("--size=320x240") as well:
        entries = [{"name": "well", "source": well.url()}]
        file = tmp_path / "cameras.yaml"
        file.write_text(yaml.safe_dump({"cameras": entries}))
        with Program("--config", str(file), folder=tmp_path) as program:
            first_s = program.until_pose("well").at_s
            for _ in range(ROUNDS):
                with contextlib.ExitStack() as stack:
                    chosen = [next(seeds) for _ in range(CAMERAS)]
                    odd = [camera_of(seed, tmp_path / f"s{seed}", stack) for seed in chosen]
                    file.write_text(yaml.safe_dump({"cameras": [*entries, *odd]}))
                    program.process.send_signal(signal.SIGHUP)
                    program.run_for(ROUND_S)
            code, took_s = program.end()
    print("".join(program.log))
    assert not any("the run failed" in line for line in program.log)
    # A file that is served over HTTP and ends early is said at the end, in the exit code too.
    assert code == any("the file is truncated" in line or "the file is damaged" in line for line in program.log)
    assert sum("reload: added" in line for line in program.log) == ROUNDS
    what = f"{ROUNDS * CAMERAS} inputs of cameras through the program"
    share = share_published(program.poses("well"), first_s)
    figure("62", f"{what}: pictures of a healthy camera that are published", share, "%", at_least=95)
    figure("62", f"{what}: program exits after", took_s, "s", at_most=3)


def camera_of(seed, folder, stack):
    """Serve the input of a seed until the stack is closed; return its entry in the configuration."""
    folder.mkdir()
    address = stack.enter_context(KINDS[seed % len(KINDS)](Mutator(seed), folder))
    return {"name": f"s{seed}", "source": address, "open_timeout_s": 1.5, "read_timeout_s": 0.5}


class Reloading:
    """The pipeline on a thread of this process, which reads a configuration file again and again."""

    def __init__(self, file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file, self._flags = file, QUICK | {"publish.bind": [f"ipc://{folder}/stream"], "loop": "true"}
        self.refused = False
        self._done = threading.Event()
        self.pipeline = Pipeline(self._read(), self._read)
        reload = self.pipeline._reload
        poll = reload.poll

        def poll_and_tell():
            change = poll()
            if change is None and reload._thread is None and not reload._is_asked:
                self._done.set()  # the change that came before was applied
            return change

        monkeypatch.setattr(reload, "poll", poll_and_tell)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="run", daemon=True)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self.pipeline.status["well"].published)
        return self

    def __exit__(self, *_):
        self.pipeline.stop()
        self._thread.join(30)

    def _run(self):
        try:
            self.pipeline.run()
        except BaseException as error:
            self.error = error

    def _read(self):
        self.refused = True
        config = load([self._file], environment={}, flags=self._flags, warn=lambda line: None)
        if not config.cameras:  # as realtime.cli does
            raise ConfigError("no source")
        self.refused = False
        return config

    def reload(self):
        """Read the file, and return the seconds until that is done."""
        began_s = time.monotonic()
        self._done.clear()
        self.pipeline.reload()
        while not self._done.wait(0.05):
            assert self._thread.is_alive(), self.error
            assert time.monotonic() - began_s < 30, "the reload hangs"
        return time.monotonic() - began_s

    def cameras(self):
        return {name: member.config for name, member in self.pipeline._fleet._members.items()}


@FAULTS
@pytest.mark.timeout(300)
def test_63_a_thousand_configuration_files_are_applied_or_change_nothing(tmp_path, figure, yolov8n, monkeypatch):
    monkeypatch.setattr(pipeline_module, "_TICK_S", 0.002)  # a reload waits for a tick
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # pytest would keep all lines: it grows
    file = tmp_path / "cameras.yaml"
    file.write_bytes(FIRST)
    took_s, resident_mb, applied = [], [], 0
    with Reloading(file, tmp_path, monkeypatch) as run:
        for seed in range(1000):
            before = run.cameras()
            file.write_bytes(configuration(seed))
            took_s.append(run.reload())
            assert not run.refused or run.cameras() == before, f"seed {seed}: refused, but it changed the cameras"
            applied += not run.refused
            resident_mb.append(int(re.search(r"VmRSS:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1e3)
            # A camera may open its source after the reload.
            assert run.error is None, f"seed {seed} or one before it ended the run: {run.error!r}"
    assert run.error is None, run.error
    figure("63", "1000 configuration files: applied", applied, at_least=150)
    figure("63", "1000 configuration files: slowest reload", max(took_s), "s", at_most=1)
    # Medians, because the memory of the frames in flight comes and goes.
    grown_mb = statistics.median(resident_mb[667:]) - statistics.median(resident_mb[333:667])
    figure(
        "63", "1000 configuration files: memory growth from the second third to the last", grown_mb, "MB", at_most=15
    )


@FAULTS
def test_63_fifty_configuration_files_through_the_whole_program(tmp_path, figure, yolov8n):
    file = tmp_path / "cameras.yaml"
    file.write_bytes(FIRST)
    seeds = random.Random(0).sample(range(1000, 3000), 50)
    with Program("--config", str(file), "--loop", folder=tmp_path) as program:
        program.until_pose("well")
        for seed in seeds:
            file.write_bytes(configuration(seed))
            lines = sum("reload: " in line for line in program.log)
            program.process.send_signal(signal.SIGHUP)
            program.until(lambda lines=lines: sum("reload: " in line for line in program.log) > lines, what=seed)
        file.write_bytes(FIRST)
        program.process.send_signal(signal.SIGHUP)
        since_s = time.monotonic()
        back = program.until_pose("well", since_s=since_s)
        code, took_s = program.end()
    assert code == 0
    assert not any("Traceback" in line for line in program.log), program.log
    figure(
        "63", "50 configuration files through the program: first pose afterwards", back.at_s - since_s, "s", at_most=5
    )
    figure("63", "50 configuration files through the program: program exits after", took_s, "s", at_most=3)
