import argparse
import importlib

import pytest

from realtime.evaluate.__main__ import COMMANDS
from realtime.evaluate.bench.sections import SECTIONS, Section, ranges


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
@pytest.mark.parametrize("video", [None, "my clip.mp4"])
@pytest.mark.parametrize("is_quick", [False, True])
def test_the_command_of_a_section_is_accepted(section: Section, video: str | None, is_quick: bool) -> None:
    name, *words = section.words(video, is_quick)
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    parser.parse_args(words)
    assert (video or "demo") in words or video is None or section.name == "precisions"


def test_quick_takes_about_a_quarter_of_the_time() -> None:
    full, quick = (sum(section.minutes[k] for section in SECTIONS) for k in range(2))
    assert 10 <= full <= 18
    assert quick <= 5


def test_figures_are_named_by_the_keys_that_lead_to_them() -> None:
    figure = {"median": 1.0, "min": 1.0, "max": 1.0}
    sides = {"ours": {"ours_to_this": {"speed": figure}}, "track": {"ours_to_this": {"speed": figure}, "engine": "x"}}
    assert ranges({"modes": {"throughput": sides}, "threads": 2}) == {"throughput track speed": figure}


SIDE = {"ours_to_this": {}, "figures": {"people": 4.5}}


@pytest.mark.parametrize(
    ("name", "data", "figures"),
    [
        (
            "precisions",
            {"times_ms": {"transformer": {"fp32": 6.0, "bf16": 4.0}, "convolutions": {"fp32": 3.0}}},
            {"transformer, bf16 over fp32": 1.5},
        ),
        ("one-liner", {"modes": {"one stage": {"one-liner": SIDE}}}, {"one stage one-liner people per frame": 4.5}),
        (
            "calls",
            {"calls": {"0": {"together_ms": 3.0, "apart_ms": 2.0}, "5": {"together_ms": 4.0, "apart_ms": 2.0}}},
            {"detector: one per core over all cores": 1.5, "pose, 5 people: one per core over all cores": 2.0},
        ),
        (
            "presets",
            {"settings": {"--preset fast": {"speed": 2.5, "found": None}}},
            {"--preset fast, speed": 2.5, "--preset fast, found": None},
        ),
    ],
)
def test_the_figures_of_a_section(name: str, data: dict[str, object], figures: dict[str, float | None]) -> None:
    section = next(section for section in SECTIONS if section.name == name)
    assert {name: figure["median"] for name, figure in section.figures(data).items()} == figures
