"""The file that `bench --json` writes: its layout, and how it is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from realtime.errors import ConfigError

# A file of all sections has about 50 kB.
_MOST_BYTES = 50_000_000


class Figure(msgspec.Struct):
    """A figure of several rounds; null for what could not be measured."""

    median: float | None
    min: float | None
    max: float | None


class Result(msgspec.Struct):
    """One section.

    Attributes:
        seconds: how long it took.
        figures: its figures by name, mostly ratios of ours to another side; the others have a unit in their name.
        data: all that its command wrote as JSON.
        error: why it failed; then there are no figures.
    """

    seconds: float
    figures: dict[str, Figure] = {}
    data: object = None
    error: str | None = None


class Machine(msgspec.Struct):
    """The machine that was measured.

    Attributes:
        processor: its name.
        instructions: the instruction sets that decide how fast networks run, as Linux names them.
        cores: number of cores that the programs could use.
        memory_gb: memory; None if unknown.
        system: operating system and architecture.
        python: version of Python.
        program: version of this program.
        libraries: versions by name.
        auto: the device, the models, and their engines with the precision, that the program chose by itself.
    """

    processor: str
    instructions: list[str]
    cores: int
    memory_gb: float | None
    system: str
    python: str
    program: str
    libraries: dict[str, str]
    auto: dict[str, str]

    def in_words(self) -> str:
        """Return the facts that matter most, on one line."""
        engines = {self.auto[part] for part in ("detector_engine", "pose_engine") if part in self.auto}
        memory = "" if self.memory_gb is None else f", {self.memory_gb:.0f} GB"
        known = ", ".join(self.instructions) or "instruction sets unknown"
        chosen = ", ".join(sorted(engines)) or "unknown"
        return f"{self.processor} ({known}), {self.cores} cores{memory}; auto: {chosen}"


class Bench(msgspec.Struct):
    """The whole file.

    Attributes:
        format: the version of this layout.
        quick: whether it was measured with `--quick`.
        machine: the machine.
        commands: the commands that were run, in the order of the sections.
        sections: the results by name.
    """

    format: Literal[1]
    quick: bool
    machine: Machine
    commands: list[str]
    sections: dict[str, Result]


def read(file: Path) -> Bench:
    """Read a file that `bench --json` wrote.

    Raises:
        ConfigError: it can't be read, or has another format.
    """
    try:
        with file.open("rb") as stream:
            return msgspec.json.decode(stream.read(_MOST_BYTES), type=Bench)
    except OSError as error:
        raise ConfigError(f"--compare: {file} can't be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"--compare: {file}: expected a file of format 1 that bench --json wrote: {error}") from None
