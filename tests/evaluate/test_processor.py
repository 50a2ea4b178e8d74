"""The note about the processor and the precision below a table of scores."""

from pathlib import Path

import pytest

from realtime.evaluate.processor import computed_with, processor

X86 = """processor : 0
model name\t: AMD EPYC
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16
"""
ARM = """processor : 0
Features\t: fp asimd asimddp bf16
"""


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (X86, "AMD EPYC (avx2, avx512f, avx512_bf16)"),
        (X86.replace("avx2 avx512f avx512_bf16", ""), "AMD EPYC"),  # none of those that matter
        (ARM, "aarch64 (asimd, asimddp, bf16)"),  # Linux names no model there
    ],
)
def test_the_processor_is_named_with_its_instruction_set(
    text: str, described: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    (tmp_path / "cpuinfo").write_text(text)
    assert processor(tmp_path / "cpuinfo") == described


def test_the_note_names_each_network_that_ran() -> None:
    note = computed_with("cpu", {"detector": "openvino bf16", "pose model": None})
    assert note == f"computed on cpu with detector openvino bf16; processor: {processor()}"
