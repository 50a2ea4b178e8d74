from pathlib import Path

from realtime.models.published import VITPOSE_FILES
from tests.bench import families


def test_the_page_shows_every_published_file_and_every_data_set_with_figures():
    text = (Path(__file__).parents[2] / families.PAGE).read_text()
    rows = text.partition(families.BEGIN)[2].partition(families.END)[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("| ")][1:]
    shown = {(row[0], row[1].strip("`"), row[2].strip("`")): row[6:] for row in cells if row[0] != "---"}
    expected = {
        (kind.family, kind.name.format(size="*"), skeleton): kind.sizes
        for kind in families.kinds()
        for skeleton in kind.skeletons
    }
    assert list(shown) == list(expected)
    for row, sizes in expected.items():
        assert [bool(figure) for figure in shown[row]] == [size in sizes for size in "SBLH"]
        assert all(float(figure) < families.LIMIT for figure in shown[row] if figure)
    for name in (name for name in VITPOSE_FILES if name.startswith("easy_vitpose:")):
        size, _, data_set = name.partition(":")[2].partition("-")
        assert any(row[1] == f"vitpose-*-{data_set}" and size.upper() in expected[row] for row in shown), name


def test_a_small_file_of_a_kind_is_measured(tmp_path, monkeypatch):
    monkeypatch.setitem(families.SIZES, "S", {"width": 384, "depth": 1})
    kind = next(kind for kind in families.kinds() if len(kind.skeletons) == 3)
    for skeleton, expert, difference in families.measured(kind, "S", tmp_path):
        assert skeleton in kind.skeletons
        assert expert is None
        assert difference < families.LIMIT
