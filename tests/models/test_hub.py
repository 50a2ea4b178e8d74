import errno
import os
from pathlib import Path

import pytest

from realtime.models import hub
from realtime.models.hub import Hub


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make each probe of the hub fail, and record it here."""
    probes: list[str] = []
    monkeypatch.setattr(hub, "_probe", lambda endpoint: probes.append(endpoint))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return probes


def test_a_failed_probe_is_remembered_in_a_folder_of_this_user_only(tmp_path: Path, probes: list[str]) -> None:
    for _ in range(2):
        assert not Hub(tmp_path / "cache").reachable(trust_memory=True)
    assert len(probes) == 1
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "cache" / "hub-unreachable").stat().st_mode & 0o777 == 0o600


def test_a_mark_that_others_could_have_made_is_ignored_and_none_is_made(tmp_path: Path, probes: list[str]) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "hub-unreachable").symlink_to(tmp_path / "victim")
    for _ in range(2):
        assert not Hub(tmp_path).reachable(trust_memory=True)
    assert len(probes) == 2
    assert not (tmp_path / "victim").exists()


def test_a_mark_of_a_clock_that_was_ahead_is_ignored(tmp_path: Path, probes: list[str]) -> None:
    Hub(tmp_path).reachable(trust_memory=True)
    os.utime(tmp_path / "hub-unreachable", (2**32, 2**32))
    Hub(tmp_path).reachable(trust_memory=True)
    assert len(probes) == 2


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied"), OSError(errno.EIO, "I/O error")])
def test_a_cache_of_the_hub_that_can_not_be_read_counts_as_empty(
    tmp_path: Path, probes: list[str], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(*args: object, **keywords: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", fail)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    assert hub.downloaded("Ultralytics/YOLO11", "yolo11n.pt") is None
    assert hub.hub_checkpoint("usyd-community/vitpose-base", Hub(tmp_path), False)[0] is None
    assert len(probes) == 1


def test_a_probe_of_a_silent_host_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(hub, "_PROBE_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not hub._probe(f"http://127.0.0.1:{silent.getsockname()[1]}")
