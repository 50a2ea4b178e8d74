"""The fuzzer's inputs: a seed makes the same one each time, and most differ from what is valid."""

from pathlib import Path

import yaml

from tests.faults.peer import description
from tests.faults.sps import Sps
from tests.faults.strange import clip, with_sps

from .configs import FIRST, GOOD, configuration
from .inputs import file
from .mutate import Mutator


def test_a_seed_makes_the_same_input_each_time(tmp_path: Path) -> None:
    good = description(clip())
    assert [Mutator(seed).text(good) for seed in range(50)] == [Mutator(seed).text(good) for seed in range(50)]
    assert [configuration(seed) for seed in range(50)] == [configuration(seed) for seed in range(50)]
    made = []
    for _ in range(2):
        with file(Mutator(11), tmp_path) as path:
            made.append(Path(path).read_bytes())
    assert made[0] == made[1]


def test_most_inputs_differ_from_the_valid_one_and_from_each_other() -> None:
    good = description(clip())
    made = {Mutator(seed).text(good) for seed in range(100)}
    assert len(made - {good}) >= 90


def test_the_configurations_that_are_changed_were_valid() -> None:
    for data in (FIRST, *GOOD):
        assert {"name": "well", "source": "demo"} in yaml.safe_load(data)["cameras"]


def test_a_parameter_set_that_is_not_changed_is_written_as_it_was() -> None:
    unit = clip().parameter_sets[0]
    assert Sps(unit).write() == unit


def test_a_changed_parameter_set_is_in_the_description_and_in_each_key_frame() -> None:
    odd = with_sps(lambda sps: sps.resize(1600, 160))
    assert Sps(odd.parameter_sets[0]).fields["width_blocks"] == 99
    assert [odd.parameter_sets[0] in picture for picture in odd.pictures[:26]] == [True, *[False] * 24, True]
