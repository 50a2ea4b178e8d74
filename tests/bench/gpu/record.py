"""gpu.json: the results of all steps, on disk after each single one, so that an early end loses nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

# Of a step.
RUNNING, PASSED, FAILED, ENDED_EARLY, CRASHED = "running", "passed", "failed", "ended early", "crashed"


class Record:
    """One step's part of the results file.

    Example::

        record = Record(Path("gpu.json"), "parity")
        record.put("vitpose-s fp16", p99_px=0.2)
        record.fail("vitpose-s bf16: keypoints p99 1.3 px of the crop, expected at most 1")

    The file: {"about": {...}, "steps": {STEP: {"state", "seconds", "entries": {NAME: {FIGURE: value}},
    "failures": [text], "left_out": [text]}}}. A step that misses a limit adds a failure; its state is then `failed`.
    """

    def __init__(self, file: Path, step: str) -> None:
        self._file, self._step = file, step

    def put(self, name: str, **figures: object) -> None:
        """Add an entry, or replace it. Figures have their unit in their name."""
        self._change(lambda part: part["entries"].update({name: figures}))
        shown = {key: value for key, value in figures.items() if not isinstance(value, list | dict)}
        told = ", ".join(f"{key} {_brief(value)}" for key, value in shown.items())
        print(f"{self._step}: {name}: {told}", flush=True)

    def fail(self, text: str) -> None:
        """Add a failure: the step goes on, and counts as failed."""
        self._change(lambda part: part["failures"].append(text))
        print(f"{self._step}: FAILED: {text}", flush=True)

    def leave_out(self, text: str) -> None:
        """Record what was not done, and why."""
        self._change(lambda part: part["left_out"].append(text))
        print(f"{self._step}: left out: {text}", flush=True)

    def set_state(self, state: str, seconds: float = 0.0) -> None:
        """Set the step's state and how long it has taken (s)."""
        self._change(lambda part: part.update(state=state, seconds=round(seconds, 1)))

    @property
    def failures(self) -> list[str]:
        """The failures so far."""
        return list(self._part(read(self._file))["failures"])

    def _change(self, change: Any) -> None:
        results = read(self._file)
        change(self._part(results))
        write(self._file, results)

    def _part(self, results: dict[str, Any]) -> dict[str, Any]:
        empty = {"state": RUNNING, "seconds": 0.0, "entries": {}, "failures": [], "left_out": []}
        return results["steps"].setdefault(self._step, empty)


def read(file: Path) -> dict[str, Any]:
    """Return the results in a file; empty results if there is none."""
    return json.loads(file.read_text()) if file.exists() else {"about": {}, "steps": {}}


def write(file: Path, results: dict[str, Any]) -> None:
    """Write the results so that the file is complete at every moment."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(_finite(results), indent=1, default=str) + "\n")
    new.replace(file)


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity: None in their place."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str):  # a number of numpy or torch
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _brief(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
