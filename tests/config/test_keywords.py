from pathlib import Path

import pytest

from realtime.config import former_keys, keyword_of, leaves, load, of_keywords
from realtime.errors import ConfigError


def test_each_key_has_a_keyword_of_its_own() -> None:
    keys = [key.name for key in [*leaves(), *former_keys()]]
    assert len({keyword_of(key) for key in keys}) == len(keys)
    assert of_keywords({keyword_of(key): 1 for key in keys}) == dict.fromkeys(keys, 1)


def test_values_may_have_their_own_types_or_be_text_as_on_the_command_line() -> None:
    keys: dict[str, object] = {"detector_size": 320, "pose_max_people": "8", "pose_model": Path("models/pose")}
    keys |= {"loop": True, "publish_bind": ["ipc:///tmp/a"], "latency_target_ms": None}
    config = load(environment={}, flags=of_keywords(keys))
    assert (config.detector.size, config.pose.max_people, config.pose.model) == (320, 8, "models/pose")
    assert (config.loop, config.publish.bind, config.latency.target_ms) == (True, ["ipc:///tmp/a"], None)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("pose_modle", ", did you mean pose_model?"),  # a typing mistake
        ("Device", ", did you mean device?"),
        ("max_person", ", did you mean pose_max_people?"),  # without its section, and not quite its name
        ("size", ", did you mean detector_size or pose_input_size?"),  # keys of two sections
        ("conf", "; configs/default.yaml lists all keys"),  # another library's
        ("pose.model", ", did you mean pose_model?"),
    ],
)
def test_an_unknown_keyword_is_an_error_that_names_the_nearest_ones(word: str, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        of_keywords({"device": "cpu", word: 1})
    assert str(caught.value) == f"unknown keyword {word}{advice}"
