"""Every family of ViTPose files in every size, loaded and compared with another network: a table of docs/pose.md.

    python -m tests.bench.families           # about 7 minutes on 2 cores; prints the table
    python -m tests.bench.families --write   # writes it into docs/pose.md

The files have the published names and shapes of tensors, with random weights: S and B with all layers, L and H in their
width with two. A figure is the largest difference of a heatmap's value to that of `tests.models.published.Reference`,
which is written from the paper, divided by the largest value.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from realtime.models.checkpoint import choose, examine
from realtime.models.published import VITPOSE_FILES
from realtime.models.vitpose import describe, load_network
from realtime.skeletons import SKELETONS
from tests.models.published import SIX_SETS, Reference, original
from tests.pose.checkpoints import picture

PAGE = Path("docs/pose.md")
BEGIN, END = "<!-- families -->\n", "<!-- /families -->"
SIZES = {
    "S": {"width": 384, "depth": 12}, "B": {"width": 768, "depth": 12}, "L": {"width": 1024, "depth": 2},
    "H": {"width": 1280, "depth": 2},
}  # fmt: skip
DATA_SETS = ("coco17", "aic14", "mpii16", "ap10k", "apt36k", "wholebody133")
PLUS = {"experts": 6, "associated": SIX_SETS[1:]}
LIMIT = 1e-5


class Kind(NamedTuple):
    """A kind of file: its family, its name without suffix, how it is made, and the keypoint sets of its heads."""

    family: str
    name: str
    made: dict[str, object]
    skeletons: tuple[str, ...]
    sizes: str = "SBLH"


def kinds() -> Iterator[Kind]:
    """Each kind of published file. {size} in a name is a letter."""
    easy = {name.partition("-")[2]: each.skeleton for name, each in VITPOSE_FILES.items() if name.startswith("easy")}
    for name, skeleton in easy.items():
        made = {"keypoints": len(SKELETONS[skeleton])}
        yield Kind("easy_ViTPose", f"vitpose-{{size}}-{name}", made, (skeleton,))
    yield Kind("ViTPose+", "vitpose+_{size}", PLUS, DATA_SETS)
    for skeleton, name in zip(DATA_SETS, ("coco", "aic", "mpii", "ap10k", "apt36k", "wholebody"), strict=True):
        # Newer versions of model_split.py keep all experts and heads in coco.pth alone.
        made = PLUS | {"split": True} if name == "coco" else {"keypoints": len(SKELETONS[skeleton])}
        yield Kind("split from ViTPose+", name, made, (skeleton,))
    yield Kind("original, classic", "vitpose-{size}-coco", {}, ("coco17",))
    yield Kind("original, simple", "vitpose-{size}-simple-coco", {"simple": True}, ("coco17",))
    three = ("coco17", "aic14", "mpii16")
    yield Kind("original, classic", "vitpose_{size}_coco_aic_mpii", {"associated": (14, 16)}, three, "BLH")
    yield Kind("original, classic", "vitpose-{size}-crowdpose", {"keypoints": 14}, ("crowdpose14",), "BLH")


def measured(kind: Kind, size: str, folder: Path) -> Iterator[tuple[str, int | None, float]]:
    """Write a file, and load each of its heads: its keypoint set, the folded expert, and the difference."""
    tensors = original(**SIZES[size], **kind.made)
    file = folder / f"{kind.name.format(size=size.lower())}.pth"
    torch.save(tensors, file)
    try:
        for skeleton in kind.skeletons:
            head, _ = choose(examine(tensors, file.stem), skeleton)
            about, network = describe(file, skeleton=skeleton), load_network(file, skeleton=skeleton)
            crops = torch.from_numpy(np.stack([picture(*about.input_size, seed=i) for i in range(2)]))
            pixels = ((crops.float() - network.mean) / network.std).permute(0, 3, 1, 2).flip(1)
            with torch.inference_mode():
                expected = Reference(tensors, head.prefix, head.expert)(pixels)[:, : len(about.skeleton)]
                difference = float((network(crops) - expected).abs().max() / expected.abs().max())
            yield skeleton, head.expert, difference
    finally:
        file.unlink()


def table(sizes: str = "SBLH") -> str:
    """Load everything, and return the table as Markdown.

    Raises:
        AssertionError: a network differs from the reference by more than LIMIT.
    """
    lines = ["| family | file | `pose.skeleton` | keypoints | crops | folded | " + " | ".join(sizes) + " |"]
    lines.append("|" + " --- |" * (6 + len(sizes)))
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds():
            found: dict[str, dict[str, float]] = {skeleton: {} for skeleton in kind.skeletons}
            experts = {}
            for size in sizes:
                for skeleton, expert, difference in measured(kind, size, Path(folder)) if size in kind.sizes else ():
                    assert difference < LIMIT, (kind, size, skeleton, difference)
                    found[skeleton][size], experts[skeleton] = difference, expert
            for skeleton, figures in found.items():
                folded = "-" if experts[skeleton] is None else f"expert {experts[skeleton]}"
                cells = [kind.family, f"`{kind.name.format(size='*')}`", f"`{skeleton}`"]
                cells += [str(len(SKELETONS[skeleton])), SKELETONS[skeleton].geometry, folded]
                cells += [f"{figures[size]:.0e}" if size in figures else "" for size in sizes]
                lines.append(f"| {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE}")
    parser.add_argument("--sizes", default="SBLH", help="some of SBLH")
    options = parser.parse_args()
    made = table(options.sizes)
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    else:
        print(f"\n{made}")


if __name__ == "__main__":
    main()
