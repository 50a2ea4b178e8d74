from collections.abc import Sequence
from pathlib import Path

import pytest

from realtime.evaluate.bench import command
from realtime.evaluate.bench.sections import Section
from tests.recordings.recorded import of_camera, record


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Section]:
    """Replace the sections by two, of which the first reads a small recording, and what `auto` chose by a fake."""
    recording = tmp_path / "x.jsonl"
    record(recording, *of_camera(1000, n=1, k=17))
    some = Section("latency", f"latency {recording}", ("", "--camera cam9"), (3, 1), lambda data: {"p50": RANGE})
    other = Section("other", "latency {clip}", ("", ""), (2, 1), lambda data: {"x": RANGE})
    monkeypatch.setattr(command, "SECTIONS", (some, other))
    monkeypatch.setattr(command, "chosen", lambda folder: {"device": "cpu", "detector_engine": "openvino bf16"})
    return [some, other]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace the process of a section by a fake, and return the commands that ran."""
    ran: list[list[str]] = []

    def measure(words: Sequence[str], file: Path) -> None:
        ran.append(list(words))
        file.write_text('{"title": "t"}')

    monkeypatch.setattr(command, "measure", measure)
    return ran


RANGE = {"median": 2.0, "min": 1.5, "max": None}
