import math
from pathlib import Path

from realtime.runtime.core_budget import quota


def test_the_smallest_quota_of_a_cgroup_and_its_ancestors_applies(tmp_path: Path) -> None:
    service = tmp_path / "system.slice" / "pose.service"
    service.mkdir(parents=True)
    assert quota(tmp_path, "system.slice/pose.service") == math.inf
    (service / "cpu.max").write_text("max 100000\n")
    assert quota(tmp_path, "system.slice/pose.service") == math.inf
    (tmp_path / "system.slice" / "cpu.max").write_text("250000 100000\n")
    assert quota(tmp_path, "system.slice/pose.service") == 3
    (service / "cpu.max").write_text("50000 100000\n")
    assert quota(tmp_path, "system.slice/pose.service") == 1
    assert quota(tmp_path, "") == math.inf


def test_the_root_s_quota_applies_in_a_container(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    assert quota(tmp_path, "") == 2
    assert quota(tmp_path, "somewhere/else") == 2
