"""A recording of a street: nothing, then a branch that no detector mistakes for a person, then a person, then nothing.

A folder of 160x120 pictures, which play at 30 fps. The stand-in for the detector finds dark areas.
"""

from pathlib import Path

import cv2
import numpy as np

from realtime.types import Detections, Frame

BRANCH, PERSON = (100, 20, 140, 50), (20, 40, 50, 110)
# Pictures of each part, in order. The gate is calibrated for 1 s, so that with activity.empty_s 1 the street is empty
# before the branch and before the person.
PARTS = [(90, None, 0), (8, BRANCH, 200), (75, None, 0), (30, PERSON, 0), (45, None, 0)]


def pictures() -> list[np.ndarray]:
    street = []
    for count, box, grey in PARTS:
        for _ in range(count):
            image = np.full((120, 160, 3), 110, np.uint8)
            if box is not None:
                image[box[1] : box[3], box[0] : box[2]] = grey
            street.append(image)
    return street


def write(folder: Path, images: list[np.ndarray]) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:04}.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return folder


def find_dark(frame: Frame) -> Detections:
    """The person in a frame: the bounding box of everything that is nearly black."""
    rows, columns = np.nonzero(frame.image.max(axis=2) < 40)
    if not len(rows):
        return Detections.empty(frame)
    box = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    return Detections(frame, np.array(box, np.float32), np.float32([0.9]))
