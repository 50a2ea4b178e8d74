import json

import pytest

from realtime.models.memory import recall, remember


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cache" / "facts.json"


def test_facts_are_kept_in_a_private_file(file):
    remember(file, "a", ["1", "2"])
    remember(file, "b", ["3"])
    remember(file, "a", ["4"])
    assert recall(file) == {"b": ["3"], "a": ["4"]}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b'{"a": "1"}', b'{"a": []}', b'{"a": [1]}', b"\xff", b"[" * 5000]
)
def test_a_damaged_file_counts_as_empty(file, content):
    file.parent.mkdir(mode=0o700)
    file.write_bytes(content)
    assert recall(file) == {}
    remember(file, "b", ["3"])
    assert json.loads(file.read_text()) == {"b": ["3"]}


def test_a_file_that_other_users_can_change_counts_as_empty(file):
    remember(file, "a", ["1"])
    file.chmod(0o666)
    assert recall(file) == {}
