"""gpu.md: the results as tables for docs/benchmarks.md. `python -m tests.bench.gpu.table FILE` prints them again.

FILE is gpu.json. Entries with the same figures become the rows of one table. Lists are not shown.
"""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.gpu.record import PASSED, read
from tests.bench.gpu.steps import STEPS

Entries = Mapping[str, Mapping[str, Any]]

# What the figures of a step mean, unless Step.about says enough.
_MEANS = {
    "speed": "Random weights, on which the time does not depend. The detector runs on every frame; its people are then "
    "replaced, so that each frame has as many as the entry says. `busy` and `convert` are in gpu.json.",
    "beside": "One round. The frames are those of the built-in demo, with five people, and each side decodes the same "
    "video file at full speed. Ratios are ours divided by that side's: above 1 is better for frames per second, and "
    "below 1 for ages (p50 and p95, from capture to publishing). The age of `track` starts at the request for a frame. "
    "`sequential` is ultralytics, boxmot and Hugging Face's ViTPose in fp32, and `sequential-half` the same in fp16.",
    "memory": "Peaks in MiB. RSS is the process on the host, and `pinned` its part for transfers. Tensors hold "
    "`allocated`; torch keeps `reserved` for tensors and graphs; and `device` is in use on the whole device, with the "
    "CUDA context. The cameras decode nothing here; a real camera's decoder comes on top.",
    "soak": "People come and go, from none to 20 in each frame, and one camera is lost every 5 s. The step fails if "
    "memory, threads or open files have grown, or the frame rate has fallen, beyond the noise of the first half. The "
    "series are in gpu.json.",
}
# These figures say in an entry of the step `speed` what its name says too.
_CELL = {"size", "precision", "people", "cameras", "live", "eager", "graphs", "streams"}
_PLAIN = {"cameras": 1, "live": False, "eager": False, "graphs": True, "streams": True}
# Of the plain entries of `speed`, which are shown by model and people.
_MATRICES = {
    "fps": "Frames per second of the program, by model and people per frame; one camera, a file at full speed",
    "pose_p50_ms": "The pose model alone: ms per frame, from frame and boxes to keypoints (p50)",
    "share_of_roofline": "The pose model alone: the least time that the card's own rates allow, divided by the p50",
}
_ONLY_IN_JSON = ("busy_", "convert_s")
_WORDS = {"fps": "frames/s", "mib": "MiB", "mb": "MB", "gb": "GB", "tflop": "TFLOP", "gflop": "GFLOP", "rss": "RSS",
          "cpu": "CPU", "gpu": "GPU", "cuda": "CUDA"}  # fmt: skip
# A single entry with more figures than this is shown as a table.
_MOST_IN_A_LINE = 4
_UNKNOWN = "–"


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables of all steps."""
    about, steps = results["about"], results["steps"]
    lines = [f"## {_escaped(about.get('gpu') or about.get('processor') or 'unknown machine')}", "", _machine(about), ""]
    device = "" if about.get("device", "").startswith("cuda") else f" DEVICE={about.get('device', 'cpu')}"
    lines += [f"    make gpu{device}", ""]
    if about.get("short"):
        lines += [
            "This is the short form, with tiny networks: it proves that the steps run, and its figures mean little.",
            "",
        ]
    if bad := [f"{name} ({part['state']})" for name, part in steps.items() if part["state"] != PASSED]:
        lines += [f"**Not passed: {', '.join(bad)}.**", ""]
    for name, part in steps.items():
        lines += _step(name, part)
    return "\n".join(lines).rstrip() + "\n"


def _machine(about: Mapping[str, Any]) -> str:
    """One line about the machine and the versions, with what is known."""
    told = [
        ("{} GB", "gpu_gb"), ("compute capability {}", "capability"), ("driver {}", "driver"), ("torch {}", "torch"),
        ("CUDA {}", "cuda"), ("Python {}", "python"), ("{}", "processor"), ("{} cores", "cores"),
        ("commit {}", "commit"), ("{}", "date"), ("{:.0f} s in all", "seconds"),
    ]  # fmt: skip
    if "gpu" not in about:  # the processor stands in the heading
        told = [each for each in told if each[1] not in ("cuda", "processor")]
    known = [form.format(about[key]) for form, key in told if about.get(key) is not None]
    return _paragraph(", ".join(known) + ".") if known else "Nothing is known about the machine."


def _step(name: str, part: Mapping[str, Any]) -> list[str]:
    took = f", {part['seconds']:.0f} s" if part.get("seconds") else ""
    about = next((step.about for step in STEPS if step.name == name), "")
    lines = [f"### {name}: {part['state']}{took}", ""]
    lines += [_item("Failed: " + text).replace("- ", "- **", 1) + "**" for text in part["failures"]]
    lines += [""] * bool(part["failures"])
    lines += [f"{about[:1].upper()}{about[1:]}.", ""] * bool(about)
    lines += [_paragraph(_MEANS.get(name, "")), ""] * (name in _MEANS)
    entries = part["entries"]
    if name == "speed":
        plain = {key: figures for key, figures in entries.items() if _is_plain(figures)}
        for figure, caption in _MATRICES.items():
            lines += _matrix(plain, figure, caption)
        entries = {key: _without_cell(figures) for key, figures in entries.items() if key not in plain}
    for group in groups({key: _shown(figures) for key, figures in entries.items()}):
        lines += _group(group)
    if not part["entries"]:
        lines += ["No figures.", ""]
    if part["left_out"]:
        lines += ["Left out:", "", *map(_item, part["left_out"]), ""]
    return lines


def _is_plain(figures: Mapping[str, Any]) -> bool:
    """Whether an entry of `speed` belongs to the tables by model and people."""
    return figures.keys() >= _CELL and all(figures[key] == value for key, value in _PLAIN.items())


def _without_cell(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if not (figures.keys() >= _CELL and key in _CELL)}


def _matrix(entries: Entries, figure: str, caption: str) -> list[str]:
    """A figure of all entries that have it: a row for each model, a column for each number of people."""
    have = [figures for figures in entries.values() if figure in figures]
    if not have:
        return []
    people = sorted({figures["people"] for figures in have})
    models = dict.fromkeys(f"ViTPose-{figures['size']} {figures['precision']}" for figures in have)
    values = {(f"ViTPose-{f['size']} {f['precision']}", f["people"]): cell(f[figure]) for f in have}
    rows = [[model, *(values.get((model, count), "") for count in people)] for model in models]
    titles = [f"{count} {'people' if count > 1 else 'person'}" for count in people]
    return [f"{caption}:", "", *table(["model", *titles], rows), ""]


def _shown(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that fit into a table."""
    return {
        key: value for key, value in figures.items()
        if not isinstance(value, list | dict) and not key.startswith(_ONLY_IN_JSON)
    }  # fmt: skip


