import pytest
import torch

from tests.bench.gpu import memory
from tests.bench.gpu.memory import Peak, Point, larger, per_camera, per_person, used

POINTS = [
    Point(1, 1, {"rss_mib": 1000, "reserved_mib": 500}),
    Point(1, 8, {"rss_mib": 1014, "reserved_mib": 507}),
    Point(1, 64, {"rss_mib": 1126, "reserved_mib": 563}),
    Point(8, 8, {"rss_mib": 1154, "reserved_mib": 647}),
]


def test_a_person_s_memory_comes_from_the_ends_of_the_line_with_one_camera() -> None:
    assert per_person(POINTS) == {"rss_mib": pytest.approx(2), "reserved_mib": pytest.approx(1)}


def test_a_camera_s_memory_comes_from_scenes_with_the_same_people() -> None:
    assert per_camera(POINTS) == {"rss_mib": pytest.approx(20), "reserved_mib": pytest.approx(20)}


def test_too_few_scenes_tell_nothing() -> None:
    assert per_person([]) == per_person(POINTS[:1]) == {}
    assert per_camera(POINTS[:3]) == {}


def test_the_larger_of_each_figure_is_the_peak() -> None:
    assert larger({"a": 1, "b": 2}, {"b": 1, "c": 3}) == {"a": 1, "b": 2, "c": 3}


def test_a_cpu_has_only_resident_memory() -> None:
    assert list(used("cpu")) == ["rss_mib"]
    peak = Peak("cpu")
    peak.watch(0.05)()
    assert peak.figures()["rss_mib"] > 0


def test_on_cuda_the_peaks_are_torch_s_own_and_the_device_s_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    mib, calls = 2**20, []
    fakes = {
        "mem_get_info": lambda device: (900 * mib, 1000 * mib),
        "memory_allocated": lambda device: 10 * mib,
        "memory_reserved": lambda device: 20 * mib,
        "max_memory_allocated": lambda device: 15 * mib,
        "max_memory_reserved": lambda device: 25 * mib,
        "reset_peak_memory_stats": calls.append,
        "empty_cache": lambda: None,
        "host_memory_stats": lambda: {"active_bytes.current": 3 * mib, "active_bytes.peak": 4 * mib},
        "reset_peak_host_memory_stats": lambda: None,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake, raising=False)
    peak = Peak("cuda:1")
    assert calls == ["cuda:1"]
    peak.watch(0.05)()
    seen = peak.figures()
    assert seen.pop("rss_mib") > 0
    assert seen == {"allocated_mib": 15, "reserved_mib": 25, "device_mib": 100, "pinned_mib": 4}
    monkeypatch.delattr(torch.cuda, "host_memory_stats")
    assert "pinned_mib" not in memory.used("cuda:1")
