import json

import pytest

from realtime.errors import ConfigError
from realtime.models import description, vitpose
from realtime.models.description import Description, describe
from realtime.skeletons import SKELETONS
from tests.pose.checkpoints import save_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("vitpose"))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "realtime-pose" / "descriptions.json"


@pytest.fixture
def examined(monkeypatch):
    """The checkpoints that were examined with torch."""
    found, look = [], vitpose.describe
    monkeypatch.setattr(vitpose, "describe", lambda path, *rest: (found.append(path), look(path, *rest))[1])
    return found


@pytest.mark.parametrize("name", SKELETONS)
def test_a_description_survives_as_json(name):
    about = Description(SKELETONS[name], (192, 256), "0" * 64)
    assert Description.read(json.loads(json.dumps(about.as_json()))) == about


def test_a_checkpoint_is_examined_once_for_each_use_of_it(folder, examined):
    first = [describe(folder), describe(folder, (96, 128)), describe(folder, None, "coco17"), describe(folder)]
    assert len(examined) == 3
    assert [about.input_size for about in first] == [(192, 256), (96, 128), (192, 256), (192, 256)]
    assert first[0] == first[3] == vitpose.describe(folder)


def test_a_checkpoint_that_has_changed_is_examined_again(tmp_path, examined):
    folder = save_checkpoint(tmp_path / "changing")
    before = describe(folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"] = "antenna"
    (folder / "config.json").write_text(json.dumps(config))
    after = describe(folder)
    assert len(examined) == 2
    assert before.digest != after.digest


@pytest.mark.parametrize(
    "damage", ["[]", '{"skeleton": {}}', '{"input_size": [1, 2], "skeleton": 3, "digest": ""}', "{"]
)
def test_a_damaged_memory_is_no_obstacle(folder, cache, examined, damage):
    about = describe(folder)
    stored = {key: [damage] for key in json.loads(cache.read_text())}
    cache.write_text(json.dumps(stored))
    assert describe(folder) == about
    assert len(examined) == 2


def test_without_a_home_folder_nothing_is_remembered(folder, monkeypatch, examined):
    def refuse():
        raise ConfigError("no home folder")

    monkeypatch.setattr(description, "cache_folder", refuse)
    assert describe(folder) == describe(folder)
    assert len(examined) == 2
