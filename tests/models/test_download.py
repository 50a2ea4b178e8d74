import errno
import logging
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from realtime.models import download
from realtime.models.hub import Hub, hub_checkpoint
from tests.models.fake_hub import FakeHub

NAME = "usyd-community/vitpose-plus-small"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub with a checkpoint of 3 MB. huggingface_hub does not wait between its attempts."""
    hub = FakeHub({"model.safetensors": bytes(3_000_000), "config.json": b"{}", "README.md": b"text"})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    address = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr("huggingface_hub.file_download.time", types.SimpleNamespace(sleep=lambda s: None))
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield hub
    hub.shutdown()
    thread.join()
    hub.server_close()


def find(tmp_path: Path) -> tuple[Path | None, str]:
    return hub_checkpoint(NAME, Hub(tmp_path / "cache"), trust_memory=False)


def test_a_download_says_how_large_it_is_before_it_begins_and_nothing_else_is_printed(
    hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    folder, why = find(tmp_path)
    assert folder is not None, why
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("realtime")] == [
        f"models: asking the model hub, {hub.endpoint}, for a model that is not on this machine",
        f"models: downloading {NAME} (3 MB) from the model hub",
    ]
    assert not [record for record in caplog.records if record.name.startswith("huggingface_hub")]
    assert capfd.readouterr() == ("", "")
    hub.status = 500
    assert find(tmp_path) == (folder, "")  # from the cache


def test_a_slow_download_logs_its_progress(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    logged = threading.Event()

    def wait(*arguments: str) -> str:
        assert logged.wait(10)
        return download_file(*arguments)

    def watch(record: logging.LogRecord) -> bool:
        if "0 of 3 MB" in record.getMessage():
            logged.set()
        return True

    download_file = huggingface_hub.hf_hub_download
    monkeypatch.setattr("huggingface_hub.hf_hub_download", wait)
    monkeypatch.setattr(download, "_REPORT_S", 0.01)
    monkeypatch.setattr(download.log, "filters", [watch])
    assert find(tmp_path)[1] == ""
    assert f"models: downloading {NAME}: 0 of 3 MB" in caplog.messages


# what the hub does, the reason that is given
FAILED = [
    ({"status": 404}, "the model hub has no model of this name (404)"),
    ({"status": 401}, "no public model of this name (401); if it is a private one, set HF_TOKEN"),
    ({"status": 403}, "the model hub refuses it (403); accept the model's terms"),
    ({"status": 500}, "the model hub answered 500 (Internal Server Error)"),
    ({"status": 529}, "the model hub answered 529 (an error)"),  # no status of HTTP
    ({"is_hotel": True}, "is there a login page in between?"),
    ({"sent": 0}, "the download failed (peer closed connection"),
    ({"lacking": 10}, "the download failed (Consistency check failed: file should be of size 3000000"),
    ({"files": {"model.safetensors": b"x"}}, f"{NAME} on the model hub has no config.json"),
    ({"files": {"config.json": b"{}"}}, "the model hub has it without weights as .safetensors"),
]


@pytest.mark.parametrize(("how", "reason"), FAILED)
def test_a_download_that_fails_gives_a_reason_in_plain_words(
    hub: FakeHub, tmp_path: Path, how: dict[str, object], reason: str
) -> None:
    for name, value in how.items():
        setattr(hub, name, value)
    folder, why = find(tmp_path)
    assert folder is None
    assert reason in why


def test_a_full_disk_is_the_reason(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    assert find(tmp_path) == (None, "No space left on device")


def test_a_download_that_broke_off_is_not_taken_for_a_checkpoint(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {name: hub.files[name] for name in ("config.json", "model.safetensors")}
    hub.sent = 1000
    hub.files["model.safetensors"] = bytes(100_000)
    assert find(tmp_path)[0] is None
    hub.sent = None
    assert find(tmp_path)[1] == ""


def test_a_name_that_no_repository_can_have_is_the_reason(hub: FakeHub, tmp_path: Path) -> None:
    folder, why = hub_checkpoint("no/such name", Hub(tmp_path / "cache"), trust_memory=False)
    assert folder is None
    assert "such name" in why
