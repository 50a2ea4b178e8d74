"""The arguments of the library: which keys have no effect, and messages in the caller's words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from realtime import PoseTracker, track
from realtime.arguments import configuration
from realtime.errors import ConfigError, ModelError


@pytest.mark.parametrize("call", [PoseTracker, lambda **keys: track("demo", **keys)])
def test_the_warning_of_keys_without_effect_points_to_the_line_of_the_caller(
    call: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **how: object) -> None:
        raise ModelError("enough")

    monkeypatch.setattr("realtime.tracker.load_models", stop)
    with pytest.raises(ModelError), pytest.warns(UserWarning, match="no effect here") as warned:
        call(report="never.json", publish_local_bind=["ipc://x"], pose_model="none")
    [warning] = warned
    assert warning.filename == __file__
    assert (
        str(warning.message) == "keyword report, publish_local_bind: no effect here, because only the program uses it"
    )


@pytest.mark.parametrize(
    ("content", "keys", "sources", "said"),
    [
        ("[1]", {}, [], "config: {file} line 1: expected keys and values, got a list"),
        ("hello: 1", {}, [], "unknown key hello, see configs/default.yaml for all keys"),
        ("", {"publish.bind": ["tcp://*:1"]}, [], "or accept it with publish_allow_insecure"),
        ("", {}, ["a b=demo"], "source: got the name 'a b'"),
        ("", {}, ["a=demo", "a=demo"], "expected different names (from source)"),
        # without sources, the cameras come from the key
        ("", {"cameras": [{"name": "a", "source": "demo"}] * 2}, [], "expected different names (from cameras)"),
    ],
)
def test_messages_name_keywords_in_place_of_flags(
    tmp_path: Path, content: str, keys: dict[str, object], sources: list[str], said: str
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        configuration([file], keys, sources)
    assert said.format(file=file) in str(caught.value)
    assert "--" not in str(caught.value)
