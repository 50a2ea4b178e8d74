"""Odd video files and images, thousands of them: `make oddities`. docs/reliability.md has the table."""

import pytest

from .all import all_files
from .combination import quiet

pytestmark = pytest.mark.oddities
ALL = all_files()


@pytest.mark.parametrize("name", ALL)
def test_an_odd_file_gives_its_frames_at_their_times_or_one_line(name, tmp_path, record_property):
    with quiet():
        outcome = ALL[name].run(tmp_path)
    record_property("group", outcome.group)
    record_property("verdict", outcome.verdict)
    for file in tmp_path.rglob("*"):  # pytest keeps the folders of three runs
        if file.is_file():
            file.unlink()
    if outcome.verdict == "wrong":
        pytest.fail(f"{outcome.text}\nrepeat it with: python -m tests.oddities {name}", pytrace=False)
