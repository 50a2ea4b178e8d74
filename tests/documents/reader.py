"""A reader's folder: small files with the names that the commands in the documents use."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from realtime.capture.demo import demo_frame, demo_people
from realtime.skeleton import COCO17, Skeleton
from realtime.skeletons.whole_body import WHOLEBODY133
from realtime.wire.keys import make_key
from tests.evaluate.smoothing.synthetic import clip_of, save, swing
from tests.evaluate.tracking.sequences import make_sequence, walk
from tests.models.published import SIX_SETS, original
from tests.recordings.recorded import of_camera, record

FRAMES = 12
SIZE = (640, 480)
VIDEOS = ("clip.mp4", "street.mp4", "vtest.avi")
NINE = ("ADL-Rundle-6", "ETH-Bahnhof", "ETH-Sunnyday", "KITTI-13", "KITTI-17", "MOT17-04-FRCNN", "PETS09-S2L1",
        "TUD-Campus", "TUD-Stadtmitte")  # fmt: skip


def fill(folder: Path) -> None:
    """Write the files."""
    pictures = [cv2.resize(demo_frame(k), SIZE) for k in range(FRAMES)]
    for name in VIDEOS:
        _video(folder / name, pictures)
    for name in ("x.jsonl", "kept.jsonl"):
        record(folder / name, *of_camera(1000, n=1, k=17))
    for name in NINE:
        make_sequence(folder / "data" / "mot" / name, *walk(FRAMES), frames=FRAMES)
    (folder / "data" / "motion").mkdir()
    for name in ("cmu_walk_30hz", "static_hold_30hz"):
        save(folder / "data" / "motion" / f"{name}.npz", clip_of(swing(np.arange(120) / 30), noise=2.0))
    _coco(folder / "data" / "coco_train_ccby" / "images", folder / "data" / "coco_train_ccby" / "gt.json", pictures)
    _coco(folder / "val2017", folder / "person_keypoints_val2017.json", pictures)
    _coco(folder / "val", folder / "val.json", pictures, WHOLEBODY133)
    torch.save(original(depth=1, experts=6, associated=SIX_SETS[1:]), folder / "vitpose+_small.pth")
    for name in ("publisher", "clients/alice"):
        make_key(folder / "keys" / name)
    (folder / "cameras.yaml").write_text("cameras:\n  - {name: door, source: clip.mp4}\n")
    (folder / "results").mkdir()
    (folder / "token").write_text("a token of this test\n")
    (folder / "token").chmod(0o600)


def _video(path: Path, pictures: list[np.ndarray]) -> None:
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, SIZE)
    for picture in pictures:
        writer.write(picture)
    writer.release()


def _coco(images: Path, annotations: Path, pictures: list[np.ndarray], skeleton: Skeleton = COCO17) -> None:
    """Annotate the people of the demo. Their keypoints are made up: the commands must run, not score well."""
    images.mkdir(parents=True)
    width, height = SIZE
    boxes = demo_people() * (width / 1280)
    people, entries = [], []
    for number, picture in enumerate(pictures[:2]):
        cv2.imwrite(str(images / f"{number}.png"), picture)
        entries.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        for x1, y1, x2, y2 in boxes.tolist():
            keypoints = [each for k in range(len(skeleton)) for each in (x1 + k, y1 + k, 2)]
            people.append(
                {"id": len(people) + 1, "image_id": number, "category_id": 1, "iscrowd": 0,
                 "num_keypoints": len(skeleton), "keypoints": keypoints, "bbox": [x1, y1, x2 - x1, y2 - y1],
                 "area": (x2 - x1) * (y2 - y1)}
            )  # fmt: skip
    coco = {"images": entries, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    annotations.write_text(json.dumps(coco))
