from pathlib import Path

import pytest
import yaml

from realtime.config import commented_yaml, leaves, load, to_yaml

ROOT = Path(__file__).parents[2]


def test_defaults_are_valid_and_read_back_from_their_own_yaml(tmp_path: Path) -> None:
    config = load(environment={})
    path = tmp_path / "printed.yaml"
    path.write_text(to_yaml(config))
    assert load([path], environment={}) == config


def test_the_default_file_is_current_and_lists_every_key() -> None:
    text = (ROOT / "configs" / "default.yaml").read_text()
    assert text == commented_yaml(), "run `make docs`"
    assert load([ROOT / "configs" / "default.yaml"], environment={}) == load(environment={})
    assert all(f"{key.name.rpartition('.')[2]}:" in text for key in leaves())


def test_to_yaml_is_plain_yaml() -> None:
    assert yaml.safe_load(to_yaml(load(environment={})))["detector"]["size"] == 640


# Letters and an emoji; then also a word joiner, a line separator and a byte of a file name that is not UTF-8.
LETTERS, ODD = "/mnt/café 世\U0001f600.mkv", "/mnt/café 世\u2060\U0001f600\u2028\udce9.mkv"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "UTF8"])
@pytest.mark.parametrize("source", [LETTERS, ODD])
def test_text_that_the_terminal_lacks_is_escaped_and_read_back_unchanged(
    source: str, encoding: str, tmp_path: Path
) -> None:
    config = load(environment={}, flags={"cameras": [{"name": "a", "source": source}]})
    text = to_yaml(config, encoding)
    path = tmp_path / "printed.yaml"
    path.write_bytes(text.encode(encoding))
    assert load([path], environment={}) == config
    assert text.replace("\n", "").isprintable()
    assert ("café 世" in text) == (source == LETTERS and encoding.lower().startswith("utf"))


def test_a_mask_is_written_with_a_polygon_per_line_and_read_back_unchanged(tmp_path: Path) -> None:
    mask = [[[0, 0], [300.5, 0], [0, 240]], [[900, 500], [1280, 500], [1280, 720], [900, 720]]]
    camera = {"name": "a", "source": "demo", "mask": mask, "crop_xyxy": [0, 0, 1280, 700]}
    config = load(environment={}, flags={"cameras": [camera]})
    text = to_yaml(config)
    lines = [line.strip() for line in text.splitlines()]
    assert "- [[0, 0], [300.5, 0], [0, 240]]" in lines
    assert "- [[900, 500], [1280, 500], [1280, 720], [900, 720]]" in lines
    assert "crop_xyxy: [0, 0, 1280, 700]" in lines
    (tmp_path / "printed.yaml").write_text(text)
    assert load([tmp_path / "printed.yaml"], environment={}) == config


def test_the_longest_polygon_stays_on_one_line() -> None:
    corners = [[k + 0.123456789, 0.06 * k * k + 0.123456789] for k in range(1000)]
    config = load(environment={}, flags={"cameras": [{"name": "a", "source": "demo", "mask": [corners]}]})
    assert max(to_yaml(config).splitlines(), key=len).count("],") == 999