def groups(entries: Entries) -> list[dict[str, Mapping[str, Any]]]:
    """Divide entries into tables. An entry joins the first table that has all its figures, or only such as it has."""
    found: list[dict[str, Mapping[str, Any]]] = []
    for name, figures in entries.items():
        for group in found:
            keys = _keys(group).keys()
            if figures.keys() <= keys or figures.keys() >= keys:
                group[name] = figures
                break
        else:
            found.append({name: figures})
    return found


def _keys(group: Entries) -> dict[str, None]:
    """The figures of a group, in their order: those of the entry with the most, as its others are part of them."""
    return dict.fromkeys(max(group.values(), key=len))


def _group(group: Entries) -> list[str]:
    """A table. A figure that is the same in all rows stands above it; a single entry with few figures is one line."""
    keys = list(_keys(group)) if group else []
    if len(group) == 1:
        name, figures = next(iter(group.items()))
        if len(keys) > _MOST_IN_A_LINE:
            return [*table([name, ""], [[title(key), cell(figures[key])] for key in keys]), ""]
        told = ", ".join(f"{title(key)} {cell(figures[key])}" for key in keys)
        return [_item(name + (f": {told}" if told else "")), ""]
    rows = list(group.values())
    same = [key for key in keys if all(key in row and row[key] == rows[0][key] for row in rows)]
    told = ", ".join(f"{title(key)} {cell(rows[0][key])}" for key in same)
    above = [_paragraph(f"In all rows: {told}."), ""] * bool(same)
    keys = [key for key in keys if key not in same]
    if not keys:
        return [_item(f"{', '.join(group)}: {told}"), ""]
    cells = [[name, *(cell(row[key]) if key in row else "" for key in keys)] for name, row in group.items()]
    return [*above, *table(["", *map(title, keys)], cells), ""]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(_escaped(text) for text in line)} |" for line in lines]


def title(figure: str) -> str:
    """Return the title of a figure's column.

    >>> title("rss_mib_per_min"), title("p50_ms"), title("ours_fps_ratio")
    ('RSS MiB/min', 'p50 ms', 'ours frames/s ratio')
    """
    return " ".join(_WORDS.get(word, word) for word in figure.split("_")).replace(" per ", "/")


def cell(value: Any) -> str:
    """Return a value as text: numbers with three significant digits, whole numbers in full.

    >>> [cell(value) for value in (12345.6, 0.012345, 1e-7, 64, True, None, "fp16")]
    ['12300', '0.0123', '1e-07', '64', 'yes', '–', 'fp16']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return _UNKNOWN
    if not isinstance(value, float):
        return str(value)
    if value == 0 or abs(value) < 1e-4:
        return f"{value:.3g}"
    digits = 2 - math.floor(math.log10(abs(float(f"{value:.2e}"))))
    return f"{round(value, digits):.{max(0, digits)}f}"


def _paragraph(text: str, **more: str) -> str:
    """Return text in lines of 120 characters."""
    return textwrap.fill(_escaped(text), 120, break_long_words=False, break_on_hyphens=False, **more)


def _item(text: str) -> str:
    """Return an item of a list."""
    return _paragraph(text, initial_indent="- ", subsequent_indent="  ")


def _escaped(text: str) -> str:
    """Return text that is neither a border of a cell, nor a new line, nor a tag."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def main(words: Sequence[str]) -> int:
    """Print the tables of a results file."""
    if len(words) != 1 or not Path(words[0]).is_file():
        print("usage: python -m tests.bench.gpu.table FILE, where FILE is a gpu.json", file=sys.stderr)
        return 2
    try:
        text = markdown(read(Path(words[0])))
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        print(f"{words[0]}: expected a gpu.json of make gpu: {type(error).__name__}: {reason}", file=sys.stderr)
        return 2
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
