import errno
import os
from pathlib import Path

import huggingface_hub
import pytest

from realtime.models import hub
from realtime.models.hub import Hub
from tests.models.fake_hub import COMMIT


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


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the hub's cache, with a file in it, as huggingface_hub stores it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / "models--Ultralytics--YOLO11"
    for file, text in {"refs/main": COMMIT, f"snapshots/{COMMIT}/yolo11n.pt": "weights"}.items():
        (place / file).parent.mkdir(parents=True)
        (place / file).write_text(text)
    return place


def test_a_file_in_the_cache_of_the_hub_is_found_as_huggingface_hub_finds_it(place: Path) -> None:
    found = hub.downloaded("Ultralytics/YOLO11", "yolo11n.pt")
    assert str(found) == huggingface_hub.try_to_load_from_cache("Ultralytics/YOLO11", "yolo11n.pt")
    assert hub.downloaded("Ultralytics/YOLO11", "yolo11m.pt") is None
    assert hub.downloaded("Ultralytics/YOLO26", "yolo11n.pt") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",  # the disk was full
        b"\xff\xfe",  # damaged
        b"a\0b",
        b"../snapshots/" + COMMIT.encode(),  # would lead out of the folder
        b"b" * 40,  # a commit that is not there
    ],
)
def test_a_damaged_cache_of_the_hub_counts_as_empty(place: Path, content: bytes) -> None:
    (place / "refs" / "main").write_bytes(content)
    assert hub.downloaded("Ultralytics/YOLO11", "yolo11n.pt") is None


def test_a_pipe_or_an_endless_file_in_the_cache_of_the_hub_counts_as_damaged(place: Path) -> None:
    for put in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir):
        (main := place / "refs" / "main").unlink()
        put(main)
        assert hub.downloaded("Ultralytics/YOLO11", "yolo11n.pt") is None


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied"), OSError(errno.EIO, "I/O error")])
def test_a_cache_of_the_hub_that_can_not_be_read_counts_as_empty(
    tmp_path: Path, place: Path, probes: list[str], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(*args: object, **keywords: object) -> None:
        raise error

    monkeypatch.setattr(os, "open", fail)
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
