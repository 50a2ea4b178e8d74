"""MOTChallenge sequences of one person, written to a folder by the tests."""

from pathlib import Path

BOX = (100.0, 50.0, 40.0, 100.0)


def line(number: int, track_id: int, box: tuple[float, ...] = BOX, *rest: float) -> str:
    return ",".join(f"{value:g}" for value in (number, track_id, *box, *rest)) + "\n"


def make_sequence(folder: Path, truth: str, detections: str = "", frames: int = 4, info: bool = True) -> Path:
    for name, text in (("gt", truth), ("det", detections)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.txt").write_text(text)
    if info:
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname=x\nimDir=img1\nframeRate=10\nseqLength={frames}\nimWidth=640\nimHeight=480\n"
        )
    return folder


def truth_of_one(frames: int = 4) -> str:
    return "".join(line(n, 1, BOX, 1, -1, -1, -1) for n in range(1, frames + 1))


def walk(frames: int = 12) -> tuple[str, str]:
    """Ground truth and detections of one walking person, at 10 frames per second."""
    boxes = [(100.0 + 3 * n, 50.0, 40.0, 100.0) for n in range(1, frames + 1)]
    truth = "".join(line(n, 1, box, 1, -1, -1, -1) for n, box in enumerate(boxes, 1))
    return truth, "".join(line(n, -1, box, 0.9) for n, box in enumerate(boxes, 1))


def standing(tmp_path: Path, seconds: int = 20) -> Path:
    """A sequence of one person who stands still and is detected in every frame, at 10 frames per second."""
    frames = range(1, 10 * seconds + 1)
    found = "".join(line(n, -1, BOX, 0.9) for n in frames)
    return make_sequence(tmp_path / "standing", truth_of_one(frames[-1]), found, frames[-1])
