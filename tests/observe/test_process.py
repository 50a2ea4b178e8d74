import pytest

from realtime.observe import process


def test_work_takes_cpu_seconds():
    before = process.cpu_s()
    while process.cpu_s() == before:
        sum(range(10_000))
    assert process.cpu_s() > before


def test_memory_that_is_held_is_resident_and_its_peak_is_no_less():
    before = process.rss_mb()
    held = bytearray(64 * 2**20)
    held[::4096] = b"x" * len(held[::4096])  # a page is resident once it is written
    assert process.rss_mb() - before == pytest.approx(64, abs=16)
    assert process.peak_rss_mb() >= process.rss_mb() - 1


def test_a_system_without_proc_tells_the_peak(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "_STATM", tmp_path / "statm")
    assert process.rss_mb() == pytest.approx(process.peak_rss_mb(), abs=1)
