"""Compiled loops: they run whatever becomes of numba's cache."""

import os
from pathlib import Path

import numpy as np
import pytest

from realtime.runtime.native import compile_loops

SOURCE = """
def double(values):
    for i in range(len(values)):
        values[i] *= 2
"""


def double_in(folder: Path) -> object:
    """A function whose source is a file in this folder."""
    path = folder / "loops.py"
    path.write_text(SOURCE)
    names: dict[str, object] = {"__name__": "loops", "__file__": str(path)}
    exec(compile(SOURCE, path, "exec"), names)
    return names["double"]


def check(function: object) -> object:
    compiled = compile_loops(function, "float32[:]")  # type: ignore[arg-type]
    values = np.ones(3, np.float32)
    compiled(values)
    np.testing.assert_array_equal(values, 2)
    return compiled


def hits(compiled: object) -> int:
    return sum(compiled.stats.cache_hits.values())  # type: ignore[attr-defined]


def test_compiled_code_is_cached_beside_the_source(tmp_path: Path) -> None:
    assert hits(check(double_in(tmp_path))) == 0
    assert hits(check(double_in(tmp_path))) == 1


def test_cached_code_is_not_read_where_others_could_have_changed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    assert hits(check(double_in(tmp_path))) == 0
    assert hits(check(double_in(tmp_path))) == 1
    (tmp_path / "cache").chmod(0o777)
    assert hits(check(double_in(tmp_path))) == 0


@pytest.mark.parametrize("harm", ["truncate", "exchange"])
def test_a_damaged_cache_is_no_obstacle(tmp_path: Path, harm: str) -> None:
    check(double_in(tmp_path))
    for file in (tmp_path / "__pycache__").iterdir():
        os.truncate(file, 10) if harm == "truncate" else file.write_bytes(b"x" * 1000)
    check(double_in(tmp_path))


def test_a_full_disk_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", fail)
    check(double_in(tmp_path))
