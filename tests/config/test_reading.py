"""Files of secrets that other users can read."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.config import load
from realtime.config.reading import Reading


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file in a folder that every user can enter, unlike that of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "door").write_text("rtsp://user:pw@10.0.0.5/s1")
        yield Path(folder) / "door"


def warnings_of(file: Path) -> list[str]:
    said: list[str] = []
    load(environment={}, flags={"cameras": [{"name": "a", "source": f"secret:{file}"}]}, warn=said.append)
    return said


@pytest.mark.parametrize("mode", [0o644, 0o444, 0o604, 0o666])
def test_a_secret_that_every_user_can_read_is_warned_about(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    [warning] = warnings_of(secret)
    assert warning == f"{secret}: other users can read this secret (mode {mode:o}): run chmod 600 {secret}"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])  # a group is given on purpose
def test_a_secret_for_its_owner_and_their_group_is_not(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    assert warnings_of(secret) == []


def test_a_secret_in_a_folder_that_others_can_t_enter_is_not(secret: Path) -> None:
    secret.chmod(0o644)
    secret.parent.chmod(0o700)
    assert warnings_of(secret) == []


def test_a_link_counts_as_what_it_leads_to(secret: Path, tmp_path: Path) -> None:
    secret.chmod(0o644)
    (tmp_path / "link").symlink_to(secret)
    assert len(warnings_of(tmp_path / "link")) == 1


def test_a_secret_of_another_user_has_to_be_given_to_this_one(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.chmod(0o444)
    monkeypatch.setattr("realtime.config.reading.os.getuid", lambda: secret.stat().st_uid + 1)
    [warning] = warnings_of(secret)
    assert warning.endswith("(mode 444): give it to the user of this program, with mode 400")


def test_a_device_is_no_secret_that_others_can_read() -> None:
    said: list[str] = []
    Reading(said.append).read_secret(Path("/dev/null"), 1024)
    assert said == []
