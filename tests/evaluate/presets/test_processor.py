from pathlib import Path

import pytest

from realtime.evaluate.presets.processor import processor

EPYC = (
    "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f bmi2\n\nprocessor\t: 1\nmodel name\t: other\n"
)


@pytest.mark.parametrize(
    ("text", "name", "instructions"),
    [
        (EPYC, "AMD EPYC", ["avx2", "avx512f"]),  # the first core
        ("CPU part\t: 0xd0c\nFeatures\t: fp asimd i8mm bf16\n", None, ["asimd", "bf16"]),  # Arm has no model name
        ("", None, []),
    ],
)
def test_the_processor_is_named_with_its_decisive_instructions(
    text: str, name: str | None, instructions: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    found, known = processor(file)
    assert known == instructions
    assert found == name if name else found


def test_a_system_without_that_file_has_a_processor_too(tmp_path: Path) -> None:
    found, known = processor(tmp_path / "nowhere")
    assert found
    assert known == []
